"""Batches that cost most, again: the released order, what it finds, and what it falls for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench.errors import BadArgument
from workbench.sample import HardReplay, Plan, Sampler, Shuffled
from workbench.types import LossStore


class InOrder(Sampler):
    """Rows as they come."""

    def _plan(self, epoch, rng):
        rows = np.arange(len(self.pairs))
        batches = [rows[at : at + self.batch_size] for at in rows[:: self.batch_size]]
        return Plan(batches=batches, left_out=rows[:0], inspected=len(rows))


def diagonal(rows):
    return np.stack([np.arange(rows), np.arange(rows)], axis=1)


@pytest.mark.shared
@pytest.mark.parametrize("size", [1, 3])
def test_the_gold_visits(shared, size):
    cases = json.loads((shared / "gold/noise.json").read_text())
    (case,) = [case for case in cases if case["method"] == "delta_hard_batches"]
    given = case["inputs"]
    loss = list(given["first_epoch_losses"])
    store = LossStore.empty(5 * size)
    sampler = HardReplay(InOrder(diagonal(5 * size), batch_size=size), store, delta=given["delta"])
    visits, epoch, budget = [], 0, given["epochs"] * 5
    while len(visits) < budget:
        sampler.set_epoch(epoch)
        for batch in sampler:
            number = int(batch.rows[0]) // size
            spread = np.linspace(-0.1, 0.1, size)  # only the mean counts
            store.record(batch.rows, loss[number] + spread - spread.mean(), epoch=epoch)
            loss[number] *= given["loss_after_each_visit_multiplier"]
            visits.append(number)
            if len(visits) == budget:
                break
        epoch += 1
    assert visits == case["expected"]["visits"]
    assert np.bincount(visits).tolist() == case["expected"]["visits_per_batch"]
    # Every epoch can be made again from the store alone.
    again = HardReplay(InOrder(diagonal(5 * size), batch_size=size), store, delta=given["delta"])
    made = [int(rows[0]) // size for e in range(epoch) for rows in again.plan(e).batches]
    assert made[:budget] == visits


def world(*, delta, seed, noisy, batches=40, dim=32, size=16, epochs=16, rate=0.3):
    """Logistic regression on 40 batches, 6 of a rare mode (or of random labels), equal steps.

    Returns the share of the visits on the six, and accuracy on common and on rare rows.
    """
    rng = np.random.default_rng(seed)
    rows = batches * size
    points = rng.standard_normal((rows, dim))
    common, rare = rng.standard_normal((2, dim))
    odd = np.isin(np.arange(rows) // size, rng.choice(batches, 6, replace=False))
    labels = np.where(points @ common > 0, 1.0, -1.0)
    other = rng.choice([-1.0, 1.0], rows) if noisy else np.where(points @ rare > 0, 1.0, -1.0)
    labels = np.where(odd, other, labels)

    def features(points, odd):
        if noisy:
            return points
        return np.concatenate([points * ~odd[:, None], 0.3 * points * odd[:, None]], axis=1)

    store = LossStore.empty(rows)
    sampler = HardReplay(InOrder(diagonal(rows), batch_size=size), store, delta=delta)
    inputs = features(points, odd)
    weights, steps, on_odd, epoch = np.zeros(inputs.shape[1]), 0, 0, 0
    while steps < batches * epochs:
        for some in sampler.plan(epoch).batches:
            margins = labels[some] * (inputs[some] @ weights)
            store.record(some, np.log1p(np.exp(-margins)), epoch=epoch)
            pull = labels[some] / (1 + np.exp(margins))
            weights += rate * (inputs[some] * pull[:, None]).mean(axis=0)
            on_odd += bool(odd[some[0]])
            steps += 1
            if steps == batches * epochs:
                break
        epoch += 1
    tests = rng.standard_normal((4000, dim))
    said = [np.sign(features(tests, np.full(4000, rare)) @ weights) for rare in (False, True)]
    truth = [np.sign(tests @ rule) for rule in (common, rare)]
    accuracy = [float((one == two).mean()) for one, two in zip(said, truth, strict=True)]
    return on_odd / steps, *accuracy


@pytest.mark.slow
def test_a_rare_mode_gets_nearly_twice_the_visits_and_is_learnt_better():
    plain = np.array([world(delta=1.0, seed=seed, noisy=False) for seed in range(5)])
    half = np.array([world(delta=0.5, seed=seed, noisy=False) for seed in range(5)])
    # Gate: 1.8 times the share of visits (seen 1.94), not worse on 4 of 5 seeds (seen 5).
    assert (half[:, 0] >= 1.8 * plain[:, 0]).all()
    assert (half[:, 2] >= plain[:, 2]).sum() >= 4
    assert plain[:, 0] == pytest.approx(0.15)


@pytest.mark.slow
def test_wrong_labels_get_the_visits_too_and_accuracy_falls():
    # The warning of the docstring, in numbers: .85 to .78 on the five seeds.
    options = {"noisy": True, "dim": 48, "size": 8}
    plain = np.array([world(delta=1.0, seed=seed, **options) for seed in range(5)])
    half = np.array([world(delta=0.5, seed=seed, **options) for seed in range(5)])
    assert (half[:, 0] >= 1.8 * plain[:, 0]).all()
    assert plain[:, 1].mean() - half[:, 1].mean() >= 0.05


def test_at_least_one_batch_and_ties_by_number():
    store = LossStore.empty(6)
    sampler = HardReplay(InOrder(diagonal(6), batch_size=2), store, delta=0.1)
    store.record(np.arange(6), np.full(6, 0.5), epoch=0)
    # The released loop takes int(.1 x 3) = 0 batches and never ends.
    assert [rows.tolist() for rows in sampler.plan(1).batches] == [[0, 1]]
    assert sampler.plan(1).left_out.tolist() == [2, 3, 4, 5]
    half = HardReplay(InOrder(diagonal(6), batch_size=2), store, delta=0.7)
    assert len(half.plan(1).batches) == 2


def test_the_plan_follows_the_store_and_later_losses_do_not_change_it():
    store = LossStore.empty(8)
    sampler = HardReplay(InOrder(diagonal(8), batch_size=2), store, delta=0.5)
    store.record(np.arange(8), np.arange(8.0), epoch=0)
    before = [rows.tolist() for rows in sampler.plan(1).batches]
    assert before == [[4, 5], [6, 7]]
    store.record(np.array([4, 5, 6, 7]), np.zeros(4), epoch=1)
    assert [rows.tolist() for rows in sampler.plan(1).batches] == before
    assert [rows.tolist() for rows in sampler.plan(2).batches] == [[0, 1], [2, 3]]
    store.record(np.arange(4), np.full(4, 99.0), epoch=0)
    assert [rows.tolist() for rows in sampler.plan(1).batches] == [[0, 1], [2, 3]]


def test_the_inner_sampler_is_part_of_the_fingerprint(graph, worlds):
    pairs = worlds["topical"](80)
    store = LossStore.empty(80)
    made = [
        HardReplay(Shuffled(pairs, batch_size=8, seed=seed), store, delta=delta).fingerprint
        for seed, delta in ((0, 0.5), (1, 0.5), (0, 0.4), (0, 0.5))
    ]
    assert len(set(made)) == 3
    assert made[0] == made[3]


def test_mistakes_are_refused_with_the_mend():
    store, inner = LossStore.empty(6), InOrder(diagonal(6), batch_size=2)
    with pytest.raises(BadArgument, match=r"`delta` is 0, but it must be > 0"):
        HardReplay(inner, store, delta=0)
    with pytest.raises(BadArgument, match=r"`delta` is 1.5, but it must be <= 1"):
        HardReplay(inner, store, delta=1.5)
    with pytest.raises(BadArgument, match="it must be about 6 rows, as the sampler is"):
        HardReplay(inner, LossStore.empty(5))
    with pytest.raises(BadArgument, match="it must be another sampler of this room"):
        HardReplay(HardReplay(inner, store), store)
    sampler = HardReplay(inner, store)
    store.record(np.array([0, 1, 2]), np.ones(3), epoch=0)
    with pytest.raises(BadArgument, match=r"`epoch` is 1, but batch 1 has a row without a loss"):
        sampler.plan(1)
