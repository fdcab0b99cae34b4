"""The judgment store: what is written stays, undo works as an editor's, old stores open."""

import json
import os
import sqlite3
import tempfile
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from threading import Thread

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import event

from workbench.audit.schema import Database, address
from workbench.audit.store import Judgment, JudgmentStore
from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.types import Verdicts


def pairs_of(count, *, renamed="", name="made"):
    """`count` queries with one positive each; `renamed` changes every id and no text."""
    return from_rows(
        [
            {
                "query": f"question {place}",
                "positive": f"answer {place}",
                "query_id": f"{renamed}q{place}",
                "positive_id": f"{renamed}d{place}",
            }
            for place in range(count)
        ],
        name=name,
    )


@pytest.fixture(scope="module")
def four():
    return pairs_of(4)


def rows_of(verdicts):
    columns = (verdicts.query_ids, verdicts.doc_ids, verdicts.labels, verdicts.judges)
    return list(zip(*(column.tolist() for column in columns), strict=True))


@pytest.mark.slow
def test_what_is_judged_comes_back_whole_and_after_a_restart(place, four, opened):
    store = opened(place, four, judge="ann")
    shown = {"scores": {"guide": np.float32(0.5)}, "rank": np.int64(3), "rule": "margin\0"}
    row = store.judge("q1", "d2", "negative", note="ö, see\nq2", shown=shown)
    assert (row.judge, row.query_id, row.doc_id, row.label) == ("ann", "q1", "d2", "negative")
    assert (row.kind, row.target, row.note) == ("judgment", None, "ö, see\nq2")
    assert row.shown == {"scores": {"guide": 0.5}, "rank": 3, "rule": "margin\0"}
    store.judge("q1", "d2", "positive")
    store.judge("q0", "d0", "skip")
    store.close()
    again = opened(place, four, judge="ann")
    assert rows_of(again.verdicts()) == [
        ("q1", "d2", "positive", "ann"),
        ("q0", "d0", "skip", "ann"),
    ]
    frame = again.frame()
    assert frame["id"].is_monotonic_increasing
    assert frame["at"].dt.tz is not None
    assert (abs(frame["at"] - pd.Timestamp.now("UTC")) < pd.Timedelta("1h")).all()
    kept = frame.iloc[0].to_dict()
    told = {name: kept[name] for name in Judgment.__dataclass_fields__ if name not in ("at",)}
    assert pd.isna(told.pop("target"))
    assert told == {name: getattr(row, name) for name in told}
    assert pd.Timestamp(row.at) == kept["at"]
    assert kept["collection"] == four.fingerprint


def test_the_newest_of_each_judge_counts_oldest_first(place, four, opened):
    ann, bob = opened(place, four, judge="ann"), opened(place, four, judge="bob")
    ann.judge("q0", "d1", "negative")
    bob.judge("q0", "d1", "positive")
    ann.judge("q2", "d1", "unsure")
    ann.judge("q0", "d1", "positive")
    assert rows_of(bob.verdicts()) == [
        ("q0", "d1", "positive", "bob"),
        ("q2", "d1", "unsure", "ann"),
        ("q0", "d1", "positive", "ann"),
    ]
    assert rows_of(bob.verdicts("ann")) == rows_of(bob.verdicts())[1:]
    assert rows_of(opened(place, four, judge="eve").verdicts("eve")) == []
    with pytest.raises(BadArgument, match=r"`judge` is 'anne', but .* Did you mean 'ann'"):
        bob.verdicts("anne")
    counts = ann.progress()
    assert counts == {"positive": 1, "negative": 0, "unsure": 1, "skip": 0, "elsewhere": 0}
    assert bob.progress()["positive"] == 1


def test_add_writes_all_or_nothing(place, four, opened):
    store = opened(place, four)
    said = Verdicts.of([("q0", "d1", "negative"), ("q1", "d0", "positive")], judge="rule")
    assert store.add(said) == 2
    assert rows_of(store.verdicts()) == rows_of(said)
    assert store.add(Verdicts.of([], judge="x")) == 0
    bad = Verdicts.of([("q0", "d1", "negative"), ("zz", "d0", "positive")], judge=" ")
    with pytest.raises(BadData, match=r"2 problems:\n.*query_id 'zz' is not in.*\n.*it is empty"):
        store.add(bad)
    assert len(store.frame()) == 2
    hashes = store.frame().drop_duplicates("query_id").set_index("query_id")["query_hash"]
    assert hashes["q1"] == store.judge("q1", "d1", "skip").query_hash != hashes["q0"]


