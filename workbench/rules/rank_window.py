"""Keep only candidates whose rank in the raw search lies in a window.

    weight_ij = 1 where first <= rank_ij <= last, else 0

Skipping the first ranks is the oldest defence against false negatives: they crowd there. Ranks are
those of the search, before any other rule: a window after filtering is a different thing and must
be asked for by mining twice.

Source: range_for_sampling of common hard-negative miners ("10-210").
Breaks when: ranks 1..first-1 hold the only useful negatives (small corpora), or false negatives
reach far beyond `first` (many positives per query).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import BadArgument, check_count
from workbench.registry import register
from workbench.scores import Cells


def rank_window(
    ranks: Integer[Tensor, "query doc"], *, first: int = 1, last: int | None = None
) -> Float[Tensor, "query doc"]:
    """Weight 1 where first <= rank <= last.

    Args:
        ranks: 1-based rank in the raw search, 0 where there is no candidate.
        first: smallest rank kept; 1 keeps all.
        last: largest rank kept; None = no bound.

    Returns:
        Weights, 1 or 0.

    Example:
        >>> rank_window(torch.tensor([[1, 2, 3]]), first=2)
        tensor([[0., 1., 1.]])
    """
    inside = ranks >= first
    if last is not None:
        inside = inside & (ranks <= last)
    return inside.to(torch.float32)


@register("rule", "rank_window")
@dataclass(frozen=True, kw_only=True)
class RankWindow:
    """Keep only candidates of ranks first..last of the raw search.

    Args:
        first: see `rank_window`.
        last: see `rank_window`.

    Raises:
        BadArgument: first < 1 or last < first.
    """

    first: int = 1
    last: int | None = None
    needs: ClassVar[tuple[str, ...]] = ("rank",)

    def __post_init__(self) -> None:
        check_count("first", self.first, mend="Ranks start at 1.")
        if self.last is not None and self.last < self.first:
            raise BadArgument("last", self.last, f"it must be >= first ({self.first})", "Widen it.")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return rank_window(cells["rank"], first=self.first, last=self.last)
