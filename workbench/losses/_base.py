"""What a loss is: one value per anchor, from its row of scores, its positive's column and weights.

Two forms. A *row loss* sees a whole row. A *softmax loss* is a row loss that needs only the
positive's logit and one number of its negatives, log sum_j w_ij exp(s_ij / temperature), so that
one streamed primitive serves the family with any candidates and any rules.
"""

from __future__ import annotations

from typing import Any, ClassVar, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import BadArgument
from workbench.scores import weighted_logsumexp


@runtime_checkable
class RowLoss(Protocol):
    """One value per anchor from its row of scores.

    `needs` names facts of cells it asks for beside the scores, each (query, doc) and passed by
    name: `teacher` (another model's score), `known` (true for every known positive, the labelled
    one included), `grade` (graded relevance). `independent` says whether a row's value is the same
    whatever other rows stand beside it, so that rows may be taken in chunks.
    """

    needs: ClassVar[tuple[str, ...]]

    @property
    def independent(self) -> bool:
        """May rows be taken in chunks?"""
        ...

    def __call__(self, *args: Any, **facts: Any) -> Float[Tensor, " query"]:
        """Value per anchor: `loss(scores, positive, *, weight=None, **facts)`.

        Args:
            args: scores (query, doc), cosines or dot products of anchors and candidates; positive
                (query,), the column of each row's labelled positive, which is never dropped.
            facts: weight (query, doc), 1 keep as a negative, 0 drop, between = trust, None keeps
                all; and what `needs` names, by name.
        """
        ...


@runtime_checkable
class SoftmaxLoss(RowLoss, Protocol):
    """A row loss that sees its negatives only through log sum_j w_ij exp(s_ij / temperature)."""

    @property
    def temperature(self) -> float:
        """Logit = score / temperature."""
        ...

    @property
    def streams(self) -> bool:
        """Are positive and log-sum-exp all it needs, with the options it has?"""
        ...

    def hardness(self, block: str) -> float:
        """What multiplies the detached score in the exponent of one block's negatives; 0 = nothing.

        Args:
            block: "ap", "aa", "pp", "pa" (in the batch), "an" (mined), "queue", "bank", "shared".
        """
        ...

    def combine(
        self, positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
    ) -> Float[Tensor, " query"]:
        """Value per anchor.

        Args:
            positive: logit of the labelled positive, s / temperature.
            negatives: weighted log-sum-exp over the negatives; -inf where none is left.
        """
        ...


def check_scores(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    weight: Float[Tensor, "query doc"] | None = None,
    **facts: Tensor,
) -> None:
    """Refuse an empty or not finite matrix, a positive outside it, weights or facts misaligned.

    Raises:
        BadArgument: as said; `teacher` and `grade` may be NaN where nothing is known.
    """
    if scores.shape[0] == 0 or scores.shape[1] == 0:
        raise BadArgument("scores", tuple(scores.shape), "it must not be empty", "Check the batch.")
    if not bool(scores.isfinite().all()):
        place = (~scores.isfinite()).nonzero()[0].tolist()
        wanted = f"it must be finite everywhere, and is not at {place}"
        raise BadArgument("scores", tuple(scores.shape), wanted, "Look at the vectors.")
    if positive.numel() != scores.shape[0]:
        wanted = f"there must be one per row, {scores.shape[0]}"
        raise BadArgument("positive", tuple(positive.shape), wanted, "Give the column of each row.")
    if int(positive.min()) < 0 or int(positive.max()) >= scores.shape[1]:
        wanted = f"columns are 0..{scores.shape[1] - 1}"
        raise BadArgument("positive", positive.tolist()[:8], wanted, "Give the column of each row.")
    for name, given in {"weight": weight, **facts}.items():
        if given is not None and given.shape != scores.shape:
            wanted = f"its shape must be {tuple(scores.shape)}"
            raise BadArgument(name, tuple(given.shape), wanted, f"Give a {name} per score.")


def own_column(
    scores: Float[Tensor, "query doc"], positive: Integer[Tensor, " query"]
) -> Bool[Tensor, "query doc"]:
    """True in the labelled positive's column of each row."""
    return torch.nn.functional.one_hot(positive.long(), scores.shape[1]).bool()


def negative_weight(
    scores: Float[Tensor, "query doc"],
    own: Bool[Tensor, "query doc"],
    weight: Float[Tensor, "query doc"] | None,
) -> Float[Tensor, "query doc"]:
    """Detached weights of the negatives: 0 in the labelled positive's column."""
    if weight is None:
        return (~own).to(scores.dtype)
    return weight.detach().to(scores.dtype).masked_fill(own, 0.0)


def split_scores(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    temperature: float,
    weight: Float[Tensor, "query doc"] | None,
) -> tuple[Float[Tensor, " query"], Float[Tensor, " query"]]:
    """Logit of each row's positive, and the weighted log-sum-exp over all other columns.

    Raises:
        BadArgument: see `check_scores`.
    """
    check_scores(scores, positive, weight)
    logits = scores / temperature
    own = own_column(scores, positive)
    return logits[own], weighted_logsumexp(logits, negative_weight(scores, own, weight))


def against(
    positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
) -> Float[Tensor, " query"]:
    """log(1 + exp(negatives - positive)): cross-entropy of the positive; 0 where nothing is left.

    Args:
        positive: logit of the labelled positive.
        negatives: weighted log-sum-exp over the negatives; -inf where none is left.

    Example:
        >>> against(torch.tensor([1.0, 1.0]), torch.tensor([0.0, float("-inf")]))
        tensor([0.3133, 0.0000])
    """
    alive = ~negatives.isneginf()
    gap = (negatives.masked_fill(~alive, 0.0) - positive).masked_fill(~alive, 0.0)
    return softplus(gap, threshold=50.0).masked_fill(~alive, 0.0)
