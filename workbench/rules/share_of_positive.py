"""Drop a candidate that scores above a share of what the labelled positive scores.

    weight_ij = 0 where s_ij > s_ip - (1 - share) * |s_ip|

which is s_ij > share * s_ip for a positive score; for a negative one the threshold still lies
below the positive, where a plain product would put it above.

Source: de Souza P. Moreira et al. 2024, "NV-Retriever", TopK-PercPos (share 0.95); sign as in the
relative margin of sentence-transformers since 4.0.
Breaks when: scores have an arbitrary zero (BM25, logits of a cross-encoder), where a share says
little; the labelled positive is wrong and scores low, which drops every good negative.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.errors import check_choice, check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def share_of_positive(
    scores: Float[Tensor, "query doc"],
    positive_scores: Float[Tensor, " query"],
    *,
    share: float = 0.95,
) -> Float[Tensor, "query doc"]:
    """Weight 0 where a candidate scores above that share of the labelled positive's score.

    Args:
        scores: of anchor and candidate.
        positive_scores: of anchor and labelled positive.
        share: of the positive's score; paper 0.95, usual 0.8 to 1. Smaller drops more.

    Returns:
        Weights, 1 or 0; a candidate exactly at the threshold is kept, and so is every candidate of
        an anchor without a labelled positive (NaN).

    Example:
        >>> import torch
        >>> scores = torch.tensor([[0.79, 0.75], [-0.1, -0.3]])
        >>> share_of_positive(scores, torch.tensor([0.8, -0.2]), share=0.95)
        tensor([[0., 1.],
                [0., 1.]])
    """
    limits = positive_scores - (1 - share) * positive_scores.abs()
    return keep(~(scores > limits[:, None]), scores)


@register("rule", "share_of_positive")
@dataclass(frozen=True, kw_only=True)
class ShareOfPositive:
    """Drop what scores above a share of the labelled positive's score (NV-Retriever).

    Args:
        share: see `share_of_positive`.
        by: whose scores, the student's or miner's ("score") or a frozen model's ("guide").

    Raises:
        BadArgument: share is not in [0, 2], or an unknown `by`.
    """

    share: float = 0.95
    by: str = "score"

    def __post_init__(self) -> None:
        check_number("share", self.share, at_least=0, at_most=2, mend="Try 0.95.")
        check_choice("by", self.by, ("score", "guide"))

    @property
    def needs(self) -> tuple[str, ...]:
        """The scores it compares."""
        return (self.by, "positive_score" if self.by == "score" else "guide_positive")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        scores, positive_scores = (cells[name] for name in self.needs)
        return share_of_positive(scores, positive_scores, share=self.share)
