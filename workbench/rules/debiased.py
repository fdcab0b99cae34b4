"""Take the expected share of false negatives out of an anchor's denominator.

    w_i = max(1 - prior * exp(s_ip / t) / m_i, (1 - prior) * exp(-1 / t) / m_i)
    m_i = mean_j exp(s_ij / t)

One weight for all candidates of an anchor. Unlabelled candidates are a mixture, prior of them of
the anchor's own class; if these score as the labelled positive does, then
sum_j w_i exp(s_ij / t) = (1 - prior) N g_i, where g_i is the paper's estimate of the mean over true
negatives,

    g_i = max((m_i - prior * exp(s_ip / t)) / (1 - prior), exp(-1 / t))

so the weight is the paper's correction times the constant 1 - prior, and stays in [0, 1].

Source: Chuang et al. 2020, "Debiased Contrastive Learning", the estimator g with M = 1.
Breaks when: the prior is wrong or differs between anchors; the candidates are mined, so that their
share of false negatives is not the prior; one positive is a poor sample of its class (the noise of
exp(s_ip / t) is then large: low temperatures make it worse); scores go below -1.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_choice, check_number
from workbench.registry import register
from workbench.scores import Cells


def debiased(
    scores: Float[Tensor, "query doc"],
    positive_scores: Float[Tensor, " query"],
    *,
    prior: float = 0.1,
    temperature: float = 0.05,
) -> Float[Tensor, "query doc"]:
    """One weight per row: the share of its denominator that true negatives make up.

    Args:
        scores: cosines of anchor and candidate; what is not finite is no candidate (the labelled
            positive should be given so).
        positive_scores: of anchor and labelled positive.
        prior: expected share of false negatives among the candidates; paper 0.01 to 0.2.
        temperature: that of the loss; paper 0.5.

    Returns:
        Weights in [0, 1]; 1 where a row has no candidate or no labelled positive.

    Example:
        >>> scores, positive = torch.tensor([[0.5, 0.0]]), torch.tensor([0.5])
        >>> debiased(scores, positive, prior=0.1, temperature=0.5)
        tensor([[0.8538, 0.8538]])
    """
    there = scores.isfinite()
    exact = torch.float64 if scores.dtype == torch.float64 else torch.float32
    logits = scores.to(exact).masked_fill(~there, float("-inf")) / temperature
    known = there.any(dim=1) & positive_scores.isfinite()
    count = there.sum(dim=1).clamp_min(1).to(exact)
    mean = logits.logsumexp(dim=1) - count.log()
    mean = mean.masked_fill(~known, 0.0)
    positive = (positive_scores.to(exact) / temperature).masked_fill(~known, 0.0)
    share = prior * (positive - mean).exp()
    least = (log(1 - prior) - 1 / temperature - mean).exp()
    weight = torch.maximum(1 - share, least).clamp(0, 1).masked_fill(~known, 1.0)
    return weight[:, None].expand_as(scores).to(scores.dtype)


@register("rule", "debiased")
@dataclass(frozen=True, kw_only=True)
class Debiased:
    """Take the expected share of false negatives out of the denominator.

    Args:
        prior: see `debiased`.
        temperature: see `debiased`; give that of the loss.
        by: whose scores, the student's ("score") or a frozen model's ("guide"); paper "score".

    Raises:
        BadArgument: prior is not in [0, 1), temperature <= 0, or an unknown `by`.
    """

    prior: float = 0.1
    temperature: float = 0.05
    by: str = "score"

    def __post_init__(self) -> None:
        check_number("prior", self.prior, at_least=0, at_most=1, mend="Try 0.1.")
        if self.prior == 1:
            raise BadArgument("prior", self.prior, "it must be < 1", "Try 0.1.")
        check_number("temperature", self.temperature, above=0, mend="Give that of the loss.")
        check_choice("by", self.by, ("score", "guide"))

    @property
    def needs(self) -> tuple[str, ...]:
        """The scores it compares."""
        return (self.by, "positive_score" if self.by == "score" else "guide_positive")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        scores, positive_scores = (cells[name] for name in self.needs)
        return debiased(scores, positive_scores, prior=self.prior, temperature=self.temperature)
