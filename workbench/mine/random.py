"""Random documents that are not known to answer: the easy baseline every harder miner must beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import check_choice, check_count
from workbench.mine.draw import Keys, check_seed, keys, numbers
from workbench.mine.exact import finite_sides
from workbench.mine.facts import check_vectors
from workbench.mine.ranking import (
    EXCLUDE,
    Excluded,
    as_candidates,
    excluded,
    pair_scores,
    positive_scores,
)
from workbench.registry import register
from workbench.types import Candidates, Collection, Ints, Vectors

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CELLS = 4_000_000
"""(query, document) numbers drawn at once."""


def draw(of: Keys, size: int, *, k: int, exclude: csr_array | None = None) -> Ints:
    """Draw k documents for each query, uniformly and without replacement, some left out.

    Every query draws positions from a stream of its own; what is excluded or was drawn before is
    passed over. A query that may see few documents (fewer than 2 k, or a quarter of them) gives
    each a number instead and takes the k smallest. Memory grows with what is drawn, not with
    queries x documents.

    Args:
        of: (query,) one key per query, see `draw.keys`.
        size: documents there are.
        k: how many.
        exclude: sparse (query, document); nonzero cells are never drawn.

    Returns:
        (query, k) positions in the order drawn, -1 where a query has fewer.

    Example:
        >>> of = keys(np.array(["q1", "q2"], dtype=object), 0)
        >>> places = draw(of, 1000, k=3)
        >>> places.shape, bool((places >= 0).all()), len(np.unique(places[0]))
        ((2, 3), True, 3)
    """
    cells = Excluded(exclude, (len(of), size))
    drawn = np.full((len(of), k), -1, dtype=np.int64)
    lost = np.zeros(len(of), dtype=np.int64)
    if cells.cells is not None:
        lost += np.diff(cells.cells.indptr)
    few = (size - lost) < max(2 * k, size // 4)
    for rows in _chunks(np.flatnonzero(few), size):
        drawn[rows] = _smallest(of, rows, size, k, cells)
    for rows in _chunks(np.flatnonzero(~few), 4 * k):
        drawn[rows] = _passing_over(of, rows, size, k, cells)
    return drawn


def _chunks(rows: Ints, wide: int) -> list[Ints]:
    step = max(1, CELLS // max(1, wide))
    return [rows[start : start + step] for start in range(0, len(rows), step)]


def _hit(cells: Excluded, rows: Ints, places: Ints, size: int) -> NDArray[np.bool_]:
    """(row, any): is that cell excluded? Rows rise."""
    if cells.cells is None:
        return np.zeros(places.shape, dtype=np.bool_)
    some = cells.cells[rows]
    owners = np.repeat(np.arange(len(rows)), np.diff(some.indptr))
    wanted = np.arange(len(rows))[:, None] * size + places
    return np.isin(wanted, owners * size + some.indices)


def _smallest(of: Keys, rows: Ints, size: int, k: int, cells: Excluded) -> Ints:
    drawn = numbers(of[rows], np.arange(size))
    out = _hit(cells, rows, np.broadcast_to(np.arange(size), drawn.shape), size)
    order = np.lexsort((drawn, out), axis=1)[:, :k]
    found = np.full((len(rows), k), -1, dtype=np.int64)
    found[:, : order.shape[1]] = np.where(np.take_along_axis(out, order, axis=1), -1, order)
    return found


def _passing_over(of: Keys, rows: Ints, size: int, k: int, cells: Excluded) -> Ints:
    """The first k different allowed positions of each row's stream."""
    stream = np.empty((len(rows), 0), dtype=np.int64)
    found = np.full((len(rows), k), -1, dtype=np.int64)
    open_ = np.arange(len(rows))
    while len(open_):
        start = stream.shape[1]
        more = numbers(of[rows[open_]], np.arange(start, start + 2 * k + 8)) % np.uint64(size)
        stream = np.concatenate([stream, more.astype(np.int64)], axis=1)
        by_place = np.argsort(stream, axis=1, kind="stable")
        ordered = np.take_along_axis(stream, by_place, axis=1)
        again = np.zeros(stream.shape, dtype=np.bool_)
        again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
        passed = np.zeros(stream.shape, dtype=np.bool_)
        np.put_along_axis(passed, by_place, again, axis=1)
        good = ~passed & ~_hit(cells, rows[open_], stream, size)
        full = good.sum(axis=1) >= k
        take = good[full] & (np.cumsum(good[full], axis=1) <= k)
        found[open_[full]] = stream[full][take].reshape(-1, k)
        open_, stream = open_[~full], stream[~full]
    return found


