"""What goes wrong beside a run: it costs at most that run, and never what is finished."""

import json
import os
import time

import nbformat
import numpy as np
import pytest

from workbench import sweep
from workbench.__main__ import main
from workbench.errors import BadArgument
from workbench.sweep import engines, job, parameters, search, sweeping
from workbench.sweep.job import Job, Watch, perform
from workbench.sweep.ledger import FILE, Ledger

HERE = {"jobs": 2, "gpus": [], "progress": False}


def rewrite(path, change):
    book = nbformat.read(path, as_version=4)
    change(book)
    nbformat.write(book, path)


@pytest.mark.slow
def test_a_page_that_cannot_be_made_costs_only_the_page(tiny, tmp_path):
    path = tiny()
    picture = nbformat.v4.new_markdown_cell("![p](attachment:gone.png)")
    rewrite(path, lambda book: book.cells.append(picture))
    found = sweep.run(path, grid={"margin": [0, 1]}, runs=tmp_path / "runs", **HERE)
    assert [one.status for one in found.entries] == ["done", "done"]


def test_what_breaks_an_engine_fails_its_run_alone(tiny, tmp_path, monkeypatch):
    def breaks(work, watch):
        raise RuntimeError(f"margin {work.values['margin']}")

    monkeypatch.setattr(engines, "perform", breaks)
    found = sweep.run(tiny(), grid={"margin": [0, 1]}, runs=tmp_path / "runs", **HERE)
    assert [one.error for one in found.entries] == [
        "RuntimeError: margin 0.0",
        "RuntimeError: margin 1.0",
    ]


def test_a_notebook_that_was_cut_short_while_it_was_saved(tmp_path):
    half = tmp_path / "half.ipynb"
    for text in ("", '{"cells": ['):
        half.write_text(text, encoding="utf-8")
        assert job.mend_statuses(half) == "The start"
    assert job.mend_statuses(tmp_path / "none.ipynb") == "The start"


@pytest.mark.slow
def test_a_metric_that_nobody_reports_costs_no_run(tiny, tmp_path, capsys):
    options = {"grid": {"margin": [0, 1]}, "runs": tmp_path / "runs", **HERE}
    found = sweep.run(tiny(), metric="RR@10", **options)
    assert [one.status for one in found.entries] == ["done", "done"]
    with pytest.raises(BadArgument, match=r"`metric` is 'RR@10', but no finished run has a number"):
        found.best("RR@10")
    again = sweep.run(tiny(), metric="difference.mean", **options)
    assert [one.attempts for one in again.entries] == [1, 1]
    words = ["sweep", str(tiny()), "-p", "margin=0,1", "--runs", str(tmp_path / "runs")]
    assert main([*words, "--metric", "RR@10"]) == 0
    assert "no finished run has a number of that name" in capsys.readouterr().err


@pytest.mark.slow
def test_runs_of_earlier_code_are_left_out(tiny, tmp_path, capsys):
    path, options = tiny("if margin: 1 / 0"), {"runs": tmp_path / "runs", **HERE}
    first = sweep.run(path, grid={"margin": [0, 1]}, **options)
    assert [one.status for one in first.entries] == ["done", "failed"]
    rewrite(path, lambda book: book.cells[1].update(source="margin = margin / 10"))
    found = sweep.run(path, grid={"margin": [0, 1]}, **options)
    assert [one.status for one in found.entries] == ["done", "done"]
    assert found.earlier == 2
    assert "2 done; 2 of other code left out" in repr(found)
    assert found.result(found.best())["trained"] == pytest.approx(0.35)
    assert sweep.Sweep.load(found.folder).entries == found.entries
    assert sweep.Sweep.load(found.folder, code=first.entries[0].notebook).entries == first.entries
    words = ["sweep", str(path), "-p", "margin=0,1", "--runs", str(tmp_path / "runs")]
    assert main(words) == 0, "what failed was other code"
    assert "2 runs of this notebook's earlier code are left out." in capsys.readouterr().out


@pytest.mark.slow
def test_who_edits_the_notebook_meanwhile_edits_the_next_sweep(tiny, tmp_path):
    path, place = tiny(""), tmp_path / "place"
    cell = (
        f"import os, pathlib\npathlib.Path({str(path)!r}).write_text('half')\n"
        f"pathlib.Path({str(place)!r}).write_text(os.getcwd())"
    )
    rewrite(path, lambda book: book.cells[1].update(source=cell))
    found = sweep.run(
        path, grid={"margin": [0, 1, 2]}, runs=tmp_path / "runs", **{**HERE, "jobs": 1}
    )
    assert [one.status for one in found.entries] == ["done"] * 3
    assert path.read_text(encoding="utf-8") == "half"
    assert place.read_text(encoding="utf-8") == str(path.parent), (
        "a kernel works beside the original"
    )


