"""Planted worlds: what each loss against noise claims must show where the truth is known.

Gates of the methods dossier, at sizes of a few seconds. What it says does not show is not asserted:
a ranking gain of the noisy-negative loss, for one.
"""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy, normalize, softplus

from workbench import losses
from workbench.data.worlds.class_modes import class_modes
from workbench.data.worlds.excerpts import excerpts
from workbench.data.worlds.hidden_positives import hidden_positives
from workbench.data.worlds.label_curve import label_curve
from workbench.data.worlds.missing_labels import missing_labels
from workbench.data.worlds.noisy_classes import noisy_classes
from workbench.data.worlds.pooled import pooled_world
from workbench.errors import BadArgument
from workbench.rules.loss_gate import gate_threshold


def auc(truth, score):
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(np.asarray(truth).ravel(), np.asarray(score).ravel()))


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def linear(*shape, generator, scale=None):
    """A weight matrix drawn from a generator, not from the process."""
    drawn = torch.randn(*shape, generator=generator) * (scale or shape[0] ** -0.5)
    return drawn.requires_grad_()


def network(widths, generator):
    """A plain perceptron: its layers, and the function they make."""
    layers = [
        [linear(one, two, generator=generator, scale=(2 / one) ** 0.5), torch.zeros(two)]
        for one, two in pairwise(widths)
    ]
    parameters = [part.requires_grad_() for layer in layers for part in layer]

    def forward(inputs):
        for place, (matrix, bias) in enumerate(layers):
            inputs = inputs @ matrix + bias
            if place + 1 < len(layers):
                inputs = inputs.relu()
        return inputs

    return parameters, forward


def train(parameters, value, *, steps, rate):
    optimizer = torch.optim.Adam(parameters, lr=rate)
    for step in range(steps):
        optimizer.zero_grad()
        value(step).backward()
        optimizer.step()


# CET


def ranker(world, seed, *, loss, steps=400):
    """A linear relevance scorer on all features, with a selection scorer on the pool's."""
    features = torch.tensor(world.features)
    labelled, hard = (
        torch.tensor(cells).float() for cells in (world.labelled, world.hard_negatives())
    )
    usable = (labelled.sum(1) > 0) & (hard.sum(1) > 0)
    features, labelled, hard = features[usable], labelled[usable], hard[usable]
    rows, generator = torch.arange(len(features)), seeded(seed)
    relevance, selection = torch.zeros(8, requires_grad=True), torch.zeros(4, requires_grad=True)

    def value(_):
        positive, negative = (
            features[rows, torch.multinomial(cells, 1, generator=generator)[:, 0]]
            for cells in (labelled, hard)
        )
        scores = positive @ relevance, negative @ relevance
        if loss is None:
            return softplus(scores[1] - scores[0]).mean()
        found = loss(*scores, positive[:, 4:] @ selection, negative[:, 4:] @ selection)
        return found.relevance.mean() + found.selection.mean()

    train([relevance, selection], value, steps=steps, rate=0.02)
    return relevance.detach().numpy()


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_coupled_scorers_see_through_the_pool(seed):
    world, fresh = (pooled_world(queries=200, seed=one) for one in (seed, seed + 100))
    found = {}
    for name, loss in (("plain", None), ("coupled", losses.Coupled(temperature=2.0))):
        weights = ranker(world, seed, loss=loss)
        scores, hidden = fresh.features @ weights, ~fresh.labelled
        found[name] = (
            auc(fresh.relevant, scores),
            auc(fresh.relevant[hidden], scores[hidden]),
            float(np.linalg.norm(weights[4:]) / np.linalg.norm(weights[:4])),
        )
    plain, coupled = found["plain"], found["coupled"]
    assert coupled[0] >= plain[0] + 0.02
    assert coupled[1] >= plain[1] + 0.03
    assert coupled[2] < plain[2]


# NBPO


