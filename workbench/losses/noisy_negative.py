"""Noisy negatives: an unlabelled candidate is irrelevant, or relevant and its label was lost.

    R = sigmoid(s / t + b),  G = share of relevant candidates without a label
    loss_i = -log[(1 - G) R_ip] + sum_j w_ij * -log[(1 - R_ij) + G R_ij]

A negative's push is at most -log G, so a confident false negative is pushed hardly at all. With
G = 0 it is the plain point-wise loss. The released update replaces the gradient by a surrogate;
this is the likelihood itself.

Source: Yu and Qin 2020, "Sampler design for implicit feedback data by noisy-label robust
learning" (NBPO), the observation likelihood; the stable form is ours.
Breaks when: G is to be learned from the same data (it is not identified: one free number ended at
.08 where the truth was .60), so supply it; a ranking gain is expected (what improves is the
calibration of R); scores of true negatives lie far above 0 at the start, where the push is small.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.errors import BadArgument, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def noisy_negative(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.1,
    bias: float = -5.0,
    flip: float | Float[Tensor, "query doc"] = 0.1,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: log-odds of relevance = score / temperature + bias; usual 0.05 to 0.2.
        bias: minus the log-odds scale at which a cosine counts as an even bet; -5 with
            temperature 0.1 puts the even bet at cosine 0.5.
        flip: G, in [0, 1); one number, or one per cell, through which a gradient flows (then > 0).
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, flip outside [0, 1), shapes that do not fit.

    Example:
        >>> scores, positive = torch.tensor([[0.0, 0.0, 3.0]]), torch.tensor([0])
        >>> noisy_negative(scores, positive, temperature=1.0, bias=0.0, flip=0.4)
        tensor([2.4082])
    """
    check_number("temperature", temperature, above=0, mend="Try 0.1.")
    check_number("bias", bias, mend="Try -5.")
    check_scores(scores, positive, weight)
    share = torch.as_tensor(flip, dtype=scores.dtype, device=scores.device).expand_as(scores)
    if not bool(((share >= 0) & (share < 1)).all()):
        raise BadArgument("flip", flip, "it must lie in [0, 1)", "Try 0.1.")
    own = own_column(scores, positive)
    kept = negative_weight(scores, own, weight)
    logits = scores / temperature + bias
    lost = logsigmoid(logits) + share.log()
    push = -torch.logaddexp(logsigmoid(-logits), lost)
    pull = -logsigmoid(logits[own]) - torch.log1p(-share[own])
    return (pull + (kept * push).sum(dim=1)).masked_fill(kept.sum(dim=1) == 0, 0.0)


@register("loss", "noisy_negative")
@dataclass(frozen=True, kw_only=True)
class NoisyNegative:
    """Point-wise likelihood in which a negative may be a positive whose label was lost (NBPO).

    Args:
        temperature: see `noisy_negative`.
        bias: see `noisy_negative`.
        flip: share of relevant candidates without a label, in [0, 1).

    Raises:
        BadArgument: temperature <= 0, a bias that is not finite, flip outside [0, 1).
    """

    temperature: float = 0.1
    bias: float = -5.0
    flip: float = 0.1
    needs: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.1.")
        check_number("bias", self.bias, mend="Try -5.")
        check_number("flip", self.flip, at_least=0, at_most=0.999, mend="Try 0.1.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        return noisy_negative(
            scores,
            positive,
            temperature=self.temperature,
            bias=self.bias,
            flip=self.flip,
            weight=weight,
        )
