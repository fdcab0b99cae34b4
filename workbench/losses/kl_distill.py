"""KL distillation: the student's softmax over a list copies the teacher's.

    P = softmax(t_i / T_teacher),  Q = softmax(s_i / T),  loss_i = sum_j P_j (log P_j - log Q_j)

over the columns whose teacher score is known, the positive among them. A weight multiplies exp(.)
on both sides: 0 takes the candidate out of both lists. `rescale` multiplies by T^2, which keeps the
size of the gradient when T changes.

Source: Hinton et al. 2015; for ranking Lin et al. 2020; without `rescale` it is the plain variant
of LLM-Embedder (Zhang et al. 2023, T = 0.01, T_teacher = 0.1 there), with it the DistillKLDivLoss
of sentence-transformers. Log-probabilities on both sides: one released version feeds probabilities
where logarithms belong, and two equal lists then give -1.72 instead of 0.
Breaks when: the teacher is nearly flat (its order is hardly learned: `list_distill` is made for
that); T_teacher is so small that P is one-hot (it is then cross-entropy); unlabelled positives are
fine, a wrong teacher is not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float, Integer
from torch import Tensor

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register


def kl_distill(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    temperature: float = 0.05,
    teacher_temperature: float = 1.0,
    rescale: bool = False,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines or dot products of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the teacher's score of each cell, NaN where unknown; detached.
        temperature: logit = score / temperature; usual 0.01 to 0.1 for cosines, 1 for dot products.
        teacher_temperature: the same for the teacher; 1 for log-likelihoods and logits.
        rescale: multiply by temperature^2.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where the lists agree, and exactly 0 where every negative is
        dropped or none has a teacher score.

    Raises:
        BadArgument: a temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> import torch
        >>> scores, teacher = torch.tensor([[2.0, 1.0]]), torch.tensor([[0.0, 0.0]])
        >>> kl_distill(scores, torch.tensor([0]), teacher=teacher, temperature=1.0)
        tensor([0.1201])
    """
    loss = KLDistill(
        temperature=temperature, teacher_temperature=teacher_temperature, rescale=rescale
    )
    return loss(scores, positive, weight=weight, teacher=teacher)


@register("loss", "kl_distill")
@dataclass(frozen=True, kw_only=True)
class KLDistill:
    """KL divergence of the student's softmax over a list from the teacher's.

    Args:
        temperature: see `kl_distill`.
        teacher_temperature: see `kl_distill`.
        rescale: multiply by temperature^2.

    Raises:
        BadArgument: a temperature <= 0.
    """

    temperature: float = 0.05
    teacher_temperature: float = 1.0
    rescale: bool = False
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")
        check_number("teacher_temperature", self.teacher_temperature, above=0, mend="Try 1.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        teacher: Float[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, teacher=teacher)
        own = own_column(scores, positive)
        known = teacher.isfinite()
        kept = negative_weight(scores, own, weight) * known
        alive = kept.sum(dim=1) > 0
        listed = (kept + (own & known)).log().masked_fill(~alive[:, None], 0.0)
        target = teacher.detach().masked_fill(~known, 0.0).to(scores.dtype)
        wanted = (target / self.teacher_temperature + listed).log_softmax(dim=1)
        found = (scores / self.temperature + listed).log_softmax(dim=1)
        distance = (wanted - found).masked_fill(listed.isneginf(), 0.0)
        value = (wanted.exp() * distance).sum(dim=1).masked_fill(~alive, 0.0)
        return value * self.temperature**2 if self.rescale else value