def test_undo_and_redo_by_hand(place, four, opened):
    store = opened(place, four)
    assert store.undo() is None
    assert store.redo() is None
    first = store.judge("q0", "d1", "positive")
    second = store.judge("q0", "d1", "negative")
    gone = store.undo()
    assert (gone.kind, gone.target, gone.label) == ("undo", second.id, "negative")
    assert store.verdicts().newest() == {("q0", "d1"): "positive"}
    assert store.undo().target == first.id
    assert store.verdicts().newest() == {}
    store.close()
    store = opened(place, four)  # as after a restart of the kernel
    back = store.redo()
    assert (back.kind, back.target, back.label) == ("redo", first.id, "positive")
    store.judge("q1", "d1", "skip")
    assert store.redo() is None  # a new judgment leaves nothing to redo
    assert store.undo().label == "skip"
    assert store.redo().label == "skip"
    assert store.redo() is None
    assert store.verdicts().newest() == {("q0", "d1"): "positive", ("q1", "d1"): "skip"}
    assert len(store.frame()) == 8


class Editor:
    """What an editor does, in plain Python: two stacks per judge."""

    def __init__(self):
        self.done, self.undone = [], []

    def judge(self, what):
        self.done.append(what)
        self.undone.clear()

    def undo(self):
        if self.done:
            self.undone.append(self.done.pop())
            return self.undone[-1]
        return None

    def redo(self):
        if self.undone:
            self.done.append(self.undone.pop())
            return self.done[-1]
        return None


step = st.tuples(
    st.sampled_from(["ann", "ann", "ann", "bob"]),
    st.sampled_from(["judge", "undo", "redo"]),
    st.integers(1, 3),  # times
    st.tuples(
        st.sampled_from(["q0", "q1"]),
        st.sampled_from(["d0", "d1"]),
        st.sampled_from(["positive", "negative", "unsure", "skip"]),
    ),
)


@pytest.mark.slow
def test_undo_and_redo_are_an_editors(place, four, opened):
    numbers = count()

    @settings(max_examples=20, deadline=None)
    @given(steps=st.lists(step, max_size=10))
    def as_an_editor(steps):
        run = next(numbers)  # new judges in the same store: nothing of the last run is theirs
        stores = {judge: opened(place, four, judge=f"{judge} {run}") for judge in ("ann", "bob")}
        editors = {judge: Editor() for judge in stores}
        repeated = ((j, action, what) for j, action, times, what in steps for _ in range(times))
        for judge, action, what in repeated:
            if action == "judge":
                stores[judge].judge(*what)
                editors[judge].judge(what)
                continue
            row = getattr(stores[judge], action)()
            found = None if row is None else (row.query_id, row.doc_id, row.label)
            assert found == getattr(editors[judge], action)()
        for judge, store in stores.items():
            newest = {}
            for query, doc, label in editors[judge].done:
                newest.pop((query, doc), None)  # the newest also moves to the end
                newest[query, doc] = label
            found = store.verdicts(store.judged_by)
            assert [row[:3] for row in rows_of(found)] == [(*p, v) for p, v in newest.items()]
            store.close()

    as_an_editor()


def test_undo_keeps_to_its_own_collection(place, four, opened):
    here, there = opened(place, four), opened(place, pairs_of(3, name="other"))
    here.judge("q0", "d0", "positive")
    there.judge("q1", "d1", "negative")
    assert here.undo().query_id == "q0"
    assert here.undo() is None
    assert there.redo() is None
    assert here.verdicts().newest() == {("q1", "d1"): "negative"}  # the texts are here, too


