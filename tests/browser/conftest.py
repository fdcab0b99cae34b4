"""JupyterLab on loopback, a real Chromium, and a notebook open in it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from jupyter_page import Notebook
from lab_browser import Lab, NoBrowser, browser, lab_server


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    """A JupyterLab server of our own, with this Python as its kernel."""
    with lab_server() as server:
        yield server


@pytest.fixture(scope="session")
def chrome() -> Iterator[Any]:
    """A Chromium context that reaches loopback only; installed if there is none."""
    try:
        with browser() as context:
            yield context
    except NoBrowser as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.fixture
def notebook(chrome, lab, request) -> Iterator[Notebook]:
    """A notebook that is not open yet; at the end nothing may have left or complained."""
    book = Notebook(lab=lab, context=chrome, name=request.node.name)
    yield book
    try:
        book.check()
    finally:
        book.close()
        lab.shut_kernels()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A picture of the page as it was when a test failed."""
    report = yield
    book = getattr(item, "funcargs", {}).get("notebook")
    if report.when == "call" and report.failed and book is not None and book.page is not None:
        with suppress(Exception):  # the page may be gone; the failure is what matters
            report.sections.append(("picture", str(book.shot("failed"))))
    return report
