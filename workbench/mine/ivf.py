"""Approximate search by inverted lists: look only where neighbours usually are.

Documents are sorted into lists by their nearest centre; a query looks into the lists of its nearest
centres. All queries that look into one list are multiplied with it at once, which is what makes
many queries cheap. Nothing is copied but one list at a time, scores are those of the vectors
themselves, and excluded cells are masked as in the exact search.

Source: Jégou, Douze and Schmid 2011, "Product quantization for nearest neighbor search", section 4
(inverted lists); list by list for many queries: faiss, `contrib.big_batch_search`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from threading import Lock

import numpy as np
from numpy.typing import NDArray

from workbench.mine.exact import top_k
from workbench.mine.ranking import Excluded, Running
from workbench.mine.resume import Tick, in_blocks
from workbench.mine.threads import in_stripes
from workbench.types import Floats, Ints

POINTS = 32
"""Documents per list that centres are fitted on."""
ITERATIONS = 6
FLAT = 256
"""Lists up to which centres are fitted at once, and compared with every document."""
GROUPS = 4
"""Groups of centres that a document is compared with, where centres are grouped."""
ROWS = 131_072
"""Documents sorted into lists at once."""
CELLS = 4_000_000
"""Scores held at once: 16 MB."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Lists:
    """Documents, each in the list of its nearest centre.

    Args:
        centres: (list, dim) of length 1.
        labels: (doc,) list of each document.
    """

    centres: Floats
    labels: Ints

    @cached_property
    def order(self) -> Ints:
        """(doc,) positions, list after list, rising in each."""
        return np.argsort(self.labels, kind="stable")

    @cached_property
    def ends(self) -> Ints:
        """(list + 1,) where each list starts in `order`, and the end."""
        return np.searchsorted(self.labels[self.order], np.arange(len(self.centres) + 1))

    @cached_property
    def within(self) -> Ints:
        """(doc,) place of each document in its own list."""
        places = np.empty(len(self.labels), dtype=np.int64)
        places[self.order] = np.arange(len(places))
        return places - self.ends[self.labels]

    def prepare(self) -> None:
        """Sort now what threads will ask for at once."""
        _ = self.order, self.ends, self.within

    def members(self, number: int) -> Ints:
        """Positions of one list's documents, rising."""
        return self.order[self.ends[number] : self.ends[number + 1]]


def build(docs: Floats, *, lists: int, seed: int = 0) -> Lists:
    """Fit centres on a seeded sample and sort all documents into their lists.

    Many centres are fitted in two levels, and a document is compared with those of the four
    nearest groups only: its list may then not be that of the very nearest centre, which costs
    nothing but some recall that is measured anyway.

    Args:
        docs: (doc, dim), may be a memory map.
        lists: how many, at most doc; usually 1 to 4 times its square root.
        seed: of the sample and of the fit.

    Example:
        >>> build(np.eye(4, dtype=np.float32), lists=4).labels.max()
        np.int64(3)
    """
    rng = np.random.default_rng([seed, lists])
    some = np.arange(len(docs))
    if len(docs) > POINTS * lists:
        some = np.sort(rng.choice(len(docs), size=POINTS * lists, replace=False))
    sample = np.array(docs[some], dtype=np.float32)
    if lists <= FLAT:
        centres = _centres(sample, lists, seed)
        wide = (8192, lists)
        nearest = top_k(docs, centres, k=1, chunk=wide, devices=["cpu"])[1]
        return Lists(centres=centres, labels=nearest[:, 0])
    groups = build(sample, lists=int(np.sqrt(lists)), seed=seed)
    parts = [
        _centres(sample[groups.members(number)], share, seed)
        for number, share in enumerate(_shares(np.diff(groups.ends), lists).tolist())
    ]
    centres = np.concatenate(parts)
    grouped = Lists(
        centres=groups.centres, labels=np.repeat(np.arange(len(parts)), [len(p) for p in parts])
    )
    nothing = Excluded(None, (len(docs), lists))
    search = Search(grouped, docs, centres, nothing, 1, min(GROUPS, len(parts)))
    nearest = in_blocks(search, len(docs), 1, size=ROWS, parts=len(parts), label="lists")[1]
    return Lists(centres=centres, labels=nearest[:, 0])


def _centres(rows: Floats, count: int, seed: int) -> Floats:
    """(count, dim) centres of length 1 by spherical k-means."""
    import faiss

    if not count:
        return np.empty((0, rows.shape[1]), dtype=np.float32)
    fit = faiss.Kmeans(
        rows.shape[1], count, niter=ITERATIONS, seed=seed + 1, spherical=True,
        min_points_per_centroid=1, max_points_per_centroid=4 * POINTS,
    )  # fmt: skip
    fit.train(np.ascontiguousarray(rows))
    return np.array(fit.centroids, dtype=np.float32)


def _shares(sizes: Ints, lists: int) -> Ints:
    """Lists of each group: in proportion to its size, and together as many as there are to be."""
    upto = np.round(np.cumsum(sizes) * (lists / sizes.sum())).astype(np.int64)
    shares: Ints = np.diff(upto, prepend=0)
    return shares