def test_judgments_follow_a_text_when_ids_change(place, opened):
    before = from_rows(
        [
            {"query": "alpha", "positive": "one", "query_id": "a", "positive_id": "1"},
            {"query": "beta", "positive": "two", "query_id": "b", "positive_id": "2"},
            {"query": "gamma", "positive": "three", "query_id": "c", "positive_id": "3"},
        ]
    )
    store = opened(place, before)
    store.judge("a", "2", "negative")
    store.judge("b", "1", "positive")
    store.judge("c", "3", "negative")
    after = from_rows(
        [
            # ids swapped, one text edited, one unchanged
            {"query": "beta", "positive": "two", "query_id": "a", "positive_id": "1"},
            {"query": "alpha", "positive": "one", "query_id": "b", "positive_id": "2"},
            {"query": "gamma!", "positive": "three", "query_id": "c", "positive_id": "3"},
        ]
    )
    moved = opened(place, after)
    assert moved.verdicts().newest() == {("b", "1"): "negative", ("a", "2"): "positive"}
    assert moved.progress() == {
        **{"positive": 1, "negative": 1, "unsure": 0, "skip": 0},
        "elsewhere": 1,
    }
    moved.judge("b", "1", "unsure")  # the newer one counts, though it was made under other ids
    assert store.verdicts().newest()["a", "2"] == "unsure"
    assert len(store.verdicts().labels) == 3


def test_of_equal_texts_the_recorded_id_wins_then_the_first(place, opened, collection_of):
    texts = ["same", "same", "other"]
    made = collection_of({(0, 0): 1.0}, queries=1, docs=3, doc_texts=texts)
    opened(place, made).judge("q0", "d1", "negative")
    longer = collection_of({(0, 0): 1.0}, queries=1, docs=4, doc_texts=["new", *texts])
    found = opened(place, longer)  # d1 still says "same"
    assert found.verdicts().newest() == {("q0", "d1"): "negative"}
    turned = collection_of({(0, 0): 1.0}, queries=1, docs=3, doc_texts=["other", "x", "same"])
    assert opened(place, turned).verdicts().newest() == {("q0", "d2"): "negative"}
    twice = collection_of({(0, 0): 1.0}, queries=1, docs=3, doc_texts=["same", "x", "same"])
    assert opened(place, twice).verdicts().newest() == {("q0", "d0"): "negative"}


def test_an_unknown_id_or_label_or_judge_is_refused_before_writing(place, four, opened):
    store = opened(place, four)
    with pytest.raises(BadArgument, match=r"`query_id` is 'q11', but .* no such id.*'q1'"):
        store.judge("q11", "d0", "positive")
    with pytest.raises(BadArgument, match=r"`doc_id` is 'Ω', but .* no such id. Look it up"):
        store.judge("q1", "Ω", "positive")
    with pytest.raises(BadArgument, match="`label` is 'pos', but it must be one of positive"):
        store.judge("q1", "d0", "pos")
    with pytest.raises(BadArgument, match=r"`note` .* it has 10,001 characters, at most 10,000"):
        store.judge("q1", "d0", "positive", note="a" * 10_001)
    with pytest.raises(BadArgument, match=r"`note` .* it holds a NUL character"):
        store.judge("q1", "d0", "positive", note="a\0")
    with pytest.raises(BadArgument, match=r"`note` .* it holds half a character"):
        store.judge("q1", "d0", "positive", note="\ud800")
    for shown in ({"score": float("nan")}, {"score": np.float32("inf")}):
        with pytest.raises(BadArgument, match=r"`shown` is .* JSON cannot hold it: Out of range"):
            store.judge("q1", "d0", "positive", shown=shown)
    with pytest.raises(BadArgument, match="JSON cannot hold it: set is nothing that JSON holds"):
        store.judge("q1", "d0", "positive", shown={"score": {1}})
    circle: dict[str, object] = {}
    circle["it"] = circle
    with pytest.raises(BadArgument, match=r"JSON cannot hold it: .*[Cc]ircular"):
        store.judge("q1", "d0", "positive", shown=circle)
    with pytest.raises(BadArgument, match=r"`shown` is .* at most 100,000 are kept"):
        store.judge("q1", "d0", "positive", shown={"text": "a" * 100_000})
    assert len(store.frame()) == 0
    with pytest.raises(BadArgument, match="`judge` is ' ', but it is empty"):
        opened(place, four, judge=" ")
    with pytest.raises(BadArgument, match="`judge` is 'ann ', but it has outer white space"):
        opened(place, four, judge="ann ")
    with pytest.raises(BadArgument, match=r"`judge` is .* at most 200 are kept"):
        opened(place, four, judge="a" * 201)


