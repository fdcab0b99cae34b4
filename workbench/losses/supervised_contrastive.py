"""Supervised contrastive loss: a softmax in which a row has several positives.

    Z_i = sum_{p in P_i} exp(s_ip / t) + sum_{j not in P_i} w_ij exp(s_ij / t)
    outside:  loss_i = -1/|P_i| sum_{p in P_i} log( exp(s_ip / t) / Z_i )
    inside:   loss_i = -log( 1/|P_i| sum_{p in P_i} exp(s_ip / t) / Z_i )

P_i holds all known positives of the row, the labelled one included; weights are for negatives.

Source: Khosla et al. 2020, "Supervised Contrastive Learning", equations 2 (outside, theirs) and 3.
Breaks when: a row's positives are of several kinds (they are all drawn to one point, and
sub-topics are lost); one positive lies far nearer than the others (outside the log it is pushed
back, to make them equal); positives are unlabelled (they stand in the denominator as negatives).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def supervised_contrastive(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    known: Bool[Tensor, "query doc"],
    temperature: float = 0.1,
    inside: bool = False,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        known: true at every known positive; the labelled one is added.
        temperature: logit = score / temperature; paper 0.1.
        inside: take the mean over positives inside the logarithm.
        weight: 1 keep, 0 drop, between = trust, for negatives; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> scores, known = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[True, True, False]])
        >>> supervised_contrastive(scores, torch.tensor([0]), known=known, temperature=1.0)
        tensor([1.0514])
    """
    loss = SupervisedContrastive(temperature=temperature, inside=inside)
    return loss(scores, positive, known=known, weight=weight)


@register("loss", "supervised_contrastive")
@dataclass(frozen=True, kw_only=True)
class SupervisedContrastive:
    """Softmax cross-entropy with several positives a row (SupCon).

    Args:
        temperature: logit = score / temperature; paper 0.1.
        inside: take the mean over positives inside the logarithm; the paper finds outside better.

    Raises:
        BadArgument: temperature <= 0.
    """

    temperature: float = 0.1
    inside: bool = False
    needs: ClassVar[tuple[str, ...]] = ("known",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.1.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        known: Bool[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, known=known)
        mates = known | own_column(scores, positive)
        negatives = negative_weight(scores, mates, weight)
        logits = scores / self.temperature
        total = weighted_logsumexp(logits, negatives.masked_fill(mates, 1.0))
        count = mates.sum(dim=1)
        if self.inside:
            value = total - weighted_logsumexp(logits, mates) + count.to(scores.dtype).log()
        else:
            value = total - (logits * mates).sum(dim=1) / count
        return value.masked_fill(negatives.sum(dim=1) == 0, 0.0)
