"""The known-positive graph: who is a positive of whom, through judgments and duplicates.

Two queries that say the same thing share their positives; a near-duplicate of a positive is a
positive. Everything that must not serve as a negative is read from here: by the sampler (whom not
to put in one batch), by the loss (which cells to drop) and by the miner.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument
from workbench.types import Collection, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

Bools = NDArray[np.bool_]


def _dense_numbers(groups: Ints) -> tuple[Ints, int]:
    values, numbers = np.unique(groups, return_inverse=True)
    return numbers.astype(np.int64), len(values)


def spread(first: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """Ranges of different lengths, laid end to end: (which range, place) of every element.

    Example:
        >>> [part.tolist() for part in spread(np.array([4, 9]), np.array([2, 1]))]
        [[0, 0, 1], [4, 5, 9]]
    """
    rows = np.repeat(np.arange(len(counts)), counts)
    within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
    return rows, np.repeat(first, counts) + within


def matches(wanted: Ints, among: Ints) -> tuple[Ints, Ints]:
    """Every (i, j) with wanted[i] == among[j], without comparing each with each.

    Example:
        >>> [part.tolist() for part in matches(np.array([7, 5]), np.array([5, 7, 7]))]
        [[0, 0, 1], [1, 2, 0]]
    """
    order = np.argsort(among, kind="stable")
    ordered = among[order]
    first = np.searchsorted(ordered, wanted, side="left")
    rows, places = spread(first, np.searchsorted(ordered, wanted, side="right") - first)
    return rows, order[places]


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownPositives:
    """Which document groups are known to answer which query groups.

    A document d is a known positive of a query q when some query of q's group was judged relevant
    to some document of d's group.

    Args:
        query_groups: (query,) group number of each query, 0..g-1.
        doc_groups: (doc,) group number of each document, 0..h-1.
        positives: (g, h) boolean, sparse.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "add", "positive": "a + b"}, {"query": "add", "positive": "sum(x)"},
        ...         {"query": "sub", "positive": "a - b"}]
        >>> known = KnownPositives.of(from_rows(rows, name="demo"))
        >>> known.block(np.array([0, 1]), np.array([0, 1, 2])).astype(int).tolist()
        [[1, 1, 0], [0, 0, 1]]

    Breaks when: groups are too wide (a loose near-duplicate threshold calls different answers the
    same and hides true negatives), or judgments are wrong.
    """

    query_groups: Ints
    doc_groups: Ints
    positives: csr_array

    @classmethod
    def of(cls, collection: Collection) -> KnownPositives:
        """The graph of one collection: its positive judgments and both kinds of groups."""
        from scipy import sparse

        query_groups, query_count = _dense_numbers(np.asarray(collection.query_groups))
        doc_groups, doc_count = _dense_numbers(np.asarray(collection.doc_groups))
        pairs = collection.pairs
        cells = (query_groups[pairs[:, 0]], doc_groups[pairs[:, 1]])
        ones = np.ones(len(pairs), dtype=np.bool_)
        matrix = sparse.coo_array((ones, cells), shape=(query_count, doc_count)).tocsr()
        matrix.sum_duplicates()
        matrix.data[:] = True
        matrix.sort_indices()
        return cls(query_groups=query_groups, doc_groups=doc_groups, positives=matrix)

    def _check(self, argument: str, positions: Ints, count: int) -> Ints:
        places = np.asarray(positions, dtype=np.int64)
        if places.size and (places.min() < 0 or places.max() >= count):
            bad = int(places[(places < 0) | (places >= count)][0])
            raise BadArgument(
                argument, bad, f"a position must be in 0..{count - 1}", "Pass positions, not ids."
            )
        return places

    def _members(self, queries: Ints) -> tuple[Ints, Ints]:
        """(index into `queries`, document group) of every known positive group."""
        groups = self.query_groups[self._check("queries", queries, len(self.query_groups))]
        starts = self.positives.indptr[groups].astype(np.int64)
        rows, places = spread(starts, self.positives.indptr[groups + 1] - starts)
        return rows, self.positives.indices[places].astype(np.int64)

    def block(self, queries: Ints, docs: Ints) -> Bools:
        """(len(queries), len(docs)): is the document a known positive of the query?

        Work grows with the number of hits and positives, not with a search per cell.
        """
        groups = self.doc_groups[self._check("docs", docs, len(self.doc_groups))]
        known = np.zeros((len(queries), len(groups)), dtype=np.bool_)
        rows, members = self._members(queries)
        hits, columns = matches(members, groups)
        known[rows[hits], columns] = True
        return known

    def paired(self, queries: Ints, docs: Ints) -> Bools:
        """Cell by cell: is docs[i, j] a known positive of queries[i]? Shape of `docs`; -1 is False.

        The same question as `block`, asked of a mined list instead of a rectangle.
        """
        docs = np.asarray(docs)
        wide = int(self.positives.shape[1])
        rows, members = self._members(queries)
        keys = np.sort(rows * wide + members)
        groups = self.doc_groups[np.maximum(docs, 0)]
        wanted = np.arange(len(docs))[:, None] * wide + groups
        place = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        if not len(keys):
            return np.zeros(docs.shape, dtype=np.bool_)
        return np.asarray((keys[place] == wanted) & (docs >= 0))

    def shared(self, queries: Ints, others: Ints) -> Bools:
        """(len(queries), len(others)): same query group, or a positive in common?"""
        left = self._check("queries", queries, len(self.query_groups))
        right = self._check("others", others, len(self.query_groups))
        numbers = self.positives.astype(np.int32)
        a, b = numbers[self.query_groups[left]], numbers[self.query_groups[right]]
        common = np.asarray((a @ b.T).todense()) > 0
        same = self.query_groups[left][:, None] == self.query_groups[right][None, :]
        return np.asarray(common | same)

    def positives_of(self, query: int) -> Ints:
        """Positions of every document known to answer one query."""
        _, members = self._members(np.array([query]))
        return np.flatnonzero(np.isin(self.doc_groups, members)).astype(np.int64)
