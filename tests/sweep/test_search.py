"""Optuna behind the same call: it finds, repeats seeds, prunes."""

import pytest

from workbench import sweep
from workbench.errors import BadArgument, BadData
from workbench.sweep.folder import ASIDE
from workbench.sweep.search import Listed, Study, objective


def played(study, value):
    """Let a study run to its end on a function of its points."""
    points = []
    while (found := study.following()) is not None:
        number, point = found
        points.append(point)
        study.tell(number, value(point))
    return points


def test_it_looks_where_values_were_high():
    space = {"margin": sweep.Between(low=-1, high=1), "loss": ["a", "b"]}
    study = Study(space, 40, seeds=None, seed=0)
    points = played(study, lambda point: -abs(point["margin"] - 0.3) - (point["loss"] == "b"))
    assert len(points) == 40
    late = points[20:]
    assert sum(point["loss"] == "a" for point in late) > 14
    assert study.study.best_params["loss"] == "a"
    assert abs(study.study.best_params["margin"] - 0.3) < 0.1
    same = played(Study(space, 5, seeds=None, seed=0), lambda point: point["margin"])
    again = played(Study(space, 5, seeds=None, seed=0), lambda point: point["margin"])
    assert same == again


def test_a_trial_of_several_seeds_has_their_mean():
    study = Study({"margin": [0.0, 1.0]}, 3, seeds=[0, 5], seed=0)
    points = played(study, lambda point: point["margin"] + point["seed"])
    assert [point["seed"] for point in points] == [0, 5] * 3
    assert {trial.value - trial.params["margin"] for trial in study.study.trials} == {2.5}


def test_a_trial_below_the_median_is_pruned_by_its_first_seed():
    study = Study({"margin": sweep.Between(low=0, high=1)}, 12, seeds=[0, 1], seed=0)
    pruned = 0
    while (found := study.following()) is not None:
        number, point = found
        low = number >= 8  # the first eight set the median
        row = {"step": 1, "value": 0.0 if low else 1.0}
        stop = study.saw(number, point, row)
        assert stop == (low and point["seed"] == 0)
        assert not study.saw(number, point, {"loss": 1.0}), "a row without a value says nothing"
        study.tell(number, None if stop else 0.5, pruned=stop)
        pruned += stop
    states = [trial.state.name for trial in study.study.trials]
    assert pruned == 4
    assert states == ["COMPLETE"] * 8 + ["PRUNED"] * 4


def test_a_trial_without_any_result_has_failed():
    study = Study({"margin": [0.0]}, 1, seeds=None, seed=0)
    assert played(study, lambda _: None) == [{"margin": 0.0}]
    assert study.study.trials[0].state.name == "FAIL"


def test_a_list_is_gone_through_once():
    source = Listed([{"a": 1}, {"a": 2}])
    assert [source.following() for _ in range(3)] == [(0, {"a": 1}), (1, {"a": 2}), None]


def test_what_is_refused():
    with pytest.raises(BadArgument, match=r"`margin` is .*no values"):
        Study({"margin": []}, 2, seeds=None, seed=0)
    with pytest.raises(BadData, match=r"'details.speed' is no number in it"):
        objective({"details": {"speed": "high"}}, "details.speed")


@pytest.mark.slow
def test_a_study_of_notebooks_prunes_by_their_rows(tiny, tmp_path):
    path = tiny(
        "import time\nfrom workbench.report import row\nrow(step=1, value=margin)\n"
        "time.sleep(0 if margin > 0.5 else 20)"
    )
    space = {"margin": [0.1, 0.9]}
    found = sweep.run(
        path, grid=space, search="optuna", n=12, seeds=None, runs=tmp_path / "runs",
        jobs=1, gpus=[], progress=False, seed=1,
    )  # fmt: skip
    states = {one.parameters["margin"]: one.status for one in found.entries}
    assert states[0.9] == "done"
    assert states.get(0.1, "pruned") in ("pruned", "done")
    assert found.best().parameters["margin"] == 0.9
    assert {one.attempts for one in found.entries if one.status == "done"} == {1}, "asked for often"


@pytest.mark.slow
def test_a_point_asked_for_while_it_runs_is_run_once(tiny, tmp_path):
    found = sweep.run(
        tiny(), grid={"margin": [0.1]}, search="optuna", n=4, runs=tmp_path / "runs",
        jobs=2, gpus=[], progress=False,
    )  # fmt: skip
    (entry,) = found.entries
    assert (entry.status, entry.attempts) == ("done", 1)
    assert not (found.folder / ASIDE).exists()
