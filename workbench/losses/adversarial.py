"""AR2: the retriever is rewarded for candidates that fool the ranker, and imitates the ranker.

    R_j = log sigmoid(ranker_p - ranker_j) <= 0, far below 0 where the ranker prefers j
    loss_i = (1 - lam) CE(softmax(ranker / T), softmax(s / t)) + lam adversarial
    form "paper":  adversarial = sum_{negatives j} p_j R_j,  p = softmax over the negatives
    form "code":   adversarial = sum_{j, positive too} R_j log p_j,  p = softmax over the group

The group is the row's columns with a known ranker score. The gradient of the paper's form is its
equation 10, sum_j p_j R_j d log p_j; alone it moves all mass to the best fooler. That of the coded
form rests at p_j = |R_j| / sum |R|, the positive's own R being log 0.5. Both are values of a row;
the released code sums one part over the batch and averages the other, so that lam depends on the
batch size there.

Source: Zhang et al. 2022, "Adversarial Retriever-Ranker for Dense Text Retrieval" (AR2), section
3, equation 10; lam 0.5, groups of 1 + 15 from the retriever's current top 100.
Breaks when: negatives are unlabelled positives (the ranker is fooled because they are right, and
they are rewarded most: filter first); the group is not retrieved anew as the retriever changes;
dot products are not scaled (softmax collapses: temperature = sqrt(width)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import logsigmoid

from workbench.errors import check_choice, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def ar2_rewards(
    ranker_logits: Float[Tensor, "query doc"], positive: Integer[Tensor, " query"]
) -> Float[Tensor, "query doc"]:
    """Reward of each candidate, log sigmoid(ranker_p - ranker_j), detached.

    Args:
        ranker_logits: the ranker's scores, NaN outside a row's group.
        positive: column of each row's labelled positive.

    Returns:
        (query, doc), <= 0; log 0.5 for the positive; NaN where the ranker says nothing.

    Example:
        >>> ar2_rewards(torch.tensor([[2.0, 3.0, 0.0]]), torch.tensor([0]))
        tensor([[-0.6931, -1.3133, -0.1269]])
    """
    own = own_column(ranker_logits, positive)
    return logsigmoid(ranker_logits.detach()[own][:, None] - ranker_logits.detach())


def ranker_loss(
    ranker_logits: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """The ranker's own step: cross-entropy of the positive among its group.

    Args:
        ranker_logits: the ranker's scores, NaN outside a row's group; gradient flows here.
        positive: column of each row's labelled positive, whose score must be known.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, >= 0; exactly 0 where every negative is dropped.

    Raises:
        BadArgument: shapes that do not fit, an empty matrix, a positive without a score.

    Example:
        >>> ranker_loss(torch.tensor([[2.0, 2.0, torch.nan]]), torch.tensor([0]))
        tensor([0.6931])
    """
    known, own = ranker_logits.isfinite(), own_column(ranker_logits, positive)
    logits = torch.where(known | own, ranker_logits, 0.0)
    check_scores(logits, positive, weight)
    kept = negative_weight(logits, own, weight) * known
    value = weighted_logsumexp(logits, kept + own) - logits[own]
    return value.masked_fill(kept.sum(dim=1) == 0, 0.0)


def adversarial(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    teacher: Float[Tensor, "query doc"],
    lam: float = 0.5,
    form: Literal["paper", "code"] = "paper",
    temperature: float = 1.0,
    teacher_temperature: float = 1.0,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """The retriever's step; one value per anchor, the caller takes the mean.

    Args:
        scores: dot products (paper) or cosines of anchors and candidates.
        positive: column of each row's labelled positive. It is never dropped.
        teacher: the ranker's logits, NaN outside a row's group; detached.
        lam: share of the adversarial part; paper 0.5.
        form: the paper's or the released code's adversarial part.
        temperature: logit = score / temperature; paper 1 for dot products, cosines want about 0.05.
        teacher_temperature: of the ranker where it is imitated; paper 1.
        weight: 1 keep, 0 drop, between = trust; None keeps all.

    Returns:
        Nats per anchor, of either sign; exactly 0 where every negative of the group is dropped, or
        the ranker has no score of the positive.

    Raises:
        BadArgument: an option out of range, shapes that do not fit, an empty matrix.

    Example:
        >>> scores, ranker = torch.tensor([[1.0, 0.5, 0.0]]), torch.tensor([[2.0, 3.0, 0.0]])
        >>> adversarial(scores, torch.tensor([0]), teacher=ranker)
        tensor([0.1014])
    """
    loss = Adversarial(
        lam=lam, form=form, temperature=temperature, teacher_temperature=teacher_temperature
    )
    return loss(scores, positive, weight=weight, teacher=teacher)


@register("loss", "adversarial")
@dataclass(frozen=True, kw_only=True)
class Adversarial:
    """The retriever is rewarded for candidates that fool a ranker, and imitates it (AR2).

    Args:
        lam: see `adversarial`.
        form: see `adversarial`.
        temperature: see `adversarial`.
        teacher_temperature: see `adversarial`.

    Raises:
        BadArgument: lam outside [0, 1], an unknown form, a temperature <= 0.
    """

    lam: float = 0.5
    form: Literal["paper", "code"] = "paper"
    temperature: float = 1.0
    teacher_temperature: float = 1.0
    needs: ClassVar[tuple[str, ...]] = ("teacher",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("lam", self.lam, at_least=0, at_most=1, mend="Try 0.5.")
        check_choice("form", self.form, ["paper", "code"])
        check_number("temperature", self.temperature, above=0, mend="Try 1, or 0.05 for cosines.")
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
        known = teacher.isfinite() & teacher[own].isfinite()[:, None]
        kept = negative_weight(scores, own, weight) * known
        alive = kept.sum(dim=1) > 0
        ranker = teacher.detach().to(scores.dtype).masked_fill(~known, 0.0)
        group = (kept + own).log()
        found = scores / self.temperature + group
        log_p = found.log_softmax(dim=1).masked_fill(group.isneginf(), 0.0)
        target = (ranker / self.teacher_temperature + group).softmax(dim=1)
        imitation = -(target * log_p).sum(dim=1)
        rewards = ar2_rewards(ranker, positive)
        if self.form == "paper":
            among = found.masked_fill((own & alive[:, None]) | group.isneginf(), -torch.inf)
            fooling = (among.softmax(dim=1) * rewards).sum(dim=1)
        else:
            fooling = (log_p * rewards * (kept + own)).sum(dim=1)
        value = (1 - self.lam) * imitation + self.lam * fooling
        return value.masked_fill(~alive, 0.0)
