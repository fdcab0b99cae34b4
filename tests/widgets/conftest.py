"""What trait tests of views need: a question to a part of a view, and its answer."""

from __future__ import annotations

import pytest
from inspector_toys import toy_collection, toy_list

from workbench.audit import JudgmentStore


@pytest.fixture
def send(monkeypatch):
    """send(core, kind, **message) -> the answer Python would send, with its buffers."""

    def asked(core, kind, **message):
        answers = []
        monkeypatch.setattr(core, "send", lambda content, buffers=None: answers.append(content))
        core._asked(core, {"id": "1", "kind": kind, **message}, [])
        (answer,) = answers
        assert answer.pop("id") == "1"
        return answer

    return asked


@pytest.fixture(scope="module")
def collection():
    return toy_collection()


@pytest.fixture(scope="module")
def candidates(collection):
    return toy_list(collection)


@pytest.fixture
def store(tmp_path, collection):
    return JudgmentStore(tmp_path / "judgments.sqlite", collection, judge="me")
