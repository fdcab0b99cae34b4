"""The losses of training read as an audit: the same sets as the rules, and planted worlds."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn.functional import normalize

from workbench import rules
from workbench.audit.loss_noise import VERDICTS, loss_noise, wrong_probability
from workbench.data.worlds.bad_pairs import bad_pairs
from workbench.data.worlds.noisy_classes import noisy_classes
from workbench.errors import BadArgument, BadData
from workbench.losses import info_nce
from workbench.rules.loss_gate import Heaps, heaps
from workbench.types import LossStore


def store_of(history):
    return LossStore(values=np.asarray(history, dtype=np.float32))


@pytest.fixture
def two_heaps(rng):
    """200 rows over 3 epochs, 40 of them costly, one never seen."""
    cost = np.exp(np.where(np.arange(200) < 160, -3.0, 1.0)[:, None] + rng.normal(size=(200, 3)))
    cost[7] = np.nan
    return store_of(cost)


@pytest.mark.parametrize("gate", [rules.LossGate(), rules.LossGate(on="raw", seed=3)])
def test_gated_rows_are_those_the_rule_leaves_out(two_heaps, gate):
    found = loss_noise(two_heaps, gate=gate)
    loss = torch.tensor(found.last).nan_to_num(0.0)
    weight = gate(loss, np.arange(200), two_heaps).numpy()
    assert found.gated.tolist() == (weight == 0).tolist()
    assert 20 < found.gated.sum() < 60
    seen = found.verdict != "unseen"
    np.testing.assert_array_equal(found.gated[seen], found.probability[seen] > 0.5)


@pytest.mark.parametrize(
    "rule",
    [
        rules.BadPair(cut_noisy=0.3, cut_faulty=1.0),
        rules.BadPair(lower_quantile=0.1, cut_faulty=0.5),
        rules.BadPair(cut_noisy=0.2, cut_faulty=0.5, discount=4),
    ],
)
def test_bad_pairs_are_those_the_rule_trusts_less(two_heaps, rule):
    found = loss_noise(two_heaps, bad_pairs=rule)
    past = torch.tensor(two_heaps.mean()).nan_to_num(0.0)
    weight = rule(past + 0.1, np.arange(200), two_heaps).numpy()
    bad = np.isin(found.verdict, ["noisy", "faulty"])
    assert bad.tolist() == (weight < 1).tolist()
    centre = np.nanmean(found.past)
    assert (found.past[found.verdict == "noisy"] < centre).all()
    assert (found.past[found.verdict == "faulty"] > centre).all()
    assert {*found.verdict.tolist()} == {*VERDICTS}


def test_gold_pairs_of_the_paper():
    """Dossier on DBPM: row 2 is noisy, row 4 faulty, by plain means and by the released form."""
    history = [[2.0, 1.5, 1.2], [2.1, 1.6, 1.1], [0.4, 0.1, 0.05], [2.2, 1.4, 1.3],
               [4.0, 4.2, 4.4], [1.9, 1.7, 1.0]]  # fmt: skip
    for discount in (None, 5):
        rule = rules.BadPair(cut_noisy=1.0, cut_faulty=1.0, discount=discount)
        found = loss_noise(store_of(history), bad_pairs=rule)
        assert found.verdict.tolist() == ["fine", "fine", "noisy", "fine", "faulty", "fine"]
    assert found.past[4] == pytest.approx(1.706666666666667, abs=1e-6)


def test_the_probability_is_that_of_the_mixture(two_heaps):
    from scipy.stats import norm

    found = loss_noise(two_heaps)
    two = heaps(two_heaps.last())
    x = np.clip(np.log(found.last), *two.means)
    low, high = (
        weight * norm.pdf(x, mean, std)
        for weight, mean, std in zip(two.weights, two.means, two.stds, strict=True)
    )
    np.testing.assert_allclose(found.probability, high / (low + high), atol=1e-9)
    assert np.log(found.gate) == pytest.approx(two.gate)
    assert np.isnan(found.probability).tolist() == [row == 7 for row in range(200)]


def test_a_wide_upper_heap_does_not_claim_the_easiest_pairs():
    wide = Heaps((0.7, 0.3), (-1.0, 1.5), (0.2, 2.0), 0.0)
    chances = wrong_probability(np.exp(np.linspace(-9, 9, 400)), wide)
    assert chances[0] < 0.1
    assert chances[-1] > 0.99
    assert wrong_probability(np.zeros(1), wide)[0] == chances[0]


def test_losses_without_two_heaps_say_nothing():
    found = loss_noise(store_of(np.full((50, 2), 2.0)))
    assert found.gate == np.inf
    assert np.isnan(found.probability).all()
    assert found.counts() == {"fine": 50, "noisy": 0, "faulty": 0, "unseen": 0, "gated": 0}


def test_nothing_is_said_before_the_warmup_is_over(two_heaps):
    found = loss_noise(
        two_heaps, gate=rules.LossGate(warmup=4), bad_pairs=rules.BadPair(warmup=4, cut_faulty=0.0)
    )
    assert found.counts() == {"fine": 199, "noisy": 0, "faulty": 0, "unseen": 1, "gated": 0}


def test_the_frame_names_pairs_and_starts_with_the_worst(two_heaps):
    ids = np.array([f"q{row}" for row in range(200)], dtype=object)
    found = loss_noise(two_heaps)
    frame = found.frame(query_ids=ids, doc_ids=ids)
    assert list(frame.columns[:4]) == ["row", "query_id", "doc_id", "probability"]
    assert (frame.query_id == "q" + frame.row.astype(str)).all()
    assert frame.probability[:198].is_monotonic_decreasing
    assert sorted(frame.row) == list(range(200))
    assert frame.gated[: found.gated.sum()].all()
    assert "query_id" not in found.frame().columns
    assert repr(found).startswith("LossNoise(200 rows: ")
    with pytest.raises(BadArgument, match=r"`doc_ids` is .3,., but there must be 200, one per"):
        found.frame(doc_ids=ids[:3])


def test_what_cannot_be_read_is_refused():
    with pytest.raises(BadData, match="no row has a loss"):
        loss_noise(LossStore.empty(3))
    with pytest.raises(BadArgument, match=r"a loss of -1 has no log"):
        loss_noise(store_of([[-1.0]] * 20))
    with pytest.raises(BadArgument, match="there are 2 epochs of losses already"):
        loss_noise(store_of([[1.0, 2.0]] * 20), bad_pairs=rules.BadPair(discount=1))


# planted worlds


def trained(loss_of, *, widths, rows, batch, epochs, seed):
    """A store of what every row cost a small perceptron; `loss_of(network, rows)` per batch."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
    network = torch.nn.Sequential(layers[0], torch.nn.ReLU(), layers[1])
    random, store = np.random.default_rng(seed), LossStore.empty(rows)
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    for epoch in range(epochs):
        for some in random.permutation(rows).reshape(-1, batch):
            values = loss_of(network, some)
            optimizer.zero_grad()
            values.mean().backward()
            optimizer.step()
            store.record(some, values.detach(), epoch=epoch)
    return store


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_wrong_labels_stand_behind_the_gate(seed):
    """Dossier on DLG-LC: 40 % wrong; kept rows right at >= .88, right rows kept at >= .95."""
    world = noisy_classes(seed=seed)
    points, labels = torch.tensor(world.points), torch.tensor(world.labels)

    def loss_of(network, rows):
        return info_nce(network(points[rows]), labels[rows], temperature=1.0)

    store = trained(loss_of, widths=(20, 64, 10), rows=2000, batch=100, epochs=5, seed=seed)
    found = loss_noise(store)
    assert world.clean.mean() < 0.63
    assert world.clean[~found.gated].mean() >= 0.88
    assert (~found.gated)[world.clean].mean() >= 0.95
    assert roc_auc_score(~world.clean, found.probability) >= 0.95
    assert found.probability.mean() == pytest.approx((~world.clean).mean(), abs=0.08)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_that_do_not_belong_together_are_called_faulty(seed):
    """Dossier on DBPM: precision >= .95, recall >= .6; the easy ones need a quantile."""
    world = bad_pairs(seed=seed)
    views = torch.tensor(world.left), torch.tensor(world.right)

    def loss_of(network, rows):
        one, two = (normalize(network(view[rows]), dim=1) for view in views)
        return info_nce(one @ two.T, torch.arange(len(rows)), temperature=0.2)

    store = trained(loss_of, widths=(20, 64, 16), rows=1000, batch=250, epochs=20, seed=seed)
    found = loss_noise(store, bad_pairs=rules.BadPair(cut_faulty=2, lower_quantile=0.1))
    faulty, noisy = (found.verdict == name for name in ("faulty", "noisy"))
    assert world.faulty[faulty].mean() >= 0.95
    assert faulty[world.faulty].mean() >= 0.6
    assert roc_auc_score(world.faulty, found.past) >= 0.95
    assert world.noisy[noisy].mean() >= 0.8
    assert found.frame().row[:20].isin(np.flatnonzero(world.faulty)).mean() >= 0.9