def preferences(world, seed, flip, *, steps=200):
    """Low-rank preferences fitted to votes; a flip of None is learned as one free number."""
    voted = torch.tensor(world.voted)
    users, items = voted.nonzero(as_tuple=True)
    per_user = voted.sum(1)[users][:, None]
    weight = (~voted)[users].float() / per_user  # an unlabelled cell counts once per user
    generator = seeded(seed)
    left = linear(len(voted), 4, generator=generator)
    right = linear(4, voted.shape[1], generator=generator)
    offset = torch.full((1,), -1.0, requires_grad=True)
    free = torch.full((1,), -2.0, requires_grad=True)

    def value(_):
        odds = left @ right + offset
        share = torch.sigmoid(free).expand(weight.shape) if flip is None else flip
        loss = losses.noisy_negative(
            odds[users], items, temperature=1.0, bias=0.0, flip=share, weight=weight
        )
        return loss.sum() / voted.numel() + 5e-4 * (left.square().sum() + right.square().sum())

    train([left, right, offset, free], value, steps=steps, rate=0.05)
    rate = torch.sigmoid(left @ right + offset).detach()
    return float(rate.mean()), float(torch.sigmoid(free.detach()))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_a_known_flip_rate_calibrates(seed):
    world = hidden_positives(users=80, items=60, seed=seed)
    truth = float(world.likes.mean())
    plain, _ = preferences(world, seed, 0.0)
    robust, _ = preferences(world, seed, world.hidden)
    _, free = preferences(world, seed, None)
    assert abs(plain - truth) >= 0.12
    assert abs(robust - truth) <= 0.06
    assert free < world.hidden / 2  # the rate is not identified by the votes alone


# DLG-LC


def classifier(world, seed, *, gate, correct, epochs=16, batch=250):
    """Train on noisy labels: plain to epoch 4, gated from 5, corrected from 9."""
    generator = seeded(seed)
    parameters, forward = network([world.points.shape[1], 64, 10], generator)
    optimizer = torch.optim.Adam(parameters, lr=0.005)
    points, labels = torch.tensor(world.points), torch.tensor(world.labels)
    cost = np.full(len(points), np.nan)
    for epoch in range(epochs):
        gated = gate and epoch >= 5
        loss = losses.GateAndCorrect(
            temperature=1.0,
            threshold=gate_threshold(cost) if gated else None,
            confidence=0.5 if correct and epoch >= 9 else 1.0,
        )
        order = torch.randperm(len(points), generator=generator)
        for rows in order.split(batch):
            noise = torch.randn(len(rows), points.shape[1], generator=generator)
            logits = forward(points[rows] + 0.3 * noise)
            with torch.no_grad():
                clean = forward(points[rows])
                plain = cross_entropy(logits, labels[rows], reduction="none")
            cost[rows.numpy()] = plain.double().numpy()
            optimizer.zero_grad()
            loss(logits, labels[rows], teacher=clean).mean().backward()
            optimizer.step()
    with torch.no_grad():
        guess = forward(torch.tensor(world.test_points)).argmax(1).numpy()
        clean = forward(points).argmax(1).numpy()
    kept = np.log(cost.clip(1e-12)) <= gate_threshold(cost)
    return {
        "accuracy": float((guess == world.test_truth).mean()),
        "precision": float(world.clean[kept].mean()),
        "recall": float(kept[world.clean].mean()),
        "corrected": float((clean == world.truth)[~kept].mean()),
    }


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_loss_gate_finds_wrong_labels_and_mends_them(seed):
    world = noisy_classes(seed=seed)
    plain = classifier(world, seed, gate=False, correct=False)
    gated = classifier(world, seed, gate=True, correct=False)
    both = classifier(world, seed, gate=True, correct=True)
    assert plain["accuracy"] < gated["accuracy"] < both["accuracy"]
    assert gated["precision"] >= 0.88
    assert gated["recall"] >= 0.95
    assert both["corrected"] >= 0.9


# ASL


