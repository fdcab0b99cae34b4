"""Positive-unlabelled loss: a row is a class, its candidates are samples, and no is never said.

    s_i = min(alpha std_j x_ij, 1), at least the floor        (detached)
    p_ij = sigmoid(x_ij / s_i),  m_i = weighted mean_j p_ij over positives and unlabelled alike
    loss_i = m_i^gamma log m_i - mean_{j known} log p_ij      (m_i^gamma detached)

Every sample counts as unlabelled in m_i, the known positives with weight 1. The value may be
negative. Written with log-sum-exp, without the released additive constant; the floor keeps a
constant row finite, which gives NaN in the released code.

Source: Yuan et al. 2023, "Positive label is all you need for multi-label classification" (PU-MLC);
the variational term is that of Chen et al. 2020 (VPU). COCO: gamma 0.55, alpha 1; VOC: 0.85, 2.
Breaks when: a row has few candidates (m_i is a batch statistic: use a queue for rare labels);
scores of a row all have one sign (cosines in a narrow cone: centre them); the outputs are read as
probabilities (with gamma > 0 they rank well, and the mean overshoots).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def positive_unlabelled(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    known: Bool[Tensor, "query doc"],
    gamma: float = 0.55,
    alpha: float = 1.0,
    floor: float = 0.01,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per class; the caller takes the sum or the mean.

    Args:
        scores: logits of classes and samples: the transpose of a (sample, label) matrix.
        positive: column of one known positive of each class. It is never dropped.
        known: true at every known positive; the labelled one is added.
        gamma: how much a rare class is spared the push; 0 none; paper 0.55 and 0.85.
        alpha: temperature per standard deviation of the row; paper 1 and 2.
        floor: least temperature.
        weight: 1 keep, 0 drop, between = trust, for unlabelled samples; None keeps all.

    Returns:
        Nats per class, may be negative; 0 where every unlabelled sample is dropped.

    Raises:
        BadArgument: gamma < 0, alpha or floor <= 0, shapes that do not fit.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[2.0, 0.5, -1.5, 1.0]])
        >>> known = torch.tensor([[True, False, False, True]])
        >>> positive_unlabelled(logits, torch.tensor([0]), known=known)
        tensor([-0.1618])
    """
    loss = PositiveUnlabelled(gamma=gamma, alpha=alpha, floor=floor)
    return loss(scores, positive, known=known, weight=weight)


@register("loss", "positive_unlabelled")
@dataclass(frozen=True, kw_only=True)
class PositiveUnlabelled:
    """Positives pulled up against the mean of everything, with no negative label anywhere (PU-MLC).

    Args:
        gamma: see `positive_unlabelled`.
        alpha: see `positive_unlabelled`.
        floor: see `positive_unlabelled`.

    Raises:
        BadArgument: gamma < 0, alpha or floor <= 0.
    """

    gamma: float = 0.55
    alpha: float = 1.0
    floor: float = 0.01
    needs: ClassVar[tuple[str, ...]] = ("known",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("gamma", self.gamma, at_least=0, mend="Try 0.55.")
        check_number("alpha", self.alpha, above=0, mend="Try 1.")
        check_number("floor", self.floor, above=0, at_most=1, mend="Try 0.01.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        known: Bool[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per class."""
        check_scores(scores, positive, weight, known=known)
        mates = known | own_column(scores, positive)
        unlabelled = negative_weight(scores, mates, weight)
        everything = unlabelled.masked_fill(mates, 1.0)
        size = everything.sum(dim=1, keepdim=True)
        fixed = scores.detach()
        mean = (everything * fixed).sum(dim=1, keepdim=True) / size
        spread = ((everything * (fixed - mean).square()).sum(dim=1, keepdim=True) / size).sqrt()
        logits = scores / (self.alpha * spread).clamp(min=self.floor, max=1.0)
        certain = logsigmoid(logits)
        typical = weighted_logsumexp(certain, everything) - size.squeeze(1).log()
        spared = (self.gamma * typical.detach()).exp()
        pull = (mates * certain).sum(dim=1) / mates.sum(dim=1)
        return (spared * typical - pull).masked_fill(unlabelled.sum(dim=1) == 0, 0.0)
