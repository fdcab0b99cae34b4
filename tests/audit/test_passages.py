"""The kit for scorers of passages, and that it tells good pooling from bad: it tests itself."""

import json

import numpy as np
import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from workbench.audit.passages import TESTS, check_monotone, check_passages
from workbench.data.worlds.passage_bags import false_frequency, single_concept, two_concepts
from workbench.errors import BadArgument, BadData

POOLINGS = {
    "max": lambda scores: scores.max(axis=1),
    "mean": lambda scores: scores.mean(axis=1),
    "logsumexp": lambda scores: np.log(np.exp(5 * scores).sum(axis=1)) / 5,
    "noisy_or": lambda scores: 1 - np.prod(1 - 1 / (1 + np.exp(-scores)), axis=1),
}


@pytest.fixture
def gold(shared):
    cases = json.loads((shared / "gold" / "noise.json").read_text())
    (case,) = [c for c in cases if c["case"] == "monotone_pooling"]
    return case


def scorer_of(name, inputs, seen):
    """A pooling of the gold case as a scorer of bags; log-sum-exp is a sum over what is there."""
    matrix, attention, classifier = (
        np.array(inputs[part]) for part in ("W", "attention", "classifier")
    )

    def score(passages, there):
        bags = [bag[real].astype(np.float64) for bag, real in zip(passages, there, strict=True)]
        found = []
        for bag in bags:
            hidden = np.tanh(bag @ matrix.T)
            if name == "attention":
                share = np.exp(hidden @ attention)
                found.append(float((share / share.sum()) @ hidden @ classifier))
            else:
                found.append(float(POOLINGS[name]((hidden @ classifier)[None])[0]))
        seen.append(found)
        return found

    return score


@pytest.mark.shared
@pytest.mark.parametrize("name", ["max", "mean", "attention", "logsumexp", "noisy_or"])
def test_gold_poolings(gold, name):
    inputs, wanted, seen = gold["inputs"], gold["expected"][name], []
    found = check_monotone(
        scorer_of(name, inputs, seen),
        passages=np.array([inputs["bag"]]),
        added=np.array(inputs["added_instance"]),
    )
    assert [scores[0] for scores in seen] == pytest.approx(
        [wanted["before"], wanted["after"]], abs=1e-6
    )
    assert found.monotone == wanted["monotone"]
    assert found.largest_fall == pytest.approx(wanted["before"] - wanted["after"], abs=1e-6)


@pytest.mark.parametrize(("name", "monotone"), [("max", True), ("mean", False)])
def test_drawn_bags_tell_poolings_apart(name, monotone):
    def score(passages, there):
        total = passages.sum(axis=2)
        if name == "max":
            return np.where(there, total, -np.inf).max(axis=1)
        return np.where(there, total, 0).sum(axis=1) / there.sum(axis=1)

    found = check_monotone(score, bags=200, dim=3, seed=1)
    assert found.bags == 200
    assert found.monotone == monotone
    if not monotone:
        assert 0.3 < found.falls < 0.7
        assert found.largest_fall > 1
        assert 0 <= found.worst < 200


def test_only_a_fall_beyond_rounding_counts():
    def score(passages, there):
        return 10 - 1e-3 * there.sum(axis=1)

    assert check_monotone(score, tolerance=0.01).monotone
    assert check_monotone(score).falls == 1


# the three worlds


def has(bags, mean, near=1.0):
    close = (np.abs(bags.passages - mean) < near).all(axis=2) & bags.there
    return close.sum(axis=1)


@pytest.mark.parametrize("make", [single_concept, two_concepts])
def test_the_poison_changes_sides(make):
    for shifted in (False, True):
        bags = make(shifted=shifted)
        assert ((has(bags, -10) > 0) == (bags.labels == int(shifted))).all()
        assert bags.labels.mean() == 0.5
        assert (bags.passages[~bags.there] == 0).all()


def test_relevant_bags_hold_their_concepts():
    for shifted in (False, True):
        bags = two_concepts(shifted=shifted)
        first, second = has(bags, 2, 0.5), has(bags, 3, 0.5)
        relevant = bags.labels == 1
        assert ((first > 0) & (second > 0))[relevant].all()
        assert ((first > 0) ^ (second > 0))[~relevant].all()
    bags = single_concept()
    sizes = bags.there.sum(axis=1)
    assert sizes[bags.labels == 1].min() >= 2
    assert sizes.max() <= 12
    spread = bags.passages[bags.labels == 1][bags.there[bags.labels == 1]].std()
    assert spread > 1.2


def test_frequency_is_false_when_shifted():
    for shifted, low, high in ((False, 1, 1), (True, 35, 44)):
        bags = false_frequency(shifted=shifted)
        first = has(bags, 2, 0.6)[bags.labels == 0]
        assert low <= first.min()
        assert first.max() <= high + 1  # one of the background may lie there
        assert (has(bags, 3, 0.6)[bags.labels == 1] >= 1).all()


def test_worlds_are_drawn_from_their_seed():
    assert (two_concepts(seed=3).passages == two_concepts(seed=3).passages).all()
    assert (
        two_concepts(seed=3).passages.shape != two_concepts(seed=4).passages.shape
        or (two_concepts(seed=3).passages != two_concepts(seed=4).passages).any()
    )
    for options in ({"bags": 1}, {"dim": 0}, {"seed": -1}):
        with pytest.raises(BadArgument, match=rf"`{next(iter(options))}` is"):
            single_concept(**options)


# pooling of trained scorers


