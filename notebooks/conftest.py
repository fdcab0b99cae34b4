"""Notebooks under nbval: patience for a machine at its limit, and a folder of their own."""

import os
import tempfile

import pytest

SECONDS = 120


def pytest_configure(config: pytest.Config) -> None:
    """Send results to a new folder: a sweep in `runs/by-hand` would be taken for finished."""
    folder = tempfile.TemporaryDirectory(prefix="notebooks-")
    os.environ["WORKBENCH_RUN"] = folder.name
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Raise nbval's fixed five seconds between the end of a cell and its last message."""
    for item in items:
        if hasattr(item, "output_timeout"):
            item.output_timeout = SECONDS
