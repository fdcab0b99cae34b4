"""Drop what somebody judged to be a positive.

    weight_ij = 0 where the newest verdict on (anchor, candidate) is "positive", else 1

A person's word counts more than any model's: put this rule beside the guessing ones. A verdict
"negative" keeps the cell as far as *this* rule goes; it does not overrule the others, since rules
multiply.

Source: this workbench; the ledger users of other tools asked for.
Breaks when: judges err or guess; "unsure" and "skip" count as not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Integer
from torch import Tensor

from workbench.registry import register
from workbench.scores import Cells


def judged(verdict: Integer[Tensor, "query doc"]) -> Float[Tensor, "query doc"]:
    """Weight 0 where the verdict is +1 (judged positive), 1 elsewhere.

    Args:
        verdict: +1 judged positive, -1 judged negative, 0 not judged.

    Returns:
        Weights, 1 or 0.

    Example:
        >>> judged(torch.tensor([[1, 0, -1]]))
        tensor([[0., 1., 1.]])
    """
    return (verdict <= 0).to(torch.float32)


@register("rule", "judged")
@dataclass(frozen=True, kw_only=True)
class Judged:
    """Drop candidates that somebody judged to be positives of the anchor."""

    needs: ClassVar[tuple[str, ...]] = ("verdict",)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return judged(cells["verdict"])