def test_huge_texts_leave_only_their_hash(place, opened, tmp_path):
    huge = "word " * 200_000
    pairs = from_rows([{"query": "q", "positive": huge, "positive_id": "d", "query_id": "q"}])
    store = opened(place, pairs)
    store.judge("q", "d", "positive")
    assert len(store.frame().astype(str).to_csv()) < 1000


def test_the_same_id_twice_is_refused(tmp_path, four):
    import dataclasses

    doubled = four.corpus.map(lambda _: {"id": "d0"})
    twice = dataclasses.replace(four, corpus=doubled)
    with pytest.raises(BadData, match="doc_id stands more than once in 3 rows"):
        JudgmentStore(tmp_path / "a.sqlite", twice, judge="me")


def test_the_login_name_judges_by_default(tmp_path, four, monkeypatch):
    monkeypatch.setattr("workbench.audit.store.getuser", lambda: "ada")
    store = JudgmentStore(tmp_path / "a.sqlite", four)
    assert store.judge("q0", "d0", "skip").judge == "ada"
    assert repr(store) == f"JudgmentStore('{tmp_path}/a.sqlite', judge='ada')"
    store.close()

    def nobody():
        raise KeyError("uid not found")

    monkeypatch.setattr("workbench.audit.store.getuser", nobody)
    with pytest.raises(BadArgument, match=r"knows no login name. Say who judges: judge='ann'"):
        JudgmentStore(tmp_path / "a.sqlite", four)


def test_rows_are_only_ever_added(place, four, opened):
    store = opened(place, four)
    said = []
    event.listen(
        store._database._engine, "before_cursor_execute", lambda *parts: said.append(parts[2])
    )
    store.judge("q0", "d0", "positive")
    store.add(Verdicts.of([("q0", "d1", "negative")], judge="x"))
    store.undo()
    store.redo()
    store.progress()
    verbs = {statement.split()[0] for statement in said}
    assert verbs <= {"BEGIN", "SELECT", "INSERT", "SET"}
    assert "INSERT" in verbs


def test_sqlite_is_asked_to_keep_what_it_has_said(tmp_path, four, opened):
    store = opened(tmp_path / "a.sqlite", four)
    with store._database.transaction(write=False) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar() == 2  # FULL
    store.judge("q0", "d0", "skip")
    assert (tmp_path / "a.sqlite-wal").is_file()
    store.close()
    assert [path.name for path in tmp_path.iterdir()] == ["a.sqlite"]


def test_an_error_in_a_transaction_leaves_nothing(place, four, opened):
    store = opened(place, four)
    written = []

    def interrupted():
        with store._database.transaction(write=True) as connection:
            written.append(store._written(connection, row))
            raise KeyboardInterrupt

    row = {"kind": "judgment", "target": None, "query_id": "q0", "doc_id": "d0", "label": "skip",
           "note": "", "query_hash": "", "doc_hash": "", "shown": None}  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(written) == 1
    assert len(store.frame()) == 0


@pytest.mark.slow
def test_a_writer_holds_off_the_next(place, four, opened):
    one, two = opened(place, four), opened(place, four)
    second = Thread(target=two.judge, args=("q1", "d1", "negative"))
    with one._database.transaction(write=True):
        second.start()
        second.join(0.3)
        assert second.is_alive()
        assert one.verdicts().newest() == {}  # a reader need not wait
    second.join()
    assert one.verdicts().newest() == {("q1", "d1"): "negative"}


@pytest.mark.slow
def test_threads_share_a_store(place, four, opened):
    store = opened(place, four)

    def work():
        for _ in range(25):
            store.judge("q0", "d0", "positive")

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.frame()) == 100


