"""Leave-one-out nearest neighbours: an anchor need only agree with most of its neighbours.

    N_i = the k candidates most similar to anchor i, known positives and kept negatives alike
    loss_i = -log( sum_{j in N_i, known} exp(s_ij / t) / sum_{j in N_i} w_ij exp(s_ij / t) )

Weights are those of negatives; a positive counts 1. Because far positives ask nothing, a class may
keep several modes. The choice of neighbours is made on detached scores.

Source: Feng et al. 2022, "Rethinking supervised pre-training for better downstream transferring"
(LOOK); equation from memory, checked against neighbourhood component analysis at k = N - 1.
Breaks when: no known positive is among the neighbours (the row gives 0, yet it is the hardest one:
warm up with a large k, or set `always`); k = 1 (no gradient either way); the anchor itself, or
another view of it, stands among its candidates.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import ClassVar

from jaxtyping import Bool, Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import check_count, check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def nearest(
    scores: Float[Tensor, "query doc"], exists: Bool[Tensor, "query doc"], *, k: int
) -> Bool[Tensor, "query doc"]:
    """True at the k largest scores of each row among the candidates that exist.

    Args:
        scores: cosines; only their order matters, and no gradient flows.
        exists: which cells are candidates at all.
        k: how many; a row with fewer candidates keeps them all.

    Returns:
        (query, doc).

    Raises:
        BadArgument: k < 1.

    Example:
        >>> import torch
        >>> nearest(torch.tensor([[0.9, 0.5, 0.1]]), torch.tensor([[False, True, True]]), k=1)
        tensor([[False,  True, False]])
    """
    check_count("k", k, mend="Try 10.")
    ranked = scores.detach().masked_fill(~exists, -inf)
    best = ranked.topk(min(k, scores.shape[1]), dim=1).indices
    return exists.new_zeros(exists.shape).scatter(1, best, value=True) & exists


def leave_one_out_knn(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    known: Bool[Tensor, "query doc"],
    k: int = 10,
    temperature: float = 0.1,
    always: bool = False,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates; the anchor itself is none of them.
        positive: column of each row's labelled positive. It is never dropped.
        known: true at every known positive; the labelled one is added.
        k: neighbours that count; usual 10 to 100, the paper's not verified.
        temperature: logit = score / temperature; usual 0.1.
        always: count the most similar known positive even where it is not among the k.
        weight: 1 keep, 0 drop, between = trust, for negatives; None keeps all.

    Returns:
        Nats per anchor, >= 0; 0 where no neighbour is a known positive, or none a negative.

    Raises:
        BadArgument: k < 1, temperature <= 0, shapes that do not fit.

    Example:
        >>> import torch
        >>> scores, known = torch.tensor([[1.0, 0.5, 0.0]]), torch.tensor([[True, False, True]])
        >>> leave_one_out_knn(scores, torch.tensor([0]), known=known, k=2, temperature=1.0)
        tensor([0.4741])
    """
    loss = LeaveOneOutKNN(k=k, temperature=temperature, always=always)
    return loss(scores, positive, known=known, weight=weight)


@register("loss", "leave_one_out_knn")
@dataclass(frozen=True, kw_only=True)
class LeaveOneOutKNN:
    """Softmax over the k nearest candidates only, so that a class may keep its sub-topics (LOOK).

    Args:
        k: see `leave_one_out_knn`.
        temperature: see `leave_one_out_knn`.
        always: see `leave_one_out_knn`.

    Raises:
        BadArgument: k < 1, temperature <= 0.
    """

    k: int = 10
    temperature: float = 0.1
    always: bool = False
    needs: ClassVar[tuple[str, ...]] = ("known",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_count("k", self.k, mend="Try 10.")
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
        near = nearest(scores, mates | (negatives > 0), k=self.k)
        if self.always:
            near = near | nearest(scores, mates, k=1)
        logits = scores / self.temperature
        pull = weighted_logsumexp(logits, near & mates)
        push = weighted_logsumexp(logits, negatives * near)
        silent = pull.isneginf() | push.isneginf()
        gap = push.masked_fill(silent, 0.0) - pull.masked_fill(silent, 0.0)
        return softplus(gap, threshold=50.0).masked_fill(silent, 0.0)
