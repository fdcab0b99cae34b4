"""Drop a near duplicate of the anchor or of its labelled positive.

    weight_ij = 0 where group(c_j) = group(a_i) or group(c_j) = group(p_i)

Groups are those of the collection: exact and near duplicates by MinHash. Narrower than
`KnownPositive`, which also drops what answers the anchor by any other judgment: use this one where
judgments of other queries are not to be trusted.

Source: de-duplication within a batch, as in common no-duplicates samplers, here also for near
duplicates and for mined candidates.
Breaks when: groups are too wide and join texts that answer differently.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from workbench.registry import register
from workbench.scores import Cells


def same_group(same: Bool[Tensor, "query doc"]) -> Float[Tensor, "query doc"]:
    """Weight 0 where the candidate is in the group of the anchor or of its labelled positive.

    Args:
        same: true for a near duplicate.

    Returns:
        Weights, 1 or 0.

    Example:
        >>> same_group(torch.tensor([[True, False]]))
        tensor([[0., 1.]])
    """
    return (~same).to(torch.float32)


@register("rule", "same_group")
@dataclass(frozen=True, kw_only=True)
class SameGroup:
    """Drop near duplicates of the anchor or of its labelled positive."""

    needs: ClassVar[tuple[str, ...]] = ("same_group",)

    def __call__(self, cells: Cells) -> Float[Tensor, "query doc"]:
        """Weights of the cells."""
        return same_group(cells["same_group"])
