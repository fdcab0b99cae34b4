"""Rows in random order, cut into batches."""

from __future__ import annotations

import numpy as np

from workbench.data.known import KnownPositives
from workbench.registry import register
from workbench.sample.base import Plan, Sampler
from workbench.types import Candidates, Ints


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
class Shuffled(Sampler):
    """Every row once, in random order, whatever it stands beside.

    False negatives inside a batch are the loss's affair: give it the rule `KnownPositive()`.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        batch_size: rows per batch, usually 32 to 1024.
        seed: of the order, together with the epoch.
        drop_last: leave out the last, short batch.
        known: the known-positive graph; with it the report counts the false negatives inside.
        negatives: mined candidates; those of weight > 0 are used.
        num_negatives: how many per row, the best-ranked first.

    Raises:
        BadArgument: an option or a position out of range.

    Example:
        >>> sampler = Shuffled(np.array([[0, 0], [1, 1], [2, 2]]), batch_size=2)
        >>> [len(batch) for batch in sampler], len(sampler)
        ([2, 1], 2)

    Breaks when: positives are shared by many rows, for then they stand as each other's negatives.
    """

    def __init__(
        self,
        pairs: Ints,
        *,
        batch_size: int,
        seed: int = 0,
        drop_last: bool = False,
        known: KnownPositives | None = None,
        negatives: Candidates | None = None,
        num_negatives: int = 0,
    ) -> None:
        super().__init__(
            pairs,
            batch_size=batch_size,
            seed=seed,
            drop_last=drop_last,
            known=known,
            negatives=negatives,
            num_negatives=num_negatives,
        )

    def _plan(self, rng: np.random.Generator) -> Plan:
        batches, left = shuffled(
            len(self.pairs), batch_size=self.batch_size, drop_last=self.drop_last, rng=rng
        )
        return Plan(batches=batches, left_out=left, inspected=len(self.pairs))
