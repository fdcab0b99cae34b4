"""Decoupled contrastive loss: InfoNCE without the positive in the denominator.

    DCL:   loss_i = -s_ip / t + log sum_j w_ij exp(s_ij / t)
    DCLW:  loss_i = -v_i s_ip / t + log sum_j w_ij exp(s_ij / t)
           v_i = 2 - B softmax_i(s_ip / sigma), detached; the mean of v is 1

The gradient of InfoNCE is that of DCL times q_i = 1 - softmax(positive), which vanishes for easy
positives and small batches; here it does not.

Source: Yeh et al. 2022, "Decoupled Contrastive Learning", equations 4 and 6; detached weights as
in lightly.
Breaks when: the batch holds duplicates of the positive (the push never saturates, so pair it with
a rule); loss values are compared across batch sizes (it is unbounded below and may be negative);
DCLW under gradient accumulation (its weights depend on the batch).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import split_scores
from workbench.registry import register


def decoupled(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.1,
    weight: Float[Tensor, "query doc"] | None = None,
    sigma: float | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: logit = score / temperature; paper 0.1.
        weight: 1 keep, 0 drop, between = trust; None keeps all.
        sigma: None for DCL; the paper's 0.5 for DCLW.

    Returns:
        Nats per anchor, unbounded below; 0 where every negative is dropped.

    Raises:
        BadArgument: temperature or sigma <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> decoupled(torch.eye(2), torch.tensor([0, 1]), temperature=1.0)
        tensor([-1., -1.])
    """
    return Decoupled(temperature=temperature, sigma=sigma)(scores, positive, weight=weight)


@register("loss", "decoupled")
@dataclass(frozen=True, kw_only=True)
class Decoupled:
    """InfoNCE without the positive in the denominator (DCL; DCLW with a sigma).

    Args:
        temperature: logit = score / temperature; paper 0.1.
        sigma: None for DCL; the paper's 0.5 for DCLW.

    Raises:
        BadArgument: temperature or sigma <= 0.
    """

    temperature: float = 0.1
    sigma: float | None = None
    needs: ClassVar[tuple[str, ...]] = ()
    streams: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.1.")
        if self.sigma is not None:
            check_number("sigma", self.sigma, above=0, mend="Try 0.5, or None for DCL.")

    @property
    def independent(self) -> bool:
        """The weights of DCLW compare all positives of the batch."""
        return self.sigma is None

    def hardness(self, block: str) -> float:
        """No negative is weighted by its score."""
        return 0.0

    def combine(
        self, positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
    ) -> Float[Tensor, " query"]:
        """Value negatives - v * positive; 0 where no negative is left."""
        alive = ~negatives.isneginf()
        pull = positive
        if self.sigma is not None:
            share = (positive.detach() * (self.temperature / self.sigma)).softmax(dim=0)
            pull = positive * (2 - len(positive) * share)
        value = negatives.masked_fill(~alive, 0.0) - pull
        return value.masked_fill(~alive, 0.0)

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        return self.combine(*split_scores(scores, positive, self.temperature, weight))