def containment(weight, seed, *, steps=500, batch=32):
    """InfoNCE on cosines plus the norm ratio; what it says of fresh excerpts and wholes."""
    generator = seeded(seed)
    parameters, forward = network([120, 64, 32], generator)
    ratio, contrast = losses.NormRatio(weight=weight), losses.InfoNCE(temperature=0.1)
    world = excerpts(rows=5000, seed=seed)
    wholes, parts = torch.tensor(world.wholes), torch.tensor(world.excerpts)

    def value(_):
        rows = torch.randint(len(wholes), (batch,), generator=generator)
        whole, part = forward(wholes[rows]), forward(parts[rows])
        cosines = normalize(part) @ normalize(whole).T
        return contrast(cosines, torch.arange(batch)).mean() + ratio(whole, part).mean()

    train(parameters, value, steps=steps, rate=0.002)
    fresh = excerpts(rows=300, seed=seed + 100)
    with torch.no_grad():
        whole, part = forward(torch.tensor(fresh.wholes)), forward(torch.tensor(fresh.excerpts))
    asked = losses.directional_score(part, whole).diagonal()
    reversed_ = losses.directional_score(whole, part).diagonal()
    truth = np.repeat([1, 0], len(asked))
    longer = float((whole.norm(dim=1) > part.norm(dim=1)).float().mean())
    return longer, auc(truth, torch.cat([asked, reversed_]))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_length_learns_which_side_is_the_excerpt(seed):
    silent, _ = containment(0.0, seed, steps=300)
    direction, gated = containment(5.0, seed)
    assert silent < 0.6
    assert direction >= 0.95
    assert gated >= 0.95


# SupReMix


def graded(world, seed, *, loss, steps=250, batch=120):
    """A small network trained with graded contrast, or with SupCon on exact labels, or not."""
    generator = seeded(seed)
    parameters, forward = network([20, 64, 16], generator)
    points, labels = torch.tensor(world.points)[:400], torch.tensor(world.labels)[:400]

    def value(_):
        rows = torch.randperm(len(points), generator=generator)[:batch]
        vectors, answers = normalize(forward(points[rows])), labels[rows]
        if loss == "supremix":
            kind = losses.SupReMix(window=5.0, max_positive_mixtures=64)
            found = kind(vectors, answers, generator=generator)
            return found.sum() / (found != 0).sum()
        own = torch.eye(batch, dtype=torch.bool)
        mates = (answers[:, None] == answers[None, :]) & ~own
        paired = mates.any(1)
        kind = losses.SupervisedContrastive(temperature=0.07)
        weight = (~own).float()[paired]
        scores = (vectors @ vectors.T)[paired]
        return kind(
            scores, mates[paired].int().argmax(1), known=mates[paired], weight=weight
        ).mean()

    if loss is not None:
        train(parameters, value, steps=steps, rate=0.002)
    with torch.no_grad():
        return normalize(forward(torch.tensor(world.points)))


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_mixtures_put_labels_in_order(seed):
    from scipy.stats import spearmanr
    from sklearn.linear_model import Ridge

    world = label_curve(rows=600, seed=seed)
    found = {}
    for name in ("supcon", "supremix"):
        vectors = graded(world, seed, loss=name).numpy()
        test, labels = vectors[400:], world.labels[400:]
        apart = np.sqrt(np.clip(2 - 2 * test @ test.T, 0, None))
        pairs = np.triu_indices(len(test), 1)
        order = spearmanr(apart[pairs], np.abs(labels[:, None] - labels)[pairs]).statistic
        probe = Ridge(alpha=0.01).fit(vectors[:400], world.labels[:400])
        found[name] = (float(order), float(np.abs(probe.predict(test) - labels).mean()))
    assert found["supremix"][0] >= 0.6
    assert found["supremix"][0] >= found["supcon"][0] + 0.25
    assert found["supremix"][1] <= 0.95 * found["supcon"][1]


# LOOK


def modes_of(world, seed, loss, *, steps=200, batch=150):
    """Train on classes, then ask the nearest neighbours for class and for mode."""
    from sklearn.neighbors import KNeighborsClassifier

    generator = seeded(seed)
    parameters, forward = network([20, 64, 8], generator)
    points, classes = torch.tensor(world.points)[:800], torch.tensor(world.classes)[:800]
    own = torch.eye(batch, dtype=torch.bool)

    def value(_):
        rows = torch.randperm(len(points), generator=generator)[:batch]
        vectors, said = normalize(forward(points[rows])), classes[rows]
        mates = (said[:, None] == said[None, :]) & ~own
        found = loss(vectors @ vectors.T, mates.int().argmax(1), known=mates, weight=(~own).float())
        return found.mean()

    train(parameters, value, steps=steps, rate=0.002)
    with torch.no_grad():
        vectors = normalize(forward(torch.tensor(world.points))).numpy()
    scores = []
    for answer in (world.classes, world.modes):
        near = KNeighborsClassifier(10).fit(vectors[:800], answer[:800])
        scores.append(float(near.score(vectors[800:], answer[800:])))
    return scores


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_nearest_neighbours_keep_the_modes_of_a_class(seed):
    world = class_modes(seed=seed)
    supcon = modes_of(world, seed, losses.SupervisedContrastive(temperature=0.1))
    look = modes_of(world, seed, losses.LeaveOneOutKNN(k=10))
    assert look[1] >= 0.95
    assert look[1] >= supcon[1] + 0.2
    assert abs(look[0] - supcon[0]) <= 0.01


