"""InfoNCE: softmax cross-entropy of the positive among its candidates.

    loss_i = -log( exp(u_i) / (exp(u_i) + sum_j w_ij exp(s_ij / t)) ),   u_i = (s_ip - m) / t

with an additive margin m on the positive. Label smoothing e spreads a share e of the target evenly
over all candidates that count, the positive included:

    loss_i = log Z_i - (1 - e) u_i - e (u_i + sum_j w_ij s_ij / t) / (1 + sum_j w_ij)

Source: van den Oord et al. 2018, equation 4; in-batch form Henderson et al. 2017
("multiple negatives ranking"); margin as in SimKGC (Wang et al. 2022, equation 4, 0.02); smoothing
as in Sample4Geo (Deuser et al. 2023, 0.1). With `rules.Guide` as weights it is GISTEmbed.
Breaks when: negatives are unlabelled positives (each is pushed away with the weight of its
softmax share); the temperature is so small that one negative takes all the gradient; smoothing
meets false negatives that no rule drops (it pulls every candidate a little, true negatives too).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import against, check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def info_nce(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.05,
    weight: Float[Tensor, "query doc"] | None = None,
    margin: float = 0.0,
    label_smoothing: float = 0.0,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: logit = score / temperature; usual 0.01 to 0.1.
        weight: 1 keep, 0 drop, between = trust; None keeps all.
        margin: taken off the positive's score, cosine units; usual 0 to 0.1.
        label_smoothing: share of the target spread over all candidates; usual 0 or 0.1.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> info_nce(torch.eye(2), torch.tensor([0, 1]), temperature=1.0)
        tensor([0.3133, 0.3133])
    """
    loss = InfoNCE(temperature=temperature, margin=margin, label_smoothing=label_smoothing)
    return loss(scores, positive, weight=weight)


@register("loss", "info_nce")
@dataclass(frozen=True, kw_only=True)
class InfoNCE:
    """Softmax cross-entropy of the positive among its candidates.

    Args:
        temperature: logit = score / temperature; usual 0.01 to 0.1.
        margin: see `info_nce`.
        label_smoothing: see `info_nce`.

    Raises:
        BadArgument: temperature <= 0, margin outside [-2, 2], label_smoothing outside [0, 1].
    """

    temperature: float = 0.05
    margin: float = 0.0
    label_smoothing: float = 0.0
    needs: ClassVar[tuple[str, ...]] = ()
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")
        check_number("margin", self.margin, at_least=-2, at_most=2, mend="Try 0.02.")
        check_number(
            "label_smoothing", self.label_smoothing, at_least=0, at_most=1, mend="Try 0.1."
        )

    @property
    def streams(self) -> bool:
        """Label smoothing needs the mean of all logits beside the log-sum-exp."""
        return self.label_smoothing == 0

    def hardness(self, block: str) -> float:
        """No negative is weighted by its score."""
        return 0.0

    def combine(
        self, positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
    ) -> Float[Tensor, " query"]:
        """log(1 + exp(negatives - positive)); 0 where no negative is left."""
        return against(positive - self.margin / self.temperature, negatives)

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
        logits = scores / self.temperature
        negatives = weighted_logsumexp(logits, kept)
        value = self.combine(logits[own], negatives)
        if self.streams:
            return value
        pull = logits[own] - self.margin / self.temperature
        mean = (pull + (kept * logits).sum(dim=1)) / (1 + kept.sum(dim=1))
        smoothed = value + self.label_smoothing * (pull - mean)
        return smoothed.masked_fill(negatives.isneginf(), 0.0)
