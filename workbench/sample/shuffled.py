"""Rows in random order, cut into batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.plan import Plan
from workbench.types import Ints


def shuffled(
    rows: int, *, batch_size: int, drop_last: bool, rng: np.random.Generator
) -> tuple[list[Ints], Ints]:
    """Cut a random permutation into batches.

    Returns:
        The batches, and the rows that `drop_last` leaves out, ascending.

    Example:
        >>> batches, left = shuffled(5, batch_size=2, drop_last=True, rng=np.random.default_rng(0))
        >>> [len(batch) for batch in batches], len(left)
        ([2, 2], 1)
    """
    order = rng.permutation(rows)
    end = rows - rows % batch_size if drop_last else rows
    batches = [order[start : start + batch_size] for start in range(0, end, batch_size)]
    return batches, np.sort(order[end:])


@register("sampler", "shuffled")
@dataclass(eq=False, repr=False, kw_only=True)
class Shuffled(Sampler):
    """Every row once, in random order, whatever it stands beside.

    False negatives inside a batch are the loss's affair: give it the rule `KnownPositive()`.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        batch_size: rows per batch, usually 32 to 1024.

    Seed, negatives and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option or a position out of range.

    Example:
        >>> sampler = Shuffled(np.array([[0, 0], [1, 1], [2, 2]]), batch_size=2)
        >>> [len(batch) for batch in sampler], len(sampler)
        ([2, 1], 2)

    Breaks when: positives are shared by many rows, for then they stand as each other's negatives.
    """

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        batches, left = shuffled(
            len(self.pairs), batch_size=self.batch_size, drop_last=self.drop_last, rng=rng
        )
        return Plan(batches=batches, left_out=left, inspected=len(self.pairs))
