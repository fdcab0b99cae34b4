"""Exact inner-product search in blocks, with masks inside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.ranking import Excluded, best, first, padded
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CHUNK = (512, 8192)
"""(queries, documents) per block: 16 MiB of scores, the fastest of six shapes measured."""


def _checked(queries: Floats, docs: Floats, k: int, chunk: tuple[int, int]) -> None:
    check_count("k", k, mend="Try 30.")
    for size in chunk:
        check_count("chunk", size, mend=f"Try {CHUNK}.")
    for name, rows in (("queries", queries), ("docs", docs)):
        if rows.ndim != 2 or not len(rows):
            raise BadArgument(
                name, rows.shape, "it must be (n, dim) with n >= 1", "Encode some texts first."
            )
    if queries.shape[1] != docs.shape[1]:
        raise BadArgument(
            "docs", docs.shape, f"its width must be {queries.shape[1]} as that of the queries",
            "Encode both sides with one encoder.",
        )  # fmt: skip


def _finite(name: str, rows: Floats, start: int) -> None:
    broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(broken):
        raise BadData(
            f"the {name} vectors",
            [f"row {start + place} holds NaN or infinity" for place in broken.tolist()],
            "Encode those texts again.",
        )


def top_k(
    queries: Floats,
    docs: Floats,
    *,
    k: int,
    exclude: csr_array | None = None,
    chunk: tuple[int, int] = CHUNK,
    device: str | None = None,
) -> tuple[Floats, Ints]:
    """The k documents of largest inner product with each query, exactly.

        found(i) = the k largest of queries_i . docs_j over all j not excluded for i

    Blocks of (queries, documents) are multiplied with torch and merged into a running best, so that
    memory is one block plus the answer, and documents are read once, in order. Excluded cells are
    masked inside the block: k stays k however many positives one query has. Measured on two cores,
    dim 384, k = 30: 2,000 x 2,000 in 0.08 CPU seconds by faiss IndexFlatIP and 0.11 by this loop;
    10,000 x 40,000 in 5.7 and 7.2. Torch is the only path all the same: faiss can mask no (query,
    document) pair in a batch search and would have to over-fetch, and torch uses a GPU.

    Args:
        queries: (query, dim).
        docs: (doc, dim), may be a memory map.
        k: how many, usually 10 to 100.
        exclude: sparse (query, doc); nonzero cells are never found.
        chunk: (queries, documents) per block.
        device: where to multiply; None = the GPU when there is one.

    Returns:
        scores (query, k) float32, falling; positions (query, k) int64. Equal scores stand in rising
        position. A row with fewer than k documents ends in -inf and -1.

    Raises:
        BadArgument: a shape or a count is wrong.
        BadData: a vector is not finite.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> scores, positions = top_k(eye[:1], eye, k=2)
        >>> scores.tolist(), positions.tolist()
        ([[1.0, 0.0]], [[0, 1]])

    Breaks when: two texts are equal but stand in different blocks; their scores may then differ in
    the last bit and their order is not that of their positions.
    """
    import torch
    from tqdm.auto import tqdm

    _checked(queries, docs, k, chunk)
    excluded = Excluded(exclude, (len(queries), len(docs)))
    where = device or ("cuda" if torch.cuda.is_available() else "cpu")
    _finite("query", queries, 0)
    sizes = [min(chunk[0], len(queries) - top) for top in range(0, len(queries), chunk[0])]
    values = [torch.empty(size, 0, device=where) for size in sizes]
    places = [torch.empty(size, 0, dtype=torch.int64, device=where) for size in sizes]
    starts = range(0, len(docs), chunk[1])
    for left in tqdm(starts, desc="search", unit="block", disable=None, delay=2):
        some = np.array(docs[left : left + chunk[1]], dtype=np.float32)
        columns = slice(left, left + len(some))
        _finite("document", some, left)
        right = torch.from_numpy(some).to(where)
        for number, size in enumerate(sizes):
            rows = slice(number * chunk[0], number * chunk[0] + size)
            scores = torch.from_numpy(np.array(queries[rows], dtype=np.float32)).to(where) @ right.T
            if (cells := excluded.block(rows, columns)) is not None:
                scores[torch.from_numpy(cells[0]), torch.from_numpy(cells[1])] = -torch.inf
            found, at = best(scores, k)
            found = torch.cat([values[number], found], dim=1)
            at = torch.cat([places[number], at + left], dim=1)
            values[number], places[number] = first(found, at, k)
    return padded(torch.cat(values), torch.cat(places), k)
