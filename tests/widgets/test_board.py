"""The comparison board without a browser: which runs, which queries, which lists."""

import json
from itertools import pairwise

import numpy as np
import pytest

from workbench import report
from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.types import Candidates, Scorecard
from workbench.widgets.board import board
from workbench.widgets.board_parts import table_of, varied
from workbench.widgets.versus import Reader, side_by_side, top_ids, versus

COUNT = 30
SPITE = "<script>alert(1)</script> **bold** שלום 🙂"


@pytest.fixture(scope="module")
def collection():
    rows = [
        {"query": f"query {n} {SPITE if n == 0 else ''}", "positive": f"document {n} {SPITE}"}
        for n in range(COUNT)
    ]
    return from_rows(rows, name="test")


def card_of(collection, values, name="run", metric="RR@10"):
    return Scorecard(name=name, query_ids=collection.query_ids, values={metric: np.array(values)})


def top_of(collection, first):
    """Lists that begin with document `first` of each query."""
    docs = (np.asarray(first)[:, None] + np.arange(12)) % COUNT
    return Candidates(
        query_ids=collection.query_ids, doc_ids=collection.doc_ids, docs=docs,
        scores=np.linspace(1, 0, docs.size, dtype=np.float32).reshape(docs.shape),
        ranks=np.tile(np.arange(1, 13, dtype=np.int32), (COUNT, 1)),
        weight=np.ones(docs.shape, np.float32), positive_scores=np.ones(COUNT, np.float32),
        miner="by hand",
    )  # fmt: skip


@pytest.fixture
def home(tmp_path, monkeypatch, collection):
    """Four runs: a, b and c with values per query, d without; and one that is damaged."""
    own = np.arange(COUNT)
    values = {
        "a": np.full(COUNT, 0.5),
        "b": np.where(own < 6, 0.1 * (own / 10), 0.75),
        "c": np.full(COUNT, 0.25),
    }
    for number, name in enumerate(("a", "b", "c", "d")):
        monkeypatch.setenv(report.RUN_VARIABLE, str(tmp_path / "runs" / name))
        card = card_of(collection, values[name]) if name in values else None
        top = top_of(collection, own if name == "a" else own + 3) if name in "ab" else None
        report.report(
            metric="RR@10", zero_shot=0.1, trained=0.5,
            difference={"mean": 0.4, "low": 0.3, "high": 0.5}, headroom_recovered=None,
            seconds=10.0 * number, seed=0, fingerprints={}, card=card, top=top,
            parameters={"margin": 0.1 * number, "loss": "info_nce"},
        )  # fmt: skip
    (tmp_path / "runs" / "latest").symlink_to("a")
    (tmp_path / "runs" / "half").mkdir()
    (tmp_path / "runs" / "half" / "result.json").write_text('{"metric": "RR')
    return tmp_path / "runs"


@pytest.fixture
def view(home, collection):
    return board(home, collection=collection)


def test_all_runs_are_listed_and_the_damaged_say_why(view):
    rows = {row["run"]: row for row in view.core.table["rows"]}
    assert list(rows) == ["a", "b", "c", "d", "half"]
    assert [row["choosable"] for row in rows.values()] == [True, True, True, False, False]
    assert "not JSON" in rows["half"]["problem"]
    labels = [one["label"] for one in view.core.table["columns"]]
    assert {"status", "RR@10", "RR@10 - a", "margin", "seconds"} <= set(labels)
    assert "loss" not in labels
    assert view.core.table["same"].endswith("seed 0, loss info_nce")
    assert rows["b"]["cells"]["RR@10 - a"] == pytest.approx(
        rows["b"]["cells"]["metrics.RR@10"] - 0.5
    )
    json.dumps(view.core.table, allow_nan=False)


def test_the_first_pair_is_the_baseline_and_the_best(view):
    assert view.chosen == view.core.chosen == ["a", "b"]
    assert repr(view) == "Board(5 runs, RR@10, b against a)"
    assert board(view.frame, baseline="c").chosen == ["c", "b"]


