"""BEIR folders: the shared collections load, everything wrong is said at once."""

import json

import numpy as np
import pytest

from workbench.data import from_rows, read_beir, write_beir
from workbench.errors import BadArgument, BadData

COUNTS = {  # data/SOURCE.md: documents, split -> (queries, positives)
    "cranfield": (1400, {"train": (112, 760), "dev": (34, 251), "test": (79, 601)}),
    "scifact": (5183, {"train": (688, 774), "dev": (121, 145), "test": (300, 339)}),
    "clinc150": (2250, {"train": (1800, 27000), "dev": (450, 6750), "test": (900, 13500)}),
    "cosqa": (6267, {"dev": (500, 500), "test": (500, 500)}),
}


def write(folder, *, corpus=None, queries=None, qrels=None):
    corpus = (
        [{"_id": "d1", "title": "T", "text": "x"}, {"_id": "d2", "text": "y"}]
        if corpus is None
        else corpus
    )
    queries = [{"_id": "q1", "text": "ask"}] if queries is None else queries
    qrels = ["q1\td1\t1"] if qrels is None else qrels
    (folder / "qrels").mkdir(parents=True)
    for name, rows in (("corpus", corpus), ("queries", queries)):
        lines = [row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows]
        (folder / f"{name}.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    (folder / "qrels" / "test.tsv").write_text(
        "\n".join(["query-id\tcorpus-id\tscore", *qrels]) + "\n"
    )
    return folder


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", COUNTS)
def test_shared_collections_have_the_counts_of_their_source(shared, name):
    docs, splits = COUNTS[name]
    for split, (queries, positives) in splits.items():
        found = read_beir(shared / "data" / name, split=split)
        assert (len(found.corpus), len(found.queries), len(found.pairs)) == (
            docs,
            queries,
            positives,
        )
    assert found.name == name
    assert set(found.queries["source"][:]) == {name}


@pytest.mark.shared
def test_cranfield_keeps_grades_judged_zeros_and_empty_documents(shared):
    splits = [read_beir(shared / "data" / "cranfield", split=s) for s in ("train", "dev", "test")]
    stored = np.concatenate([found.qrels.data for found in splits])
    assert int((stored == 0).sum()) == 225  # one "no interest" document per query
    assert set(stored.tolist()) == {0, 1, 2, 3, 4}
    assert splits[0].recipe["empty_docs"] == ["471", "995"]
    first, second = (splits[0].doc_ids.tolist().index(name) for name in ("471", "995"))
    assert splits[0].doc_groups[first] != splits[0].doc_groups[second]


@pytest.mark.slow
@pytest.mark.shared
def test_planted_judgments_replace_those_of_the_split(shared):
    folder = shared / "data" / "clinc150"
    found = read_beir(
        folder, qrels=folder / "planted" / "qrels" / "train.tsv", source_field="intent"
    )
    assert len(found.pairs) == 27000 - 8100
    assert len(set(found.corpus["source"][:])) == 150


def test_title_and_text_are_joined_and_only_judged_queries_stay(tmp_path):
    queries = [{"_id": "q0", "text": "nobody judged me"}, {"_id": "q1", "text": " ask "}]
    found = read_beir(write(tmp_path, queries=queries))
    assert found.doc_texts == ["T x", "y"]
    assert found.query_texts == ["ask"]
    assert found.qrels.toarray().tolist() == [[1, 0]]


