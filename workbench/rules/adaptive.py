"""Drop what stands out from the anchor's own best candidates, by its own mean and spread.

    weight_ij = 0 where s_ij > t_i,   t_i = mean(T_i) + sigmas * std(T_i)

with T_i the `top` largest scores of the row and std unbiased. No threshold is shared by anchors,
so it fits where the level and the spread of scores differ from anchor to anchor, and it needs no
positive to compare with.

Source: Zhang et al. 2020, "Adaptive Training Sample Selection" (ATSS), the statistics of its
section 3.3 carried over from box overlaps to negatives by this workbench.
Breaks when: false negatives are so many that they make up the top candidates (they raise their own
threshold), when they do not stand out from hard negatives, or when the labelled positive is left
among the scores (give it as NaN: not a candidate). Some of every row lies above its threshold, so
a row without false negatives loses its hardest true ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import check_choice, check_count, check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def adaptive_threshold(
    scores: Float[Tensor, "query doc"], *, top: int = 30, sigmas: float = 1.0
) -> Float[Tensor, " query"]:
    """Mean plus `sigmas` unbiased standard deviations of each row's `top` largest scores.

    Args:
        scores: of anchor and candidate; what is not finite is no candidate.
        top: how many of the best to look at, usual 10 to 100; fewer where there are fewer.
        sigmas: usual 0.5 to 2. Smaller drops more.

    Returns:
        One threshold per row, NaN where a row has fewer than two candidates.

    Example:
        >>> adaptive_threshold(torch.tensor([[0.8, 0.6, 0.1]]), top=2)
        tensor([0.8414])
    """
    exact = scores if scores.dtype == torch.float64 else scores.float()
    best = exact.masked_fill(~exact.isfinite(), float("-inf"))
    best = best.topk(min(top, best.shape[1]), dim=1).values
    there = best.isfinite()
    count = there.sum(dim=1)
    peak = best[:, :1].masked_fill(~there[:, :1], 0.0) if best.shape[1] else exact.new_zeros(1, 1)
    gaps = (best - peak).masked_fill(~there, 0.0)  # from the peak: equal scores have no spread
    mean = gaps.sum(dim=1) / count.clamp_min(1)
    squares = (gaps - mean[:, None]).masked_fill(~there, 0.0).square().sum(dim=1)
    spread = (squares / (count - 1).clamp_min(1)).sqrt()
    limits = peak.squeeze(1) + (mean + sigmas * spread)
    return limits.masked_fill(count < 2, float("nan"))


def adaptive(
    scores: Float[Tensor, "query doc"], *, top: int = 30, sigmas: float = 1.0
) -> Float[Tensor, "query doc"]:
    """Weight 0 above each row's `adaptive_threshold`.

    Args:
        scores: see `adaptive_threshold`.
        top: see `adaptive_threshold`.
        sigmas: see `adaptive_threshold`.

    Returns:
        Weights, 1 or 0; a row with fewer than two candidates keeps everything.

    Example:
        >>> adaptive(torch.tensor([[0.9, 0.5, 0.4, 0.3]]), top=4)
        tensor([[0., 1., 1., 1.]])
    """
    limits = adaptive_threshold(scores, top=top, sigmas=sigmas)
    return keep(~(scores.to(limits.dtype) > limits[:, None]), scores)


@register("rule", "adaptive")
@dataclass(frozen=True, kw_only=True)
class Adaptive:
    """Drop what stands out from the anchor's own top candidates (the idea of ATSS).

    Args:
        sigmas: see `adaptive_threshold`.
        top: see `adaptive_threshold`.
        by: whose scores, a frozen model's ("guide") or the student's or miner's ("score").

    Raises:
        BadArgument: sigmas is not in [-10, 10], top < 2, or an unknown `by`.
    """

    sigmas: float = 1.0
    top: int = 30
    by: str = "guide"

    def __post_init__(self) -> None:
        check_number("sigmas", self.sigmas, at_least=-10, at_most=10, mend="Try 1.")
        check_count("top", self.top, at_least=2, mend="Try 30.")
        check_choice("by", self.by, ("guide", "score"))

    @property
    def needs(self) -> tuple[str, ...]:
        """The scores it looks at."""
        return (self.by,)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return adaptive(cells[self.by], top=self.top, sigmas=self.sigmas)
