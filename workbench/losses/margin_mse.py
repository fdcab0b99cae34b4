"""Margin-MSE: the student copies the teacher's distance between positive and negative.

    loss_i = sum_j w_ij ((s_ip - s_ij) - (t_ip - t_ij))^2 / sum_j w_ij

over the cells whose teacher score t is known. Only differences of the teacher count, so its scale
matters and its offset does not. Negatives that the teacher likes are not pushed away: it may even
say that one beats the labelled positive.

Source: Hofstätter et al. 2020, "Improving Efficient Neural Ranking Models with Cross-Architecture
Knowledge Distillation", Margin-MSE; the same as sentence-transformers' MarginMSELoss.
Breaks when: student scores are cosines and the teacher's margins are not within [-2, 2] (rescale
the teacher or use dot products); the teacher does not know the positive (the row is worth 0).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def margin_mse(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: dot products (paper) or cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the teacher's score of each cell, NaN where unknown; detached.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Squared score units per anchor, >= 0; exactly 0 where no negative with a teacher score is
        left, or the teacher does not know the positive.

    Raises:
        BadArgument: shapes that do not fit, an empty matrix.

    Example:
        >>> scores, teacher = torch.tensor([[5.0, 3.0]]), torch.tensor([[9.0, 6.0]])
        >>> margin_mse(scores, torch.tensor([0]), teacher=teacher)
        tensor([1.])
    """
    return MarginMSE()(scores, positive, weight=weight, teacher=teacher)


@register("loss", "margin_mse")
@dataclass(frozen=True, kw_only=True)
class MarginMSE:
    """Mean squared difference between the student's and the teacher's margins."""

    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    independent: ClassVar[bool] = True

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
        own = own_column(scores, positive)
        wanted = (teacher[own][:, None] - teacher).detach()
        kept = negative_weight(scores, own, weight).masked_fill(~wanted.isfinite(), 0.0)
        share = kept / kept.sum(dim=1, keepdim=True).clamp_min(1e-6)
        gap = scores[own][:, None] - scores - torch.where(share > 0, wanted, 0.0).to(scores.dtype)
        return (share * gap.masked_fill(share == 0, 0.0).square()).sum(dim=1)
