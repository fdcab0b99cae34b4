"""Indexes of faiss that cannot mask: fetch as many more as may be excluded, then leave them out.

A query fetches k and as many more as it has excluded cells, rounded up to a power of two, so that
one query with thousands of positives makes nobody else fetch more; a heavy one is searched exactly.
What was fetched is scored again with the vectors themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from workbench.errors import BadArgument
from workbench.mine.exact import top_k
from workbench.mine.ranking import Excluded
from workbench.mine.resume import Tick
from workbench.types import Floats, Ints

HEAVY = 1024
"""Excluded cells from which a query is searched exactly."""
GATHERED = 64 * 2**20
"""Bytes of document vectors gathered at once."""
ADDED = 65_536
LINKS, BUILD_EFFORT = 32, 80
"""HNSW: links per document, and how far its building looks."""
CODEBOOK = 256


class Graph:
    """A navigable small world (HNSW): each document linked to some of its neighbours.

    Args:
        docs: (doc, dim).
        k: how many will be asked for.

    Source: Malkov and Yashunin 2018, HNSW; the index is faiss's, built by one thread so that it is
        the same every time.
    """

    def __init__(self, docs: Floats, k: int) -> None:
        import faiss

        self.index = faiss.IndexHNSWFlat(docs.shape[1], LINKS, faiss.METRIC_INNER_PRODUCT)
        self.index.hnsw.efConstruction = BUILD_EFFORT
        with _one_thread():
            _add(self.index, docs)
        self._k, self._most = k, max(4096, 4 * k)

    def efforts(self) -> Iterator[tuple[dict[str, int], int]]:
        """(what was set, documents fetched per one wanted), rising."""
        effort = max(64, self._k)
        while effort <= self._most:
            self.index.hnsw.efSearch = effort
            yield {"efSearch": effort}, 1
            effort *= 2


class Codes:
    """Inverted lists of product codes: a sixteenth of the vectors' memory.

    Args:
        docs: (doc, dim), may be a memory map.
        lists: how many.
        seed: of the training.

    Raises:
        BadArgument: fewer documents than a codebook has entries.

    Source: Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor search".
    """

    def __init__(self, docs: Floats, lists: int, seed: int) -> None:
        import faiss

        if len(docs) < CODEBOOK:
            wanted = f"it must have {CODEBOOK} documents or more, here {len(docs)}"
            raise BadArgument("index", "ivf_pq", wanted, "Take 'flat'.")
        dim = int(docs.shape[1])
        parts = max(part for part in range(1, max(1, dim // 4) + 1) if dim % part == 0)
        self._quantizer = faiss.IndexFlatIP(dim)
        self.index = faiss.IndexIVFPQ(
            self._quantizer, dim, lists, parts, 8, faiss.METRIC_INNER_PRODUCT
        )
        self.index.cp.spherical = True
        for training in (self.index.cp, self.index.pq.cp):
            training.seed, training.min_points_per_centroid = seed + 1, 1
        count = min(len(docs), max(64 * lists, 64 * CODEBOOK))
        rng = np.random.default_rng([seed, lists])
        some = np.sort(rng.choice(len(docs), size=count, replace=False))
        self.index.train(np.array(docs[some], dtype=np.float32))
        _add(self.index, docs)

    def efforts(self) -> Iterator[tuple[dict[str, int], int]]:
        """(what was set, documents fetched per one wanted), rising."""
        lists = self.index.nlist
        probes = [min(lists, 2**power) for power in range(3, lists.bit_length() + 1)]
        settings = [(probe, 4) for probe in probes] + [(lists, 8), (lists, 16)]
        for self.index.nprobe, times in dict.fromkeys(settings):
            yield {"probes": self.index.nprobe, "fetched": times}, times


@contextmanager
def _one_thread() -> Iterator[None]:
    """Faiss on one thread: a graph built by several differs from run to run."""
    import faiss

    threads = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(threads)


def _add(index: Any, docs: Floats) -> None:
    from tqdm.auto import tqdm

    starts = range(0, len(docs), ADDED)
    for start in tqdm(starts, desc="index", unit="block", disable=None, delay=2):
        index.add(np.array(docs[start : start + ADDED], dtype=np.float32))


class Search:
    """Fetches candidates of a block of queries, leaves out what is excluded, scores the rest.

    Args:
        index: of faiss.
        queries: (query, dim) of all queries.
        docs: (doc, dim), may be a memory map.
        excluded: cells that must not be found.
        k: how many.
        times: documents to fetch per one wanted, before those for excluded cells.
    """

    def __init__(
        self, index: Any, queries: Floats, docs: Floats, excluded: Excluded, k: int, times: int
    ) -> None:
        self.index, self.queries, self.docs, self.excluded = index, queries, docs, excluded
        self.k, self.times = k, times
        self.fetched = 0

    def __call__(self, rows: slice, tick: Tick) -> tuple[Floats, Ints]:
        """(scores, positions) of these queries."""
        count = rows.stop - rows.start
        scores = np.full((count, self.k), -np.inf, dtype=np.float32)
        places = np.full((count, self.k), -1, dtype=np.int64)
        left_out = self.excluded.counts(rows)
        heavy = np.flatnonzero(left_out > HEAVY)
        if len(heavy) and self.excluded.cells is not None:
            own = heavy + rows.start
            scores[heavy], places[heavy] = top_k(
                self.queries[own], self.docs, k=self.k, exclude=self.excluded.cells[own]
            )
        more = np.where(left_out > 0, 2 ** np.ceil(np.log2(np.maximum(left_out, 1))), 0)
        widths = np.minimum(self.k * self.times + more.astype(np.int64), len(self.docs))
        widths[heavy] = 0
        for width in np.unique(widths[widths > 0]).tolist():
            these = np.flatnonzero(widths == width)
            step = max(1, GATHERED // (4 * width * self.docs.shape[1]))
            for start in range(0, len(these), step):
                some = these[start : start + step]
                scores[some], places[some] = self._fetch(some + rows.start, width)
        tick()
        return scores, places

    def _fetch(self, rows: Ints, width: int) -> tuple[Floats, Ints]:
        """(scores, positions), both (query, k), of queries that fetch `width` documents each."""
        queries = np.array(self.queries[rows], dtype=np.float32)
        found = self.index.search(queries, width)[1]
        self.fetched += found.size
        gathered = np.array(self.docs[np.maximum(found, 0)], dtype=np.float32)
        scores = np.einsum("qd,qkd->qk", queries, gathered)
        scores[(found < 0) | self._excluded(rows, found)] = -np.inf
        order = np.lexsort((found, -scores), axis=1)[:, : self.k]
        scores = np.take_along_axis(scores, order, axis=1)
        places = np.where(np.isneginf(scores), -1, np.take_along_axis(found, order, axis=1))
        wide = ((0, 0), (0, self.k - scores.shape[1]))
        return (
            np.pad(scores, wide, constant_values=-np.inf),
            np.pad(places, wide, constant_values=-1),
        )

    def _excluded(self, rows: Ints, found: Ints) -> Any:
        if self.excluded.cells is None:
            return np.zeros(found.shape, dtype=np.bool_)
        own = self.excluded.cells[rows].tocoo()
        wide = len(self.docs)
        keys = own.coords[0].astype(np.int64) * wide + own.coords[1]
        return np.isin(np.arange(len(rows))[:, None] * wide + found, keys)