def test_worse_queries_are_those_that_lost_the_worst_first(view, collection):
    assert view.worse == collection.query_ids[:6].tolist()
    assert view.query == view.worse[0]
    pair = view.core.pair
    assert (pair["wins"], pair["losses"], pair["ties"]) == (24, 6, 0)
    assert [one["id"] for one in pair["worse"]] == view.worse
    assert all(one["a"] > one["b"] for one in pair["worse"])
    y = np.frombuffer(pair["y"], dtype="<f4")
    assert np.all(np.diff(y) >= 0)
    assert len(y) == COUNT
    assert pair["low"] < pair["mean"] < pair["high"]
    assert pair["words"].startswith("RR@10: b - a = ")


def test_choosing_from_either_side_compares_anew(view):
    view.core.chosen = ["b", "c"]  # as the page does
    assert view.chosen == ["b", "c"]
    assert view.core.pair["a"] == "b"
    assert len(view.worse) == 24
    view.chosen = ["c", "b"]
    assert view.core.chosen == ["c", "b"]
    assert len(view.worse) == 6
    view.chosen = []
    assert (view.worse, view.query, view.core.pair, view.core.lists) == ([], "", {}, {})


def test_choices_that_cannot_be_compared_are_refused(view, home, collection):
    with pytest.raises(BadArgument, match="`chosen` is 'd', but it must be one of a, b, c"):
        view.chosen = ["a", "d"]
    for wrong in (["a"], ["a", "a"]):
        with pytest.raises(BadArgument, match="it must be two different runs"):
            view.chosen = wrong
    other = Scorecard(
        name="x", query_ids=np.array(["x", "y"], dtype=object), values={"RR@10": np.zeros(2)}
    )
    view.cards["c"] = other
    view.chosen = ["a", "c"]
    assert "only in one" in view.core.pair["error"]
    assert view.worse == []
    with pytest.raises(BadData, match="only in one"):
        _ = view.pair
    assert "Board(5 runs" in view.twin().html, "the twin shows the table all the same"


def test_lists_show_texts_labels_and_the_other_rank(view, collection):
    view.query = str(collection.query_ids[3])
    lists = view.core.lists
    assert (lists["query"], lists["runs"]) == (view.query, ["a", "b"])
    assert lists["text"] == collection.query_texts[3]
    a, b = lists["sides"]
    assert len(a) == len(b) == 10
    assert a[0]["label"] == "labelled"
    assert a[0]["text"] == collection.doc_texts[3]
    assert a[0]["other"] is None, "b begins three documents later"
    assert (a[3]["rank"], a[3]["other"]) == (4, 1)
    assert [row["label"] for row in b] == [""] * 10
    assert lists["missed"] == []


def test_labelled_documents_in_neither_list_are_named(view, collection):
    view.query = str(collection.query_ids[3])
    reader = Reader(collection)
    far = top_of(collection, np.arange(COUNT) + 15)
    found = side_by_side(view.query, far, None, reader=reader)
    assert found["sides"][1] is None
    assert [one["doc"] for one in found["missed"]] == [collection.doc_ids[3]]


def test_lists_agree_with_a_plain_loop(collection):
    top = top_of(collection, np.arange(COUNT))
    for place in range(COUNT):
        expected = [collection.doc_ids[(place + n) % COUNT] for n in range(12)]
        assert [doc for doc, _ in top_ids(top, str(collection.query_ids[place]))] == expected
    assert top_ids(top, "unknown") == []


@pytest.mark.slow
def test_runs_without_lists_and_boards_without_texts(view, home):
    view.chosen = ["a", "c"]
    assert view.core.lists["sides"][1] is None
    bare = board(home)
    assert bare.core.lists["text"] is None
    assert all(row["text"] is None for row in bare.core.lists["sides"][0])


@pytest.mark.slow
def test_damaged_lists_are_told_not_raised(home, collection):
    view = board(home, collection=collection)
    for path in (home / "c").glob("per-query-*/card/scores.parquet"):
        path.write_bytes(b"no")
    for path in (home / "b").glob("per-query-*/top/docs.npy"):
        path.unlink()
    view = board(home, collection=collection)
    rows = {row["run"]: row for row in view.core.table["rows"]}
    assert not rows["c"]["choosable"]
    assert "damaged" in rows["c"]["problem"]
    assert view.core.lists["sides"][1] is None
    assert "docs is missing or damaged" in view.core.lists["problems"][1]


