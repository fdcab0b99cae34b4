"""Batches of whole clusters of near rows, grown larger as training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice, check_count
from workbench.mine.clusters import bisect
from workbench.registry import register
from workbench.sample.base import Grouping, Sampler
from workbench.sample.nearest import Sides, both_sides
from workbench.sample.plan import Plan
from workbench.types import Floats, Ints, Vectors


def in_clusters(
    labels: NDArray[np.integer], *, batch_size: int, drop_last: bool, rng: np.random.Generator
) -> tuple[list[Ints], Ints]:
    """Shuffle clusters and the rows inside, lay them end to end, and cut.

    A cluster that lies across a cut has its rows in two batches.

    Args:
        labels: (row,) cluster of each row, from 0.
        batch_size: rows per batch.
        drop_last: leave out the last, short batch.
        rng: source of the order.

    Returns:
        The batches, and the rows left out, ascending.

    Example:
        >>> batches, _ = in_clusters(np.array([0, 1, 0, 1]), batch_size=2, drop_last=False,
        ...                          rng=np.random.default_rng(0))
        >>> sorted(sorted(rows.tolist()) for rows in batches)
        [[0, 2], [1, 3]]
    """
    luck = rng.random(int(labels.max()) + 1)[labels]
    order = np.lexsort((rng.random(len(labels)), luck))
    end = len(order) - len(order) % batch_size if drop_last else len(order)
    batches = [order[start : start + batch_size] for start in range(0, end, batch_size)]
    return batches, np.sort(order[end:])


@register("sampler", "clusters")
@dataclass(eq=False, repr=False, kw_only=True)
class Clusters(Sampler):
    """Each batch a few whole clusters of rows that the encoder finds alike: negatives it confuses.

    Rows are halved again and again by their vectors, until clusters hold at most the size of the
    epoch; clusters are shuffled and cut into batches. Until the first refresh, and at size 1, the
    order is random. Sizes take effect at their epoch, without a refresh.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        vectors: as `refresh` takes them, query vectors or (query, document) vectors, to group by
            from epoch 0 on; None = random until the first refresh.
        batch_size: rows per batch; 1,600 in the paper.
        cluster_size: rows per cluster at most, before any epoch of `schedule`.
        schedule: {epoch: size} from that epoch on; the paper's code doubles from 1 to 2 at epoch
            10, then at 20, 25, 50, 75, 100, 125, 150 and 200.
        refresh_every: epochs between refreshes, 5 in the paper; see `wants_refresh`.
        start: the first epoch that wants one, 10 in the paper's code.
        side: whose vectors are clustered, "query" or "doc".

    A cluster lies across two batches where its size does not divide `batch_size`. Seed, negatives
    and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option or a position out of range.
        BadData: a vector is not finite.

    Example:
        >>> pairs = np.stack([np.arange(4), np.arange(4)], axis=1)
        >>> rows = np.array([[1, 0], [0, 1], [1, 0.1], [0.1, 1]], dtype=np.float32)
        >>> sampler = Clusters(pairs, rows, batch_size=2, cluster_size=2)
        >>> sorted(sorted(batch.rows.tolist()) for batch in sampler)
        [[0, 2], [1, 3]]

    Source: Dahiya et al. 2022, "NGAME: Negative Mining-aware Mini-batching for Extreme
    Classification", section 3.

    Breaks when: what is near is also right: the share of false negatives rises with the cluster
    size, so mask them in the loss.
    """

    vectors: Vectors | Floats | tuple[Vectors | Floats, Vectors | Floats] | None = field(
        default=None, kw_only=False
    )
    cluster_size: int = 16
    schedule: Mapping[int, int] | None = None
    refresh_every: int = 5
    start: int = 0
    side: str = "query"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("cluster_size", self.cluster_size, mend="Try 16.")
        check_count("refresh_every", self.refresh_every, mend="Try 5.")
        check_count("start", self.start, at_least=0, mend="Try 0.")
        check_choice("side", self.side, ("query", "doc"))
        schedule: object = self.schedule or {}
        if not isinstance(schedule, Mapping):
            wanted = "it must be {epoch: rows per cluster}"
            raise BadArgument("schedule", schedule, wanted, "Try {10: 2, 20: 4}.")
        for epoch, size in schedule.items():
            check_count("schedule", epoch, at_least=0, mend="Name epochs, as in {10: 2, 20: 4}.")
            check_count("schedule", size, mend="Name sizes, as in {10: 2, 20: 4}.")
        self._sizes: dict[int, int] = {0: self.cluster_size} | dict(schedule)
        if self.vectors is not None:
            self.refresh(*both_sides(self.vectors), epoch=0)

    def size(self, epoch: int) -> int:
        """Rows per cluster at most in an epoch."""
        return self._sizes[max(first for first in self._sizes if first <= epoch)]

    def wants_refresh(self, epoch: int) -> bool:
        """Every `refresh_every` epochs from `start` on, unless there was one for this epoch."""
        due = epoch >= self.start and (epoch - self.start) % self.refresh_every == 0
        return due and all(first != epoch for first, _ in self._groupings)

    def _group(self, sides: Sides, epoch: int) -> Grouping | None:
        values = sides[0] if self.side == "query" else sides[1]
        if values is None:
            wanted = 'document vectors are needed with side="doc"'
            raise BadArgument("docs", None, wanted, "Give both sides.")
        later = [size for first, size in self._sizes.items() if first > epoch]
        # The smallest clusters to come; neighbouring numbers are siblings, so larger ones follow.
        finest = min([size for size in (self.size(epoch), *later) if size > 1], default=0)
        if not finest:
            return None
        rows = values[self.pairs[:, 0 if self.side == "query" else 1]]
        return bisect(rows, size=finest, seed=self.seed + epoch).astype(np.int32)

    def _clusters(self, epoch: int) -> Ints | None:
        finest, size = self._grouping(epoch), self.size(epoch)
        if finest is None or size == 1:
            return None
        labels = finest.astype(np.int64)
        clusters = int(labels.max()) + 1
        while 2 * len(labels) <= size * clusters and clusters > 1:
            labels, clusters = labels >> 1, clusters >> 1
        return labels

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        labels, rows = self._clusters(epoch), len(self.pairs)
        batches, left = in_clusters(
            np.arange(rows) if labels is None else labels,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            rng=rng,
        )
        return Plan(batches=batches, left_out=left, inspected=rows, labels=labels)
