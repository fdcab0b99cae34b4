"""The loss doctor: sound losses pass, and every silent fault of a peer's loss is found."""

import pytest
import torch
from torch.nn.functional import cross_entropy

import workbench as wb
from workbench.errors import BadArgument
from workbench.registry import get, names
from workbench.train import check_loss


def verdicts(found):
    return {one.law: one.verdict for one in found.findings}


@pytest.mark.parametrize("name", names("loss"))
def test_every_registered_loss_is_sound(name):
    found = check_loss(get("loss", name)())
    detached = {
        "hardness_weighted",
        "adore",
        "positive_unlabelled",
    }  # their weights are no part of the value's gradient
    wrong = {law for law, verdict in verdicts(found).items() if verdict == "fails"}
    allowed = {"gradient is that of the value"} if name in detached else set()
    assert wrong <= allowed, str(found)


def info_nce(anchors, positives, negatives, temperature=0.05):
    docs = torch.cat([positives, negatives])
    return cross_entropy(anchors @ docs.T / temperature, torch.arange(len(anchors)))


def pairs_only(anchors, positives):
    return cross_entropy(20 * anchors @ positives.T, torch.arange(len(anchors)))


@pytest.mark.slow
def test_it_names_the_setting():
    one = "Contrast(InfoNCE(temperature=0.05), [InBatch('ap')"
    assert any(name.startswith(one) for name in check_loss(pairs_only).equals)
    hard = check_loss(info_nce)
    assert hard.ok, str(hard)
    assert any(
        "Hard(count=1" in name and "InfoNCE(temperature=0.05)" in name for name in hard.equals
    )
    symmetric = check_loss(lambda a, p: (pairs_only(a, p) + pairs_only(p, a)) / 2)
    assert any("directions='both'" in name for name in symmetric.equals)
    odd = check_loss(lambda a, p: cross_entropy(23 * a @ p.T, torch.arange(len(a))))
    assert odd.equals == ()
    assert "no setting that is known here" in str(odd)


class Scaled(torch.autograd.Function):
    """Gives the value, and a gradient that is not its own."""

    @staticmethod
    def forward(ctx, value, factor):
        ctx.factor = factor
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.factor, None


def summed_chunks(anchors, positives):
    """PEERS 3b.2: chunks back-propagate their sum, and the value is divided by B afterwards."""
    return Scaled.apply(pairs_only(anchors, positives), len(anchors))


@pytest.mark.slow
def test_a_gradient_of_b_times_is_found():
    alone = check_loss(summed_chunks)
    assert verdicts(alone)["gradient is that of the value"] == "fails"
    assert "at B = 4, 8, 16: 4, 8, 16" in str(alone)
    beside = check_loss(pairs_only, chunked=summed_chunks)
    assert verdicts(beside)["chunked equals plain"] == "fails"
    assert "its gradient is 8 times (= B)" in str(beside)


def cut_at_the_queries(anchors, positives, negatives):
    """PEERS 3b.3: document chunks are cut at the number of queries, so hard negatives vanish."""
    docs = torch.stack([positives, negatives], dim=1).flatten(0, 1)[: len(anchors)]
    return cross_entropy(20 * anchors @ docs.T, torch.arange(len(anchors)))


@pytest.mark.slow
def test_dropped_negatives_and_wrong_positives_are_found():
    found = check_loss(info_nce, chunked=cut_at_the_queries)
    assert verdicts(found)["chunked equals plain"] == "fails"
    assert "8 vectors get none" in str(found)
    assert verdicts(check_loss(cut_at_the_queries))["every vector gets a gradient"] == "fails"


@pytest.mark.slow
def test_a_forgotten_temperature_is_found():
    """PEERS 3b.4: the cached path ignores the temperature."""
    found = check_loss(info_nce, chunked=lambda a, p, n: info_nce(a, p, n, temperature=1.0))
    assert verdicts(found)["chunked equals plain"] == "fails"
    assert not found.ok


@pytest.mark.slow
def test_finite_masks_and_lost_weights_are_found():
    def finite_mask(scores, positive, weight=None):
        logits = scores / 0.001
        if weight is not None:
            own = torch.nn.functional.one_hot(positive, scores.shape[1]).bool()
            logits = logits + torch.where((weight > 0) | own, 0.0, -103.6)
        return cross_entropy(logits, positive, reduction="none")

    found = verdicts(check_loss(finite_mask))
    assert found["weight 0 equals removal"] == "fails"
    assert found["a dropped cell gets no gradient"] == "fails"

    def deaf(scores, positive, weight=None):
        return cross_entropy(scores / 0.05, positive, reduction="none")

    found = check_loss(deaf)
    assert verdicts(found)["weight 0 equals removal"] == "fails"
    assert verdicts(found)["gradient is that of the value"] == "holds"
    assert "InfoNCE(temperature=0.05)" in found.equals


@pytest.mark.slow
def test_order_size_and_shape_are_found():
    first = check_loss(lambda scores, positive, weight=None: scores[:, 0] - scores[:, 1])
    assert verdicts(first)["order of candidates is irrelevant"] == "fails"
    summed = check_loss(lambda scores, positive, weight=None: scores.sum(dim=1) * len(scores))
    assert verdicts(summed)["a row does not depend on B"] == "fails"
    scalar = check_loss(lambda scores, positive, weight=None: scores.mean())
    assert verdicts(scalar)["one finite value per anchor"] == "fails"
    broken = check_loss(lambda scores, positive, weight=None: 1 / 0)
    assert "ZeroDivisionError" in str(broken)
    assert not broken.ok


@pytest.mark.slow
def test_it_stands_on_the_front_door_and_makes_a_table():
    found = wb.check_loss(pairs_only)
    assert found.form == "vectors"
    assert found.frame()["verdict"].tolist() == ["holds"] * 5


def test_wording():
    with pytest.raises(BadArgument, match="it must be a function or a loss object"):
        check_loss(get("loss", "info_nce"))
    with pytest.raises(BadArgument, match=r"`temperatures` is 0, but it must be > 0"):
        check_loss(pairs_only, temperatures=(0,))