def test_a_forked_child_opens_its_own_connection(place, four, opened):
    store = opened(place, four)
    store.judge("q0", "d0", "positive")
    pool = store._database._engine.pool
    child = os.fork()
    if child == 0:
        try:
            store.judge("q1", "d1", "negative")
        finally:
            os._exit(0 if store._database._engine.pool is not pool else 3)
    assert os.waitpid(child, 0)[1] == 0
    assert store._database._engine.pool is pool
    store.judge("q2", "d2", "skip")
    assert sorted(store.verdicts().query_ids) == ["q0", "q1", "q2"]


# ---- older, newer, damaged, somebody else's

V1 = """
CREATE TABLE judgments (id INTEGER NOT NULL PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL,
  target INTEGER, judge TEXT NOT NULL, collection TEXT NOT NULL, query_id TEXT NOT NULL,
  doc_id TEXT NOT NULL, label TEXT NOT NULL, note TEXT NOT NULL);
CREATE TABLE judgments_schema (version INTEGER NOT NULL PRIMARY KEY, at TEXT NOT NULL);
INSERT INTO judgments_schema VALUES (1, '2025-01-01T00:00:00+00:00');
"""
OLD = [
    (1, "judgment", None, "q0", "d1", "negative"),
    (2, "judgment", None, "q1", "d1", "positive"),
    (3, "undo", 2, "q1", "d1", "positive"),
]


@contextmanager
def raw(place):
    """A plain connection, without any of our code."""
    if "://" not in place:
        connection = sqlite3.connect(place)
        try:
            yield connection
            connection.commit()
        finally:
            connection.close()
        return
    import psycopg
    from sqlalchemy.engine import make_url

    query = dict(make_url(place).query)
    with psycopg.connect(user="postgres", dbname="postgres", **query) as connection:
        yield connection


def old_store(place, fingerprint):
    sql = V1 if "://" not in place else V1.replace("(id INTEGER NOT NULL", "(id BIGSERIAL")
    with raw(place) as connection:
        for statement in sql.strip().split(";"):
            if statement.strip():
                connection.execute(statement)
        for number, kind, target, query, doc, label in OLD:
            connection.execute(
                "INSERT INTO judgments (at, kind, target, judge, collection, query_id, doc_id,"
                " label, note) VALUES "
                f"('2025-01-0{number}T00:00:00+00:00', '{kind}', {target or 'NULL'}, 'me',"
                f" '{fingerprint}', '{query}', '{doc}', '{label}', 'old')"
            )


@pytest.mark.slow
def test_an_older_store_opens_and_goes_on(place, four, opened):
    old_store(place, four.fingerprint)
    store = opened(place, four)
    assert store.verdicts().newest() == {("q0", "d1"): "negative"}
    assert store.redo().label == "positive"  # undo and redo know the old rows
    store.judge("q3", "d3", "skip", shown={"rank": 1})
    assert len(store.verdicts().labels) == 3
    assert store.frame()["note"].tolist()[:3] == ["old"] * 3
    assert store.frame()["shown"].tolist()[-1] == {"rank": 1}
    store.close()
    with raw(place) as connection:
        versions = connection.execute("SELECT version FROM judgments_schema ORDER BY 1").fetchall()
    assert [version for (version,) in versions] == [1, 2]
    # A row without hashes cannot follow its text, so it counts only in the collection it was of.
    other = opened(place, pairs_of(5))
    assert other.verdicts().newest() == {("q3", "d3"): "skip"}
    assert other.progress()["elsewhere"] == 2
    renamed = opened(place, pairs_of(5, renamed="new-"))
    assert renamed.verdicts().newest() == {("new-q3", "new-d3"): "skip"}


def test_a_migrated_store_has_the_layout_of_a_new_one(tmp_path, four, opened):
    places = [str(tmp_path / name) for name in ("old.sqlite", "new.sqlite")]
    old_store(places[0], four.fingerprint)
    layouts = []
    for where in places:
        opened(where, four).close()
        with raw(where) as connection:
            columns = connection.execute("PRAGMA table_info(judgments)").fetchall()
            indexes = connection.execute("PRAGMA index_list(judgments)").fetchall()
        layouts.append(({row[1:4] for row in columns}, {row[1] for row in indexes}))
    assert layouts[0] == layouts[1]


