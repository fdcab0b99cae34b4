"""What a run keeps per query, and many runs in one table."""

import json

import numpy as np
import pandas as pd
import pytest

from workbench import evaluate, mine, report
from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.report import per_query
from workbench.types import Scorecard

VALUES = {
    "metric": "RR@10",
    "zero_shot": 0.1,
    "trained": 0.25,
    "difference": {"mean": 0.15, "low": 0.1, "high": 0.2},
    "headroom_recovered": None,
    "seconds": 3.5,
    "seed": 0,
    "parameters": {"loss": "info_nce", "sizes": [1, 2]},
    "fingerprints": {},
}


@pytest.fixture(scope="module")
def collection():
    words = "add sub mul div sum max min sort".split()
    pairs = [{"query": f"how to {one}", "positive": f"{one} {one} code"} for one in words]
    return from_rows(pairs, name="toy")


@pytest.fixture(scope="module")
def card(collection):
    return evaluate.bm25(collection, metrics=["RR@10", "nDCG@10"])


@pytest.fixture(scope="module")
def top(collection):
    return mine.bm25(collection, k=12, exclude="nothing")


@pytest.fixture
def reported(tmp_path, monkeypatch):
    def make(name="a", **change):
        folder = tmp_path / "runs" / name
        monkeypatch.setenv(report.RUN_VARIABLE, str(folder))
        report.report(**{**VALUES, **change})
        return folder

    return make


def kept(folder):
    return sorted(path.name for path in folder.glob("per-query-*"))


def test_card_and_lists_come_back_as_they_were(reported, collection, card, top):
    folder = reported(card=card, top=top)
    found = report.card_of(folder)
    assert found.name == card.name
    assert found.recipe == card.recipe
    for name, values in card.values.items():
        np.testing.assert_array_equal(found.values[name], values)
    lists = report.top_of(folder)
    assert lists.docs.shape[1] <= 10
    for query in range(8):
        there = lists.docs[query] >= 0
        names = lists.doc_ids[lists.docs[query][there]].tolist()
        whole = top.docs[query]
        assert names == collection.doc_ids[whole[whole >= 0][:10]].tolist()
    record = json.loads((folder / "result.json").read_text())
    assert record["metrics"] == card.mean()
    assert kept(folder) == [record["per_query"]]


def test_ten_are_kept_and_only_the_ids_they_name(rng):
    rows = [{"query": f"q{n}", "positive": f"common text {n}"} for n in range(40)]
    big = from_rows(rows, name="big")
    scores = rng.normal(size=(40, 40)).astype(np.float32)
    docs = np.argsort(-scores, axis=1)[:, :25]
    docs[3, 4:] = -1
    base = mine.bm25(big, k=25, exclude="nothing")
    found = report.first_of(type(base)(**{**vars(base), "docs": docs}), 10)
    assert found.docs.shape == (40, 10)
    assert set(found.docs[found.docs >= 0].tolist()) == set(range(len(found.doc_ids)))
    for query in range(40):
        expected = [big.doc_ids[doc] for doc in docs[query, :10] if doc >= 0]
        assert [found.doc_ids[doc] for doc in found.docs[query] if doc >= 0] == expected


def test_a_second_report_leaves_nothing_of_the_first(reported, card, top):
    folder = reported(card=card, top=top)
    first = kept(folder)
    assert kept(reported(card=card, top=top)) == first, "equal content, equal name"
    reported(card=card)
    assert report.top_of(folder) is None
    assert report.card_of(folder) is not None
    assert len(kept(folder)) == 1
    assert kept(folder) != first
    reported()
    assert kept(folder) == []
    assert report.card_of(folder) is report.top_of(folder) is None


def test_what_is_killed_half_way_leaves_the_old_pair(reported, card, top, monkeypatch):
    folder = reported(card=card)

    def killed(path, value):
        raise KeyboardInterrupt

    worse = Scorecard(name="w", query_ids=card.query_ids, values={"RR@10": np.zeros(8)})
    with monkeypatch.context() as patched:
        patched.setattr("workbench.report.record.write_json", killed)
        with pytest.raises(KeyboardInterrupt):
            reported(card=worse)
    assert report.card_of(folder).mean() == card.mean(), "result.json still names the old one"


