"""What every exact search shares: masks, the best k of a block, and the record made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import BadArgument
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
        self._cells = None if matrix is None else (matrix != 0).tocsr()

    def block(self, rows: slice, columns: slice) -> tuple[Ints, Ints] | None:
        """(row, column) of every excluded cell inside one block, counted from its corner."""
        if self._cells is None:
            return None
        pointers = self._cells.indptr[rows.start : rows.stop + 1].astype(np.int64)
        found = self._cells.indices[pointers[0] : pointers[-1]].astype(np.int64)
        owners = np.repeat(np.arange(len(pointers) - 1), np.diff(pointers))
        inside = (found >= columns.start) & (found < columns.stop)
        return owners[inside], found[inside] - columns.start


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
