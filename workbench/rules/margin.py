"""Drop a candidate that scores within a margin of its labelled positive, or above it.

    weight_ij = 0 where s_ij > s_ip - margin

The absolute twin of `ShareOfPositive`, by the student's own scores in a batch and by the miner's
(or a cross-encoder's, once it has rescored) in a mined list. With a negative margin only what
scores clearly *above* the positive is dropped: Qwen3-Embedding trains with -0.1.

Source: absolute margin of sentence-transformers' miner; TopK-MarginPos in de Souza P. Moreira et
al. 2024, "NV-Retriever"; the false-negative mask of Zhang et al. 2025, "Qwen3 Embedding".
Breaks when: the labelled positive is wrong and scores low, which drops every good negative; one
margin serves models whose cosines spread differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from workbench.errors import check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def margin(
    scores: Float[Tensor, "query doc"],
    positive_scores: Float[Tensor, " query"],
    *,
    margin: float = 0.05,
) -> Float[Tensor, "query doc"]:
    """Weight 0 where a candidate scores above the labelled positive less the margin.

    Args:
        scores: of anchor and candidate.
        positive_scores: of anchor and labelled positive.
        margin: in units of the score; NV-Retriever tries 0 to 0.2, Qwen3-Embedding takes -0.1.
            Larger drops more.

    Returns:
        Weights, 1 or 0; a candidate exactly at the threshold is kept, and so is every candidate of
        an anchor without a labelled positive (NaN).

    Example:
        >>> import torch
        >>> margin(torch.tensor([[0.9, 0.7, 0.1]]), torch.tensor([0.8]), margin=0.05)
        tensor([[0., 1., 1.]])
    """
    return keep(~(scores > (positive_scores - margin)[:, None]), scores)


@register("rule", "margin")
@dataclass(frozen=True, kw_only=True)
class Margin:
    """Drop what scores within a margin of the labelled positive, or above it.

    Args:
        margin: see `margin`.

    Raises:
        BadArgument: margin is not a finite number.
    """

    margin: float = 0.05
    needs: ClassVar[tuple[str, ...]] = ("score", "positive_score")

    def __post_init__(self) -> None:
        check_number("margin", self.margin, mend="Try 0.05.")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return margin(cells["score"], cells["positive_score"], margin=self.margin)
