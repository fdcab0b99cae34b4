"""The ledger: what it keeps, what it refuses, what a kill leaves."""

import sqlite3

import pytest

from workbench.errors import BadData
from workbench.sweep.ledger import FILE, Ledger, key_of


def test_a_run_is_entered_once_and_its_course_is_kept(tmp_path):
    book = Ledger(tmp_path)
    assert book.enter("k", run="a", parameters={"b": 1, "a": [1, 2]}, notebook="n")
    assert not book.enter("k", run="a", parameters={}, notebook="n")
    book.start("k", {"v": "0"})
    book.end("k", "failed", seconds=1.5, error="no luck")
    assert book.entries()[0].versions == {"v": "0"}, "of a run that reported nothing too"
    book.start("k", {"v": "0"})
    (entry,) = Ledger(tmp_path).entries()
    assert (entry.status, entry.attempts, entry.seconds, entry.error) == ("running", 2, None, "")
    book.end("k", "done", seconds=2.0, result={"versions": {"v": "1"}, "fingerprints": {"d": "x"}})
    (entry,) = book.entries()
    assert entry.parameters == {"a": [1, 2], "b": 1}
    assert (entry.versions, entry.fingerprints) == ({"v": "1"}, {"d": "x"})


def test_what_a_killed_sweep_left_running_waits_again(tmp_path):
    book = Ledger(tmp_path)
    for key, end in (("a", "done"), ("b", None), ("c", "failed")):
        book.enter(key, run=key, parameters={}, notebook="n")
        book.start(key, {})
        if end:
            book.end(key, end, seconds=1.0)
    assert Ledger(tmp_path).recover() == ["b"]
    assert [one.status for one in book.entries()] == ["done", "waiting", "failed"]


def test_the_key_is_of_code_and_all_parameters():
    assert key_of("n", {"a": 1, "b": 2}) == key_of("n", {"b": 2, "a": 1})
    keys = {key_of("n", {"a": 1}), key_of("m", {"a": 1}), key_of("n", {"a": 1.0})}
    assert len(keys) == 3


@pytest.mark.parametrize("text", [b"", b"not a database" * 100])
def test_a_damaged_ledger_is_named(tmp_path, text):
    (tmp_path / FILE).write_bytes(text)
    if not text:
        assert Ledger(tmp_path).entries() == []
        return
    with pytest.raises(BadData, match=r"ledger.sqlite has 1 problem:\n  no ledger"):
        Ledger(tmp_path)


def test_a_newer_ledger_is_refused(tmp_path):
    Ledger(tmp_path)
    with sqlite3.connect(tmp_path / FILE) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(BadData, match="it is of version 99, this workbench writes 1"):
        Ledger(tmp_path)
