"""Batches grown from near neighbours, by side information first and by similarity later."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count
from workbench.registry import register
from workbench.sample.base import Grouping, Sampler
from workbench.sample.nearest import Sides, both_sides, nearest_rows
from workbench.sample.plan import Plan
from workbench.types import Floats, Ints, Vectors

DRAWN = 1024
"""Draws of far neighbours made at once."""


def grown(
    neighbours: NDArray[np.integer], *, batch_size: int, select: int, rng: np.random.Generator
) -> tuple[Ints, int]:
    """All rows in an order in which near rows follow each other, batch by batch.

    An unused row is drawn, then its unused neighbours join it, the nearest select / 2 and as many
    drawn from the others; when they are too few for the batch another row is drawn.

    Args:
        neighbours: (row, pool) rows, nearest first, -1 where there are fewer; none twice in a row.
        batch_size: rows per batch; neighbours are not carried into the next.
        select: neighbours that may join one row.
        rng: source of the order.

    Returns:
        (row,) every row once, and how many rows were looked at: at most select + 1 for each.

    Example:
        >>> table = np.array([[1, 2], [0, 2], [3, 0], [2, 0]])
        >>> order, _ = grown(table, batch_size=2, select=2, rng=np.random.default_rng(0))
        >>> sorted(sorted(pair) for pair in order.reshape(2, 2).tolist())
        [[0, 1], [2, 3]]

    Source: Deuser et al. 2023, Sample4Geo, section 3.3.
    """
    rows, pool = neighbours.shape
    near = min((select + 1) // 2, pool)
    far = min(select - near, pool - near)
    used = bytearray(rows + 1)  # one more, always used, for the -1 of a short list
    used[rows] = 1
    flags = np.frombuffer(used, dtype=np.bool_)
    order = np.empty(rows, dtype=np.int64)
    draws = np.zeros((0, far), dtype=np.int64)
    filled = looked = turn = 0
    for row in rng.permutation(rows).tolist():
        looked += 1
        if used[row]:
            continue
        used[row] = 1
        order[filled] = row
        filled += 1
        room = -filled % batch_size
        if not room or not pool:
            continue
        if turn == len(draws):
            ranks = np.broadcast_to(np.arange(near, pool), (DRAWN, pool - near))
            draws, turn = rng.permuted(ranks, axis=1)[:, :far], 0
        joining = np.concatenate([neighbours[row, :near], neighbours[row, draws[turn]]])
        turn += 1
        looked += len(joining)
        joining = joining[~flags[joining]][:room]
        flags[joining] = True
        order[filled : filled + len(joining)] = joining
        filled += len(joining)
    return order, looked


def _checked_table(table: NDArray[np.integer], rows: int) -> NDArray[np.int32]:
    given: object = table
    if isinstance(given, tuple | Vectors):
        wanted = "it must be a table of rows"
        mend = "Name vectors: vectors=(query vectors, document vectors)."
        raise BadArgument("neighbours", type(given).__name__, wanted, mend)
    values = np.asarray(table)
    if values.ndim != 2 or len(values) != rows or values.dtype.kind not in "iu":
        wanted = f"it must be whole numbers of shape ({rows:,}, n), a list per row of pairs"
        mend = "Make it with nearby(...); vectors are named, vectors=."
        raise BadArgument("neighbours", (values.shape, str(values.dtype)), wanted, mend)
    if values.size and (values.min() < -1 or values.max() >= rows):
        bad = int(values.min() if values.min() < -1 else values.max())
        wanted = f"a neighbour must be a row, 0..{rows - 1}, or -1 for none"
        raise BadArgument("neighbours", bad, wanted, "Pass rows of pairs, not ids.")
    for start in range(0, rows, 65_536):
        some = np.sort(values[start : start + 65_536], axis=1)
        twice = ((some[:, 1:] == some[:, :-1]) & (some[:, 1:] >= 0)).any(axis=1)
        if twice.any():
            problem = f"row {start + int(twice.argmax())} names a neighbour twice"
            raise BadData("neighbours", [problem], "Name each once, nearest first.")
    return values.astype(np.int32)


@register("sampler", "neighbours")
@dataclass(eq=False, repr=False, kw_only=True)
class Neighbours(Sampler):
    """Each batch grown from a row and its near neighbours, then another row and its neighbours.

    Before there are vectors "near" may mean side information: places, times, the same file (make a
    table with `nearby`, or any other way). From the first refresh on it means similar: the wrong
    documents nearest to the row's query. Without either, the order is random.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        neighbours: (row, n) rows, nearest first, -1 where there are fewer; holds until the first
            refresh.
        vectors: as `refresh` takes them, query vectors or (query, document) vectors, to find
            neighbours with from epoch 0 on.
        batch_size: rows per batch; 128 in the paper.
        select: neighbours that may join one row, the nearest half always, 64 in the paper.
        pool: neighbours from which the other half is drawn, 128 in the paper.
        refresh_every: epochs between refreshes, 4 in the paper; see `wants_refresh`.
        start: the first epoch that wants one; None = 0 without a table, else `refresh_every`.

    Every row comes once; the last batch may be short. A refresh keeps pool x 4 bytes per row. Seed,
    negatives and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option, a neighbour or a position out of range.
        BadData: a row names a neighbour twice, a vector is not finite.

    Example:
        >>> from workbench.sample import nearby
        >>> pairs = np.stack([np.arange(4), np.arange(4)], axis=1)
        >>> table = nearby(np.array([[0.0], [50.0], [1.0], [51.0]]), k=2)
        >>> sampler = Neighbours(pairs, table, batch_size=2, select=2, pool=2)
        >>> sorted(sorted(batch.rows.tolist()) for batch in sampler)
        [[0, 2], [1, 3]]

    Source: Deuser et al. 2023, "Sample4Geo: Hard Negative Sampling For Cross-View
    Geo-Localisation", section 3.3.

    Breaks when: near rows share an answer; mask known positives in the loss, and mind the others.
    """

    neighbours: NDArray[np.integer] | None = field(default=None, kw_only=False)
    vectors: Vectors | Floats | tuple[Vectors | Floats, Vectors | Floats] | None = None
    select: int = 64
    pool: int = 128
    refresh_every: int = 4
    start: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("select", self.select, mend="Try 64.")
        check_count("pool", self.pool, mend="Try 128.")
        check_count("refresh_every", self.refresh_every, mend="Try 4.")
        if self.pool < self.select:
            wanted = f"it must be >= select, which is {self.select}"
            raise BadArgument("pool", self.pool, wanted, f"Try {2 * self.select}.")
        if self.start is not None:
            check_count("start", self.start, at_least=0, mend="Try 0.")
        if self.neighbours is not None and self.vectors is not None:
            wanted = "it holds until the first refresh, so vectors at the start leave it unused"
            raise BadArgument("neighbours", "given", wanted, "Give one of both.")
        if self.neighbours is not None:
            table = _checked_table(self.neighbours, len(self.pairs))
            self._groupings = [(0, table[:, : self.pool])]
        if self.vectors is not None:
            self.refresh(*both_sides(self.vectors), epoch=0)

    def wants_refresh(self, epoch: int) -> bool:
        """Every `refresh_every` epochs from `start` on, unless there was one for this epoch."""
        start = self.start
        if start is None:
            start = 0 if self.neighbours is None else self.refresh_every
        due = epoch >= start and (epoch - start) % self.refresh_every == 0
        return due and all(first != epoch for first, _ in self._groupings)

    def _group(self, sides: Sides, epoch: int) -> Grouping:
        return nearest_rows(sides, self._graph, self.pairs, k=self.pool)

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        table, rows = self._grouping(epoch), len(self.pairs)
        if table is None:
            table = np.full((rows, 0), -1, dtype=np.int32)
        order, looked = grown(table, batch_size=self.batch_size, select=self.select, rng=rng)
        end = rows - rows % self.batch_size if self.drop_last else rows
        batches = [
            rng.permutation(order[at : at + self.batch_size])
            for at in range(0, end, self.batch_size)
        ]
        return Plan(batches=batches, left_out=np.sort(order[end:]), inspected=looked)
