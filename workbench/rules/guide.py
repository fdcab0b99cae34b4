"""Drop a candidate that a frozen guide model puts nearer to the anchor than the labelled positive.

    weight_ij = 0 where guide(a_i, c_j) > t_i, with
    t_i = guide(a_i, p_i) - margin               (absolute)
    t_i = guide(a_i, p_i) - margin * |guide(a_i, p_i)|   (relative)

Source: Solatorio 2024, "GISTEmbed" (margin 0, all four blocks of a batch); margins as in
sentence-transformers since 4.0. Two published defects do not exist here: the anchor's own columns
are removed by identity, not by hoping that the guide scores them above the positive, and the
positive itself is never in reach of a rule.

Breaks when: the guide is weak or its positive score is low (it then drops true negatives without
a sign: on real data precision of .04 to .26 was measured at margin 0), or when paraphrases score
like the positive (at margin 0 about half of them stay: a coin flip each; a small margin mends it).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def guide(
    guide_scores: Float[Tensor, "query doc"],
    guide_positive: Float[Tensor, " query"],
    *,
    margin: float = 0.0,
    relative: bool = False,
) -> Float[Tensor, "query doc"]:
    """Weight 0 where the guide scores a candidate above the labelled positive less the margin.

    Args:
        guide_scores: the guide's cosine of anchor and candidate.
        guide_positive: the guide's cosine of anchor and labelled positive.
        margin: cosine units (absolute) or share of the positive's score (relative); paper 0,
            useful 0 to 0.2. Larger drops more.
        relative: measure the margin as a share of |guide_positive|.

    Returns:
        Weights, 1 or 0; a candidate exactly at the threshold is kept, and so is every candidate
        of an anchor without a labelled positive (NaN).

    Example:
        >>> import torch
        >>> guide(torch.tensor([[0.9, 0.7, 0.1]]), torch.tensor([0.8]), margin=0.2)
        tensor([[0., 0., 1.]])
    """
    slack = margin * guide_positive.abs() if relative else margin
    return keep(~(guide_scores > (guide_positive - slack)[:, None]), guide_scores)


@register("rule", "guide")
@dataclass(frozen=True, kw_only=True)
class Guide:
    """Drop what a frozen guide model scores above the labelled positive (GISTEmbed).

    Args:
        margin: see `guide`.
        relative: see `guide`.

    Raises:
        BadArgument: margin is not in [-2, 2].
    """

    margin: float = 0.0
    relative: bool = False
    needs: ClassVar[tuple[str, ...]] = ("guide", "guide_positive")

    def __post_init__(self) -> None:
        check_number("margin", self.margin, at_least=-2, at_most=2, mend="Try 0.05.")
        if not isinstance(self.relative, bool):
            raise BadArgument("relative", self.relative, "it must be True or False", "Try False.")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return guide(
            cells["guide"], cells["guide_positive"], margin=self.margin, relative=self.relative
        )
