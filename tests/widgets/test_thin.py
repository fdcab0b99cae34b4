"""Curves for drawing: peaks stay, lengths are bounded, columns grow as the history does."""

import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as some

from workbench.errors import BadArgument, BadData
from workbench.widgets.curves import Log, curves, figures, kept_share, read_history
from workbench.widgets.thin import smooth, thin


@given(some.integers(1, 5_000), some.integers(4, 300), some.integers(0, 2**32 - 1))
def test_peaks_and_ends_stay_and_the_length_is_bounded(count, most, seed):
    y = np.random.default_rng(seed).normal(size=count)
    kept = thin(y, most=most)
    assert len(kept) <= max(most, 0)
    assert np.all(np.diff(kept) > 0)
    assert kept[0] == 0
    assert kept[-1] == count - 1
    assert {int(y.argmin()), int(y.argmax())} <= set(kept.tolist())


def test_every_stretch_keeps_its_own_extremes_as_brute_force_says(rng):
    y = rng.normal(size=10_000)
    y[rng.choice(10_000, 500, replace=False)] = np.nan
    most = 202
    edges = np.linspace(0, len(y), (most - 2) // 2 + 1).astype(int)
    expected = {0, len(y) - 1}
    for start, end in pairwise(edges):
        inside = y[start:end]
        expected |= {start + int(np.nanargmin(inside)), start + int(np.nanargmax(inside))}
    assert set(thin(y, most=most).tolist()) == expected


def test_short_gappy_and_flat_curves():
    assert thin(np.zeros(0)).tolist() == []
    assert thin(np.array([3.0])).tolist() == [0]
    assert len(thin(np.full(9_000, np.nan))) <= 2_000
    assert len(thin(np.zeros(9_000))) <= 2_000


def test_wrong_calls_are_named():
    with pytest.raises(BadArgument, match="`most` is 3, but it must be a whole number >= 4"):
        thin(np.zeros(9), most=3)
    with pytest.raises(BadArgument, match=r"`y` is \(2, 3\), but it must be one row of numbers"):
        thin(np.zeros((2, 3)))
    with pytest.raises(BadArgument, match=r"`span` is 0\.5, but it must be >= 1"):
        smooth(np.zeros(3), span=0.5)


def test_smoothing_is_the_weighted_mean_it_says(rng):
    y, span = rng.normal(size=60), 7
    weights = (1 - 2 / (span + 1)) ** np.arange(60)
    expected = [np.dot(weights[: t + 1], y[t::-1]) / weights[: t + 1].sum() for t in range(60)]
    np.testing.assert_allclose(smooth(y, span=span), expected)
    np.testing.assert_allclose(smooth(y, span=1), y)
    assert smooth(np.zeros(0)).shape == (0,)


def rows_like(count, *, start=1):
    return [
        {
            "step": step, "loss": 1 / step, "learning_rate": 0.1, "pairs": 8, "seconds": 0.5,
            "candidates": 100, "dropped": 25.0, "kept_ap": 0.9, "kept_an": 0.5, "rows": "abc",
        }
        for step in range(start, start + count)
    ]  # fmt: skip


def test_only_new_rows_are_looked_at_and_columns_are_the_rows():
    class Watched(list):
        asked = 0

        def __getitem__(self, key):
            found = super().__getitem__(key)
            self.asked += len(found) if isinstance(key, slice) else 0
            return found

    log, rows = Log(), Watched(rows_like(3_000))
    assert log.read(rows)
    assert not log.read(rows)
    rows.extend(rows_like(10, start=3_001))
    rows[-1]["evaluation"] = 0.25
    assert log.read(rows)
    assert rows.asked == 3_010
    assert log.column("step").tolist() == [row["step"] for row in rows]
    assert np.isnan(log.column("evaluation")[:-1]).all()
    assert log.column("evaluation")[-1] == 0.25
    assert np.isnan(log.column("rows")).all(), "words are no numbers"
    assert np.isnan(log.column("unknown")).all()


def test_a_history_that_was_wound_back_is_read_anew():
    log = Log()
    log.read(rows_like(20))
    again = rows_like(5) + rows_like(20, start=100)
    assert log.read(again)
    assert log.column("step").tolist() == [row["step"] for row in again]
    assert log.read([])
    assert log.count == 0


@pytest.mark.slow
def test_curves_are_thinned_and_those_without_numbers_left_out():
    log = Log()
    log.read(rows_like(30_000))
    found = {(one.panel, one.name): one for one in curves(log)}
    assert set(found) == {
        ("loss", "each step"), ("loss", "smoothed"), ("kept", "all"), ("kept", "an"),
        ("kept", "ap"), ("rate", "learning rate"), ("pairs", "pairs per second"),
    }  # fmt: skip
    assert all(len(one.x) == len(one.y) <= 2_000 for one in found.values())
    assert found["loss", "each step"].y.max() == 1.0
    np.testing.assert_allclose(found["kept", "all"].y, 0.75)
    np.testing.assert_allclose(found["pairs", "pairs per second"].y, 16)
    timed = {one.name: one for one in curves(log, x="seconds")}
    assert timed["each step"].x[-1] == 15_000
    with pytest.raises(BadArgument, match="`x` is 'steps', but it must be one of step, seconds"):
        curves(log, x="steps")


def test_the_figures_are_those_of_the_rows():
    log, rows = Log(), rows_like(200)
    rows[99]["evaluation"], rows[149]["evaluation"] = 0.8, 0.7
    log.read(rows)
    found = figures(log, total=300)
    assert (found["step"], found["seconds_left"], found["seconds"]) == (200, 50.0, 100.0)
    assert (found["best"], found["best_step"], found["evaluation"]) == (0.8, 100, 0.7)
    assert (found["kept"], found["kept_an"]) == (0.75, 0.5)
    assert figures(Log()) == {"step": 0.0}
    assert "seconds_left" not in figures(log)
    none = Log()
    none.read([{"step": 1, "candidates": 0, "dropped": 0}])
    assert np.isnan(kept_share(none)).all()
    assert "kept" not in figures(none)


def test_a_history_is_read_from_its_folder_or_file(tmp_path):
    rows = rows_like(3)
    file = tmp_path / "history.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows) + '{"step": 4, "lo')
    assert read_history(tmp_path) == read_history(str(file)) == rows
    file.write_text("")
    assert read_history(tmp_path) == []


def test_damaged_histories_are_named(tmp_path):
    with pytest.raises(BadArgument, match="there is no such folder or file"):
        read_history(tmp_path / "none")
    with pytest.raises(BadArgument, match=r"it holds no history\.jsonl"):
        read_history(tmp_path)
    file = tmp_path / "history.jsonl"
    file.write_bytes(b'{"step": 1}\n\xff\xfe\n[1]\n{"loss": 2}\n{"step": 3}\n')
    with pytest.raises(BadData, match="has 3 problems") as caught:
        read_history(file)
    assert caught.value.problems == [
        "line 2: not JSON", "line 3: it is no row of a step", "line 4: it is no row of a step",
    ]  # fmt: skip
