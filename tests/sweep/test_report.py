"""The record a notebook leaves."""

import json
import math

import numpy as np
import pytest

from workbench import report
from workbench.errors import BadArgument

VALUES = {
    "metric": "nDCG@10",
    "zero_shot": 0.1,
    "trained": 0.25,
    "difference": {"mean": 0.15, "low": 0.1, "high": 0.2},
    "headroom_recovered": None,
    "seconds": 3.5,
    "seed": 0,
    "parameters": {"loss": "info_nce"},
    "fingerprints": {"collection": "0123456789abcdef"},
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv(report.RUN_VARIABLE, str(tmp_path / "run"))
    return tmp_path / "run"


def test_everything_asked_for_is_in_it(folder):
    details = {"curve": np.arange(2, dtype=np.float32), "n": np.int64(3), "rows": [(1, "a")]}
    path = report.report(**VALUES, details=details)
    assert path == (folder / "result.json").resolve()
    found = json.loads(path.read_text(encoding="utf-8"))
    assert set(report.KEYS) < set(found)
    for name, value in VALUES.items():
        assert found[name] == value
    assert found["details"] == {"curve": [0.0, 1.0], "n": 3, "rows": [[1, "a"]]}
    assert {"python", "torch", "transformers", "workbench", "commit"} <= set(found["versions"])


def test_a_second_report_replaces_the_first(folder):
    report.report(**VALUES, details={"old": 1})
    path = report.report(**{**VALUES, "seed": 2})
    found = json.loads(path.read_text(encoding="utf-8"))
    assert found["seed"] == 2
    assert found["details"] == {}


@pytest.mark.parametrize("name", ["zero_shot", "trained", "seconds"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_figure_that_is_none_is_refused(folder, name, value):
    with pytest.raises(BadArgument, match=f"`{name}` is .* finite number.* failed run"):
        report.report(**{**VALUES, name: value})
    assert not (folder / "result.json").exists()


@pytest.mark.parametrize("difference", [{}, {"mean": 1.0}, {"mean": 1, "low": 0, "up": 2}])
def test_the_interval_must_be_whole(folder, difference):
    with pytest.raises(BadArgument, match="it must have the keys mean, low, high"):
        report.report(**{**VALUES, "difference": difference})


def test_a_nan_deep_inside_is_named(folder):
    with pytest.raises(BadArgument, match=r"`result.details.curve\[1\]` is nan"):
        report.report(**VALUES, details={"curve": np.array([0.0, np.nan])})
    with pytest.raises(BadArgument, match=r"`result.details.odd` is .*number, text, list or dict"):
        report.report(**VALUES, details={"odd": {1, 2}})


def test_the_project_is_found_from_inside(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks" / "methods").mkdir(parents=True)
    for place in (".", "notebooks", "notebooks/methods"):
        monkeypatch.chdir(tmp_path / place)
        assert report.project_folder().samefile(tmp_path)


def test_by_hand_a_notebook_writes_into_the_project(tmp_path, monkeypatch):
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    monkeypatch.delenv(report.RUN_VARIABLE, raising=False)
    assert report.run_folder().samefile(tmp_path / "runs" / "by-hand")


@pytest.mark.parametrize(
    ("change", "lack"),
    [
        ({}, []),
        ({"headroom_recovered": 0.5}, []),
        ({"trained": "0.5"}, ["trained"]),
        ({"seconds": True}, ["seconds"]),
        ({"difference": {"mean": 0.1}}, ["difference"]),
        ({"difference": None, "headroom_recovered": "all"}, ["difference", "headroom_recovered"]),
    ],
)
def test_what_a_record_lacks_is_named(change, lack):
    assert report.lacking({**VALUES, **change}) == lack


def test_what_is_no_record_lacks_everything():
    assert report.lacking([1]) == report.lacking({}) == list(report.KEYS)
