"""InfoNCE: softmax cross-entropy of the positive among its candidates.

    loss_i = -log( exp(s_ip / t) / (exp(s_ip / t) + sum_j w_ij exp(s_ij / t)) )

Source: van den Oord et al. 2018, equation 4; in-batch form Henderson et al. 2017
("multiple negatives ranking"). With `rules.Guide` as weights it is GISTEmbed.
Breaks when: negatives are unlabelled positives (each is pushed away with the weight of its
softmax share); the temperature is so small that one negative takes all the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import check_number
from workbench.losses._base import split_scores
from workbench.registry import register


def info_nce(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    temperature: float = 0.05,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        temperature: logit = score / temperature; usual 0.01 to 0.1.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> info_nce(torch.eye(2), torch.tensor([0, 1]), temperature=1.0)
        tensor([0.3133, 0.3133])
    """
    loss = InfoNCE(temperature=temperature)
    return loss.combine(*split_scores(scores, positive, temperature, weight))


@register("loss", "info_nce")
@dataclass(frozen=True, kw_only=True)
class InfoNCE:
    """Softmax cross-entropy of the positive among its candidates.

    Args:
        temperature: logit = score / temperature; usual 0.01 to 0.1.

    Raises:
        BadArgument: temperature <= 0.
    """

    temperature: float = 0.05

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")

    def combine(
        self, positive: Float[Tensor, " query"], negatives: Float[Tensor, " query"]
    ) -> Float[Tensor, " query"]:
        """log(1 + exp(negatives - positive)); 0 where no negative is left."""
        alive = ~torch.isneginf(negatives)
        gap = (negatives.masked_fill(~alive, 0.0) - positive).masked_fill(~alive, 0.0)
        return softplus(gap, threshold=50.0).masked_fill(~alive, 0.0)
