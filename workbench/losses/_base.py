"""What a loss is: a value per anchor from the positive's logit and its negatives' log-sum-exp."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import BadArgument
from workbench.scores import weighted_logsumexp


@runtime_checkable
class SoftmaxLoss(Protocol):
    """A loss that sees its negatives only through log sum_j w_ij exp(s_ij / temperature).

    That is why one dense and one streamed primitive serve the whole family, with any candidates
    and any rules.
    """

    @property
    def temperature(self) -> float:
        """Logit = score / temperature."""
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


def split_scores(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    temperature: float,
    weight: Float[Tensor, "query doc"] | None,
) -> tuple[Float[Tensor, " query"], Float[Tensor, " query"]]:
    """Logit of each row's positive, and the weighted log-sum-exp over all other columns.

    Raises:
        BadArgument: an empty or not finite matrix, a positive outside it, weights misaligned.
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
    if weight is not None and weight.shape != scores.shape:
        wanted = f"its shape must be {tuple(scores.shape)}"
        raise BadArgument("weight", tuple(weight.shape), wanted, "Give a weight per score.")
    logits = scores / temperature
    own = torch.nn.functional.one_hot(positive.long(), scores.shape[1]).bool()
    weights = (~own).to(scores.dtype) if weight is None else weight.detach().masked_fill(own, 0.0)
    return logits[own], weighted_logsumexp(logits, weights)
