"""Every batch about one topic."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.errors import BadArgument, check_count
from workbench.mine.clusters import kmeans
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.checks import numbered
from workbench.sample.grouped import cut, flat, meet, split_evenly, together, unused
from workbench.sample.nearest import both_sides, checked_sides
from workbench.sample.plan import Plan
from workbench.types import Floats, Ints, Vectors


def topics(
    queries: Ints,
    clusters: Ints,
    *,
    batch_size: int,
    clusters_per_batch: int = 1,
    processes: int = 1,
    drop_last: bool,
    rng: np.random.Generator,
) -> list[Ints]:
    """Batches of one cluster (or a few) each, no query twice in one.

    A cluster is cut into whole batches. What is left of it, and clusters too small for a batch,
    are laid end to end and cut likewise. A query's second row is dealt after all first rows.

    Args:
        queries: (row,) query of each row, or its query group.
        clusters: (row,) cluster of that query, from 0.
        batch_size: rows per batch.
        clusters_per_batch: n, a divisor of batch_size; each gives batch_size / n rows.
        processes: batches in a row that are cut from one block.
        drop_last: leave out what is left of a cluster that gave a batch, and the last short one.
        rng: source of the order.

    Source: Hofstaetter et al. 2021, TAS-Balanced, section 3.1.
    """
    mixed = rng.permutation(len(queries))
    order = mixed[np.argsort(queries[mixed], kind="stable")]
    fresh = np.concatenate([[True], queries[order][1:] != queries[order][:-1]])
    at = np.arange(len(order))
    turn = np.empty(len(order), dtype=np.int64)
    turn[order] = at - np.maximum.accumulate(np.where(fresh, at, 0))
    wide = int(clusters.max()) + 1
    size = batch_size * processes
    made = cut(
        np.arange(len(queries)), turn * wide + clusters, size=size // clusters_per_batch, rng=rng
    )
    blocks, left = made.blocks, np.zeros(0, dtype=np.int64)
    if clusters_per_batch > 1:
        # Pieces of one turn meet, so that no query comes twice.
        parts = [np.zeros((0, size), dtype=np.int64)]
        for level in np.unique(made.of // wide).tolist():
            pieces = np.flatnonzero(made.of // wide == level)
            found, lone = meet(made.of[pieces], clusters_per_batch, rng=rng)
            parts.append(blocks[pieces[found]].reshape(-1, size))
            left = np.concatenate([left, blocks[pieces[lone]].ravel()])
        blocks = np.concatenate(parts)
    runs = together(blocks, batch_size, pieces=clusters_per_batch)
    rest = np.concatenate([left, made.rest])
    if drop_last:
        served = np.zeros(wide, dtype=np.bool_)
        served[clusters[blocks.ravel()]] = True
        rest = rest[~served[clusters[rest]]]
    last: list[Ints] = []
    for level in np.unique(turn[rest]).tolist():
        several = rest[turn[rest] == level]
        end = len(several) - len(several) % size
        runs += together(several[:end].reshape(-1, size), batch_size)
        last += [] if drop_last else split_evenly(several[end:], processes)
    return flat(runs, rng=rng) + last


@register("sampler", "topics")
@dataclass(eq=False, repr=False, kw_only=True)
class Topics(Sampler):
    """Each batch about one topic, so that its in-batch negatives are hard.

    Queries are clustered once; a batch is drawn from one cluster, rows shuffled anew each epoch. A
    cluster smaller than a batch is filled up from further ones; no query stands twice in a batch,
    and with `known` no two of one group. With `draw="margin_bins"` the mined negatives are balanced
    as in the paper.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        clusters: (query,) topic of each query, words or whole numbers; or how many clusters to make
            of `vectors` (the paper: 2,000 of 400,000 queries).
        vectors: (query, dim) vectors to cluster, when `clusters` is a number; of a pair (query,
            document) vectors the first.
        batch_size: rows per batch; 32 in the paper.
        clusters_per_batch: topics in one batch, a divisor of batch_size; 1 in the paper.
        processes: consecutive batches of one topic, of different rows: one for each process of a
            training step.

    With `drop_last`, rows left over by a cluster that gave a batch are left out too, so that
    `purity` is 1 when every cluster holds a batch. Seed, negatives and the rest are those of every
    `Sampler`.

    Raises:
        BadArgument: an option, a label or a position out of range.
        BadData: a vector is not finite.

    Example:
        >>> pairs = np.stack([np.arange(6), np.arange(6)], axis=1)
        >>> sampler = Topics(pairs, np.array([0, 0, 0, 1, 1, 1]), batch_size=3)
        >>> [batch.report["purity"] for batch in sampler]
        [1.0, 1.0]

    Source: Hofstaetter et al. 2021, "Efficiently Teaching an Effective Dense Retriever with
    Balanced Topic Aware Sampling", section 3.

    Breaks when: rows of one topic answer each other's queries: hard negatives are then often false
    ones; mask them in the loss.
    """

    clusters: Any = field(kw_only=False)
    vectors: Vectors | Floats | tuple[Vectors | Floats, Vectors | Floats] | None = field(
        default=None, kw_only=False
    )
    clusters_per_batch: int = 1
    processes: int = 1

    def __post_init__(self) -> None:
        check_count("clusters_per_batch", self.clusters_per_batch, mend="Try 1.")
        check_count("processes", self.processes, mend="Try 1.")
        super().__post_init__()
        if self.batch_size % self.clusters_per_batch:
            wanted = f"it must divide batch_size, which is {self.batch_size}"
            raise BadArgument("clusters_per_batch", self.clusters_per_batch, wanted, "Try 1.")
        made = isinstance(self.clusters, int | np.integer)
        if made != (self.vectors is not None):
            wanted = "vectors are given with a number of clusters, and with that only"
            mend = "Give labels alone, or a number and vectors."
            raise BadArgument("clusters", self.clusters, wanted, mend)
        count, exact = int(self.pairs[:, 0].max()) + 1, False
        if self.known is not None:
            count, exact = len(self.known.query_groups), True
        labels = self.clusters
        if self.vectors is not None:
            given = both_sides(self.vectors)[0]
            values = checked_sides(given, None, self.pairs, self.known)[0]
            labels = kmeans(values, clusters=int(labels), seed=self.seed)
        topic = numbered("clusters", labels, count=count, exact=exact, of="query")[1]
        self._topic = topic[self.pairs[:, 0]]

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        queries = self.pairs[:, 0]
        batches = topics(
            queries if self.known is None else self.known.query_groups[queries],
            self._topic,
            batch_size=self.batch_size,
            clusters_per_batch=self.clusters_per_batch,
            processes=self.processes,
            drop_last=self.drop_last,
            rng=rng,
        )
        left = unused(len(self.pairs), batches)
        return Plan(batches=batches, left_out=left, inspected=len(self.pairs), labels=self._topic)
