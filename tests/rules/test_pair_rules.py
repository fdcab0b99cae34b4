"""Rules about whole pairs: laws for all, gold cases, an independent root finder, wording."""

import json
import math
from importlib import import_module

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

from workbench import rules
from workbench.errors import BadArgument
from workbench.registry import get, names, table
from workbench.types import LossStore

OPTIONS = {
    "bad_pair": [
        {},
        {"cut_noisy": 0.5, "cut_faulty": 0.5},
        {"lower_quantile": 0.2, "warmup": 2},
        {"discount": 5},
    ],
    "loss_gate": [{}, {"on": "raw", "seed": 3}, {"warmup": 3}],
}
EVERY = [(name, options) for name, many in OPTIONS.items() for options in many]
ROWS = 60


def filled(epochs=3):
    """Two heaps of losses; the last fifth of the rows is bad, row 0 has no past."""
    random = np.random.default_rng(0)
    store = LossStore.empty(ROWS)
    for epoch in range(epochs):
        losses = np.exp(random.normal(-2, 0.3, size=ROWS))
        losses[-ROWS // 5 :] *= 50
        store.record(np.arange(1, ROWS), losses[1:], epoch=epoch)
    return store


def test_every_registered_pair_rule_stands_here():
    assert set(OPTIONS) == set(names("pair_rule"))
    assert all(summary.endswith(".") and len(summary) > 10 for _, summary in table("pair_rule"))


@pytest.mark.parametrize(("name", "options"), EVERY)
class TestLaws:
    def test_weights_are_detached_finite_and_in_range(self, name, options):
        rule, store = get("pair_rule", name)(**options), filled()
        assert isinstance(rule, rules.PairRule)
        for dtype in (torch.float32, torch.float64, torch.bfloat16):
            for scale in (1e-20, 1.0, 1e4):
                loss = torch.rand(ROWS, dtype=torch.float64).to(dtype) * scale
                weight = rule(loss.requires_grad_(), np.arange(ROWS), store)
                assert weight.dtype == dtype
                assert weight.shape == (ROWS,)
                assert not weight.requires_grad
                assert bool(weight.isfinite().all())
                assert 0 <= float(weight.min()) <= float(weight.max()) <= 1

    def test_the_order_of_pairs_is_irrelevant(self, name, options):
        rule, store = get("pair_rule", name)(**options), filled()
        loss = torch.tensor(store.last()).nan_to_num(0.1)
        order = np.random.default_rng(1).permutation(ROWS)[:20]
        expected = rule(loss, np.arange(ROWS), store)[order]
        torch.testing.assert_close(rule(loss[order], order, store), expected)

    def test_before_the_warmup_all_are_trusted(self, name, options):
        rule = get("pair_rule", name)(**options)
        early = filled().before(rule.warmup - 1)
        assert rule(torch.full((3,), 100.0), np.arange(3), early).tolist() == [1.0] * 3

    def test_it_equals_its_options(self, name, options):
        one, two = get("pair_rule", name)(**options), get("pair_rule", name)(**options)
        assert one == two
        assert hash(one) == hash(two)


class TestBadPair:
    @pytest.fixture
    def gold(self, shared):
        cases = json.loads((shared / "gold/noise.json").read_text())
        return {c["case"]: (c["inputs"], c["expected"]) for c in cases if c["method"] == "DBPM"}

    @pytest.mark.shared
    @pytest.mark.parametrize(
        ("case", "bounded"),
        [
            ("memory_and_weights", False),
            ("bounded_variant", True),
            ("plain_mean_paper_form", False),
        ],
    )
    def test_weights_are_gold(self, gold, case, bounded):
        inputs, expected = gold[case]
        history = np.array(inputs["history"])
        means = history.mean(axis=1)
        if "max_epochs" in inputs:
            means = rules.discounted_mean(history, inputs["max_epochs"])
        among = rules.population(means, cut_noisy=inputs["cut_np"], cut_faulty=inputs["cut_fp"])
        if "mu" in expected:
            np.testing.assert_allclose(means, expected["instance_mean"], rtol=0, atol=1e-9)
            np.testing.assert_allclose(among[:2], [expected["mu"], expected["sd"]], atol=1e-9)
            assert np.flatnonzero(means <= among.noisy).tolist() == expected["np_index"]
            assert np.flatnonzero(means >= among.faulty).tolist() == expected["fp_index"]
        loss = torch.tensor(inputs["current_loss"], dtype=torch.float64)
        weight = rules.bad_pair(loss, means, among, bounded=bounded)
        wanted = torch.tensor(expected["weight"], dtype=torch.float64)
        torch.testing.assert_close(weight, wanted, rtol=1e-9, atol=1e-12)
        batch = torch.tensor(expected["batch_loss"], dtype=torch.float64)
        torch.testing.assert_close((weight * loss).mean(), batch, rtol=0, atol=1e-9)

    @pytest.mark.shared
    def test_the_rule_reads_the_same_from_a_store(self, gold):
        inputs, expected = gold["bounded_variant"]
        store = LossStore.empty(6)
        for epoch, losses in enumerate(np.array(inputs["history"]).T):
            store.record(np.arange(6), losses, epoch=epoch)
        store.record(np.arange(6), np.full(6, 99.0), epoch=3)  # the epoch that is running
        loss = torch.tensor(inputs["current_loss"])
        rows = np.array([5, 2, 4, 0])
        rule = rules.BadPair(cut_noisy=1, cut_faulty=1, discount=inputs["max_epochs"])
        found = rule(loss[rows], rows, store.before(3))
        torch.testing.assert_close(found, torch.tensor(expected["weight"])[rows])
        _, plain = gold["plain_mean_paper_form"]
        density = torch.tensor(plain["weight"])[rows]
        peak = plain["sd"] * math.sqrt(2 * math.pi)
        wanted = torch.where(density < 1, density * peak, 1.0)
        found = rules.BadPair(cut_noisy=1, cut_faulty=1)(loss[rows], rows, store.before(3))
        torch.testing.assert_close(found, wanted)

    def test_the_density_of_the_paper_amplifies_what_it_suspects(self):
        """Why it is not a weight: at sd 0.01 it is 24 at one sigma."""
        among = rules.Population(centre=1.0, spread=0.01, noisy=0.98, faulty=1.03)
        loss, past = torch.tensor([1.01]), np.array([1.5])
        assert float(rules.bad_pair(loss, past, among, bounded=False)) > 24
        assert float(rules.bad_pair(loss, past, among)) == pytest.approx(math.exp(-0.5))

    def test_skewed_losses_hide_noisy_pairs_unless_a_quantile_cuts(self):
        means = np.concatenate(
            [np.full(5, 0.001), np.exp(np.random.default_rng(0).normal(size=95))]
        )
        assert rules.population(means).noisy < 0
        assert (means <= rules.population(means, lower_quantile=0.05).noisy).sum() >= 5

    def test_pairs_that_do_not_differ_are_all_trusted(self):
        store = LossStore.empty(5)
        store.record(np.arange(5), np.full(5, 0.1), epoch=0)
        for options in ({}, {"cut_noisy": 0, "cut_faulty": 0}, {"lower_quantile": 0.5}):
            weight = rules.BadPair(**options)(torch.full((5,), 9.0), np.arange(5), store)
            assert weight.tolist() == [1.0] * 5

    def test_a_pair_without_a_past_is_trusted(self):
        store = filled()
        weight = rules.BadPair(cut_faulty=0)(torch.tensor([1e3, 1e3]), np.array([0, 59]), store)
        assert weight.tolist() == [1.0, 0.0]

    def test_discounted_means_skip_what_is_missing(self):
        history = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
        found = rules.discounted_mean(history, 4)
        np.testing.assert_allclose(found, [(1 * 1 / 4 + 3 * 3 / 4) / 2, np.nan])

    def test_more_epochs_than_the_training_has_are_refused(self):
        with pytest.raises(BadArgument, match=r"`discount` is 2, but there are 3 epochs of losses"):
            rules.BadPair(discount=2)(torch.ones(1), np.array([1]), filled())


def random_mixture(random):
    weights = random.dirichlet([2, 2])
    return tuple(weights), tuple(random.normal(size=2) * 2), tuple(random.uniform(0.1, 2, size=2))


class TestLossGate:
    @pytest.mark.shared
    def test_the_threshold_is_gold(self, shared):
        cases = json.loads((shared / "gold/noise.json").read_text())
        (case,) = [c for c in cases if c["case"] == "gate_threshold"]
        given, wanted = case["inputs"], case["expected"]["threshold"]
        parts = [tuple(given[name]) for name in ("weights", "means", "stds")]
        assert rules.crossing(*parts) == pytest.approx(wanted, abs=1e-9)
        assert rules.crossing(*(part[::-1] for part in parts)) == pytest.approx(wanted, abs=1e-9)

    @pytest.mark.shared
    def test_what_is_kept_is_gold(self, shared):
        cases = json.loads((shared / "gold/noise.json").read_text())
        (case,) = [c for c in cases if c["case"] == "gate_and_correct"]
        loss = torch.tensor(case["expected"]["ce"], dtype=torch.float64)
        kept = rules.loss_gate(loss, case["inputs"]["log_threshold"])
        assert kept.bool().tolist() == case["expected"]["keep"]

    def test_crossings_equal_a_root_finder(self):
        random, seen = np.random.default_rng(0), {True: 0, False: 0}
        for _ in range(300):
            weights, means, stds = random_mixture(random)
            low, high = np.argsort(means)

            def gap(x, parts=(weights, means, stds), low=low, high=high):
                logs = [
                    np.log(w / s) - 0.5 * ((x - m) / s) ** 2 for w, m, s in zip(*parts, strict=True)
                ]
                return logs[low] - logs[high]

            found = rules.crossing(weights, means, stds)
            ends = gap(means[low]), gap(means[high])
            seen[math.isnan(found)] += 1
            if ends[0] > 0 > ends[1]:
                wanted = brentq(gap, means[low], means[high], xtol=1e-14)
                assert found == pytest.approx(wanted, abs=1e-8)
            elif math.isnan(found):
                grid = np.linspace(means[low], means[high], 2001)
                signs = np.sign(gap(grid))
                assert not ((signs[:-1] > 0) & (signs[1:] < 0)).any()
            else:  # two crossings between the means: the lower part rules just below this one
                step = 1e-4 * (means[high] - means[low])
                assert gap(found - step) > 0 > gap(found + step)
        assert min(seen.values()) > 20

    def test_equal_spreads_cross_in_the_middle(self):
        assert rules.crossing((0.5, 0.5), (-1.0, 3.0), (0.7, 0.7)) == pytest.approx(1.0)

    def test_one_component_that_swallows_the_other_has_no_gate(self):
        assert math.isnan(rules.crossing((0.99, 0.01), (0.0, 0.1), (1.0, 1.0)))
        assert math.isnan(rules.crossing((0.5, 0.5), (1.0, 1.0), (1.0, 1.0)))

    def test_two_heaps_are_told_apart(self):
        store = filled()
        loss = torch.tensor(store.last()).nan_to_num(0.1)
        kept = rules.LossGate()(loss, np.arange(ROWS), store)
        assert kept.tolist() == [1.0] * (ROWS - ROWS // 5) + [0.0] * (ROWS // 5)

    def test_losses_that_are_the_same_or_few_gate_nothing(self):
        assert rules.gate_threshold(np.full(50, 2.0)) == math.inf
        assert rules.gate_threshold(np.array([0.1, 5.0, np.nan])) == math.inf
        assert rules.gate_threshold(np.array([])) == math.inf

    def test_losses_of_zero_are_kept_and_do_not_move_the_gate(self):
        past = filled().last()
        with_zeros = np.concatenate([past, np.zeros(500)])
        assert rules.gate_threshold(with_zeros) == rules.gate_threshold(past)
        assert rules.loss_gate(torch.zeros(2), rules.gate_threshold(past)).tolist() == [1, 1]

    def test_the_newest_loss_of_each_row_is_what_counts(self):
        store = filled(epochs=1)
        rule, loss, rows = rules.LossGate(), torch.tensor([1.0]), np.array([1])
        assert rule(loss, rows, store).tolist() == [0]
        store.record(np.arange(ROWS), store.last()[1:].mean() * np.ones(ROWS), epoch=1)
        assert rule(loss, rows, store).tolist() == [1]

    def test_it_is_fitted_once_per_epoch(self, monkeypatch):
        fits = []
        gate_file = import_module("workbench.rules.loss_gate")
        monkeypatch.setattr(gate_file, "gate_threshold", lambda *_, **__: fits.append(1) or 0.0)
        store, rule = filled(), rules.LossGate()
        for _ in range(3):
            rule(torch.ones(1), np.array([1]), store.before(3))
            store.record([1], [1.0], epoch=3)
        assert len(fits) == 1
        rule(torch.ones(1), np.array([1]), store.before(4))
        assert len(fits) == 2


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: rules.BadPair(cut_noisy=-1), r"`cut_noisy` is -1, but it must be >= 0\. Try 2"),
        (lambda: rules.BadPair(cut_faulty=-1), r"`cut_faulty` is -1, but it must be >= 0\. Try 3"),
        (lambda: rules.BadPair(warmup=0), r"`warmup` is 0, but it must be a whole number >= 1"),
        (lambda: rules.BadPair(lower_quantile=2), r"`lower_quantile` is 2, but it must be <= 1"),
        (lambda: rules.BadPair(discount=0), r"`discount` is 0, .* epochs of the whole training"),
        (lambda: rules.LossGate(on="lg"), r"`on` is 'lg', but .* Did you mean 'log'\?"),
        (lambda: rules.LossGate(warmup=0), r"`warmup` is 0, but it must be a whole number >= 1"),
        (lambda: rules.LossGate(seed=-1), r"`seed` is -1, but it must be a whole number >= 0"),
        (
            lambda: rules.gate_threshold(np.array([-1.0, 2.0])),
            r"`on` is 'log', but a loss of -1 has no log\. Use LossGate\(on=\"raw\"\)",
        ),
    ],
)  # fmt: skip
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
