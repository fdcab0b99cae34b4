"""Margin-MSE from two teachers: one for a query's own pairs, one for the rest of the batch.

    loss_i = MSE(own pairs, teacher) + a MSE(other cells, in_batch_teacher)
    MSE(cells, t) = sum_j w_ij ((s_ip - s_ij) - (t_ip - t_ij))^2 / sum_j w_ij

A slow pairwise teacher scores a query with its own negatives; one that encodes separately scores
every query with every document of the batch. No relevance label enters beyond which column is the
positive, so topic-pure batches need no false-negative rule.

Source: Hofstätter et al. 2021, "Efficiently Teaching an Effective Dense Retriever with Balanced
Topic Aware Sampling" (TAS-Balanced), section 3, a = 0.75; the mean over cells of the released code
(the paper writes sums over 2 |Q|).
Breaks when: the two teachers are on different scales; scores are cosines and margins are not
within [-2, 2]; the in-batch part has more columns of one kind than the other (the paper averages
positives' and negatives' halves, which is the mean over cells only where they are equally many).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def dual_margin_mse(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    in_batch_teacher: Float[Tensor, "query doc"],
    in_batch_weight: float = 0.75,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: dot products of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the pairwise teacher's scores of each query's own pairs, NaN off them; detached.
        in_batch_teacher: the other teacher's scores, which must know the positive too; used where
            `teacher` is NaN; detached.
        in_batch_weight: of the second part; paper 0.75.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Squared score units per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: in_batch_weight < 0, shapes that do not fit, an empty matrix.

    Example:
        >>> scores, own = torch.tensor([[5.0, 3.0, 1.0]]), torch.tensor([[9.0, 6.0, torch.nan]])
        >>> batch = torch.tensor([[8.0, 5.0, 2.0]])
        >>> dual_margin_mse(scores, torch.tensor([0]), teacher=own, in_batch_teacher=batch)
        tensor([4.])
    """
    loss = DualMarginMSE(in_batch_weight=in_batch_weight)
    facts = {"teacher": teacher, "in_batch_teacher": in_batch_teacher}
    return loss(scores, positive, weight=weight, **facts)


@register("loss", "dual_margin_mse")
@dataclass(frozen=True, kw_only=True)
class DualMarginMSE:
    """Margin-MSE from a pairwise teacher on own pairs and another teacher on the rest of the batch.

    Args:
        in_batch_weight: see `dual_margin_mse`.

    Raises:
        BadArgument: in_batch_weight < 0.
    """

    in_batch_weight: float = 0.75
    needs: ClassVar[tuple[str, ...]] = ("teacher", "in_batch_teacher")
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("in_batch_weight", self.in_batch_weight, at_least=0, mend="Try 0.75.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        teacher: Float[Tensor, "query doc"],
        in_batch_teacher: Float[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, teacher=teacher, in_batch_teacher=in_batch_teacher)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight)
        pairs = teacher.isfinite()
        return _mse(scores, own, kept * pairs, teacher) + self.in_batch_weight * _mse(
            scores, own, kept * ~pairs, in_batch_teacher
        )


def _mse(
    scores: Float[Tensor, "query doc"],
    own: Bool[Tensor, "query doc"],
    kept: Float[Tensor, "query doc"],
    teacher: Float[Tensor, "query doc"],
) -> Float[Tensor, " query"]:
    wanted = (teacher[own][:, None] - teacher).detach()
    kept = kept.masked_fill(~wanted.isfinite(), 0.0)
    share = kept / kept.sum(dim=1, keepdim=True).clamp_min(1e-6)
    gap = scores[own][:, None] - scores - torch.where(share > 0, wanted, 0.0).to(scores.dtype)
    return (share * gap.masked_fill(share == 0, 0.0).square()).sum(dim=1)