def probes_needed(
    lists: Lists, queries: Floats, truth: Ints, recall: float
) -> tuple[int, float, float]:
    """In how many lists queries must look to find the wanted share of their true neighbours.

    A true neighbour is found exactly when its list is among those looked into, so that recall at
    every number of lists follows from one sorting, without a search.

    Args:
        lists: the index.
        queries: (query, dim) a sample.
        truth: (query, k) their true neighbours, -1 where there are fewer.
        recall: wanted share; the mean over queries less two standard errors must reach it.

    Returns:
        (lists to look into, recall there on the sample, share of documents looked at).
    """
    count = len(lists.centres)
    looked = np.argsort(-(queries @ lists.centres.T), axis=1, kind="stable")
    turn = np.empty_like(looked)
    np.put_along_axis(turn, looked, np.arange(count)[None, :], axis=1)
    there = truth >= 0
    needed = np.take_along_axis(turn, lists.labels[np.maximum(truth, 0)], axis=1)
    needed = np.where(there, needed, count)
    size = np.maximum(there.sum(axis=1), 1)[:, None]
    rows = np.repeat(np.arange(len(truth)), truth.shape[1])
    found = np.zeros((len(truth), count + 1))
    np.add.at(found, (rows, needed.ravel()), 1)
    share = np.cumsum(found[:, :count], axis=1) / size
    share = share[there.any(axis=1)] if there.any() else np.ones((1, count))
    mean = share.mean(axis=0)
    sure = mean - 2 * share.std(axis=0) / np.sqrt(len(share))
    probes = int(np.argmax(sure >= min(recall, sure[-1]))) + 1
    sizes = np.diff(lists.ends)[looked].cumsum(axis=1).mean(axis=0) / len(lists.labels)
    return probes, float(mean[probes - 1]), float(sizes[probes - 1])


class Search:
    """Looks, for a block of queries, into the lists nearest to each.

    Args:
        lists: the index.
        queries: (query, dim) of all queries.
        docs: (doc, dim), may be a memory map.
        excluded: cells that must not be found.
        k: how many.
        probes: lists per query.
    """

    def __init__(
        self, lists: Lists, queries: Floats, docs: Floats, excluded: Excluded, k: int, probes: int
    ) -> None:
        self.lists, self.queries, self.docs, self.excluded = lists, queries, docs, excluded
        self.k, self.probes, self.scored = k, probes, 0
        self._lock = Lock()
        self.lists.prepare()

    def __call__(self, rows: slice, tick: Tick) -> tuple[Floats, Ints]:
        """(scores, positions) of these queries."""
        some = np.array(self.queries[rows], dtype=np.float32)

        def stripe(part: slice) -> tuple[Floats, Ints]:
            own = slice(rows.start + part.start, rows.start + part.stop)
            return self._look(some[part], own, tick if not part.start else lambda: None)

        return in_stripes(stripe, len(some))

    def _look(self, some: Floats, rows: slice, tick: Tick) -> tuple[Floats, Ints]:
        """One stripe of queries, list after list."""
        import torch

        best = Running(len(some), self.k)
        masked = _Masked(self.lists, self.excluded.block(rows, slice(0, len(self.docs))))
        scored = 0
        for number, mine in self._visitors(some):
            tick()
            members = self.lists.members(number)
            if not len(mine) or not len(members):
                continue
            right = torch.from_numpy(np.asarray(self.docs[members], dtype=np.float32)).T
            step = max(1, CELLS // len(members))
            for start in range(0, len(mine), step):
                own = mine[start : start + step]
                scores = torch.from_numpy(some.take(own, axis=0)) @ right
                row, column = masked(number, own)
                scores[torch.from_numpy(row), torch.from_numpy(column)] = -torch.inf
                best.add(own, scores, members)
                scored += scores.numel()
        with self._lock:
            self.scored += scored
        return best.found()

    def _visitors(self, queries: Floats) -> Iterator[tuple[int, Ints]]:
        """(list, rising rows of the queries that look into it) of every list."""
        import torch

        count, probes = len(self.lists.centres), self.probes
        centres = torch.from_numpy(self.lists.centres).T
        # Numbers of 16 bits where they do: NumPy sorts those by counting.
        asked = np.empty((len(queries), probes), dtype=np.uint16 if count < 2**16 else np.int64)
        step = max(1, CELLS // count)
        for start in range(0, len(queries), step):
            scores = torch.from_numpy(queries[start : start + step]) @ centres
            asked[start : start + step] = torch.topk(scores, probes, dim=1, sorted=False)[1].numpy()
        flat = asked.ravel()
        order = np.argsort(flat, kind="stable")
        ends = np.cumsum(np.bincount(flat, minlength=count))
        for number in range(len(self.lists.centres)):
            start = ends[number - 1] if number else 0
            yield number, order[start : ends[number]] // probes


class _Masked:
    """Excluded cells of a block of queries, sorted by list, so that each list finds its own."""

    def __init__(self, lists: Lists, cells: tuple[Ints, Ints] | None) -> None:
        empty = np.empty(0, dtype=np.int64)
        rows, docs = (empty, empty) if cells is None else cells
        order = np.lexsort((rows, lists.labels[docs]))
        self._rows, self._columns = rows[order], lists.within[docs[order]]
        numbers = np.arange(len(lists.centres) + 1)
        self._ends = np.searchsorted(lists.labels[docs[order]], numbers)

    def __call__(self, number: int, queries: Ints) -> tuple[Ints, Ints]:
        """(place in `queries`, place in the list) of its excluded cells; queries are rising."""
        own = slice(int(self._ends[number]), int(self._ends[number + 1]))
        rows, columns = self._rows[own], self._columns[own]
        place = np.minimum(np.searchsorted(queries, rows), len(queries) - 1)
        hit: NDArray[np.bool_] = queries[place] == rows
        return place[hit], columns[hit]