def test_what_is_said_after_the_last_cell_is_said_too_late(tiny, tmp_path, monkeypatch):
    watch = Watch()
    record = {
        "metric": "m", "zero_shot": 0.1, "trained": 0.2, "seconds": 1.0, "headroom_recovered": None,
        "difference": {"mean": 0.1, "low": 0.0, "high": 0.2}, "seed": 0, "parameters": {},
        "fingerprints": {},
    }  # fmt: skip

    def executes(source, executed, work, seen, *, bar):
        executed.write_bytes(source.read_bytes())
        (tmp_path / "run" / "result.json").write_text(json.dumps(record))

    monkeypatch.setattr(job, "_execute", executes)
    monkeypatch.setattr(job, "write_page", lambda *_: watch.end("pruned", "late"))
    (tmp_path / "run").mkdir()
    done = perform(Job(notebook=str(tiny()), folder=str(tmp_path / "run"), values={}), watch)
    assert (done.status, done.result["trained"]) == ("done", 0.2)


def test_rows_of_a_second_attempt_are_read_from_their_start(tmp_path):
    watch = Watch()
    watch.folder = tmp_path
    assert watch.new_rows() == []
    path = tmp_path / "rows.jsonl"
    path.write_text('{"step": 1, "value": 10.123456}\n{"st', encoding="utf-8")
    assert watch.new_rows() == [{"step": 1, "value": 10.123456}]
    other = tmp_path / "other"
    other.write_text('{"step": 1}\nnonsense\n[1]\n{"step": 2}\n' + " " * 60, encoding="utf-8")
    os.replace(other, path)
    assert watch.new_rows() == [{"step": 1}, {"step": 2}]


def test_rows_that_are_none_prune_nothing():
    study = search.Study({"margin": [0.0]}, 1, seeds=None, seed=0)
    number, point = study.following()
    for row in ({"step": 1, "value": None}, {"step": -1, "value": 1.0}, {"step": "a", "value": 1.0},
                {"step": 1, "value": float("nan")}, {"step": 1, "value": True}, {}):  # fmt: skip
        assert not study.saw(number, point, row)


class Cluster:
    """A client whose workers are not there any more."""

    def __init__(self, status="pending", resources=None):
        self.status, self.resources, self.cancelled = status, resources or {}, False

    def scheduler_info(self, n_workers):
        return {"workers": {"a": {"nthreads": 2, "resources": self.resources}}}

    def run(self, function, *words):
        return function(*words)

    def submit(self, *_, **__):
        return self

    def result(self, timeout):
        time.sleep(0.02)
        raise TimeoutError("far away")

    def cancel(self):
        self.cancelled = True


def test_a_run_whose_workers_are_gone_can_be_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(engines, "PATIENCE", 0.2)
    gone, watch = Cluster(), Watch()
    execute, places = engines.dask(gone, kernel=None, threads=None)
    assert places == 2
    watch.reason = ("stopped", "the sweep was stopped")
    done = execute(Job(notebook="n", folder=str(tmp_path), values={}), watch)
    assert (done.status, done.error, gone.cancelled) == ("stopped", "the sweep was stopped", True)
    assert (tmp_path / job.STOP).read_text().split("\n")[0] == "stopped"


def test_a_run_s_own_time_out_is_no_waiting(tmp_path):
    execute, _ = engines.dask(Cluster(status="error"), kernel=None, threads=None)
    done = execute(Job(notebook="n", folder=str(tmp_path), values={}), Watch())
    assert done.error == "the cluster gave it up: TimeoutError: far away"


def test_what_a_cluster_cannot_keep_is_refused():
    with pytest.raises(BadArgument, match="a worker has 4 GPUs"):
        engines.dask(Cluster(resources={"GPU": 4}), kernel=None, threads=None)
    with pytest.raises(BadArgument, match="`kernel` is 'none-such'"):
        engines.dask(Cluster(), kernel="none-such", threads=None)
    with pytest.raises(BadArgument, match="`client` is 'tcp://x'"):
        engines.dask("tcp://x", kernel=None, threads=None)