# PU-MLC


def labeller(world, seed, loss, *, steps=100):
    """A perceptron with one output per label: test mAP and AUC for hidden positives."""
    from sklearn.metrics import average_precision_score

    parameters, forward = network([30, 32, 12], seeded(seed))
    inputs, kept = torch.tensor(world.inputs), torch.tensor(world.kept)

    def value(_):
        logits = forward(inputs)
        if loss is None:
            return torch.nn.functional.binary_cross_entropy_with_logits(logits, kept.float())
        return loss(logits.T, kept.int().argmax(0), known=kept.T).mean()

    train(parameters, value, steps=steps, rate=0.01)
    with torch.no_grad():
        test, own = (forward(torch.tensor(given)) for given in (world.test_inputs, world.inputs))
    unlabelled = ~world.kept
    precision = average_precision_score(world.test_truth, test.numpy(), average="macro")
    hidden = auc(world.truth[unlabelled], own.numpy()[unlabelled])
    return float(precision), hidden


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_missing_labels_are_not_negatives(seed):
    half, few = missing_labels(keep=0.5, seed=seed), missing_labels(keep=0.1, seed=seed)
    loss = losses.PositiveUnlabelled()
    plain = labeller(half, seed, None), labeller(few, seed, None)
    found = labeller(half, seed, loss), labeller(few, seed, loss)
    flat = labeller(few, seed, losses.PositiveUnlabelled(gamma=0.0))
    assert found[0][0] >= plain[0][0] + 0.02
    assert found[1][0] >= plain[1][0] + 0.15
    assert found[1][1] >= 0.8
    assert found[1][0] > flat[0]


WORLDS = [
    pooled_world,
    hidden_positives,
    noisy_classes,
    excerpts,
    label_curve,
    class_modes,
    missing_labels,
]


@pytest.mark.parametrize("make", WORLDS, ids=lambda make: make.__name__)
def test_a_world_is_its_seed(make):
    one, two, other = (vars(make(seed=seed)) for seed in (0, 0, 1))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    assert not all(np.array_equal(one[name], other[name]) for name in one)
    with pytest.raises(BadArgument, match=r"`seed` is -1, but it must be a whole number >= 0"):
        make(seed=-1)


def test_a_pool_is_small_and_hides_half_of_the_truth():
    world = pooled_world()
    assert 0.15 < float(world.relevant.mean()) < 0.25
    assert float(world.labelled.sum() / world.relevant.sum()) < 0.3
    assert not bool((world.hard_negatives() & world.labelled).any())


def test_an_excerpt_has_only_words_of_its_whole():
    world = excerpts(rows=50)
    assert bool(((world.excerpts > 0) <= (world.wholes > 0)).all())
    counts = (world.excerpts > 0).sum(1)
    assert counts.min() >= 4
    assert counts.max() <= 10
    with pytest.raises(BadArgument, match=r"`length` is 9, but there are only 5 words"):
        excerpts(words=5, length=9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: hidden_positives(hidden=2), r"`hidden` is 2, but it must be <= 1"),
        (lambda: noisy_classes(wrong=-1), r"`wrong` is -1, but it must be >= 0"),
        (lambda: noisy_classes(classes=1), r"`classes` is 1"),
        (lambda: label_curve(noise=-1), r"`noise` is -1"),
        (lambda: class_modes(modes=0), r"`modes` is 0"),
        (lambda: missing_labels(keep=2), r"`keep` is 2"),
        (lambda: pooled_world(docs=0), r"`docs` is 0"),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
