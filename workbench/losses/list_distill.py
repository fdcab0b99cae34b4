"""Stabilised list distillation: every candidate of a list is a positive against those below it.

    a_i = softmax(t_i / T_teacher) over the list, sorted by the teacher, best first
    Z_ik = sum_{l >= k} exp(s_il / t) + sum_{j outside the list} exp(s_ij / t)
    loss_i = sum_k a_ik (log Z_ik - s_ik / t) + contrastive (log sum_j exp(s_ij / t) - s_ip / t)

The list is the row's columns with a known teacher score, the positive among them; the other columns
(keys of other queries) stand in every denominator. A flat teacher gives a ranking loss, a one-hot
one gives InfoNCE. One sort and one cumulative log-sum-exp per row. A weight multiplies exp(.) of
student and teacher.

Source: Zhang et al. 2023, "Retrieve Anything To Augment Large Language Models" (LLM-Embedder),
section 2.2; temperature 0.01; the released mix adds 0.2 x contrastive, whose task table mostly
leaves it out.
Breaks when: the teacher is polarised (only the top candidate is learned, as the paper says); other
queries' keys are relevant here (drop them by a rule); the teacher does not know the positive (the
row then has its contrastive part alone).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def list_distill(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    temperature: float = 0.01,
    teacher_temperature: float = 1.0,
    contrastive: float = 0.0,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the teacher's score of each cell, NaN for columns outside the row's list; detached.
        temperature: logit = score / temperature; paper 0.01.
        teacher_temperature: the same for the teacher; paper 1 (log-likelihoods).
        contrastive: share of InfoNCE against all columns; paper 0.2 or 0.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: a temperature <= 0, contrastive < 0, shapes that do not fit, an empty matrix.

    Example:
        >>> scores, teacher = torch.tensor([[0.5, 0.9, 0.1]]), torch.tensor([[2.0, 1.0, torch.nan]])
        >>> list_distill(scores, torch.tensor([0]), teacher=teacher, temperature=1.0)
        tensor([0.9414])
    """
    loss = ListDistill(
        temperature=temperature, teacher_temperature=teacher_temperature, contrastive=contrastive
    )
    return loss(scores, positive, weight=weight, teacher=teacher)


@register("loss", "list_distill")
@dataclass(frozen=True, kw_only=True)
class ListDistill:
    """Every candidate of a list is a positive against those the teacher puts below it.

    Args:
        temperature: see `list_distill`.
        teacher_temperature: see `list_distill`.
        contrastive: see `list_distill`.

    Raises:
        BadArgument: a temperature <= 0, contrastive < 0.
    """

    temperature: float = 0.01
    teacher_temperature: float = 1.0
    contrastive: float = 0.0
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.01.")
        check_number("teacher_temperature", self.teacher_temperature, above=0, mend="Try 1.")
        check_number("contrastive", self.contrastive, at_least=0, mend="Try 0 or 0.2.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        teacher: Float[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, teacher=teacher)
        wide = torch.promote_types(scores.dtype, torch.float32)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight).to(wide)
        alive, trust = kept.sum(dim=1) > 0, (kept + own).log()
        logits = scores.to(wide) / self.temperature + trust
        listed = teacher.isfinite() & ~trust.isneginf() & teacher[own].isfinite()[:, None]
        target = teacher.detach().to(wide).masked_fill(~listed, 0.0)
        # Dropped columns first, then the list, best first, then the others: the sum from the end
        # never starts with an empty candidate.
        key = target.masked_fill(~listed, -torch.inf).masked_fill(trust.isneginf(), torch.inf)
        order = key.argsort(dim=1, descending=True)
        sorted_logits = logits.gather(1, order)
        below = sorted_logits.flip(1).logcumsumexp(dim=1).flip(1)
        in_list = listed.gather(1, order)
        share = (target / self.teacher_temperature + trust).masked_fill(~listed, -torch.inf)
        share = share.softmax(dim=1).nan_to_num(0.0).gather(1, order)
        price = (below - sorted_logits).masked_fill(~in_list, 0.0)
        value = (share * price).sum(dim=1)
        if self.contrastive:
            value = value + self.contrastive * (logits.logsumexp(dim=1) - logits[own])
        return value.masked_fill(~alive, 0.0).to(scores.dtype)