def test_a_store_of_a_newer_version_is_refused_and_left_as_it_was(place, four, opened):
    opened(place, four).close()
    with raw(place) as connection:
        connection.execute("INSERT INTO judgments_schema VALUES (9, 'later')")
    before = Path(place).read_bytes() if "://" not in place else None
    with pytest.raises(BadData, match=r"newer workbench: version 9; this one reads 2\nUpdate"):
        opened(place, four)
    if before is not None:
        assert Path(place).read_bytes() == before
        assert [path.name for path in Path(place).parent.iterdir()] == [Path(place).name]


def test_tables_of_another_program_are_refused(place, four, opened):
    with raw(place) as connection:
        connection.execute("CREATE TABLE judgments (verdict TEXT)")
    with pytest.raises(BadData, match="it holds a table 'judgments' of another program"):
        opened(place, four)
    with raw(place) as connection:
        connection.execute("DROP TABLE judgments")
        connection.execute("CREATE TABLE judgments_schema (version INTEGER)")
    with pytest.raises(BadData, match="damaged: a table is missing"):
        opened(place, four)


def test_another_programs_sqlite_file_is_refused(tmp_path, four, opened):
    where = str(tmp_path / "history.sqlite")
    with raw(where) as connection:
        connection.execute("CREATE TABLE history (line TEXT)")
    before = Path(where).read_bytes()
    with pytest.raises(BadData, match="it holds a table 'history' of another program"):
        opened(where, four)
    assert Path(where).read_bytes() == before