def test_what_does_not_fit_is_refused_before_anything_is_written(reported, tmp_path, card, top):
    with pytest.raises(BadArgument, match=r"`card` is .*it must be Scorecard or None"):
        per_query.check_kept({"RR@10": 1.0}, None)
    with pytest.raises(BadArgument, match=r"`top` is .*it must be Candidates or None"):
        per_query.check_kept(None, card)
    other = mine.bm25(from_rows([{"query": "x", "positive": "y"}], name="o"), exclude="nothing")
    with pytest.raises(BadArgument, match="its queries must be those of card"):
        reported(card=card, top=other)
    bad = Scorecard(name="b", query_ids=card.query_ids, values={"RR@10": np.full(8, np.nan)})
    with pytest.raises(BadArgument, match=r"`result\.metrics\.RR@10` is nan"):
        reported(card=bad)
    assert not list(tmp_path.rglob("result.json"))
    assert not list(tmp_path.rglob("per-query-*"))


def test_damage_is_named(reported, card, top):
    folder = reported(card=card, top=top)
    place = folder / kept(folder)[0]
    (place / "card" / "scores.parquet").write_bytes(b"PAR1")
    with pytest.raises(BadData, match="damaged"):
        report.card_of(folder)
    (place / "top" / "docs.npy").unlink()
    with pytest.raises(BadData, match="docs is missing or damaged"):
        report.top_of(folder)
    record = json.loads((folder / "result.json").read_text())
    for named in ("../../secret", "per-query-0000000000000000", 3):
        (folder / "result.json").write_text(json.dumps({**record, "per_query": named}))
        with pytest.raises(BadData, match="which is not in it"):
            per_query.place_of(folder)
    with pytest.raises(BadArgument, match="there is no such file"):
        report.card_of(folder / "none")


def test_runs_are_one_row_each_and_the_link_is_not_listed_twice(reported, tmp_path, card):
    reported("b", card=card, trained=0.5)
    reported("a", parameters={"loss": "decoupled", "margin": 0.1})
    home = tmp_path / "runs"
    (home / "latest").symlink_to("a")
    (home / "notes.txt").write_text("not a run")
    (home / ".b.tmp").mkdir()
    frame = report.runs(home)
    assert frame.index.tolist() == ["a", "b"]
    assert frame.status.tolist() == ["ok", "ok"]
    assert frame.loc["b", ["trained", "difference", "low", "high", "seconds"]].tolist() == [
        0.5, 0.15, 0.1, 0.2, 3.5,
    ]  # fmt: skip
    assert frame.per_query.tolist() == [False, True]
    assert frame.loc["b", "metrics.RR@10"] == card.mean()["RR@10"]
    assert pd.isna(frame.loc["a", "metrics.RR@10"])
    assert frame["parameters.loss"].tolist() == ["decoupled", "info_nce"]
    assert frame.loc["b", "parameters.sizes"] == "[1, 2]"
    assert report.runs([home / "latest"]).index.tolist() == ["a"]
    assert report.runs([home / "b", home / "a"]).index.tolist() == ["b", "a"]


def test_damaged_and_unfinished_runs_are_listed_with_what_is_wrong(reported, tmp_path, card):
    home = tmp_path / "runs"
    reported("good", card=card)
    folder = reported("lost", card=card)
    for path in folder.glob("per-query-*"):
        path.rename(home / "moved")
    for name, text in {
        "half": '{"metric": "RR@10", "zero_',
        "list": "[1, 2]",
        "lacks": json.dumps({**VALUES, "trained": "much"}),
        "table": json.dumps({**VALUES, "parameters": [1]}),
        "bytes": "\udcff",
    }.items():
        (home / name).mkdir()
        (home / name / "result.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    frame = report.runs(home)
    assert frame.status.to_dict() == {
        "good": "ok", "lost": "ok", "half": "damaged", "list": "damaged", "lacks": "damaged",
        "table": "damaged", "bytes": "damaged", "moved": "unfinished",
    }  # fmt: skip
    said = frame.problem
    assert said["good"] == ""
    assert "which is not in it" in said["lost"]
    assert "result.json: not JSON" in said["half"]
    assert said["lacks"] == "result.json lacks trained"
    assert said["table"] == "result.json lacks parameters"
    assert said["list"].startswith("result.json lacks metric, zero_shot")
    assert said["moved"] == "it holds no result.json"
    assert frame.loc[["half", "list"], "trained"].isna().all()


def test_no_runs_and_wrong_calls(tmp_path, reported):
    (tmp_path / "empty").mkdir()
    assert len(report.runs(tmp_path / "empty")) == 0
    with pytest.raises(BadArgument, match=r"`folder` is .*there is no such folder"):
        report.runs(tmp_path / "none")
    with pytest.raises(BadArgument, match="each run must have a name of its own"):
        report.runs([reported("a"), tmp_path / "runs" / "a"])


def test_sweeps_inside_are_looked_into(tmp_path):
    for place in ("a", "sweep/b", "sweep/c"):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / "sweep" / "ledger.sqlite").touch()
    assert report.runs(tmp_path).index.tolist() == ["a", "b", "c"]
