"""ADORE: LambdaMRR of what the current query encoder itself retrieves.

    loss_i = sum_{p known, j not} w_ij |1/r_p - 1/r_j| softplus((s_ij - s_ip) / t) / pairs
    pairs = number of known positives * sum_j w_ij;  1/r = 0 for ranks beyond `cut`

Ranks r are those of the row's own scores among the candidates that count, from 1, detached; equal
scores share a rank, a positive below the negatives it ties with. Give it the top-K of the whole
index for each query, with positives that were not retrieved appended: with cut <= K those have no
rank weight of their own, so that a negative at rank r weighs 1/r.

Source: Zhan et al. 2021, "Optimizing Dense Retrieval Model Training with Hard Negatives", ADORE,
K = cut = 200; the released default (no cut) zeroes every weight, here None means all ranks count.
Breaks when: the index is approximate or stale (the ranks lie); unlabelled positives fill the top
ranks; cut exceeds the number retrieved (an appended positive then gets a rank it does not have);
cosines meet temperature 1 (try 0.1); many known positives per row (time and memory grow with
known positives of the batch x candidates).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import check_count, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def reciprocal_ranks(
    scores: Float[Tensor, "query doc"],
    known: Bool[Tensor, "query doc"],
    counts: Bool[Tensor, "query doc"],
    *,
    cut: int | None = 200,
) -> Float[Tensor, "query doc"]:
    """1 / rank of each candidate in its row, detached; 0 beyond the cut and where it counts not.

    Args:
        scores: scores of anchors and candidates.
        known: true for positives, which stand below the negatives they tie with.
        counts: true for candidates that take part in the ranking.
        cut: last rank that counts; None = all. Usual: the number retrieved.

    Returns:
        (query, doc) in [0, 1].

    Example:
        >>> scores, known = torch.tensor([[0.9, 0.7, 0.8]]), torch.tensor([[False, True, False]])
        >>> reciprocal_ranks(scores, known, torch.ones(1, 3, dtype=torch.bool))
        tensor([[1.0000, 0.3333, 0.5000]])
    """
    values = scores.detach().to(torch.promote_types(scores.dtype, torch.float32))
    width, lowest = values.shape[1], float("-inf")
    every = values.masked_fill(~counts, lowest).sort(dim=1).values
    others = values.masked_fill(~counts | known, lowest).sort(dim=1).values
    values = values.contiguous()
    rank = width + 1 - torch.searchsorted(every, values, right=True)
    ties = torch.searchsorted(others, values, right=True) - torch.searchsorted(others, values)
    rank = rank + torch.where(known, ties, 0)
    late = ~counts if cut is None else ~counts | (rank > cut)
    return rank.to(values.dtype).reciprocal().masked_fill(late, 0.0).to(scores.dtype)


def adore(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    known: Bool[Tensor, "query doc"],
    cut: int | None = 200,
    temperature: float = 1.0,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: dot products (paper) or cosines of anchors and retrieved candidates.
        positive: column of each row's labelled positive.
        known: true for every known positive; these are never dropped.
        cut: last rank that counts; None = all; paper 200.
        temperature: divides score differences; paper 1 for dot products, about 0.1 for cosines.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, cut < 1, shapes that do not fit, an empty matrix.

    Example:
        >>> scores = torch.tensor([[0.9, 0.7, 0.8]])
        >>> adore(scores, torch.tensor([1]), known=torch.tensor([[False, True, False]]))
        tensor([0.3281])
    """
    loss = Adore(cut=cut, temperature=temperature)
    return loss(scores, positive, weight=weight, known=known)


@register("loss", "adore")
@dataclass(frozen=True, kw_only=True)
class Adore:
    """Rank-weighted softplus of every known positive against what the query encoder retrieves.

    Args:
        cut: see `adore`.
        temperature: see `adore`.

    Raises:
        BadArgument: temperature <= 0, cut < 1.
    """

    cut: int | None = 200
    temperature: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ("known",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.cut is not None:
            check_count("cut", self.cut, mend="Try 200, or None for all ranks.")
        check_number("temperature", self.temperature, above=0, mend="Try 1, or 0.1 for cosines.")

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
        known = known | own_column(scores, positive)
        kept = negative_weight(scores, known, weight)
        reciprocal = reciprocal_ranks(scores, known, known | (kept > 0), cut=self.cut)
        rows, columns = known.nonzero(as_tuple=True)  # one line per (query, known positive)
        gap = (scores[rows] - scores[rows, columns][:, None]) / self.temperature
        rank_weight = (reciprocal[rows] - reciprocal[rows, columns][:, None]).abs()
        wide = torch.promote_types(kept.dtype, torch.float32)
        pairs = known.sum(dim=1) * kept.sum(dim=1, dtype=wide)
        share = kept[rows] * rank_weight / pairs[rows].clamp_min(1e-6)[:, None]
        share = share.to(scores.dtype)
        cost = softplus(gap, threshold=50.0).masked_fill(share == 0, 0.0)
        value = scores.new_zeros(len(scores))
        return value.index_add(0, rows, (share * cost).sum(dim=1))
