"""Coupled scorers: relevance and selection each say how far the other may trust a negative.

A pair is (positive, unlabelled). R scores relevance, S scores whether a judge would have seen it:

    w_R = 1 + exp(S_neg / T) = 1 / (1 - sigmoid(S_neg / T)),    w_S = 1 + exp(R_neg / T)
    relevance = w_R softplus(R_neg - R_pos),    selection = w_S softplus(S_neg - S_pos)

A document that the pool would have held and that nobody marked is a more trustworthy negative.
Weights are detached, clipped, then divided by their mean; `relevance` reaches R only, `selection`
S only.

Source: Cai et al. 2022, "Hard Negatives or False Negatives: Correcting Pooling Bias in Training
Neural Ranking Models" (CET), reference code; T = 10 in its script, 2 in its parser.
Breaks when: R and S see the same features (nothing but the start separates them: about 40 % of the
gain is left), so give S its own (rank and score of the pooled retrievers, length, source, age); T
is 1 or less without `normalise`; positives and negatives of different queries are paired.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import BadArgument, check_number
from workbench.registry import register


@dataclass(frozen=True, eq=False, kw_only=True)
class CoupledLoss:
    """Values and weights of a batch of pairs.

    Args:
        relevance: (pair,) weighted value of the relevance scorer.
        selection: (pair,) weighted value of the selection scorer.
        weight_relevance: (pair,) what S said of R's negatives, detached.
        weight_selection: (pair,) what R said of S's negatives, detached.
    """

    relevance: Float[Tensor, " pair"]
    selection: Float[Tensor, " pair"]
    weight_relevance: Float[Tensor, " pair"]
    weight_selection: Float[Tensor, " pair"]


def coupled_pairwise(
    rel_pos: Float[Tensor, " pair"],
    rel_neg: Float[Tensor, " pair"],
    sel_pos: Float[Tensor, " pair"],
    sel_neg: Float[Tensor, " pair"],
    *,
    temperature: float = 10.0,
    clip: float | None = 100.0,
    normalise: bool = True,
) -> CoupledLoss:
    """Value of both scorers per pair; the caller takes the means and steps each with its own.

    Args:
        rel_pos: relevance of the positive.
        rel_neg: relevance of the unlabelled document of the same query.
        sel_pos: selection score of the positive.
        sel_neg: selection score of the unlabelled document.
        temperature: T of the weights; usual 2 to 10, paper's script 10.
        clip: greatest weight before normalising, > 1; None = unbounded.
        normalise: divide the weights by their mean, so that they do not change the step's size.

    Returns:
        Values in nats times a weight, and the weights.

    Raises:
        BadArgument: temperature <= 0, clip <= 1, lengths that differ, no pair.

    Example:
        >>> scores = torch.tensor([[1.2, 0.3], [0.4, 0.9], [0.7, 0.1], [-1.5, 2.0]])
        >>> coupled_pairwise(*scores, temperature=2.0, normalise=False).weight_relevance
        tensor([1.4724, 3.7183])
    """
    options = Coupled(temperature=temperature, clip=clip, normalise=normalise)
    return options(rel_pos, rel_neg, sel_pos, sel_neg)


@register("pair_loss", "coupled")
@dataclass(frozen=True, kw_only=True)
class Coupled:
    """Pairwise ranking of two scorers that weight each other's unlabelled negatives (CET).

    Args:
        temperature: see `coupled_pairwise`.
        clip: see `coupled_pairwise`.
        normalise: see `coupled_pairwise`.

    Raises:
        BadArgument: temperature <= 0, clip <= 1.
    """

    temperature: float = 10.0
    clip: float | None = 100.0
    normalise: bool = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 10.")
        if self.clip is not None:
            check_number("clip", self.clip, above=1, mend="Try 100, or None.")

    def __call__(
        self,
        rel_pos: Float[Tensor, " pair"],
        rel_neg: Float[Tensor, " pair"],
        sel_pos: Float[Tensor, " pair"],
        sel_neg: Float[Tensor, " pair"],
    ) -> CoupledLoss:
        """Values and weights of a batch of pairs."""
        given = {"rel_neg": rel_neg, "sel_pos": sel_pos, "sel_neg": sel_neg}
        for name, scores in given.items():
            if scores.shape != rel_pos.shape:
                wanted = f"there must be one per pair, {len(rel_pos)}"
                raise BadArgument(name, tuple(scores.shape), wanted, "Score each pair.")
        if len(rel_pos) == 0:
            raise BadArgument("rel_pos", (0,), "it must not be empty", "Check the batch.")
        to_relevance, to_selection = self._weight(sel_neg), self._weight(rel_neg)
        return CoupledLoss(
            relevance=to_relevance * softplus(rel_neg - rel_pos),
            selection=to_selection * softplus(sel_neg - sel_pos),
            weight_relevance=to_relevance,
            weight_selection=to_selection,
        )

    def _weight(self, scores: Tensor) -> Tensor:
        exponent = scores.detach() / self.temperature
        if self.clip is not None:
            exponent = exponent.clamp_max(log(self.clip - 1))
        weight = 1 + torch.exp(exponent)
        return weight / weight.mean() if self.normalise else weight
