"""Which runs a sweep is made of, and what is refused before any starts."""

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.sweep.plan import (
    Between,
    checked,
    grid_points,
    random_points,
    seeds_of,
    with_seeds,
)


def test_a_grid_is_every_combination_once():
    points = grid_points({"a": [1, 2], "b": (3, 4), "c": np.array([5]), "d": "word"})
    assert len(points) == 4
    assert points[0] == {"a": 1, "b": 3, "c": 5, "d": "word"}
    assert points[-1] == {"a": 2, "b": 4, "c": 5, "d": "word"}
    assert grid_points({}) == [{}]


def test_draws_stay_in_their_ranges_and_repeat_with_the_seed():
    space = {
        "rate": Between(low=1e-5, high=1e-1, log=True),
        "size": Between(low=1, high=4, whole=True),
        "loss": ["a", "b"],
    }
    points = random_points(space, 200, seed=3)
    assert points == random_points(space, 200, seed=3)
    assert points != random_points(space, 200, seed=4)
    rates = np.array([point["rate"] for point in points])
    assert rates.min() >= 1e-5
    assert rates.max() <= 1e-1
    assert 0.35 < (rates < 1e-3).mean() < 0.65, "half of the decades"
    assert {point["size"] for point in points} == {1, 2, 3, 4}
    assert {point["loss"] for point in points} == {"a", "b"}


def test_no_point_is_drawn_twice():
    assert len(random_points({"a": [1, 2, 3]}, 50)) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Between(low=1, high=1), "`low` is 1, but it must be below 1"),
        (lambda: Between(low=0, high=1, log=True), "`low` is 0, but a logarithmic range"),
        (lambda: Between(low=float("nan"), high=1), "`low` is nan"),
        (lambda: grid_points({"a": []}), "`a` is .*it has no values"),
        (lambda: grid_points({"a": Between(low=0, high=1)}), "`a` is .*one by one"),
        (lambda: random_points({"a": [1]}, 0), "`n` is 0"),
        (lambda: random_points({"a": []}, 1), "`a` is .*no values"),
        (lambda: seeds_of(0), "`seeds` is 0"),
        (lambda: seeds_of([1, 1]), "`seeds` is .*different"),
        (lambda: seeds_of([]), "`seeds` is .*different"),
        (lambda: seeds_of([-1]), "`seeds` is -1"),
        (lambda: with_seeds([{"seed": 1}], [0]), "`seed` is 1, but `seeds` sets it already"),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(BadArgument, match=message):
        make()


def test_points_are_completed_typed_and_merged(tiny):
    points = checked(tiny(), [{"margin": "0.1"}, {"margin": 0.1, "seed": 0}, {}])
    assert points == [
        {"seed": 0, "margin": 0.1, "loss": "info_nce"},
        {"seed": 0, "margin": 0.0, "loss": "info_nce"},
    ]


@pytest.mark.parametrize(
    ("point", "message"),
    [
        ({"margn": 0.1}, "Did you mean 'margin'"),
        ({"margin": "much"}, "`margin` is 'much', but the notebook declares it as float"),
        ({"seed": 1.5}, "`seed` is 1.5"),
        ({"loss": "info_nec"}, "`loss` is 'info_nec'.*Did you mean 'info_nce'"),
    ],
)
def test_a_point_that_does_not_fit_is_refused(tiny, point, message):
    with pytest.raises(BadArgument, match=message):
        checked(tiny(), [point])


def test_a_notebook_without_parameters_is_refused(tiny, tmp_path):
    path = tiny()
    path.write_text(path.read_text(encoding="utf-8").replace('"parameters"', '"other"'))
    with pytest.raises(BadData, match="0 cells are tagged `parameters`"):
        checked(path, [{}])
