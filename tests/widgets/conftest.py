"""What trait tests of views need: a question to a part of a view, and its answer."""

from __future__ import annotations

import pytest


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
