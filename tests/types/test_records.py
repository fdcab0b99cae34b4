"""Records save and load whole, refuse what is not theirs, and say what is wrong."""

import numpy as np
import pytest

from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.registry import get, register
from workbench.types import Candidates, Collection, Scorecard, Vectors, Verdicts


def names(*words):
    return np.array(words, dtype=object)


def records():
    collection = from_rows([{"query": "a", "positive": "b"}, {"query": "c", "positive": "d"}])
    return [
        collection,
        Vectors(values=np.eye(2, dtype=np.float32), ids=names("x", "y"), encoder="e", age=3),
        Candidates(
            query_ids=names("q"),
            doc_ids=names("d", "e"),
            docs=np.array([[1, -1]]),
            scores=np.array([[0.5, -np.inf]], dtype=np.float32),
            ranks=np.array([[1, 0]], dtype=np.int32),
            weight=np.ones((1, 2), dtype=np.float32),
            positive_scores=np.array([0.9], dtype=np.float32),
            miner="m",
        ),
        Verdicts.of([("q", "d", "positive")], judge="me"),
        Scorecard(name="s", query_ids=names("q"), values={"RR@10": np.array([0.5])}),
    ]


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_save_load_and_save_again(record, tmp_path):
    folder = tmp_path / "kept"
    record.save(folder)
    record.save(folder)
    again = type(record).load(folder)
    assert again.frame().equals(record.frame())
    if hasattr(record, "fingerprint"):
        assert again.fingerprint == record.fingerprint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept"]


@pytest.mark.parametrize("record", records(), ids=lambda record: type(record).__name__)
def test_a_folder_with_anything_else_is_never_replaced(record, tmp_path):
    record.save(tmp_path / "kept")
    (tmp_path / "kept" / "mine.txt").write_text("dear")
    with pytest.raises(BadArgument, match=r"it holds something else \(mine.txt\)"):
        record.save(tmp_path / "kept")
    assert (tmp_path / "kept" / "mine.txt").read_text() == "dear"


def test_half_written_files_are_noticed(tmp_path):
    folder = records()[1].save(tmp_path / "vectors")
    whole = (folder / "values.npy").read_bytes()
    (folder / "values.npy").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match="values is missing or damaged"):
        Vectors.load(folder)
    (folder / "values.npy").unlink()
    with pytest.raises(BadData, match="values is missing or damaged"):
        Vectors.load(folder)
    (folder / "recipe.json").write_text("{")
    with pytest.raises(BadData, match="not JSON"):
        Vectors.load(folder)
    with pytest.raises(BadArgument, match="there is no such folder"):
        Vectors.load(tmp_path / "nowhere")


def test_another_kind_of_record_is_refused(tmp_path):
    folder = records()[3].save(tmp_path / "verdicts")
    with pytest.raises(BadArgument, match="it must hold a Vectors"):
        Vectors.load(folder)


def test_the_newest_verdict_wins_and_labels_are_checked():
    said = Verdicts.of([("q", "d", "positive"), ("q", "d", "unsure")], judge="me")
    assert said.newest() == {("q", "d"): "unsure"}
    with pytest.raises(BadArgument, match="`labels` is 'maybe', but it must be one of positive"):
        Verdicts.of([("q", "d", "maybe")], judge="me")


def test_shapes_and_lengths_are_checked():
    with pytest.raises(BadArgument, match=r"`values` is \(3,\), but it must be \(n, dim\)"):
        Vectors(values=np.zeros(3, dtype=np.float32), ids=names("a"), encoder="e")
    with pytest.raises(BadData, match="lengths differ: values 2, ids 1"):
        Vectors(values=np.zeros((2, 2), dtype=np.float32), ids=names("a"), encoder="e")
    whole = records()[0]
    with pytest.raises(BadArgument, match=r"`qrels` is \(2, 1\), but its shape must be \(2, 2\)"):
        Collection(
            name="x",
            queries=whole.queries,
            corpus=whole.corpus,
            qrels=whole.qrels[:, :1],
            query_groups=whole.query_groups,
            doc_groups=whole.doc_groups,
        )


def test_the_registry_refuses_a_taken_name():
    @register("demo of types", "one")
    class One:
        """First."""

    with pytest.raises(ValueError, match="'one' is taken by"):

        @register("demo of types", "one")
        class Two:
            """Second."""

    assert get("demo of types", "one") is One