def test_everything_wrong_is_said_at_once(tmp_path):
    write(
        tmp_path,
        corpus=[
            {"_id": "d1", "text": "x"},
            {"_id": "d1", "text": "again"},
            {"id": "d3", "text": "x"},
            {"_id": "d4", "text": ["a", "b"]},
            {"_id": "d5", "text": "a" * 1_000_001},
            b'{"_id": "d6", "text": "caf\xe9"}',
            b'{"_id": "d7", "te',
            b'["not", "an object"]',
            {"_id": 8, "text": "number"},
            {"_id": "d9"},
            b'{"_id": "d10", "text": "\\ud800"}',
        ],
        queries=[{"_id": "q1", "text": "  "}, {"_id": "", "text": "x"}],
        qrels=[
            "q1\td1\thigh", "q1\td1\tnan", "q1\tgone\t1", "nobody\td1\t1", "q1\td1", "q1\td4\t1",
            "q1\td4\t2", "q1\td5\t1e-60",
        ],
    )  # fmt: skip
    with pytest.raises(BadData) as caught:
        read_beir(tmp_path)
    said = "\n".join(caught.value.problems)
    for expected in (
        "corpus.jsonl line 2: `_id` 'd1' stands more than once (first on line 1)",
        "corpus.jsonl line 3: `_id` is missing: there are 'id', 'text'; did you mean 'id'?",
        "corpus.jsonl line 4: `text` is a list of 2; it must be one string",
        "corpus.jsonl line 5: `text` has 1,000,001 characters",
        "corpus.jsonl line 6: byte 0xe9 at column",
        "corpus.jsonl line 7: not JSON",
        "half-written",
        "corpus.jsonl line 8: a list of 2, not an object",
        "corpus.jsonl line 9: mixed types",
        "corpus.jsonl line 10: `text` is missing: there are '_id'",
        "corpus.jsonl line 11: `text` holds half a character",
        "queries.jsonl line 1: `text` is empty",
        "queries.jsonl line 2: `_id` is empty",
        "test.tsv line 2: grade 'high' is not a number",
        "test.tsv line 3: grade 'nan' is not finite",
        "test.tsv line 4: corpus-id 'gone' is not in corpus.jsonl",
        "test.tsv line 5: query-id 'nobody' is not in queries.jsonl",
        "test.tsv line 6: 2 columns; the header has 3",
        "test.tsv line 8: 'q1' and 'd4' were already judged 1",
        "test.tsv line 9: grade '1e-60' is too small",
    ):
        assert expected in said, expected


def test_qrels_without_a_header_are_refused(tmp_path):
    write(tmp_path)
    (tmp_path / "qrels" / "test.tsv").write_text("q1\td1\t1\n")
    with pytest.raises(BadData, match=r"test\.tsv line 1: the header must be query-id, corpus-id"):
        read_beir(tmp_path)


def test_qrels_without_judgments_are_refused(tmp_path):
    with pytest.raises(BadData, match="it holds no judgment"):
        read_beir(write(tmp_path, qrels=[]))


def test_wrong_arguments_name_what_there_is(tmp_path):
    with pytest.raises(BadArgument, match="there is no such folder"):
        read_beir(tmp_path / "nowhere")
    with pytest.raises(BadArgument, match="no such file"):
        read_beir(tmp_path)
    write(tmp_path / "a")
    with pytest.raises(BadArgument, match="the splits there are: test"):
        read_beir(tmp_path / "a", split="tset")
    with pytest.raises(BadArgument, match="`qrels`"):
        read_beir(tmp_path / "a", qrels=tmp_path / "none.tsv")
    with pytest.raises(BadArgument, match="must be a key of `metadata`"):
        read_beir(tmp_path / "a", source_field="topic")


def test_a_source_missing_on_some_rows_is_said(tmp_path):
    corpus = [{"_id": "d1", "text": "x", "metadata": {"topic": "t"}}, {"_id": "d2", "text": "y"}]
    with pytest.raises(BadData, match=r"corpus\.jsonl line 2: metadata has no 'topic'"):
        read_beir(write(tmp_path, corpus=corpus), source_field="topic")


def test_written_and_read_again_it_is_the_same(tmp_path):
    rows = [
        {
            "query": "añade 加",
            "positive": "a\tb\nc",
            "negative": "no \u2028 way",
            "score": 0.1,
            "source": "s",
        },
        {"query": 'say "hi"', "positive": "b", "source": "t"},
    ]
    made = from_rows(rows)
    write_beir(made, tmp_path / "out", split="dev")
    read = read_beir(tmp_path / "out", split="dev", source_field="source")
    assert read.fingerprint == made.fingerprint
    assert read.queries["source"][:] == ["s", "t"]
    assert read.qrels.nnz == 3


def test_writing_never_replaces_a_folder_that_holds_something(tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(BadArgument, match="must be new or empty"):
        write_beir(from_rows([{"query": "a", "positive": "b"}]), tmp_path)
    assert (tmp_path / "mine.txt").read_text() == "precious"
