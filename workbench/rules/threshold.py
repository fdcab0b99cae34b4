"""Drop candidates whose score lies outside a band: too similar to be safe, or too easy to teach.

    weight_ij = 1 where at_least <= score_ij <= at_most, else 0

Source: max_score / min_score of common hard-negative miners.
Breaks when: scores of different encoders are compared with one number; cosine scales differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from workbench.errors import BadArgument, check_number
from workbench.registry import register
from workbench.rules._base import keep
from workbench.scores import Cells


def threshold(
    scores: Float[Tensor, "query doc"],
    *,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Float[Tensor, "query doc"]:
    """Weight 1 inside [at_least, at_most]; a missing bound does not bind.

    Args:
        scores: the student's (in a batch) or the miner's (in a mined list).
        at_least: below this a negative is too easy.
        at_most: above this it is suspected to be a positive.

    Returns:
        Weights, 1 or 0.

    Example:
        >>> import torch
        >>> threshold(torch.tensor([[0.9, 0.5]]), at_most=0.8)
        tensor([[0., 1.]])
    """
    weight = keep(scores == scores, scores)
    if at_least is not None:
        weight = weight * keep(scores >= at_least, scores)
    if at_most is not None:
        weight = weight * keep(scores <= at_most, scores)
    return weight


@register("rule", "threshold")
@dataclass(frozen=True, kw_only=True)
class Threshold:
    """Keep only candidates whose score lies in a band.

    Args:
        at_least: see `threshold`.
        at_most: see `threshold`.

    Raises:
        BadArgument: no bound at all, or an empty band.
    """

    at_least: float | None = None
    at_most: float | None = None
    needs: ClassVar[tuple[str, ...]] = ("score",)

    def __post_init__(self) -> None:
        if self.at_least is None and self.at_most is None:
            raise BadArgument(
                "at_most", None, "at least one bound must be given", "Try at_most=0.9."
            )
        for name, bound in (("at_least", self.at_least), ("at_most", self.at_most)):
            if bound is not None:
                check_number(name, bound, mend="Give a score.")
        if self.at_least is not None and self.at_most is not None and self.at_least > self.at_most:
            wanted = f"it must be <= at_most, which is {self.at_most}"
            raise BadArgument("at_least", self.at_least, wanted, "Swap them.")

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return threshold(cells["score"], at_least=self.at_least, at_most=self.at_most)
