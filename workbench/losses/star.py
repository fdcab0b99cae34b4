"""STAR: a pairwise softplus of every negative against the positive, static and in-batch alike.

    paper:   L = sum_ij w_ij softplus((s_ij - s_ip) / t) / sum_ij w_ij,  over all cells of the batch
    value:   loss_i = B sum_j w_ij softplus((s_ij - s_ip) / t) / sum_ij w_ij

so that the mean over rows is the paper's L. Candidates are all rows' positives *and* all rows'
static hard negatives: hard ones alone forget how to tell the positive from random documents.

Source: Zhan et al. 2021, "Optimizing Dense Retrieval Model Training with Hard Negatives", STAR;
released form checked against DRhard.
Breaks when: other rows' hard negatives are relevant here (drop known positives by a rule); cosines
meet temperature 1 (softplus is nearly a line there: 0.1, or dot products as in the paper); rows are
taken in chunks (the divisor is the whole batch's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def star(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 1.0,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; its mean over rows is the paper's loss.

    Args:
        scores: dot products (paper) or cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: divides score differences; paper 1 for dot products, about 0.1 for cosines.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> star(torch.eye(2), torch.tensor([0, 1]))
        tensor([0.3133, 0.3133])
    """
    return Star(temperature=temperature)(scores, positive, weight=weight)


@register("loss", "star")
@dataclass(frozen=True, kw_only=True)
class Star:
    """Pairwise softplus of every negative against the positive, divided by all cells of the batch.

    Args:
        temperature: divides score differences; paper 1 for dot products, about 0.1 for cosines.

    Raises:
        BadArgument: temperature <= 0.
    """

    temperature: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 1, or 0.1 for cosines.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight)
        total = kept.sum(dtype=torch.promote_types(kept.dtype, torch.float32)).clamp_min(1e-6)
        share = kept * (len(scores) / total)
        gap = (scores - scores[own][:, None]) / self.temperature
        cost = softplus(gap, threshold=50.0).masked_fill(share == 0, 0.0)
        return (share * cost).sum(dim=1)
