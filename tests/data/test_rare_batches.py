"""Batches of a rare rule, and of coins: what is odd is known."""

import numpy as np
import pytest

from workbench.data.worlds.rare_batches import rare_batches
from workbench.errors import BadArgument


def test_odd_batches_are_whole_and_their_inputs_their_own():
    world = rare_batches(seed=1)
    assert len(np.unique(world.batches[world.odd])) == 6
    assert world.odd.sum() == 6 * 16
    half = world.inputs.shape[1] // 2
    assert not world.inputs[world.odd, :half].any()
    assert not world.inputs[~world.odd, half:].any()
    length = np.linalg.norm(world.inputs, axis=1)
    ratio = length[world.odd].mean() / length[~world.odd].mean()
    assert ratio == pytest.approx(0.3, abs=0.03)


def test_each_rule_can_be_learnt_from_its_own_rows_and_coins_cannot():
    def fitted(world, rows):
        weights = np.linalg.lstsq(world.inputs[rows], world.labels[rows], rcond=None)[0]
        return (np.sign(world.inputs[rows] @ weights) == world.labels[rows]).mean(), weights

    world = rare_batches(size=200, dim=8)
    _, rare = fitted(world, world.odd)
    _, common = fitted(world, ~world.odd)
    assert (np.sign(world.rare_inputs @ rare) == world.rare_labels).mean() > 0.9
    assert (np.sign(world.common_inputs @ common) == world.common_labels).mean() > 0.9
    coins = rare_batches(size=200, dim=8, noisy=True)
    assert fitted(coins, coins.odd)[0] < 0.6
    np.testing.assert_array_equal(coins.rare_labels, coins.common_labels)


def test_the_seed_decides_everything():
    one, same, other = (rare_batches(seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one.inputs, same.inputs)
    assert not np.array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batches": 0}, "`batches` is 0, but it must be a whole number >= 1"),
        ({"scale": 0.0}, "`scale` is 0.0, but it must be > 0"),
        ({"seed": -1}, "`seed` is -1, but it must be a whole number >= 0"),
    ],
)
def test_mistakes_are_refused(options, message):
    with pytest.raises(BadArgument, match=message):
        rare_batches(**options)
