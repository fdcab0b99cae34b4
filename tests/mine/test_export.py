"""Tables of texts out of mined lists; that they equal the peer's stands in test_against_peer."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.mine import apply_rules, bm25, choose, to_dataset, to_parquet
from workbench.rules import RankWindow


@pytest.fixture
def demo():
    """Odd texts, a query with two positives, a dropped candidate."""
    rows = [
        {"query": " word one", "positive": "  word A\n\tsaid", "query_id": "x", "positive_id": "a"},
        {"query": " word one", "positive": "word ß", "query_id": "x", "positive_id": "b"},
        {"query": "word two", "positive": "word C", "query_id": "y", "positive_id": "c"},
        {"query": "word three", "positive": "word D", "query_id": "z", "positive_id": "d"},
    ]
    return from_rows(rows, name="demo")


def test_only_kept_negatives_leave_and_texts_are_untouched(demo):
    found = apply_rules(bm25(demo, k=3), [RankWindow(first=2)])
    table = to_dataset(demo, found, ids=True)
    texts = dict(zip(demo.doc_ids, demo.doc_texts, strict=True))
    for row in table:
        assert row["negative"] == texts[row["negative_id"]]
        assert row["positive"] == texts[row["positive_id"]]
    frame = found.frame()
    kept = set(map(tuple, frame[frame["weight"] > 0][["query_id", "doc_id"]].to_numpy()))
    assert set(zip(table["query_id"], table["negative_id"], strict=True)) == kept
    assert len(kept) < len(frame)
    per_query = {query: sum(q == query for q, _ in kept) for query in "xyz"}
    assert len(table) == 2 * per_query["x"] + per_query["y"] + per_query["z"]


@pytest.mark.parametrize("layout", ["triplet", "n-tuple"])
def test_from_rows_reads_it_back(demo, layout):
    found = choose(bm25(demo, k=3), 2)
    again = from_rows(list(to_dataset(demo, found, layout=layout)), name="again")
    positives = {(row.query, row.doc) for row in again.frame().itertuples() if row.grade > 0}
    wanted = {(row.query.strip(), row.doc.strip()) for row in demo.frame().itertuples()}
    assert {(query.strip(), doc.strip()) for query, doc in positives} == wanted
    negatives = int((again.frame()["grade"] == 0).sum())
    assert negatives == int((found.weight > 0).sum())


def test_ids_of_lists_and_pairs(demo):
    found = choose(bm25(demo, k=3), 2)
    lists = to_dataset(demo, found, layout="labeled-list", ids=True)
    assert [len(row["positive_id"]) for row in lists] == [len(row["labels"]) for row in lists]
    assert lists["positive_id"][0][0] == "a"
    pairs = to_dataset(demo, found, layout="labeled-pair", ids=True)
    first = [(row["positive_id"], row["label"]) for row in pairs if row["query_id"] == "x"]
    assert [pair for pair in first if pair[1] == 1] == [("a", 1), ("b", 1)]
    assert sum(label for _, label in first) == 2
    several = to_dataset(demo, found, layout="n-tuple", ids=True)
    assert several.column_names[-4:] == [
        "query_id",
        "positive_id",
        "negative_1_id",
        "negative_2_id",
    ]


def test_a_query_without_a_positive_has_no_row_and_one_without_negatives_neither(collection_of):
    made = collection_of(
        {(0, 0): 1, (1, 1): 1}, queries=3, docs=3,
        query_texts=["apple", "pear", "plum apple"], doc_texts=["apple x", "a pear", "an apple"],
    )  # fmt: skip
    found = bm25(made, k=2)
    assert (found.docs >= 0).sum(axis=1).tolist() == [1, 0, 2]
    for layout in ("triplet", "labeled-list"):
        assert to_dataset(made, found, layout=layout)["query"][:] == ["apple"]
    assert len(to_dataset(made, found, layout="n-tuple")) == 0
    pairs = to_dataset(made, found, layout="labeled-pair")
    assert list(zip(pairs["query"], pairs["positive"], pairs["label"], strict=True)) == [
        ("apple", "apple x", 1), ("apple", "an apple", 0), ("pear", "a pear", 1),
    ]  # fmt: skip


def test_parquet_holds_the_same_and_is_whole_or_not_there(demo, tmp_path, monkeypatch):
    found = choose(bm25(demo, k=3), 2)
    path = to_parquet(tmp_path / "deep" / "mined.parquet", demo, found, ids=True)
    assert pq.read_table(path).to_pylist() == list(to_dataset(demo, found, ids=True))
    before = path.read_bytes()

    def half(_, where):
        where.write_bytes(b"PAR1")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", half)
    with pytest.raises(OSError, match="disk full"):
        to_parquet(path, demo, found)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["mined.parquet"]


def test_wording(demo):
    found = choose(bm25(demo, k=3), 2)
    with pytest.raises(BadArgument, match=r"`layout` is 'tripel', .* Did you mean 'triplet'"):
        to_dataset(demo, found, layout="tripel")
    with pytest.raises(BadArgument, match=r"`positive_scores` is None, but some query has several"):
        to_dataset(demo, found, scores=True)
    with pytest.raises(BadArgument, match=r"its shape must be \(4,\), that of collection.pairs"):
        to_dataset(demo, found, scores=True, positive_scores=np.zeros(3, dtype=np.float32))
    with pytest.raises(BadData, match=r"candidates' documents has 1 problem"):
        to_dataset(demo, replace(found, doc_ids=found.doc_ids[::-1]))
