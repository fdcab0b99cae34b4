"""What texts and labels say of a (query, document) pair without any guide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.duplicates import exact_duplicates
from workbench.data.known import spread
from workbench.data.minhash import shingle_sets
from workbench.mine import bm25_pairs
from workbench.types import Collection, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

TABLE, PAIRS = 2_000_000, 65_536
"""Cells of the table of shared answers held at once; pairs of texts compared at once."""
SHINGLE = 5


@dataclass(frozen=True, eq=False, kw_only=True)
class Words:
    """What the texts of a collection say, made once for any labels.

    Args:
        bm25: (pair,) queries, (pair,) documents -> (pair,) scores.
        shingles: (doc, shingle) sparse incidence.
        same: (doc,) equal texts share a number.
    """

    bm25: Callable[[Ints, Ints], Floats]
    shingles: csr_array
    same: Ints

    @classmethod
    def of(cls, collection: Collection) -> Words:
        """Of one collection's texts."""
        texts = collection.doc_texts
        return cls(
            bm25=bm25_pairs(collection.query_texts, texts),
            shingles=shingle_sets(texts, SHINGLE).matrix,
            same=exact_duplicates(texts),
        )

    def copies(self, queries: Ints, docs: Ints, labels: Ints) -> Floats:
        """(pair,) the largest Jaccard similarity of a document with an answer of its query.

        Args:
            queries: (pair,) positions.
            docs: (pair,) positions.
            labels: (label, 2) positions (query, document), in query order.
        """
        first = np.searchsorted(labels[:, 0], queries)
        count = np.searchsorted(labels[:, 0], queries, side="right") - first
        owners, places = spread(first.astype(np.int64), count.astype(np.int64))
        sizes = np.diff(self.shingles.indptr)
        found = np.full(len(queries), np.nan, dtype=np.float32)
        found[count > 0] = 0
        for start in range(0, len(owners), PAIRS):
            some = slice(start, start + PAIRS)
            left, right = docs[owners[some]], labels[places[some], 1]
            common = self.shingles[left].multiply(self.shingles[right]).sum(axis=1)
            union = np.maximum(sizes[left] + sizes[right] - np.asarray(common), 1)
            shares = np.where(self.same[left] == self.same[right], 1, np.asarray(common) / union)
            np.maximum.at(found, owners[some], shares.astype(np.float32))
        return found


def shared_answers(collection: Collection) -> Callable[[Ints, Ints], Floats]:
    """How many of the queries that share an answer with this one are labelled with a document.

        R_qd = sum over queries k != q of n_qk [d answers k] / sum over k != q of n_qk

    n_qk counts the answers that q and k have in common. It asks no guide.

    Args:
        collection: its labels.

    Returns:
        A function of (pair,) query and (pair,) document positions, queries in rising order, that
        gives (pair,) values in [0, 1]; 0 where no query shares an answer.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "a", "positive": "x"}, {"query": "b", "positive": "x"},
        ...         {"query": "b", "positive": "y"}]
        >>> shared_answers(from_rows(rows, name="demo"))(np.array([0]), np.array([1])).tolist()
        [1.0]

    Breaks when: each document answers one query: nothing is then shared.
    """
    from scipy import sparse

    pairs = collection.pairs
    ones = np.ones(len(pairs), dtype=np.float32)
    answers = sparse.coo_array((ones, (pairs[:, 0], pairs[:, 1])), collection.qrels.shape).tocsr()
    asked_by = answers.T.tocsr()

    def rows_of(queries: Ints) -> csr_array:
        own = answers[queries]
        common = (own @ asked_by).tocoo()
        keep = common.coords[1] != queries[common.coords[0]]
        cells = (common.coords[0][keep], common.coords[1][keep])
        common = sparse.coo_array((common.data[keep], cells), common.shape).tocsr()
        total = np.maximum(np.asarray(common.sum(axis=1)).reshape(-1), 1)
        return (sparse.diags_array(1 / total) @ common @ answers).tocsr()

    def value(queries: Ints, docs: Ints) -> Floats:
        found = np.zeros(len(queries), dtype=np.float32)
        owners, starts = np.unique(queries, return_index=True)
        step = max(1, TABLE // max(1, collection.qrels.shape[1]))
        for first in range(0, len(owners), step):
            some = owners[first : first + step]
            end = starts[first + step] if first + step < len(owners) else len(queries)
            here = slice(int(starts[first]), int(end))
            block = rows_of(some)
            found[here] = block[np.searchsorted(some, queries[here]), docs[here]]
        return found

    return value
