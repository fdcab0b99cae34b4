"""Planted worlds: what each loss against noise claims must show where the truth is known.

Gates of the methods dossier, at sizes of a few seconds. What it says does not show is not asserted:
a ranking gain of the noisy-negative loss, for one.
"""

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
        for one, two in zip(widths[:-1], widths[1:], strict=True)
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


@pytest.mark.parametrize("seed", [0, 1, 2])
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
    print(plain, coupled)
    assert coupled[0] >= plain[0] + 0.02
    assert coupled[1] >= plain[1] + 0.03
    assert coupled[2] < plain[2]


# NBPO


def preferences(world, seed, flip, *, steps=150):
    """Low-rank preferences fitted to votes; a flip of None is learned as one free number."""
    voted = torch.tensor(world.voted)
    users, items = voted.nonzero(as_tuple=True)
    per_user = voted.sum(1)[users][:, None]
    weight = (~voted)[users].float() / per_user  # an unlabelled cell counts once per user
    generator = seeded(seed)
    left = linear(len(voted), 8, generator=generator)
    right = linear(8, voted.shape[1], generator=generator)
    offset = torch.full((1,), -1.0, requires_grad=True)
    free = torch.full((1,), -2.0, requires_grad=True)

    def value(_):
        odds = left @ right + offset
        share = torch.sigmoid(free).expand(weight.shape) if flip is None else flip
        loss = losses.noisy_negative(
            odds[users], items, temperature=1.0, bias=0.0, flip=share, weight=weight
        )
        return loss.sum() / voted.numel() + 1e-3 * (left.square().sum() + right.square().sum()) / 10

    train([left, right, offset, free], value, steps=steps, rate=0.05)
    rate = torch.sigmoid(left @ right + offset).detach()
    return float(rate.mean()), float(torch.sigmoid(free.detach()))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_known_flip_rate_calibrates(seed):
    world = hidden_positives(seed=seed)
    truth = float(world.likes.mean())
    plain, _ = preferences(world, seed, 0.0)
    robust, _ = preferences(world, seed, world.hidden)
    _, free = preferences(world, seed, None)
    print(truth, plain, robust, free)
    assert abs(plain - truth) >= 0.12
    assert abs(robust - truth) <= 0.06
    assert free < world.hidden / 2  # the rate is not identified by the votes alone
