"""InfoNCE and DCL: brute force, gold numbers, independent oracles. Laws: test_laws.py."""

import json
import math

import pytest
import torch

from workbench import losses
from workbench.errors import BadArgument

DOUBLE = torch.float64


def scores_of(seed=0, rows=5, columns=8, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, columns, generator=generator, dtype=DOUBLE) * 2 - 1
    return scores.to(dtype), torch.arange(rows)


def test_info_nce_by_brute_force():
    scores, positive = scores_of(3, 4, 6)
    weight = torch.rand(4, 6, generator=torch.Generator().manual_seed(4), dtype=DOUBLE)
    found = losses.info_nce(scores, positive, temperature=0.2, weight=weight)
    for i in range(4):
        top = math.exp(float(scores[i, i]) / 0.2)
        rest = 0.0
        for j in range(6):
            if j != i:
                rest += float(weight[i, j]) * math.exp(float(scores[i, j]) / 0.2)
        assert math.isclose(float(found[i]), -math.log(top / (top + rest)), rel_tol=1e-12)


def test_info_nce_equals_cross_entropy():
    scores, positive = scores_of(5)
    expected = torch.nn.functional.cross_entropy(scores / 0.07, positive, reduction="none")
    torch.testing.assert_close(losses.info_nce(scores, positive, temperature=0.07), expected)


def test_gradient_of_info_nce_is_that_of_dcl_times_the_coupling():
    """Dossier 12: d InfoNCE = q_i d DCL with q_i = 1 - softmax(positive), to 1e-9."""
    scores, positive = scores_of(6)
    scores.requires_grad_()
    (nce,) = torch.autograd.grad(losses.info_nce(scores, positive, temperature=0.1).sum(), scores)
    (dcl,) = torch.autograd.grad(losses.decoupled(scores, positive, temperature=0.1).sum(), scores)
    q = 1 - (scores / 0.1).softmax(1)[torch.arange(5), positive]
    torch.testing.assert_close(nce, q[:, None] * dcl, rtol=1e-9, atol=1e-9)


def test_dcl_gradient_hardly_depends_on_the_batch():
    """Dossier 12's gate: ratio <= .1 at B = 8 and >= .4 at B = 512, DCL's spread <= 2x."""
    nce, dcl = {}, {}
    for rows in (8, 128, 512):
        norms = []
        for loss in (losses.info_nce, losses.decoupled):
            generator = torch.Generator().manual_seed(0)
            anchors = torch.nn.functional.normalize(
                torch.randn(rows, 64, generator=generator), dim=1
            )
            noise = torch.randn(rows, 64, generator=generator)
            views = torch.nn.functional.normalize(anchors + 0.09 * noise, dim=1)
            anchors.requires_grad_()
            value = loss(anchors @ views.T, torch.arange(rows), temperature=0.1)
            (gradient,) = torch.autograd.grad(value.sum(), anchors)
            norms.append(float(gradient.norm(dim=1).mean()))
        nce[rows], dcl[rows] = norms
    assert nce[8] / dcl[8] <= 0.1
    assert nce[512] / dcl[512] >= 4 * nce[8] / dcl[8]
    assert max(dcl.values()) / min(dcl.values()) <= 2


@pytest.mark.shared
@pytest.mark.parametrize("case", ["3 pairs, tau=0.1", "3 pairs, tau=0.5"])
def test_decoupled_is_gold(shared, case):
    cases = json.loads((shared / "gold/retrieval.json").read_text())
    (gold,) = [c for c in cases if c["method"] == "DCL" and c["case"] == case]
    views = [
        torch.nn.functional.normalize(torch.tensor(gold["inputs"][name], dtype=DOUBLE), dim=1)
        for name in ("view1_raw", "view2_raw")
    ]
    temperature = gold["inputs"]["temperature"]
    own, positive = torch.eye(3, dtype=torch.bool), torch.arange(3)

    def both(kind, **options):
        values = []
        for one, two in (views, views[::-1]):
            scores = torch.cat([one @ two.T, one @ one.T], dim=1)
            weight = torch.cat([torch.ones(3, 3), (~own).float()], dim=1).to(DOUBLE)
            value = kind(scores, positive, temperature=temperature, weight=weight, **options)
            values.append(float(value.mean()))
        return values

    expected = gold["expected"]
    for key, kind, options in (
        ("dcl", losses.decoupled, {}),
        ("dclw_sigma0_5", losses.decoupled, {"sigma": 0.5}),
    ):
        one_way, other = both(kind, **options)
        assert math.isclose(one_way, expected[f"{key}_one_way"], abs_tol=1e-9)
        total = expected.get(f"{key}_symmetric_sum")
        assert math.isclose(one_way + other, total, abs_tol=1e-9)
    one_way, _ = both(losses.info_nce)
    assert math.isclose(one_way, expected["infonce_one_way_same_negatives"], abs_tol=1e-9)


def test_ntxent_oracle():
    oracle = pytest.importorskip("pytorch_metric_learning.losses")
    generator = torch.Generator().manual_seed(0)
    anchors = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=1)
    positives = torch.nn.functional.normalize(torch.randn(6, 4, generator=generator), dim=1)
    labels = torch.arange(6)
    theirs = oracle.NTXentLoss(temperature=0.1)(
        anchors, labels, ref_emb=positives, ref_labels=labels.clone()
    )
    ours = losses.info_nce(anchors @ positives.T, labels, temperature=0.1).mean()
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: losses.InfoNCE(temperature=0), r"`temperature` is 0, but it must be > 0\. Try"),
        (lambda: losses.InfoNCE(temperature=math.nan), r"`temperature` is nan"),
        (lambda: losses.Decoupled(sigma=-1), r"`sigma` is -1, but it must be > 0"),
        (
            lambda: losses.info_nce(torch.zeros(0, 3), torch.zeros(0, dtype=torch.long)),
            r"`scores` is \(0, 3\), but it must not be empty",
        ),
        (
            lambda: losses.info_nce(torch.full((2, 2), math.nan), torch.tensor([0, 1])),
            r"it must be finite everywhere, and is not at \[0, 0\]",
        ),
        (
            lambda: losses.info_nce(torch.eye(2), torch.tensor([0, 2])),
            r"`positive` is \[0, 2\], but columns are 0\.\.1",
        ),
    ],
)
def test_wording(make, message):
    with pytest.raises(BadArgument, match=message):
        make()
