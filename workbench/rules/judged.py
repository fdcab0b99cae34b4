"""Drop what somebody judged to be a positive.

    weight_ij = 0 where the newest verdict on (anchor, candidate) is "positive", else 1
    weight_ij = 1 where it is "negative", whatever other rules say (`trust`)

A person's word counts more than any model's: put this rule beside the guessing ones. A judged
negative is the best hard negative there is; without `trust` it is kept as far as *this* rule goes
and may still be dropped by the others, since rules multiply.

Source: this workbench; the ledger users of other tools asked for.
Breaks when: judges err or guess; "unsure" and "skip" count as not judged.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Integer
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
    """Drop candidates judged to be positives of the anchor; vouch for those judged negative.

    Args:
        trust: keep a judged negative at weight 1 against every other rule.
    """

    trust: bool = True
    needs: ClassVar[tuple[str, ...]] = ("verdict",)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return judged(cells["verdict"])

    def vouched(self, cells: Cells) -> Bool[Tensor, "query doc"]:
        """True where a cell was judged negative and such judgments are trusted."""
        verdict = cells["verdict"]
        return (verdict < 0) if self.trust else torch.zeros_like(verdict, dtype=torch.bool)
