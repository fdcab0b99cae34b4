"""Replies that were paid for once: kept by content, one line each, safe under `kill -9`."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from workbench.audit.judges.voting import Answer
from workbench.errors import BadArgument

FILE = "answers.jsonl"


class AnswerCache:
    """A folder with one file of JSON lines: key of a prompt -> answers by item.

    No text and no key of an endpoint is in it, only hashes and answers. A line is written with one
    append and flushed to the disk; a line cut off by a crash is passed over and its prompt asked
    again. Several processes may append.

    Args:
        folder: made when it is not there; None keeps answers in memory.

    Raises:
        BadArgument: the folder is a file.

    Example:
        >>> cache = AnswerCache(None)
        >>> cache.put("key", {"a": Answer(label=True)})
        >>> cache.get("key")
        {'a': Answer(label=True, sure=True)}

    Breaks when: the model behind a name changes; empty the folder then.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self._told: dict[str, dict[str, Answer]] = {}
        self._path = None if folder is None else Path(folder) / FILE
        if self._path is None:
            return
        if self._path.parent.exists() and not self._path.parent.is_dir():
            wanted = "it must be a folder"
            raise BadArgument("cache", str(self._path.parent), wanted, "Name a new folder.")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self._path.exists():
            for line in self._path.read_bytes().split(b"\n"):
                self._remember(line)

    def __len__(self) -> int:
        return len(self._told)

    def _remember(self, line: bytes) -> None:
        try:
            row = json.loads(line)
            answers = {
                item: Answer(label=_flag(label), sure=_flag(sure))
                for item, (label, sure) in row["answers"].items()
            }
            key = row["key"]
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return  # empty, cut off, or not ours: asked again
        if isinstance(key, str) and answers:
            self._told[key] = answers

    def get(self, key: str) -> dict[str, Answer] | None:
        """The answers of a prompt, or None when it was never answered."""
        return self._told.get(key)

    def put(self, key: str, answers: Mapping[str, Answer]) -> None:
        """Keep the answers of a prompt; one without any is not kept, so that it is asked again."""
        if not answers:
            return
        self._told[key] = dict(answers)
        if self._path is None:
            return
        rows = {item: [answer.label, answer.sure] for item, answer in answers.items()}
        row: dict[str, Any] = {"key": key, "answers": rows}
        # A newline on both sides: a line that a crash cut off never swallows the next one.
        line = f"\n{json.dumps(row)}\n".encode()
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{value!r} is neither true nor false")
    return value