def fitted(pooling, *, epochs=40, starts=6):
    """Small torch models, started anew where one learned nothing: a coin's loss is .69."""

    def fit(bags):
        for start in range(6, 6 + starts):  # the first few learn nothing in two of the worlds
            scorer, loss = one_fit(pooling, bags, start, epochs)
            if loss < 0.6:
                break
        return scorer

    return fit


def one_fit(pooling, bags, start, epochs):
    """Instance scores pooled, or attention over hidden instances; and the loss in training."""
    generator = torch.Generator().manual_seed(start)
    sizes = {"score": (4, 32), "out": (32, 1), "gate": (4, 32), "gate out": (32, 1)}
    weights = {
        name: (torch.randn(*size, generator=generator) * size[0] ** -0.5).requires_grad_()
        for name, size in sizes.items()
    }
    biases = {
        name: torch.randn(size[1], generator=generator).requires_grad_()
        for name, size in sizes.items()
    }

    def layer(name, values):
        return values @ weights[name] + biases[name]

    def score(passages, there):
        hidden = layer("score", passages).relu()
        alone = layer("out", hidden)[..., 0]
        if pooling == "max":
            return alone.masked_fill(~there, -torch.inf).amax(dim=1)
        if pooling == "mean":
            return (alone * there).sum(dim=1) / there.sum(dim=1)
        gate = layer("gate out", layer("gate", passages).tanh())[..., 0]
        share = gate.masked_fill(~there, -torch.inf).softmax(dim=1)
        return layer("out", (share[..., None] * hidden).sum(dim=1))[:, 0]

    given = [torch.tensor(part) for part in (bags.passages, bags.there)]
    labels = torch.tensor(bags.labels).float()
    optimizer = torch.optim.Adam([*weights.values(), *biases.values()], lr=0.01)
    for _ in range(epochs):
        for rows in torch.randperm(len(labels), generator=generator).split(150):
            optimizer.zero_grad()
            found = score(*(part[rows] for part in given))
            binary_cross_entropy_with_logits(found, labels[rows]).backward()
            optimizer.step()

    def scorer(passages, there):
        with torch.no_grad():
            return score(torch.tensor(passages), torch.tensor(there)).numpy()

    with torch.no_grad():
        loss = float(binary_cross_entropy_with_logits(score(*given), labels))
    return scorer, loss


@pytest.mark.slow
@pytest.mark.parametrize("pooling", ["max", "attention", "mean"])
def test_the_kit_passes_max_and_fails_mean_and_attention(pooling):
    """Dossier: max >= .8 and >= .7 within .1 of fresh; attention and mean <= .2; mean <= .7."""
    seeds = (0,)
    found = check_passages(fitted(pooling), seeds=seeds)
    assert found.test.tolist() == [name for name in TESTS for _ in seeds]
    table = {name: part for name, part in found.groupby("test")}
    if pooling == "max":
        assert (found.verdict == "passes").all()
        assert (table["single concept"].shifted >= 0.8).all()
        assert ((found.fresh - found.shifted).abs() <= 0.1).all()
        return
    for name in ("single concept", "two concepts"):
        assert (table[name].fresh >= 0.95).all()
        assert (table[name].shifted <= 0.2).all()
        assert (table[name].verdict == "reads absence").all()
    if pooling == "mean":
        assert (table["false frequency"].shifted <= 0.7).all()
        assert (table["false frequency"].verdict != "passes").all()
    else:
        assert (table["false frequency"].verdict == "passes").all()


def test_fresh_bags_are_not_those_that_were_learned():
    """A scorer that remembers its training bags has nothing to say of any others."""
    seen = []

    def fit(bags):
        seen.append(bags)

        def score(passages, there):
            seen.append(passages)
            return np.zeros(len(passages))

        return score

    found = check_passages(fit, bags=20, seeds=[0])
    assert (found.fresh == 0.5).all()
    assert (found.verdict == "fails").all()
    for bags, fresh, shifted in zip(seen[::3], seen[1::3], seen[2::3], strict=True):
        assert not np.isin(bags.passages[bags.there], fresh).any()
        assert not np.isin(bags.passages[bags.there], shifted).any()


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: check_monotone(lambda p, t: p), BadArgument, "one score per bag, .300,."),
        (lambda: check_monotone(lambda p, t: p[:, 0, 0] * np.nan), BadData, "bag 0 is not finite"),
        (lambda: check_monotone(len, bags=0), BadArgument, "`bags` is 0"),
        (lambda: check_monotone(len, dim=0), BadArgument, "`dim` is 0"),
        (lambda: check_monotone(len, tolerance=-1), BadArgument, "`tolerance` is -1"),
        (lambda: check_monotone(len, seed=-1), BadArgument, "`seed` is -1"),
        (lambda: check_monotone(len, passages=np.ones((2, 3))), BadArgument, "bag, passage, dim"),
        (lambda: check_monotone(len, added=np.ones((2, 3))), BadArgument, "one passage per bag"),
        (lambda: check_passages(len, bags=1), BadArgument, "`bags` is 1"),
        (lambda: check_passages(len, dim=0), BadArgument, "`dim` is 0"),
        (lambda: check_passages(len, seeds=[]), BadArgument, "there must be one at least"),
        (lambda: check_passages(len, seeds=[-1]), BadArgument, "`seeds` is -1"),
        (
            lambda: check_passages(lambda bags: lambda p, t: t, bags=4, seeds=[0]),
            BadArgument,
            "one score per bag, .4,.",
        ),
    ],
)  # fmt: skip
def test_bad_input_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()
