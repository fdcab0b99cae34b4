"""Drop by the score of a cross-encoder, or of anything else that scores (anchor, candidate).

    weight_ij = 0 where x_ij > at_most, or x_ij > x_ip - margin             (absolute)
                                        or x_ij > x_ip - margin * |x_ip|    (relative)

A scorer that reads both texts together is the strongest guess at what is relevant that is to be
had without a person.

Source: denoised hard negatives of Qu et al. 2021, "RocketQA" (a cross-encoder's score above a
bound); margins as in sentence-transformers' miner with a cross-encoder.
Breaks when: the scorer was trained on the same incomplete labels; its scores are logits on one
collection and probabilities on another (a bound does not carry over; a margin less so); relative
margins on logits, whose zero means nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def scored(
    scores: Float[Tensor, "query doc"],
    positive_scores: Float[Tensor, " query"] | None = None,
    *,
    at_most: float | None = None,
    margin: float | None = None,
    relative: bool = False,
) -> Float[Tensor, "query doc"]:
    """Weight 0 above a bound, or above the labelled positive's score less a margin.

    Args:
        scores: of anchor and candidate, in units of the scorer; NaN where there is none.
        positive_scores: of anchor and labelled positive; asked for by `margin`.
        at_most: the bound; RocketQA drops above a probability of 0.1.
        margin: units of the scorer, or share of |positive score|. Larger drops more.
        relative: measure the margin as a share.

    Returns:
        Weights, 1 or 0; kept at the threshold, and where a score or the positive's is unknown.

    Raises:
        BadArgument: a margin without positive scores.

    Example:
        >>> import torch
        >>> scores, positive = torch.tensor([[0.9, 0.6, 0.1]]), torch.tensor([0.95])
        >>> scored(scores, positive, at_most=0.8, margin=0.4)
        tensor([[0., 0., 1.]])
    """
    dropped = scores > (float("inf") if at_most is None else at_most)
    if margin is not None:
        if positive_scores is None:
            raise BadArgument(
                "positive_scores", None, "margin compares with them", "Give one per row."
            )
        slack = margin * positive_scores.abs() if relative else margin
        dropped = dropped | (scores > (positive_scores - slack)[:, None])
    return keep(~dropped, scores)


@register("rule", "scored")
@dataclass(frozen=True, kw_only=True)
class Scored:
    """Drop by the score of a cross-encoder, or of anything else that scores pairs.

    Args:
        fact: name under which the score is given; `<fact>_positive` is that of the positive.
        at_most: see `scored`.
        margin: see `scored`.
        relative: see `scored`.

    Raises:
        BadArgument: neither at_most nor margin, one that is not finite, or an empty name.
    """

    fact: str = "cross_encoder"
    at_most: float | None = None
    margin: float | None = None
    relative: bool = False

    def __post_init__(self) -> None:
        if not self.fact:
            raise BadArgument("fact", self.fact, "it must name a score", "Try cross_encoder.")
        if self.at_most is None and self.margin is None:
            wanted = "at_most or margin must be given"
            raise BadArgument("at_most", None, wanted, "Try margin=0.")
        for name, bound in (("at_most", self.at_most), ("margin", self.margin)):
            if bound is not None:
                check_number(name, bound, mend="Give it in units of the scorer.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The score, and the positive's for a margin."""
        return (self.fact,) if self.margin is None else (self.fact, f"{self.fact}_positive")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return scored(
            cells[self.fact],
            None if self.margin is None else cells[f"{self.fact}_positive"],
            at_most=self.at_most,
            margin=self.margin,
            relative=self.relative,
        )
