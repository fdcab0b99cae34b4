"""What every search shares: what it leaves out, the best k so far, and the record made of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.known import KnownPositives, matches
from workbench.errors import BadArgument, check_choice
from workbench.types import Candidates, Collection, Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array
    from torch import Tensor


class Excluded:
    """(query, doc) cells that must not be found, cut out block by block.

    Args:
        matrix: sparse (queries, documents); every nonzero cell is excluded. None = nothing is.
        shape: the (queries, documents) that will be searched.

    Raises:
        BadArgument: the matrix has another shape.
    """

    def __init__(self, matrix: csr_array | None, shape: tuple[int, int]) -> None:
        if matrix is not None and matrix.shape != shape:
            raise BadArgument(
                "exclude", matrix.shape, f"its shape must be {shape}", "Build it by positions."
            )
        self.cells = None if matrix is None else (matrix != 0).tocsr()
        if self.cells is not None:
            self.cells.sort_indices()

    def counts(self, rows: slice) -> Ints:
        """How many cells of each row are excluded."""
        if self.cells is None:
            return np.zeros(rows.stop - rows.start, dtype=np.int64)
        counts: Ints = np.diff(self.cells.indptr[rows.start : rows.stop + 1]).astype(np.int64)
        return counts

    def block(self, rows: slice, columns: slice) -> tuple[Ints, Ints] | None:
        """(row, column) of every excluded cell inside one block, counted from its corner."""
        if self.cells is None:
            return None
        pointers = self.cells.indptr[rows.start : rows.stop + 1].astype(np.int64)
        found = self.cells.indices[pointers[0] : pointers[-1]].astype(np.int64)
        owners = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        inside = (found >= columns.start) & (found < columns.stop)
        return owners[inside], found[inside] - columns.start


class Running:
    """The k best documents of every query among those seen so far, by a heap of faiss.

    Equal scores rank by position, as long as each query is shown documents in rising position.

    Args:
        count: queries.
        k: how many to keep of each.
    """

    # The heap gives up the lowest number among equals, so positions are counted from the end.
    _end = 2**62

    def __init__(self, count: int, k: int) -> None:
        import faiss

        self._heap = faiss.ResultHeap(count, k, keep_max=True)

    def add(self, rows: Ints, scores: Tensor, positions: Ints) -> None:
        """Show these queries these documents; a score of -inf is never kept.

        Args:
            rows: (query,) which queries.
            scores: (query, doc), on the CPU.
            positions: (doc,) of the documents, rising.
        """
        self._heap.add_result_subset(rows, scores.numpy(), self._end - positions)

    def found(self) -> tuple[Floats, Ints]:
        """(scores, positions), best first, -inf and -1 where fewer than k were shown; once."""
        self._heap.finalize()
        missing = self._heap.I < 0
        scores = np.where(missing, np.float32(-np.inf), self._heap.D)
        return scores, np.where(missing, -1, self._end - self._heap.I)


class OnDevice:
    """`Running` by torch, where scores stand on a GPU and are better not brought home.

    Args:
        count: queries.
        k: how many to keep of each.
        device: where scores stand.
    """

    def __init__(self, count: int, k: int, device: str) -> None:
        import torch

        self._k = k
        self._scores = torch.full((count, k), -torch.inf, device=device)
        self._places = torch.full((count, k), -1, dtype=torch.int64, device=device)

    def add(self, rows: Ints, scores: Tensor, positions: Ints) -> None:
        """Show these queries these documents, as in `Running.add`."""
        import torch

        device = self._scores.device
        own, numbers = torch.from_numpy(rows).to(device), torch.from_numpy(positions).to(device)
        values, columns = best(scores, self._k)
        values = torch.cat([self._scores[own], values], dim=1)
        places = torch.cat([self._places[own], numbers[columns]], dim=1)
        self._scores[own], self._places[own] = first(values, places, self._k)

    def found(self) -> tuple[Floats, Ints]:
        """(scores, positions), as in `Running.found`."""
        return padded(self._scores, self._places, self._k)


def merged(parts: Sequence[tuple[Floats, Ints]], k: int) -> tuple[Floats, Ints]:
    """The k best of what several searches found for the same queries in different documents.

    Args:
        parts: (scores, positions) of each, both (query, any), best first; positions count over all
            documents and rise from part to part, so that equal scores keep their order.
        k: how many.

    Returns:
        scores and positions, both (query, k), -inf and -1 where there are fewer.

    Example:
        >>> left = (np.array([[0.9, 0.2]], dtype=np.float32), np.array([[1, 0]]))
        >>> right = (np.array([[0.9, 0.5]], dtype=np.float32), np.array([[7, 5]]))
        >>> merged([left, right], 3)[1].tolist()
        [[1, 7, 5]]
    """
    scores = np.concatenate([part[0] for part in parts], axis=1)
    places = np.concatenate([part[1] for part in parts], axis=1)
    if (short := k - scores.shape[1]) > 0:
        scores = np.pad(scores, ((0, 0), (0, short)), constant_values=-np.inf)
        places = np.pad(places, ((0, 0), (0, short)), constant_values=-1)
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(places, order, axis=1)


def first(values: Tensor, positions: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k largest values of each row and their positions; equal values in rising position."""
    import torch

    order = torch.argsort(positions, dim=1, stable=True)
    values, positions = values.gather(1, order), positions.gather(1, order)
    order = torch.argsort(values, dim=1, descending=True, stable=True)[:, :k]
    return values.gather(1, order), positions.gather(1, order)


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k best columns of each row, and among equals at the edge the leftmost.

    `torch.topk` picks an arbitrary one of equal values; one column more than asked for shows where
    that happened, and only those rows are sorted whole.

    Args:
        scores: (query, doc), -inf where a cell must not be found.
        k: how many.

    Returns:
        values and columns, both (query, min(k, doc)), in no particular order.
    """
    import torch

    if k >= scores.shape[1]:
        return scores, torch.arange(scores.shape[1], device=scores.device).expand_as(scores)
    values, columns = torch.topk(scores, k + 1, dim=1)
    tied = (values[:, k - 1] == values[:, k]) & values[:, k].isfinite()
    if bool(tied.any()):
        whole = torch.argsort(scores[tied], dim=1, descending=True, stable=True)[:, : k + 1]
        columns[tied] = whole
        values[tied] = scores[tied].gather(1, whole)
    return values[:, :k], columns[:, :k]


def padded(values: Tensor, positions: Tensor, k: int) -> tuple[Floats, Ints]:
    """As NumPy arrays of width k, with -inf and -1 where a row came out short."""
    shape = (len(values), k)
    scores = np.full(shape, -np.inf, dtype=np.float32)
    places = np.full(shape, -1, dtype=np.int64)
    width = values.shape[1]
    scores[:, :width] = values.cpu().numpy()
    places[:, :width] = positions.cpu().numpy()
    places[np.isneginf(scores)] = -1
    return scores, places


def positives(collection: Collection) -> csr_array:
    """(query, doc) boolean: every labelled positive, to be masked in a search."""
    from scipy.sparse import csr_array

    pairs = collection.pairs
    cells = (np.ones(len(pairs), dtype=np.bool_), (pairs[:, 0], pairs[:, 1]))
    return csr_array(cells, shape=collection.qrels.shape)


EXCLUDE = ("known", "labelled", "nothing")
"""What a search may leave out, widest first."""


def excluded(
    collection: Collection, what: str, known: KnownPositives | None = None
) -> csr_array | None:
    """(query, doc) cells that a search must leave out.

    Args:
        collection: its judgments and groups.
        what: "known" (labelled positives, those of queries that say the same, documents that are
            the query's own text word for word, and all near duplicates of these), "labelled"
            (labelled positives only) or "nothing".
        known: the known-positive graph; None = that of the collection.

    Returns:
        A sparse boolean matrix, or None for nothing.

    Raises:
        BadArgument: an unknown word, or a graph of other texts.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "ab"], name="demo")
        >>> excluded(demo, "labelled").toarray().astype(int).tolist()
        [[1, 0], [0, 1]]
    """
    check_choice("exclude", what, EXCLUDE)
    if what == "nothing":
        return None
    if what == "labelled":
        return positives(collection)
    from scipy.sparse import csr_array

    graph = KnownPositives.of(collection) if known is None else known
    queries, docs = graph.query_groups, graph.doc_groups
    shape = (len(queries), len(docs))
    if shape != collection.qrels.shape:
        raise BadArgument(
            "known", shape, f"it must be of {collection.qrels.shape} queries and documents",
            "Pass KnownPositives.of(collection) of this very collection.",
        )  # fmt: skip
    groups = graph.positives.shape
    own = own_texts(collection)
    ones = np.ones(len(own), dtype=np.bool_)
    same = csr_array((ones, (queries[own[:, 0]], docs[own[:, 1]])), shape=groups)
    ones = np.ones(len(docs), dtype=np.bool_)
    of_doc = csr_array((ones, (docs, np.arange(len(docs)))), shape=(groups[1], len(docs)))
    return csr_array((graph.positives + same)[queries] @ of_doc)


def own_texts(collection: Collection) -> Ints:
    """(pair, 2) positions (query, document) of every document that is its query's very text.

    Such a document can be no negative: nothing can move a text away from itself. It happens
    where queries and documents are of one kind, as in duplicate questions.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "a", "positive": "b"}, {"query": "b", "positive": "a"}]
        >>> own_texts(from_rows(rows, name="demo")).tolist()
        [[0, 1], [1, 0]]
    """
    import pyarrow as pa
    from pyarrow import compute

    sides = [
        table.with_format("arrow")[:]["text"].cast(pa.large_string())
        for table in (collection.queries, collection.corpus)
    ]
    among = sides[0].unique()
    queries, docs = (
        compute.fill_null(compute.index_in(side, value_set=among), -1).to_numpy().astype(np.int64)
        for side in sides
    )
    return np.stack(matches(queries, docs), axis=1)


PAIRS = 16_384
"""(query, document) pairs scored at once."""


def pair_scores(pairs: Ints, queries: Floats, docs: Floats) -> Floats:
    """(pair,) inner product of query and document of each pair of positions.

    Example:
        >>> eye = np.eye(2, dtype=np.float32)
        >>> pair_scores(np.array([[0, 0], [0, 1]]), eye, eye).tolist()
        [1.0, 0.0]
    """
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), PAIRS):
        some = pairs[start : start + PAIRS]
        scores[start : start + PAIRS] = np.einsum("pd,pd->p", queries[some[:, 0]], docs[some[:, 1]])
    return scores


def positive_scores(collection: Collection, queries: Floats, docs: Floats) -> Floats:
    """(query,) inner product of each query and its weakest labelled positive, NaN without one."""
    pairs = collection.pairs
    return weakest(pairs[:, 0], pair_scores(pairs, queries, docs), len(queries))


def weakest(queries: Ints, values: Floats, count: int) -> Floats:
    """(count,) smallest value of each query, NaN for a query without one."""
    least = np.full(count, np.inf, dtype=np.float32)
    np.minimum.at(least, queries, values)
    least[np.isposinf(least)] = np.nan
    return least


def as_candidates(
    collection: Collection,
    found: tuple[Floats, Ints],
    positive_scores: Floats,
    *,
    miner: str,
    recipe: dict[str, Any],
) -> Candidates:
    """What a search found, as `Candidates` that no rule has seen."""
    scores, docs = found
    ranks = np.arange(1, docs.shape[1] + 1, dtype=np.int32)
    return Candidates(
        query_ids=collection.query_ids,
        doc_ids=collection.doc_ids,
        docs=docs,
        scores=scores,
        ranks=np.where(docs >= 0, ranks, 0).astype(np.int32),
        weight=(docs >= 0).astype(np.float32),
        positive_scores=positive_scores,
        miner=miner,
        recipe={"collection": collection.fingerprint, "k": docs.shape[1], **recipe},
    )
