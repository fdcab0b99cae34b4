"""Drop a candidate that is already known to answer the anchor.

    weight_ij = 0 where c_j is a positive of a_i by judgments, by the same text, or as a near
    duplicate of a judged positive

Free and of precision 1 as far as the labels are right; no guide is asked.

Source: the in-batch relevance matrix of NGAME (Dahiya et al. 2022) and every multi-label
retriever; here extended over duplicate groups.
Breaks when: false negatives were never labelled anywhere, which is the usual case: pair it with a
rule that guesses.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.registry import register
from workbench.scores import Cells


def known_positive(known: Bool[Tensor, "query doc"]) -> Float[Tensor, "query doc"]:
    """Weight 0 where the candidate is a known positive of the anchor.

    Args:
        known: true where the known-positive graph joins anchor and candidate.

    Returns:
        Weights, 1 or 0.

    Example:
        >>> known_positive(torch.tensor([[True, False]]))
        tensor([[0., 1.]])
    """
    return (~known).to(torch.float32)


@register("rule", "known_positive")
@dataclass(frozen=True, kw_only=True)
class KnownPositive:
    """Drop known positives: judged, same text, or near duplicate of a judged one."""

    needs: ClassVar[tuple[str, ...]] = ("known",)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return known_positive(cells["known"])
