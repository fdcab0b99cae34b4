"""Retrieval-side losses against sentence-transformers, on random vectors."""

import pytest
import torch

from workbench import losses
from workbench.scores import cosine

DOUBLE = torch.float64
BATCH, WIDTH = 6, 5


@pytest.fixture(scope="module")
def oracle():
    pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer import losses as theirs

    return theirs


def vectors(count, seed=0):
    """Queries, positives, hard negatives of each place: (BATCH, WIDTH) each."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.nn.functional.normalize(
            torch.randn(BATCH, WIDTH, generator=generator, dtype=DOUBLE), dim=1
        )
        for _ in range(count)
    ]


def agree(ours, theirs, inputs):
    """Equal values, and equal gradients of every input."""
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-6)
    for one, other in zip(
        torch.autograd.grad(ours, inputs), torch.autograd.grad(theirs, inputs), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("mode", "on"),
    [("in_batch_negatives", "in_batch"), ("hard_negatives", "hard"), ("all_negatives", "all")],
)
def test_hardness_modes(oracle, mode, on):
    texts = [one.requires_grad_() for one in vectors(4)]
    theirs = oracle.MultipleNegativesRankingLoss(
        None, scale=10.0, hardness_mode=mode, hardness_strength=5.0
    ).compute_loss_from_embeddings(texts, None)
    own = torch.eye(BATCH, dtype=torch.bool)
    mined = torch.cat([torch.zeros_like(own), own, own], dim=1)  # they call one's own mined hard
    ours = losses.hardness_weighted(
        cosine(texts[0], torch.cat(texts[1:])),
        torch.arange(BATCH),
        temperature=0.1,
        strength=5.0,
        on=on,
        mined=mined,
    )
    agree(ours.mean(), theirs, texts)


BLOCKS = ["query_to_doc", "query_to_query", "doc_to_query", "doc_to_doc"]


@pytest.mark.parametrize("directions", [BLOCKS[:1], BLOCKS[:2], BLOCKS[:3], BLOCKS])
def test_joint_directions_are_columns(oracle, directions):
    """Their doc_to_query block counts the positive a second time, as a negative: weight 1 here."""
    texts = [one.requires_grad_() for one in vectors(3, seed=1)]
    queries, positives, hard = texts
    theirs = oracle.MultipleNegativesRankingLoss(
        None, scale=10.0, directions=tuple(directions)
    ).compute_loss_from_embeddings(texts, None)
    docs, own = torch.cat([positives, hard]), torch.eye(BATCH, dtype=DOUBLE)
    columns = {
        "query_to_doc": (cosine(queries, docs), torch.ones(BATCH, 2 * BATCH, dtype=DOUBLE)),
        "query_to_query": (cosine(queries, queries), 1 - own),
        "doc_to_query": (cosine(positives, queries), torch.ones_like(own)),
        "doc_to_doc": (cosine(positives, docs), 1 - torch.cat([own, own], dim=1)),
    }
    scores, weight = (
        torch.cat([columns[name][part] for name in directions], dim=1) for part in (0, 1)
    )
    ours = losses.info_nce(scores, torch.arange(BATCH), temperature=0.1, weight=weight)
    agree(ours.mean(), theirs, texts)


def test_directions_apart_are_two_losses(oracle):
    texts = [one.requires_grad_() for one in vectors(2, seed=2)]
    theirs = oracle.MultipleNegativesRankingLoss(
        None, scale=10.0, directions=("query_to_doc", "doc_to_query"),
        partition_mode="per_direction",
    ).compute_loss_from_embeddings(texts, None)  # fmt: skip
    scores, positive = cosine(texts[0], texts[1]), torch.arange(BATCH)
    ours = [losses.info_nce(one, positive, temperature=0.1).mean() for one in (scores, scores.T)]
    agree(sum(ours) / 2, theirs, texts)


def own_lists(texts):
    """(BATCH, candidates) scores of each query's own candidates, the positive first."""
    return torch.stack([(texts[0] * one).sum(dim=1) for one in texts[1:]], dim=1)


@pytest.mark.parametrize("candidates", [2, 4])
def test_margin_mse(oracle, candidates):
    texts = [one.requires_grad_() for one in vectors(1 + candidates, seed=3)]
    generator = torch.Generator().manual_seed(4)
    teacher = torch.randn(BATCH, candidates, generator=generator, dtype=DOUBLE)
    theirs = oracle.MarginMSELoss(None).compute_loss_from_embeddings(texts, teacher)
    first = torch.zeros(BATCH, dtype=torch.long)
    agree(losses.margin_mse(own_lists(texts), first, teacher=teacher).mean(), theirs, texts)


def test_margin_mse_sees_own_pairs_of_a_whole_batch_matrix(oracle):
    """The same number from a (batch, 2 batch) matrix whose teacher is NaN off the own pairs."""
    texts = [one.requires_grad_() for one in vectors(3, seed=5)]
    teacher = torch.randn(BATCH, 2, generator=torch.Generator().manual_seed(6), dtype=DOUBLE)
    theirs = oracle.MarginMSELoss(None).compute_loss_from_embeddings(texts, teacher)
    own = torch.eye(BATCH, dtype=torch.bool)
    whole = torch.cat([torch.where(own, t[:, None], torch.nan) for t in teacher.T], dim=1)
    scores = texts[0] @ torch.cat(texts[1:]).T
    ours = losses.margin_mse(scores, torch.arange(BATCH), teacher=whole)
    agree(ours.mean(), theirs, texts)


@pytest.mark.parametrize(("student", "teaching"), [(1.0, 1.0), (0.5, 2.0)])
def test_kl_distill(oracle, student, teaching):
    texts = [one.requires_grad_() for one in vectors(4, seed=7)]
    teacher = torch.randn(BATCH, 3, generator=torch.Generator().manual_seed(8), dtype=DOUBLE)
    theirs = oracle.DistillKLDivLoss(
        None, student_temperature=student, teacher_temperature=teaching
    ).compute_loss_from_embeddings(texts, teacher)
    ours = losses.kl_distill(
        own_lists(texts),
        torch.zeros(BATCH, dtype=torch.long),
        teacher=teacher,
        temperature=student,
        teacher_temperature=teaching,
        rescale=True,
    )
    agree(ours.mean(), theirs, texts)
