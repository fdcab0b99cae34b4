"""Sigmoid loss: every cell of the row is a yes-or-no question of its own.

    z_ij = s_ij / t + b
    loss_i = -log sigmoid(z_ip) + sum_j w_ij * -log sigmoid(-z_ij)

No softmax: a cell's gradient does not depend on the other candidates, so the value of a row is a
plain sum and needs no large batch.

Source: Zhai et al. 2023, "Sigmoid Loss for Language Image Pre-Training", equation 1 (there the
mean over rows of sums over columns; t and b are learned from 1/10 and -10).
Breaks when: the bias is 0 (at the start the many negatives outweigh the one positive); cosines
of all texts are near 1 (choose t and b so that z straddles 0); a false negative stands in the row
(its push does not saturate: pair it with a rule, or see the noisy-negative loss).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def sigmoid(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.1,
    bias: float = -10.0,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: log-odds = score / temperature + bias; paper starts at 0.1.
        bias: log-odds at cosine 0; paper starts at -10.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> sigmoid(torch.eye(2), torch.tensor([0, 1]), temperature=1.0, bias=0.0)
        tensor([1.0064, 1.0064])
    """
    return Sigmoid(temperature=temperature, bias=bias)(scores, positive, weight=weight)


@register("loss", "sigmoid")
@dataclass(frozen=True, kw_only=True)
class Sigmoid:
    """Binary cross-entropy of every cell by itself (SigLIP).

    Args:
        temperature: log-odds = score / temperature + bias; paper starts at 0.1.
        bias: log-odds at cosine 0; paper starts at -10.

    Raises:
        BadArgument: temperature <= 0, a bias that is not finite.
    """

    temperature: float = 0.1
    bias: float = -10.0
    needs: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.1.")
        check_number("bias", self.bias, mend="Try -10.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight)
        logits = scores / self.temperature + self.bias
        value = -logsigmoid(logits[own]) - (kept * logsigmoid(-logits)).sum(dim=1)
        return value.masked_fill(kept.sum(dim=1) == 0, 0.0)