def test_what_is_no_database_or_damaged_is_refused_and_left_as_it_was(tmp_path, four, opened):
    notes = tmp_path / "notes.txt"
    notes.write_text("dear diary, " * 500)
    with pytest.raises(BadData, match=r"notes.txt has 1 problem:\n  it is no SQLite database"):
        opened(notes, four)
    assert notes.read_text() == "dear diary, " * 500

    whole = tmp_path / "whole.sqlite"
    store = opened(whole, four)
    store.add(Verdicts.of([("q0", "d1", "negative")] * 2000, judge="me"))
    store.close()
    content = whole.read_bytes()
    for name, damaged in {
        "half": content[: len(content) // 2],
        "header": content[:100],
        "deep": content[: len(content) // 2] + b"\xff" * 4096 + content[len(content) // 2 + 4096 :],
        "holes": content[:8192] + b"\xff" * 20_000 + content[28_192:],
    }.items():
        path = tmp_path / f"{name}.sqlite"
        path.write_bytes(damaged)
        with pytest.raises(BadData, match=rf"{name}.sqlite has 1 problem:\n.*(malformed|damaged)"):
            opened(path, four)
        assert path.read_bytes() == damaged
    assert len(opened(whole, four).verdicts("me").labels) == 1


def test_an_empty_file_is_a_new_store(tmp_path, four, opened):
    (tmp_path / "a.sqlite").touch()
    assert opened(tmp_path / "a.sqlite", four).progress()["positive"] == 0


def test_folders_on_the_way_are_made_and_impossible_places_refused(tmp_path, four, opened):
    opened(tmp_path / "new" / "folder" / "a.sqlite", four).judge("q0", "d0", "skip")
    assert (tmp_path / "new" / "folder" / "a.sqlite").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(BadArgument, match=r"its folder cannot be made.*you can write in"):
        opened(tmp_path / "file" / "a.sqlite", four)
    for where in ("", ":memory:", "sqlite://", tmp_path):
        with pytest.raises(
            BadArgument, match=r"`where` is .*must be a file, so that judgments out"
        ):
            opened(where, four)


@contextmanager
def somebody_else():
    """Without the power of root, which may write everywhere."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_without_write_permission_says_so(four, opened):
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        where = Path(folder) / "a.sqlite"
        store = opened(where, four)
        store.judge("q0", "d0", "skip")
        store.close()
        where.chmod(0o444)
        Path(folder).chmod(0o555)
        try:
            with somebody_else():
                with pytest.raises(BadData, match=r"(?s)unable to open.*that you can write in"):
                    opened(Path(folder) / "new.sqlite", four)
                with pytest.raises(BadData, match=r"(?s)(unable|readonly).*that you can write in"):
                    opened(where, four)
                with pytest.raises(BadArgument, match="its folder cannot be made"):
                    opened(Path(folder) / "sub" / "a.sqlite", four)
            where.chmod(0o000)
            with somebody_else(), pytest.raises(BadData, match="it cannot be read: Permission"):
                opened(where, four)
        finally:
            Path(folder).chmod(0o755)


def test_addresses_are_checked_and_passwords_never_shown(four, opened):
    with pytest.raises(BadArgument, match="`where` is 'mysql', but it must be one of sqlite") as a:
        address("mysql://me:secret@host/db")
    with pytest.raises(BadArgument, match="it must be driver://user") as b:
        address("postgresql://me:secret@host:port/db")
    with pytest.raises(BadArgument, match="an address of SQLite takes no options"):
        address("sqlite:///a.sqlite?mode=ro")
    with pytest.raises(BadData, match=r"(?s)me:\*\*\*@127.0.0.1.*Check the address") as c:
        Database("postgresql://me:secret@127.0.0.1:1/db")
    with pytest.raises(BadArgument, match="it must be driver://user") as d:
        address("postgresql:/me:secret@host/db")  # no path to make folders of
    with pytest.raises(BadArgument, match="it must be driver://user") as e:
        address("postgresql://host:port/db?password=secret")
    with pytest.raises(BadData, match=r"postgresql://127.0.0.1:1/db has") as f:
        Database("postgresql://127.0.0.1:1/db?password=secret")
    for caught in (a, b, c, d, e, f):
        assert "secret" not in str(caught.value)
    assert address("sqlite:////abs/a.sqlite").database == "/abs/a.sqlite"
    assert address("odd?name#1.sqlite").database == "odd?name#1.sqlite"


def test_a_missing_driver_names_its_package(monkeypatch):
    import sqlalchemy

    def missing(*_args, **_options):
        raise ModuleNotFoundError("No module named 'psycopg'")

    monkeypatch.setattr(sqlalchemy, "create_engine", missing)
    with pytest.raises(BadArgument, match=r"needs the package psycopg. Run `pip install"):
        Database("postgresql://host/db")


def test_a_held_lock_is_said(tmp_path, four, opened, monkeypatch):
    monkeypatch.setattr("workbench.audit.schema._patience", 0.1)
    where = str(tmp_path / "a.sqlite")
    store = opened(where, four)
    with raw(where) as connection:
        connection.execute("BEGIN IMMEDIATE")
        with pytest.raises(BadData, match="database is locked\nAnother program holds it"):
            store.judge("q0", "d0", "skip")
        assert store.verdicts().newest() == {}  # reading goes on
    store.judge("q0", "d0", "skip")
    assert store.verdicts().newest() == {("q0", "d0"): "skip"}


@pytest.mark.slow
def test_many_rows_are_read_in_one_statement(tmp_path, opened):
    many = pairs_of(300)
    store = opened(tmp_path / "a.sqlite", many)
    rng = np.random.default_rng(0)
    picks = rng.integers(0, 300, size=(5000, 2))
    labels = rng.choice(["positive", "negative"], size=5000)
    said = Verdicts.of(
        [(f"q{q}", f"d{d}", str(label)) for (q, d), label in zip(picks, labels, strict=True)],
        judge="rule",
    )
    assert store.add(said) == 5000
    statements = []
    event.listen(store._database._engine, "before_cursor_execute",
                 lambda *parts: statements.append(parts[2]))  # fmt: skip
    assert store.verdicts().newest() == said.newest()
    assert len(statements) == 2  # BEGIN, SELECT
    moved = opened(tmp_path / "a.sqlite", pairs_of(300, renamed="new-"))
    assert moved.verdicts().newest() == {
        (f"new-{q}", f"new-{d}"): label for (q, d), label in said.newest().items()
    }


def test_shown_is_plain_json_in_the_file(tmp_path, four, opened):
    store = opened(tmp_path / "a.sqlite", four)
    store.judge("q0", "d0", "skip", shown={"rank": 1, "rule": "größer"})
    store.close()
    with raw(str(tmp_path / "a.sqlite")) as connection:
        (text,) = connection.execute("SELECT shown FROM judgments").fetchone()
    assert json.loads(text) == {"rank": 1, "rule": "größer"}
