"""What stands in batches: mined negatives, known positives among candidates, rows of one kind.

An anchor's candidates are every row's document and every mined negative of the batch, as in a
ranking loss that shares all columns. Many batches are counted at once: their rows lie end to end,
and `of` says whose each row is.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives, spread
from workbench.types import Ints

LISTED = 512
"""Positives of a query that are listed at most; of more, the batch's columns are looked up."""
Columns = dict[str, NDArray[np.float64]]


def positives_among(
    known: KnownPositives, queries: Ints, of: Ints, columns: Ints
) -> tuple[Ints, Ints]:
    """(index into `queries`, place in `columns`) of every column known to answer an anchor.

    A query's positives are listed when they are few and looked up when they are many, so the work
    grows with the batch and never with the most popular query.

    Args:
        known: the known-positive graph, of h document groups.
        queries: positions of the anchors.
        of: (query,) batch of each.
        columns: batch x h + document group, sorted and unique.
    """
    matrix = known.positives
    wide = int(matrix.shape[1])
    starts = matrix.indptr[known.query_groups[queries]].astype(np.int64)
    ends = matrix.indptr[known.query_groups[queries] + 1].astype(np.int64)
    first = np.searchsorted(columns, of * wide)
    last = np.searchsorted(columns, (of + 1) * wide)
    many = ends - starts > np.minimum(4 * (last - first), LISTED)
    light = np.flatnonzero(~many)
    owners, at = spread(starts[light], (ends - starts)[light])
    anchors = light[owners]
    members = of[anchors] * wide + matrix.indices[at]
    places = np.searchsorted(columns, members)
    found = columns[np.minimum(places, len(columns) - 1)] == members
    hits = [(anchors[found], places[found])]
    for heavy in np.flatnonzero(many).tolist():
        row = matrix.indices[starts[heavy] : ends[heavy]]
        groups = columns[first[heavy] : last[heavy]] - of[heavy] * wide
        spots = np.minimum(np.searchsorted(row, groups), len(row) - 1)
        spots = np.flatnonzero(row[spots] == groups)
        hits.append((np.full(len(spots), heavy), first[heavy] + spots))
    return (
        np.concatenate([hit[0] for hit in hits]).astype(np.int64),
        np.concatenate([hit[1] for hit in hits]).astype(np.int64),
    )


def _false_negatives(
    known: KnownPositives, queries: Ints, docs: Ints, negatives: Ints, of: Ints
) -> Ints:
    """(row,) cells of each anchor that are known positives, its own document not counted."""
    wide = int(known.positives.shape[1])
    own = of * wide + known.doc_groups[docs]
    rows, ranks = np.nonzero(negatives >= 0)
    mined = of[rows] * wide + known.doc_groups[negatives[rows, ranks]]
    columns, times = np.unique(np.concatenate([own, mined]), return_counts=True)
    anchors, places = positives_among(known, queries, of, columns)
    cells = np.bincount(anchors, weights=times[places], minlength=len(queries)).astype(np.int64)
    mine = places == np.searchsorted(columns, own)[anchors]
    cells[anchors[mine]] -= 1
    return cells


def _sums(values: Ints, of: Ints) -> NDArray[np.float64]:
    return np.bincount(of, weights=values).astype(np.float64)


def _repeats(values: Ints, of: Ints) -> NDArray[np.float64]:
    """(batch,) rows whose value stands in their batch already."""
    wide = int(values.max(initial=0)) + 1
    distinct = np.sort(of * wide + values)
    fresh = np.concatenate([[True], distinct[1:] != distinct[:-1]])
    return _sums((~fresh).astype(np.int64), distinct // wide)


def composition(
    known: KnownPositives | None, queries: Ints, docs: Ints, negatives: Ints, of: Ints
) -> Columns:
    """Duplicates, known false negatives and mined negatives, counted batch by batch.

    Args:
        known: the known-positive graph, or None: texts are then told apart by position.
        queries: (row,) positions of the anchors.
        docs: (row,) positions of their positives.
        negatives: (row, rank) mined positions, -1 where short.
        of: (row,) batch of each row, 0.., rising.

    Returns:
        (batch,) figures by name.
    """
    report: Columns = {}
    said, answers = queries, docs
    if known is not None:
        said, answers = known.query_groups[queries], known.doc_groups[docs]
        cells = _false_negatives(known, queries, docs, negatives, of)
        report["known_false_negatives"] = _sums(cells, of)
        report["anchors_with_false_negatives"] = _sums((cells > 0).astype(np.int64), of)
    report["duplicate_queries"] = _repeats(said, of)
    report["duplicate_docs"] = _repeats(answers, of)
    if negatives.shape[1]:
        placed = (negatives >= 0).sum(axis=1)
        report["negatives"] = _sums(placed, of)
        report["negatives_short"] = _sums(negatives.shape[1] - placed, of)
    return report


def purity(labels: Ints, of: Ints) -> NDArray[np.float64]:
    """Share of the ordered pairs of different rows of a batch that have one label.

    Args:
        labels: (row,) topic, class or source number of each row, from 0.
        of: (row,) batch of each row, 0.., rising.

    Returns:
        (batch,) 1 for a lone row.

    Example:
        >>> purity(np.array([4, 4, 4, 9, 9]), np.array([0, 0, 0, 0, 1])).tolist()
        [0.5, 1.0]
    """
    wide = int(labels.max()) + 1
    keys, counts = np.unique(of * wide + labels, return_counts=True)
    rows = np.bincount(of)
    pairs = np.bincount(keys // wide, weights=counts * (counts - 1))
    share: NDArray[np.float64] = np.where(rows < 2, 1.0, pairs / np.maximum(rows * (rows - 1), 1))
    return share


def safe_negatives(
    known: KnownPositives, queries: Ints, docs: Ints, ranked: Ints, *, count: int
) -> tuple[Ints, int]:
    """The first-named mined negatives that may stand before every anchor of the batch.

    A candidate is passed over when it is a known positive of any anchor, or when its group already
    stands in the batch; the next of the same query takes its place.

    Args:
        known: the known-positive graph.
        queries: (row,) positions of the anchors.
        docs: (row,) positions of their positives.
        ranked: (row, rank) mined positions, the most wanted first, -1 where short.
        count: negatives wanted per row.

    Returns:
        (row, count) positions, -1 where none was left, and how many were passed over.
    """
    if not ranked.size:
        return np.full((len(queries), count), -1, dtype=np.int64), 0
    groups = np.where(ranked >= 0, known.doc_groups[np.maximum(ranked, 0)], -1)
    among, places = np.unique(groups, return_inverse=True)
    here = np.zeros(len(queries), dtype=np.int64)
    first = int(among[0] < 0)  # -1 for the short
    _, positive = positives_among(known, queries, here, among[first:])
    positive += first
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
