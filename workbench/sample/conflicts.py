"""Which training rows must not stand in one batch, small enough to ask row by row.

Two rows conflict when the document of one is a known positive of the other's query. Queries with
equal positives are *twins*, so are documents with equal queries: twins always conflict, so each
class of twins becomes one node. What is then a lone edge is a *clique* of rows, at most one of
which fits a batch; only the rest, the *tangled* rows, needs to be looked at one by one. Unique
pairs, one popular document, intents where every query takes every answer: all are cliques.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.data.known import KnownPositives
from workbench.mine.draw import mix
from workbench.types import Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class Conflicts:
    """The conflicts of the rows of one training table.

    Args:
        query: (row,) class of the query.
        doc: (row,) class of the document.
        clique: (row,) number of the clique, -1 for a tangled row.
        answers: class of a tangled query -> classes of documents that answer it.
        asked: class of a tangled document -> classes of queries that it answers.
    """

    query: Ints
    doc: Ints
    clique: Ints
    answers: dict[int, frozenset[int]]
    asked: dict[int, frozenset[int]]

    @classmethod
    def of(cls, pairs: Ints, known: KnownPositives) -> Conflicts:
        """Read the conflicts of `pairs` off the known-positive graph."""
        query_groups, query = _numbered(known.query_groups[pairs[:, 0]])
        doc_groups, doc = _numbered(known.doc_groups[pairs[:, 1]])
        graph = known.positives[query_groups][:, doc_groups].tocoo()
        edges = _unique_edges(
            np.concatenate([graph.coords[0].astype(np.int64), query]),
            np.concatenate([graph.coords[1].astype(np.int64), doc]),
        )
        query_class = _twins(edges[:, 0], edges[:, 1])
        doc_class = _twins(edges[:, 1], edges[:, 0])
        edges = _unique_edges(query_class[edges[:, 0]], doc_class[edges[:, 1]])
        query, doc = query_class[query], doc_class[doc]
        query_degree, doc_degree = np.bincount(edges[:, 0]), np.bincount(edges[:, 1])
        alone = (query_degree[query] == 1) & (doc_degree[doc] == 1)
        clique = np.full(len(pairs), -1, dtype=np.int64)
        clique[alone] = _numbered(query[alone])[1]
        knotted = (query_degree[edges[:, 0]] > 1) | (doc_degree[edges[:, 1]] > 1)
        return cls(
            query=query,
            doc=doc,
            clique=clique,
            answers=_neighbours(edges[knotted, 0], edges[knotted, 1]),
            asked=_neighbours(edges[knotted, 1], edges[knotted, 0]),
        )

    def apart(self, query: int, doc: int, queries: set[int], docs: set[int]) -> bool:
        """Does a row of these classes conflict with no row of the batch that holds these?"""
        if doc in docs or query in queries:
            return False
        answers = self.answers.get(query)
        return answers is None or (answers.isdisjoint(docs) and self.asked[doc].isdisjoint(queries))

    def covers(self, rows: Ints) -> list[Ints]:
        """Two ways to cut the rows into cliques, each as the sizes of its cliques.

        Rows of one query class conflict, and so do rows of one document class.
        """
        cliques = self.clique[rows]
        tangled = rows[cliques < 0]
        lone = np.bincount(cliques[cliques >= 0])
        covers = [np.concatenate([lone, np.bincount(self.doc[tangled])])]
        if len(tangled):
            covers.append(np.concatenate([lone, np.bincount(self.query[tangled])]))
        return [cover[cover > 0].astype(np.int64) for cover in covers]


def _numbered(values: Ints) -> tuple[Ints, Ints]:
    """The values that occur, ascending, and the place of each among them; no sort is needed."""
    there = np.bincount(values) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[values]


def _unique_edges(left: Ints, right: Ints) -> Ints:
    width = int(right.max()) + 1
    # A sort: NumPy's own `unique` hashes here, several times slower.
    keys = np.sort(left * width + right)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])]
    return np.stack([keys // width, keys % width], axis=1)


def _twins(nodes: Ints, neighbours: Ints) -> Ints:
    """Class of each node: equal when the sets of neighbours are equal.

    Sets are told apart by a 64-bit hash sum; a collision would make one class of two, which keeps
    more rows apart than need be and nothing else.
    """
    order = np.argsort(nodes, kind="stable")
    starts = np.cumsum(counts := np.bincount(nodes)) - counts
    sums = np.add.reduceat(mix(neighbours[order].astype(np.uint64)), starts)
    by_hash = np.argsort(sums)
    fresh = sums[by_hash[1:]] != sums[by_hash[:-1]]
    classes = np.empty(len(sums), dtype=np.int64)
    classes[by_hash] = np.concatenate([[0], np.cumsum(fresh)])
    return classes


def _neighbours(nodes: Ints, others: Ints) -> dict[int, frozenset[int]]:
    if not len(nodes):
        return {}
    order = np.argsort(nodes, kind="stable")
    unique, starts = np.unique(nodes[order], return_index=True)
    parts = np.split(others[order], starts[1:])
    return {
        node: frozenset(part.tolist()) for node, part in zip(unique.tolist(), parts, strict=True)
    }
