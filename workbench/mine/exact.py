"""Exact inner-product search in blocks, with masks inside."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.ranking import Excluded, OnDevice, Running, merged
from workbench.mine.resume import Tick, claim, in_blocks, rows_fingerprint
from workbench.mine.threads import in_stripes
from workbench.types import Floats, Ints

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CHUNK = (512, 8192)
"""(queries, documents) per block on a CPU: 16 MiB of scores, as fast as any shape measured."""
DEVICE_CHUNK = (4096, 32_768)
"""The same on a GPU: 512 MiB."""
QUERIES = 16_384
"""Queries between two readings of the documents, and per file of a checkpoint."""


def checked(queries: Floats, docs: Floats, k: int) -> None:
    """Refuse shapes that cannot be searched.

    Raises:
        BadArgument: k, or a shape.
    """
    check_count("k", k, mend="Try 30.")
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


def finite(name: str, rows: Floats, start: int = 0) -> None:
    """Refuse vectors that are not finite; they are read in blocks, so a memory map stays one.

    Raises:
        BadData: which rows of a block, counted from `start`.
    """
    for first in range(0, len(rows), QUERIES):
        broken = np.flatnonzero(~np.isfinite(rows[first : first + QUERIES]).all(axis=1))
        if len(broken):
            at = start + first
            raise BadData(
                f"the {name} vectors",
                [f"row {at + place} holds NaN or infinity" for place in broken.tolist()],
                "Encode those texts again.",
            )


def finite_sides(queries: Floats, docs: Floats) -> None:
    """Refuse a pair of sides of which one is not finite.

    Raises:
        BadData: the side and the rows.
    """
    finite("query", queries)
    finite("document", docs)


def top_k(
    queries: Floats,
    docs: Floats,
    *,
    k: int,
    exclude: csr_array | None = None,
    chunk: tuple[int, int] | None = None,
    devices: Sequence[str] | None = None,
    checkpoint: str | Path | None = None,
) -> tuple[Floats, Ints]:
    """The k documents of largest inner product with each query, exactly.

        found(i) = the k largest of queries_i . docs_j over all j not excluded for i

    Blocks of (queries, documents) are multiplied with torch, excluded cells masked, and the rest
    shown to one heap per query: k stays k however many positives one query has. Memory is a block
    of scores, 16,384 queries and the answer; documents are read in order, once per 16,384 queries,
    and a memory map is never copied whole. Measured on one core, dim 384, k = 100, 8,192 x 65,536:
    5.6 CPU seconds of multiplication, 6.4 in all. faiss's own flat index can mask no (query,
    document) pair in a batch and would have to fetch more.

    Args:
        queries: (query, dim).
        docs: (doc, dim), may be a memory map.
        k: how many, usually 10 to 100.
        exclude: sparse (query, doc); nonzero cells are never found.
        chunk: (queries, documents) per block; None = (512, 8192) on a CPU, more on a GPU.
        devices: where to multiply, each taking a share of the documents; None = every GPU there
            is, or else the CPU.
        checkpoint: folder in which finished blocks of queries are kept, so that a search that was
            interrupted goes on; another search's folder is refused. Delete it afterwards.

    Returns:
        scores (query, k) float32, falling; positions (query, k) int64. Equal scores stand in rising
        position. A row with fewer than k documents ends in -inf and -1.

    Raises:
        BadArgument: a shape, a count or a device is wrong; the checkpoint is of another search.
        BadData: a vector is not finite; the checkpoint is damaged.

    Example:
        >>> eye = np.eye(3, dtype=np.float32)
        >>> scores, positions = top_k(eye[:1], eye, k=2)
        >>> scores.tolist(), positions.tolist()
        ([[1.0, 0.0]], [[0, 1]])

    Breaks when: two texts are equal but stand in different blocks; their scores may then differ in
    the last bit and their order is not that of their positions.
    """
    where = _devices(devices)
    wide = chunk or (CHUNK if set(where) == {"cpu"} else DEVICE_CHUNK)
    checked(queries, docs, k)
    for size in wide:
        check_count("chunk", size, mend=f"Try {CHUNK}.")
    excluded = Excluded(exclude, (len(queries), len(docs)))
    shards = _shards(len(docs), len(where), wide[1])
    folder = None if checkpoint is None else Path(checkpoint)
    if folder is not None:
        claim(folder, {"index": "flat", "k": k, **made_of(queries, docs, excluded)})

    def search(rows: slice, tick: Tick) -> tuple[Floats, Ints]:
        some = np.array(queries[rows], dtype=np.float32)
        finite("query", some, rows.start)

        def part(number: int, stripe: slice) -> tuple[Floats, Ints]:
            own = slice(rows.start + stripe.start, rows.start + stripe.stop)
            told = tick if not stripe.start else lambda: None
            return _search(
                some[stripe], docs, own, shards[number], k, excluded, wide, where[number], told
            )

        if where == ["cpu"]:
            return in_stripes(lambda stripe: part(0, stripe), len(some), step=wide[0])
        if len(shards) == 1:
            return part(0, slice(0, len(some)))
        with ThreadPoolExecutor(len(shards)) as pool:
            everyone = repeat(slice(0, len(some)))
            return merged(list(pool.map(part, range(len(shards)), everyone)), k)

    return in_blocks(
        search,
        len(queries),
        k,
        size=QUERIES,
        parts=sum(len(starts) for starts in shards),
        checkpoint=folder,
    )


def made_of(queries: Floats, docs: Floats, excluded: Excluded) -> dict[str, str]:
    """Fingerprints of what a search searches, for its checkpoint."""
    cells = excluded.cells
    left_out = () if cells is None else (cells.indptr, cells.indices)
    return {
        "queries": rows_fingerprint(queries),
        "docs": rows_fingerprint(docs),
        "exclude": "+".join(rows_fingerprint(part) for part in left_out),
    }


def _devices(devices: Sequence[str] | None) -> list[str]:
    import torch

    if devices is None:
        gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return [f"cuda:{number}" for number in range(gpus)] or ["cpu"]
    if isinstance(devices, str) or not len(devices):
        wanted = "it must be a list of at least one device"
        raise BadArgument("devices", devices, wanted, "Try ['cuda:0', 'cuda:1'], or None.")
    for device in devices:
        try:
            torch.device(device)
        except (RuntimeError, TypeError) as error:
            wanted = "each must be a device of torch"
            raise BadArgument("devices", device, wanted, "Try 'cpu' or 'cuda:0'.") from error
    cuda = [device for device in devices if torch.device(device).type == "cuda"]
    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    for device in cuda:
        if (torch.device(device).index or 0) >= there:
            wanted = f"this machine has {there} GPUs that torch can use"
            raise BadArgument("devices", device, wanted, "Try ['cpu'], or None.")
    return list(devices)


def _shards(docs: int, devices: int, step: int) -> list[list[int]]:
    """Where the blocks of documents of each device start: neighbouring blocks, shared evenly."""
    starts = np.arange(0, docs, step)
    parts = np.array_split(starts, min(devices, len(starts)))
    return [part.tolist() for part in parts]


def _search(
    queries: Floats,
    docs: Floats,
    rows: slice,
    starts: Sequence[int],
    k: int,
    excluded: Excluded,
    chunk: tuple[int, int],
    where: str,
    tick: Tick,
) -> tuple[Floats, Ints]:
    """The best of some blocks of documents for one block of queries, on one device."""
    import torch

    count = len(queries)
    best = Running(count, k) if where == "cpu" else OnDevice(count, k, where)
    tops = range(0, count, chunk[0])
    lefts = [torch.from_numpy(queries[top : top + chunk[0]]).to(where) for top in tops]
    for start in starts:
        some = np.array(docs[start : start + chunk[1]], dtype=np.float32)
        finite("document", some, start)
        positions = np.arange(start, start + len(some))
        right = torch.from_numpy(some).to(where).T
        for top, left in zip(tops, lefts, strict=True):
            scores = left @ right
            own = slice(rows.start + top, rows.start + top + len(left))
            columns = slice(start, start + len(some))
            if (cells := excluded.block(own, columns)) is not None:
                scores[torch.from_numpy(cells[0]), torch.from_numpy(cells[1])] = -torch.inf
            best.add(np.arange(top, top + len(left)), scores, positions)
        tick()
    return best.found()
