"""What stands in a batch: mined negatives taken into it, and known positives among its candidates.

An anchor's candidates are every row's document and every mined negative of the batch, as in a
ranking loss that shares all columns.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.types import Candidates, Ints


def positives_among(known: KnownPositives, queries: Ints, groups: Ints) -> tuple[Ints, Ints]:
    """(index into `queries`, place in `groups`) of every group known to answer a query.

    A query's positives are listed when they are few and looked up when they are many, so the work
    grows with the batch and never with the most popular query.

    Args:
        known: the known-positive graph.
        queries: positions of the anchors.
        groups: document groups, sorted and unique.
    """
    matrix = known.positives
    starts = matrix.indptr[known.query_groups[queries]].astype(np.int64)
    ends = matrix.indptr[known.query_groups[queries] + 1].astype(np.int64)
    many = ends - starts > 4 * len(groups)
    light = np.flatnonzero(~many)
    counts = (ends - starts)[light]
    anchors = np.repeat(light, counts)
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    members = matrix.indices[np.repeat(starts[light], counts) + within].astype(np.int64)
    places = np.searchsorted(groups, members)
    found = groups[np.minimum(places, len(groups) - 1)] == members
    hits = [(anchors[found], places[found])]
    for heavy in np.flatnonzero(many):
        row = matrix.indices[starts[heavy] : ends[heavy]]
        spots = np.minimum(np.searchsorted(row, groups), len(row) - 1)
        spots = np.flatnonzero(row[spots] == groups)
        hits.append((np.full(len(spots), heavy), spots))
    return (
        np.concatenate([hit[0] for hit in hits]).astype(np.int64),
        np.concatenate([hit[1] for hit in hits]).astype(np.int64),
    )


def known_false_negatives(
    known: KnownPositives, queries: Ints, docs: Ints, negatives: Ints
) -> tuple[int, int]:
    """How many (anchor, candidate) cells are known positives, and how many anchors have one.

    The anchor's own document is not counted.
    """
    columns = known.doc_groups[np.concatenate([docs, negatives[negatives >= 0]])]
    groups, times = np.unique(columns, return_counts=True)
    anchors, places = positives_among(known, queries, groups)
    cells = np.bincount(anchors, weights=times[places], minlength=len(queries)).astype(np.int64)
    own = np.searchsorted(groups, known.doc_groups[docs])
    wide = len(groups)
    cells -= np.isin(np.arange(len(queries)) * wide + own, anchors * wide + places)
    return int(cells.sum()), int((cells > 0).sum())


def ranked_negatives(negatives: Candidates) -> Ints:
    """(query, rank) positions of the candidates with weight > 0, best rank first, then -1."""
    kept = (negatives.docs >= 0) & (negatives.weight > 0)
    order = np.argsort(
        np.where(kept, negatives.ranks, np.iinfo(np.int32).max), axis=1, kind="stable"
    )
    docs = np.take_along_axis(np.where(kept, negatives.docs, -1), order, axis=1).astype(np.int64)
    return np.ascontiguousarray(docs[:, : max(int(kept.sum(axis=1).max(initial=0)), 1)])


def safe_negatives(
    known: KnownPositives, queries: Ints, docs: Ints, ranked: Ints, *, count: int
) -> tuple[Ints, int]:
    """The best-ranked mined negatives that may stand before every anchor of the batch.

    A candidate is passed over when it is a known positive of any anchor, or when its group already
    stands in the batch; the next of the same query takes its place.

    Args:
        known: the known-positive graph.
        queries: (row,) positions of the anchors.
        docs: (row,) positions of their positives.
        ranked: (row, rank) mined positions, best first, -1 where short.
        count: negatives wanted per row.

    Returns:
        (row, count) positions, -1 where none was left, and how many were passed over.
    """
    groups = np.where(ranked >= 0, known.doc_groups[np.maximum(ranked, 0)], -1)
    among, places = np.unique(groups, return_inverse=True)
    _, positive = positives_among(known, queries, among)
    blocked: NDArray[np.bool_] = np.isin(among, known.doc_groups[docs])
    blocked[positive] = True
    taken = blocked.tolist()
    chosen = np.full((len(queries), count), -1, dtype=np.int64)
    passed_over = 0
    spots = places.reshape(ranked.shape)
    for row in range(len(ranked)):
        filled = 0
        for doc, spot in zip(ranked[row].tolist(), spots[row].tolist(), strict=True):
            if doc < 0 or filled == count:
                break
            if taken[spot]:
                passed_over += 1
                continue
            taken[spot] = True
            chosen[row, filled] = doc
            filled += 1
    return chosen, passed_over