def test_a_click_on_the_curve_names_its_query(view, send):
    place = 4
    expected = str(view.pair.query_ids[place])
    assert send(view.core, "at", place=place) == {"query": expected}
    assert view.query == expected
    for wrong in (-1, COUNT, None, "0"):
        assert "a place on the curve" in send(view.core, "at", place=wrong)["error"]


def test_the_difference_is_the_paired_one_by_brute_force(collection, rng):
    a, b = rng.random(COUNT), rng.random(COUNT)
    order = rng.permutation(COUNT)
    shuffled = Scorecard(
        name="b", query_ids=collection.query_ids[order], values={"RR@10": b[order]}
    )
    found = versus(card_of(collection, a, "a"), shuffled, metric="RR@10")
    by_hand = {str(q): b[n] - a[n] for n, q in enumerate(collection.query_ids)}
    assert dict(zip(found.query_ids.tolist(), found.difference.tolist(), strict=True)) == by_hand
    assert all(one <= two for one, two in pairwise(found.difference))
    assert found.worse == [q for q in sorted(by_hand, key=by_hand.get) if by_hand[q] < 0]
    assert found.comparison.mean == pytest.approx((b - a).mean())
    assert found.frame()["difference"].tolist() == found.difference.tolist()


def test_another_metric_leaves_out_runs_that_lack_it(home, collection):
    with pytest.raises(BadArgument, match=r"`metric` is 'nDCG@10', but it must be one of RR@10"):
        board(home, metric="nDCG@10")
    with pytest.raises(BadArgument, match="`baseline` is 'd', but it must be one of a, b, c"):
        board(home, baseline="d")


def test_wrong_calls_are_named(home, tmp_path):
    import pandas as pd

    with pytest.raises(BadArgument, match="there is no such folder"):
        board(tmp_path / "none")
    with pytest.raises(BadArgument, match=r"it must be a frame of report\.runs, and lacks status"):
        board(pd.DataFrame({"a": [1]}))
    frame = report.runs(home)
    with pytest.raises(BadArgument, match="each run must be there once"):
        board(pd.concat([frame, frame]))
    with pytest.raises(BadArgument, match="it knows none of the queries"):
        board(home, collection=renamed(from_rows([{"query": "x", "positive": "y"}], name="other")))


def renamed(collection):
    """The same collection under ids that no run knows."""
    from dataclasses import replace

    queries = collection.queries.remove_columns("id").add_column("id", ["never seen"])
    return replace(collection, queries=queries)


def test_no_runs_make_an_empty_board(tmp_path):
    (tmp_path / "runs").mkdir()
    view = board(tmp_path / "runs")
    assert repr(view) == "Board(0 runs)"
    assert view.core.table["rows"] == []
    assert view.twin().digest["runs"] == 0


def test_a_filtered_frame_and_a_list_of_folders_are_boards_too(home):
    frame = report.runs(home)
    assert repr(board(frame[frame.status == "ok"])) == "Board(4 runs, RR@10, b against a)"
    assert repr(board([home / "c", home / "a"])) == "Board(2 runs, RR@10, a against c)"


def test_what_is_the_same_in_all_stands_apart(home):
    frame = table_of(report.runs(home), metric="RR@10", baseline="a")
    shown, same = varied(frame)
    assert same["parameters.loss"] == "info_nce"
    assert same["trained"] == 0.5
    assert not set(same) & set(shown.columns)
    assert "parameters.margin" in shown.columns
    assert "headroom_recovered" not in shown.columns, "it is empty"


@pytest.mark.slow
def test_the_twin_holds_table_picture_and_what_got_worse(view):
    twin = view.twin()
    assert twin.html == view.twin().html
    assert "<script>" not in twin.html
    assert "&lt;script&gt;" in twin.html
    assert twin.html.count("<img ") == 1
    assert twin.digest["worse"] == view.worse[:10]
    assert twin.digest["comparison"]["losses"] == 6
    json.dumps(twin.digest, allow_nan=False)
