"""Laws that every registered loss obeys, brute force, gold numbers and independent oracles."""

import json
import math

import pytest
import torch

from workbench import losses
from workbench.errors import BadArgument
from workbench.registry import get, names

DOUBLE = torch.float64
CASES = [
    ("info_nce", {"temperature": 0.3}),
    ("decoupled", {"temperature": 0.3}),
    ("decoupled", {"temperature": 0.3, "sigma": 0.5}),
]


def scores_of(seed=0, rows=5, columns=8, dtype=DOUBLE):
    generator = torch.Generator().manual_seed(seed)
    scores = torch.rand(rows, columns, generator=generator, dtype=DOUBLE) * 2 - 1
    return scores.to(dtype), torch.arange(rows)


def test_every_registered_loss_stands_here():
    assert {name for name, _ in CASES} == set(names("loss"))


def run(name, options, scores, positive, weight=None):
    return getattr(losses, name)(scores, positive, weight=weight, **options)


@pytest.mark.parametrize(("name", "options"), CASES)
class TestLaws:
    def test_one_value_per_anchor(self, name, options):
        scores, positive = scores_of()
        assert run(name, options, scores, positive).shape == (5,)

    def test_document_order_is_irrelevant(self, name, options):
        scores, positive = scores_of()
        order = torch.randperm(8, generator=torch.Generator().manual_seed(1))
        moved = torch.argsort(order)[positive]
        torch.testing.assert_close(
            run(name, options, scores[:, order], moved), run(name, options, scores, positive)
        )

    @pytest.mark.parametrize("temperature", [0.3, 0.005])
    def test_weight_zero_equals_removal(self, name, options, temperature):
        """At 0.005 too: a released DCL masks with log(1e-45), which is not removal there."""
        options = {**options, "temperature": temperature}
        scores, positive = scores_of()
        weight = torch.ones_like(scores)
        weight[:, 6:] = 0
        torch.testing.assert_close(
            run(name, options, scores, positive, weight),
            run(name, options, scores[:, :6], positive),
        )

    def test_dropped_candidates_get_exactly_no_gradient(self, name, options):
        scores, positive = scores_of()
        weight = (torch.rand(5, 8, generator=torch.Generator().manual_seed(2)) > 0.5).to(DOUBLE)
        scores.requires_grad_()
        run(name, options, scores, positive, weight).sum().backward()
        dropped = weight == 0
        dropped[torch.arange(5), positive] = False
        assert float(scores.grad[dropped].abs().max()) == 0.0

    def test_pulls_the_positive_and_pushes_negatives(self, name, options):
        if options.get("sigma"):
            pytest.skip("DCLW gives an easy positive a negative weight by definition")
        scores, positive = scores_of()
        scores.requires_grad_()
        run(name, options, scores, positive).sum().backward()
        own = torch.zeros(5, 8, dtype=torch.bool)
        own[torch.arange(5), positive] = True
        assert float(scores.grad[own].max()) < 0
        assert float(scores.grad[~own].min()) > 0

    def test_positive_is_never_dropped(self, name, options):
        scores, positive = scores_of()
        weight = torch.ones_like(scores)
        without = weight.clone()
        without[torch.arange(5), positive] = 0
        torch.testing.assert_close(
            run(name, options, scores, positive, without),
            run(name, options, scores, positive, weight),
        )

    def test_all_dropped_is_zero_with_finite_gradient(self, name, options):
        scores, positive = scores_of()
        weight = torch.ones_like(scores)
        weight[2] = 0
        scores.requires_grad_()
        value = run(name, options, scores, positive, weight)
        assert float(value[2].detach()) == 0.0
        value.sum().backward()
        assert bool(scores.grad.isfinite().all())
        assert float(scores.grad[2].abs().sum()) == 0.0

    def test_gradcheck(self, name, options):
        if options.get("sigma"):
            pytest.skip("its weights are detached by definition: not the gradient of its value")
        scores, positive = scores_of(rows=3, columns=5)
        scores.requires_grad_()
        assert torch.autograd.gradcheck(lambda s: run(name, options, s, positive), (scores,))

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
    def test_low_precision_and_extreme_scores_stay_finite(self, name, options, dtype):
        for scale in (1.0, 50.0):
            scores, positive = scores_of(dtype=dtype)
            scores = (scores * scale).requires_grad_()
            value = run(name, options, scores, positive)
            value.sum().backward()
            assert bool(value.isfinite().all())
            assert bool(scores.grad.isfinite().all())

    def test_options_are_data(self, name, options):
        kind = get("loss", name)
        assert kind(**options) == kind(**options)
        assert hash(kind(**options)) == hash(kind(**options))


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