def test_a_study_s_space_is_checked_value_by_value(tiny):
    """Ten names of ten values each are checked at once; their product would never end."""
    path = tiny()
    first = parameters.declared(path)["margin"]
    assert first.default == 0.0
    names = {f"m{place}": list(range(10)) for place in range(10)}
    declared = "\n".join(f"{name}: int = 0  # one of ten" for name in names)
    rewrite(path, lambda book: book.cells[0].update(source=declared))
    points, study = sweeping._planned(path, names, None, "optuna", 5, 0)
    assert points == []
    assert study is not None
    with pytest.raises(BadArgument, match="`m3` is 'x'"):
        sweeping._planned(path, {**names, "m3": [0, "x"]}, None, "optuna", 5, 0)


def test_the_other_seeds_of_a_pruned_trial_are_not_run():
    study = search.Study({"margin": [0.0, 1.0]}, 2, seeds=[0, 1, 2], seed=0)
    number, point = study.following()
    assert point["seed"] == 0
    study.tell(number, None, pruned=True)
    assert study.study.trials[0].state.name == "PRUNED"
    asked = [study.following() for _ in range(4)]
    assert [None if one is None else one[0] for one in asked] == [1, 1, 1, None]


@pytest.mark.slow
def test_a_study_that_goes_on_learns_from_what_was_run_before(tiny, tmp_path, monkeypatch):
    cell = "from workbench.report import row\nfor step in (1, 2): row(step=step, value=margin)"
    options = {
        "grid": {"margin": [0.25]}, "search": "optuna", "n": 1, "runs": tmp_path / "runs", **HERE,
    }  # fmt: skip
    found = sweep.run(tiny(cell), **options)
    assert [one.status for one in found.entries] == ["done"]
    seen, told = [], []
    saw, tell = search.Study.saw, search.Study.tell

    def spied(study, number, point, row):
        seen.append(row)
        return saw(study, number, point, row)

    def heard(study, number, value, *, pruned=False):
        told.append((value, pruned))
        tell(study, number, value, pruned=pruned)

    monkeypatch.setattr(search.Study, "saw", spied)
    monkeypatch.setattr(search.Study, "tell", heard)
    sweep.run(tiny(cell), **options)
    assert seen == [{"step": 1, "value": 0.25}, {"step": 2, "value": 0.25}]
    assert told == [(0.5, False)]
    Ledger(found.folder).end(found.entries[0].key, "pruned", seconds=1.0)
    again = sweep.run(tiny(cell), **options)
    assert told[1:] == [(None, True)]
    assert [(one.status, one.attempts) for one in again.entries] == [("pruned", 1)]
    listed = sweep.run(tiny(cell), **options | {"search": "grid", "n": None})
    assert [(one.status, one.attempts) for one in listed.entries] == [("done", 2)], (
        "a grid wants all"
    )


def test_numpy_s_numbers_are_the_same_values(tiny, untyped):
    path = tiny()
    plain = sweep.plan.checked(path, [{"margin": 0.5, "seed": 1}])
    theirs = sweep.plan.checked(path, [{"margin": np.float64(0.5), "seed": np.int64(1)}])
    assert repr(plain) == repr(theirs)
    assert [type(one) for one in sweep.plan.seeds_of(np.arange(2))] == [int, int]


def test_somebody_else_s_sweep_is_read(tmp_path):
    book = Ledger(tmp_path)
    book.enter("k", run="a", parameters={}, notebook="n")
    before = (tmp_path / FILE).read_bytes()
    os.chmod(tmp_path / FILE, 0o444)
    reader = Ledger(tmp_path, read_only=True)
    assert [one.run for one in reader.entries()] == ["a"]
    with pytest.raises(Exception, match="readonly"):
        reader.start("k", {})
    assert (tmp_path / FILE).read_bytes() == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"grid": 3}, "`grid` is 3, but it must be names with values"),
        ({"grid": None}, "`grid` is None"),
        ({"grid": []}, r"`grid` is \[\], but it must be"),
        ({"grid": [3]}, "`grid` is 3, but each point must be name -> value"),
        ({"grid": {}, "gpus": 0}, "`gpus` is 0, but it must be a list"),
        ({"grid": {}, "seeds": [[0]]}, "`seeds` is"),
        ({"grid": {}, "engine": "dask", "client": "tcp://x", "jobs": None, "gpus": None},
         "`client` is 'tcp://x'"),
    ],
)  # fmt: skip
def test_wrong_kinds_are_refused_in_words(tiny, tmp_path, untyped, options, message):
    with pytest.raises(BadArgument, match=message):
        sweep.run(tiny(), runs=tmp_path / "runs", **{**HERE, **options})
    assert not (tmp_path / "runs").exists()