def listed(
    collection: Collection,
    places: Ints,
    vectors: tuple[Vectors, Vectors] | None,
    *,
    miner: str,
    recipe: dict[str, object],
) -> Candidates:
    """Drawn positions as candidates: scored and by falling score where there are (checked) vectors.

    Without vectors scores are NaN, unknown to every rule, and the order is that of the draw.
    """
    scores = np.where(places >= 0, np.float32(np.nan), np.float32(-np.inf)).astype(np.float32)
    positive = np.full(len(places), np.nan, dtype=np.float32)
    if vectors is not None:
        queries, docs = vectors[0].values, vectors[1].values
        rows, columns = np.nonzero(places >= 0)
        pairs = np.stack([rows, places[rows, columns]], axis=1)
        scores[rows, columns] = pair_scores(pairs, queries, docs)
        order = np.lexsort((places, -scores), axis=1)
        places = np.take_along_axis(places, order, axis=1)
        scores = np.take_along_axis(scores, order, axis=1)
        positive = positive_scores(collection, queries, docs)
        recipe = {**recipe, "queries": vectors[0].fingerprint, "docs": vectors[1].fingerprint}
    return as_candidates(collection, (scores, places), positive, miner=miner, recipe=recipe)


def random(
    collection: Collection,
    *,
    k: int = 30,
    seed: int = 0,
    exclude: str = "known",
    known: KnownPositives | None = None,
    vectors: tuple[Vectors, Vectors] | None = None,
) -> Candidates:
    """Draw k documents for each query, uniformly among those not known to answer it.

    Args:
        collection: queries, corpus and judgments.
        k: candidates per query.
        seed: of the draw. A query's draw depends on its id, not on the other queries.
        exclude: "known", "labelled" or "nothing", see `ranking.excluded`.
        known: the known-positive graph; None = that of the collection.
        vectors: (query, document) vectors to score what was drawn with. The list is then in their
            order, so that `choose(..., how="top")` takes the nearest of those drawn.

    Returns:
        Candidates; by falling score where there are vectors, else in the order drawn and with
        score NaN, which is unknown to every rule.

    Raises:
        BadArgument: an option is out of range.
        BadData: vectors of other texts, or not finite.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
        >>> sorted(random(demo, k=5).docs[0].tolist())
        [-1, -1, -1, 1, 2]

    Breaks when: the corpus is large: nearly all that is drawn is too easy to teach anything.
    """
    check_count("k", k, mend="Try 30.")
    check_seed(seed)
    if vectors is not None:
        check_vectors("mining", vectors, collection.query_ids, collection.doc_ids)
        finite_sides(vectors[0].values, vectors[1].values)
    cells = excluded(collection, exclude, known)
    places = draw(keys(collection.query_ids, seed), len(collection.doc_ids), k=k, exclude=cells)
    recipe = {"seed": seed, "exclude": exclude}
    return listed(collection, places, vectors, miner="random", recipe=recipe)


@register("miner", "random")
@dataclass(frozen=True, kw_only=True)
class Random:
    """Documents drawn uniformly among those not known to answer the query.

    Args:
        k: see `random`, as for all.
        seed: of the draw.
        exclude: what may never be drawn.
    """

    k: int = 30
    seed: int = 0
    exclude: str = "known"

    def __post_init__(self) -> None:
        check_count("k", self.k, mend="Try 30.")
        check_seed(self.seed)
        check_choice("exclude", self.exclude, EXCLUDE)

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection; vectors, where there are any, only score what was drawn."""
        return random(
            collection, k=self.k, seed=self.seed, exclude=self.exclude, known=known, vectors=vectors
        )
