"""Trust a candidate as a negative by how probably the annotators saw it.

    w_ij = 1 / (1 - sigmoid(S_ij / T)) = 1 + exp(S_ij / T),   weight_ij = w_ij / max_j w_ij

S scores how probably a candidate stood in the pool that was judged (from its BM25 rank, length,
source, age). One that did and has no label was probably looked at and refused; one that did not
was probably never seen. Weights of the paper are at least 1 and unbounded; divided by the largest
of the row they lie in (0, 1].

Source: Cai et al. 2022, "Hard Negatives or False Negatives: Correcting Pooling Bias in Training
Neural Ranking Models" (CET), the weight that the selection score gives the relevance loss, T = 10.
Breaks when: S sees the same features as the relevance scorer (the two are then interchangeable, and
most of the gain is gone); T is small, where one candidate of a row takes all the trust.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import softplus

from workbench.errors import BadArgument, check_number
from workbench.registry import register
from workbench.scores import Cells


def propensity(
    selection: Float[Tensor, "query doc"], *, temperature: float = 10.0
) -> Float[Tensor, "query doc"]:
    """(1 + exp(S / T)) over the largest of the row.

    Args:
        selection: S, log-odds that the candidate was in the judged pool; NaN where unknown, which
            counts as surely not.
        temperature: T, usual 2 to 10; paper 10.

    Returns:
        Weights in (0, 1]; all 1 in a row without a known S.

    Example:
        >>> propensity(torch.tensor([[-1.5, 2.0, 0.6]]))
        tensor([[0.8376, 1.0000, 0.9282]])
    """
    exact = selection if selection.dtype == torch.float64 else selection.float()
    most = torch.finfo(exact.dtype).max
    known = exact.nan_to_num(nan=float("-inf"), posinf=most, neginf=float("-inf"))
    logs = softplus(known / temperature)
    peak = logs.amax(dim=1, keepdim=True) if logs.shape[1] else logs
    return (logs - peak).exp().to(selection.dtype)


@register("rule", "propensity")
@dataclass(frozen=True, kw_only=True)
class Propensity:
    """Trust what annotators probably saw and did not label more than what they did not see (CET).

    Args:
        temperature: see `propensity`.
        fact: name under which S is given.

    Raises:
        BadArgument: temperature <= 0, or an empty name.
    """

    temperature: float = 10.0
    fact: str = "selection"

    def __post_init__(self) -> None:
        check_number("temperature", self.temperature, above=0, mend="Try 10.")
        if not self.fact:
            raise BadArgument("fact", self.fact, "it must be the name of a score", "Try selection.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The score it looks at."""
        return (self.fact,)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return propensity(cells[self.fact], temperature=self.temperature)
