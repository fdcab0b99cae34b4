"""Rows cut into batches group by group, and pieces of different groups put into one batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.sample.deal import deal_cliques, most_batches
from workbench.types import Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class Cut:
    """Groups cut into blocks of equal size.

    Args:
        blocks: (block, size) rows.
        of: (block,) group of each block.
        rest: (row,) what fills no block, group after group.
        rest_of: (row,) group of each of those.
    """

    blocks: Ints
    of: Ints
    rest: Ints
    rest_of: Ints


def cut(rows: Ints, groups: Ints, *, size: int, rng: np.random.Generator) -> Cut:
    """Shuffle each group and cut it into blocks of `size` rows; groups come in random order.

    Args:
        rows: (n,) row numbers.
        groups: (n,) group of each, from 0.
        size: rows per block.
        rng: source of the order.

    Example:
        >>> made = cut(np.arange(5), np.array([0, 0, 0, 1, 1]), size=2,
        ...            rng=np.random.default_rng(0))
        >>> made.blocks.shape, sorted(made.of.tolist()), made.rest_of.tolist()
        ((2, 2), [0, 1], [0])
    """
    luck = rng.random(int(groups.max(initial=0)) + 1)[groups]
    order = np.lexsort((rng.random(len(rows)), groups, luck))
    rows, groups = rows[order], groups[order]
    counts = np.bincount(groups)[groups]
    fresh = np.concatenate([[True], groups[1:] != groups[:-1]])[: len(rows)]
    at = np.arange(len(rows))
    place = at - np.maximum.accumulate(np.where(fresh, at, 0))
    full = place < counts // size * size
    return Cut(
        blocks=rows[full].reshape(-1, size),
        of=groups[full].reshape(-1, size)[:, 0],
        rest=rows[~full],
        rest_of=groups[~full],
    )


def together(blocks: Ints, per_batch: int, *, pieces: int = 1) -> list[list[Ints]]:
    """Blocks of several batches' rows as runs of batches, each with a share of every piece.

    Args:
        blocks: (block, size) rows; `pieces` equal parts of each come from different groups.
        per_batch: rows per batch, a divisor of size and a multiple of `pieces`.
        pieces: parts of a block.

    Example:
        >>> together(np.arange(8)[None], 4, pieces=2)
        [[array([0, 1, 4, 5]), array([2, 3, 6, 7])]]
    """
    runs = blocks.shape[1] // per_batch
    parts = blocks.reshape(len(blocks), pieces, runs, per_batch // pieces)
    batches = parts.transpose(0, 2, 1, 3).reshape(len(blocks), runs, per_batch)
    return [list(run) for run in batches]


def split_evenly(rows: Ints, parts: int) -> list[Ints]:
    """A short run of `parts` batches; none when there are fewer rows than batches.

    Example:
        >>> [len(batch) for batch in split_evenly(np.arange(5), 2)], split_evenly(np.arange(1), 2)
        ([3, 2], [])
    """
    return list(np.array_split(rows, parts)) if len(rows) >= parts else []


def meet(groups: Ints, count: int, *, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Put pieces together so that each batch has `count` of them, all of different groups.

    There are as many batches as can be made.

    Args:
        groups: (piece,) group of each piece.
        count: pieces per batch.
        rng: source of the order.

    Returns:
        (batch, count) pieces, and the pieces in no batch.

    Example:
        >>> batches, left = meet(np.array([0, 0, 0, 1]), 2, rng=np.random.default_rng(0))
        >>> batches.shape, left.tolist() in ([0, 1], [0, 2], [1, 2])
        ((1, 2), True)
    """
    if not len(groups):
        return np.zeros((0, count), dtype=np.int64), np.zeros(0, dtype=np.int64)
    groups = np.unique(groups, return_inverse=True)[1]
    room = np.full(most_batches(np.bincount(groups), count), count)
    where = deal_cliques(groups, room, rng=rng)
    placed = np.flatnonzero(where >= 0)
    order = placed[np.argsort(where[placed], kind="stable")]
    return order.reshape(-1, count), np.flatnonzero(where < 0)


def flat(runs: list[list[Ints]], *, rng: np.random.Generator) -> list[Ints]:
    """Runs of batches in random order, each run kept together."""
    return [batch for place in rng.permutation(len(runs)) for batch in runs[place]]


def unused(rows: int, batches: list[Ints]) -> Ints:
    """The rows that no batch holds, ascending."""
    free = np.ones(rows, dtype=np.bool_)
    if batches:
        free[np.concatenate(batches)] = False
    return np.flatnonzero(free)
