"""Triplet loss: each positive nearer than each negative by a margin.

    d = 1 - s (cosine) or sqrt(2 - 2 s) (euclidean, unit vectors)
    hinge(p, n) = max(0, d_p - d_n + m), or softplus(d_p - d_n + m) where soft
    hardest:    hinge(farthest positive, nearest negative)
    all:        weighted mean of hinge(p, n) over the row's triplets with hinge > 0
    semi_hard:  mean over p of hinge(p, nearest n farther than p; none there: the farthest n)

A chosen negative's weight multiplies its hinge. Mining looks at detached distances.

Source: Schroff et al. 2015, "FaceNet" (semi-hard, m = 0.2 on squared distances); Hermans et al.
2017, "In Defense of the Triplet Loss" (hardest and all in the batch; soft with m = 0).
Breaks when: false negatives stand in the row (hardest picks just those); training starts from a
collapsed space with hardest mining (value stays at m); the mean over triplets is compared with one
taken over the whole batch (here each row counts alike). Time and memory of "all" and "semi_hard"
grow with the most positives any row has, times the matrix.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import relu, softplus

from workbench.errors import check_choice, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def triplet(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    known: Bool[Tensor, "query doc"],
    margin: float = 0.2,
    mining: str = "hardest",
    soft: bool = False,
    distance: str = "cosine",
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        known: true at every known positive; the labelled one is added.
        margin: by how much nearer, in the distance's unit; usual 0.05 to 0.5.
        mining: which triplets of a row count: "hardest", "all" or "semi_hard".
        soft: softplus instead of the hinge; with margin 0 the soft-margin form.
        distance: "cosine" 1 - s in [0, 2]; "euclidean" sqrt(2 - 2 s) in [0, 2].
        weight: 1 keep, 0 drop, between = trust, for negatives; None keeps all.

    Returns:
        Distance per anchor, >= 0; 0 where every negative is dropped.

    Raises:
        BadArgument: an unknown mining or distance, a margin outside [0, 2], shapes that do not fit.

    Example:
        >>> scores, known = torch.tensor([[0.5, 0.6, 0.1]]), torch.tensor([[True, False, False]])
        >>> triplet(scores, torch.tensor([0]), known=known, margin=0.2)
        tensor([0.3000])
    """
    loss = Triplet(margin=margin, mining=mining, soft=soft, distance=distance)
    return loss(scores, positive, known=known, weight=weight)


@register("loss", "triplet")
@dataclass(frozen=True, kw_only=True)
class Triplet:
    """Margin between positives and negatives: the hardest, all, or semi-hard triplets of a row.

    Args:
        margin: see `triplet`.
        mining: see `triplet`.
        soft: see `triplet`.
        distance: see `triplet`.

    Raises:
        BadArgument: an unknown mining or distance, a margin outside [0, 2].
    """

    margin: float = 0.2
    mining: str = "hardest"
    soft: bool = False
    distance: str = "cosine"
    needs: ClassVar[tuple[str, ...]] = ("known",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("margin", self.margin, at_least=0, at_most=2, mend="Try 0.2.")
        check_choice("mining", self.mining, ["hardest", "all", "semi_hard"])
        check_choice("distance", self.distance, ["cosine", "euclidean"])

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        known: Bool[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, known=known)
        mates = known | own_column(scores, positive)
        kept = negative_weight(scores, mates, weight)
        space = 1 - scores
        if self.distance == "euclidean":  # the root's slope is infinite at 0
            space = (2 * space).clamp_min(torch.finfo(scores.dtype).eps).sqrt()
        mine = {"hardest": self._hardest, "all": self._all, "semi_hard": self._semi_hard}
        value = mine[self.mining](space, mates, kept)
        return value.masked_fill(kept.sum(dim=1) == 0, 0.0)

    def _hinge(self, near: Tensor, far: Tensor) -> Tensor:
        gap = near - far + self.margin
        return softplus(gap, threshold=50.0) if self.soft else relu(gap)

    def _hardest(self, space: Tensor, mates: Tensor, kept: Tensor) -> Tensor:
        fixed = space.detach()
        farthest = fixed.masked_fill(~mates, -inf).argmax(dim=1, keepdim=True)
        nearest = fixed.masked_fill(kept == 0, inf).argmin(dim=1, keepdim=True)
        hinge = self._hinge(space.gather(1, farthest), space.gather(1, nearest))
        return (kept.gather(1, nearest) * hinge).squeeze(1)

    def _all(self, space: Tensor, mates: Tensor, kept: Tensor) -> Tensor:
        def row(place: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
            hinge = self._hinge(space.gather(1, place), space)
            share = kept * there
            return (share * hinge).sum(dim=1), (share * (hinge.detach() > 0)).sum(dim=1)

        return _mean_over_positives(row, mates)

    def _semi_hard(self, space: Tensor, mates: Tensor, kept: Tensor) -> Tensor:
        fixed = space.detach()
        inside = fixed.masked_fill(kept == 0, -inf).argmax(dim=1, keepdim=True)

        def row(place: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
            own = space.gather(1, place)
            outside = fixed.masked_fill((kept == 0) | (fixed <= own.detach()), inf)
            distance, nearest = outside.min(dim=1, keepdim=True)
            chosen = torch.where(distance.isfinite(), nearest, inside)
            hinge = kept.gather(1, chosen) * self._hinge(own, space.gather(1, chosen))
            return (there * hinge).squeeze(1), there.squeeze(1).to(space.dtype)

        return _mean_over_positives(row, mates)


def _mean_over_positives(
    row: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], mates: Tensor
) -> Tensor:
    """Sum of `row`'s first over the positives of each row, over that of its second."""
    places = mates.to(torch.uint8).argsort(dim=1, descending=True, stable=True)
    parts = []
    for rank in range(int(mates.sum(dim=1).max())):
        place = places[:, rank : rank + 1]
        parts.append(row(place, mates.gather(1, place)))
    total = torch.stack([part[0] for part in parts]).sum(dim=0)
    count = torch.stack([part[1] for part in parts]).sum(dim=0)
    return total / torch.where(count > 0, count, 1.0)
