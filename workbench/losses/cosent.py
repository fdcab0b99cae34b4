"""CoSENT: a list of candidates ordered as its grades are, by one log-sum-exp over pairs.

    loss_i = log( 1 + sum_{a, b: grade_ia > grade_ib} w_ia w_ib exp((s_ib - s_ia) / t) )

The sum factorises over the distinct grades g, so that no pair is ever formed:

    sum_g ( sum_{b: grade = g} w_b exp(s_b / t) ) ( sum_{a: grade > g} w_a exp(-s_a / t) )

A candidate of unknown grade (NaN) stands in no pair. With one row that holds all pairs of a batch
it is the loss of sentence similarity training.

Source: Su 2022, "CoSENT"; Huang et al. 2024, "CoSENT: Consistent Sentence Embedding via Similarity
Ranking" (scale 20, that is temperature 0.05).
Breaks when: grades are continuous (time and memory of a row grow with its distinct grades times
its candidates: quadratic where each has a grade of its own); grades of different rows are not
comparable and stand in one row; unjudged candidates carry grade 0 (they are pushed like negatives).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import check_number
from workbench.losses._base import check_scores, negative_weight, own_column
from workbench.registry import register
from workbench.scores import weighted_logsumexp


def cosent(
    scores: Float[Tensor, "query doc"],
    positive: Integer[Tensor, " query"],
    *,
    grade: Float[Tensor, "query doc"],
    temperature: float = 0.05,
    weight: Float[Tensor, "query doc"] | None = None,
) -> Float[Tensor, " query"]:
    """One value per anchor; the caller takes the mean.

    Args:
        scores: cosines of anchors and candidates, or of the pairs of one list.
        positive: column of each row's labelled positive. It is never dropped.
        grade: any scale; only its order counts; NaN = unknown.
        temperature: logit = score / temperature; usual 0.05.
        weight: 1 keep, 0 drop, between = trust; None keeps all. A pair has the product of two.

    Returns:
        Nats per anchor, >= 0; 0 where no kept candidate has another grade.

    Raises:
        BadArgument: temperature <= 0, shapes that do not fit, an empty matrix.

    Example:
        >>> scores, grade = torch.tensor([[0.5, 0.6, 0.1]]), torch.tensor([[2.0, 1.0, 0.0]])
        >>> cosent(scores, torch.tensor([0]), grade=grade, temperature=1.0)
        tensor([1.2185])
    """
    return CoSENT(temperature=temperature)(scores, positive, grade=grade, weight=weight)


@register("loss", "cosent")
@dataclass(frozen=True, kw_only=True)
class CoSENT:
    """Order of a graded list, by one log-sum-exp over its unequal pairs.

    Args:
        temperature: logit = score / temperature; usual 0.05.

    Raises:
        BadArgument: temperature <= 0.
    """

    temperature: float = 0.05
    needs: ClassVar[tuple[str, ...]] = ("grade",)
    independent: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 0.05.")

    def __call__(
        self,
        scores: Float[Tensor, "query doc"],
        positive: Integer[Tensor, " query"],
        *,
        grade: Float[Tensor, "query doc"],
        weight: Float[Tensor, "query doc"] | None = None,
    ) -> Float[Tensor, " query"]:
        """Value per anchor."""
        check_scores(scores, positive, weight, grade=grade)
        own = own_column(scores, positive)
        kept = negative_weight(scores, own, weight).masked_fill(own, 1.0)
        logits = scores / self.temperature
        levels = [
            weighted_logsumexp(logits, kept * (grade == level))
            + weighted_logsumexp(-logits, kept * (grade > level))
            for level in torch.unique(grade[~grade.isnan()])[:-1]
        ]
        if not levels:
            return (scores * 0.0).sum(dim=1)
        total = weighted_logsumexp(torch.stack(levels, dim=1))
        alive = ~total.isneginf()
        return softplus(total.masked_fill(~alive, 0.0), threshold=50.0).masked_fill(~alive, 0.0)
