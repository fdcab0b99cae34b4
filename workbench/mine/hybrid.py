"""Several miners as one: their lists fused by rank or by score.

    reciprocal rank:  score(q, d) = sum over miners m: weight_m / (constant + rank_m(q, d))
    weighted:         score(q, d) = sum over miners m: weight_m (s_m(q, d) - low) / (high - low)

low and high are the smallest and largest score in the miner's list for that query; a miner that did
not find a document adds nothing.

Source: Cormack, Clarke and Buettcher 2009, "Reciprocal rank fusion outperforms Condorcet and
individual rank learning methods" (constant 60).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice, check_count, check_number
from workbench.mine.bm25 import BM25
from workbench.mine.dense import Dense
from workbench.mine.facts import check_ids, check_vectors
from workbench.mine.miner import Miner, check_miner, given, needs_vectors
from workbench.registry import register
from workbench.types import Candidates, Collection, Floats, Ints, Vectors

Bools = NDArray[np.bool_]
Doubles = NDArray[np.float64]
HOW = ("reciprocal_rank", "weighted")
ROWS = 4096
"""Queries fused at once."""


def _check_lists(lists: object) -> None:
    if not isinstance(lists, Sequence):
        raise BadArgument("lists", lists, "it must be a list of Candidates", "Write fuse([a, b]).")
    for one in lists:
        if not isinstance(one, Candidates):
            raise BadArgument("lists", one, "each must be Candidates", "Call the miner first.")


def _check(how: str, given: Sequence[float] | None, lists: int, constant: float, k: int) -> None:
    weights: object = given
    check_choice("how", how, HOW)
    check_count("k", k, mend="Try 30.")
    check_number("constant", constant, at_least=0, mend="Try 60.")
    if lists < 2:
        raise BadArgument("miners", lists, "there must be at least two", "Add BM25(k=100), say.")
    if weights is None:
        return
    if not isinstance(weights, Sequence):
        wanted = "it must be a list of numbers"
        raise BadArgument("weights", weights, wanted, "Give one each.")
    if len(weights) != lists:
        wanted = f"there must be {lists}, one per miner"
        raise BadArgument("weights", weights, wanted, "Give one each.")
    for weight in weights:
        check_number("weights", weight, above=0, mend="Leave the miner out instead.")


def fuse(
    lists: Sequence[Candidates],
    *,
    k: int = 30,
    how: str = "reciprocal_rank",
    weights: Sequence[float] | None = None,
    constant: float = 60.0,
) -> Candidates:
    """One list out of several, over the same queries and documents.

    Args:
        lists: what miners found, deeper than k where one can (100 for a k of 30). Candidates that
            a rule has dropped there take no part.
        k: candidates per query.
        how: "reciprocal_rank" needs nothing of the scores; "weighted" adds them, each list
            stretched to [0, 1] per query.
        weights: one per list; None = all equal.
        constant: of reciprocal rank; the larger, the less the first ranks stand out. Paper 60.

    Returns:
        Candidates by falling fused score, equal ones by rising position. `positive_scores` is the
        fused score of the labelled positive at the rank it would take in each list (nothing where
        it lies behind the list's end), or at its stretched score; NaN where a list knows none. With
        several positives each list speaks of its weakest. `recipe["found_by"]` counts the
        candidates by how many lists held them.

    Raises:
        BadArgument: fewer than two lists, or an option out of range.
        BadData: lists of other texts.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> found = bm25(from_rows(rows, name="demo"), k=2)
        >>> fuse([found, found], k=2).scores[0].round(4)
        array([0.0328, 0.0323], dtype=float32)

    Breaks when: one list is poor: it pushes good candidates of the other down, whatever the rank.
    """
    _check_lists(lists)
    _check(how, weights, len(lists), constant, k)
    first = lists[0]
    for other in lists[1:]:
        mend = "Mine one collection with every miner."
        check_ids("the lists' queries", first.query_ids, other.query_ids, mend)
        check_ids("the lists' documents", first.doc_ids, other.doc_ids, mend)
    shares = np.ones(len(lists)) if weights is None else np.array(weights, dtype=np.float64)
    if how == "weighted":
        _check_scores(lists)
    count = len(first.query_ids)
    table = np.full((count, k), -1, dtype=np.int64)
    scores = np.full((count, k), -np.inf, dtype=np.float32)
    positive = np.zeros(count, dtype=np.float32)
    found_by = np.zeros(len(lists) + 1, dtype=np.int64)
    for start in range(0, count, ROWS):
        rows = slice(start, start + ROWS)
        some = [_part(one, rows) for one in lists]
        cell, docs, fused, times, positive[rows] = _fused(some, shares, how, constant, k)
        table[rows][cell], scores[rows][cell] = docs, fused
        found_by += np.bincount(times, minlength=len(found_by))
    recipe = {
        "collection": first.recipe.get("collection"),
        "k": k,
        "how": how,
        "weights": shares.tolist(),
        **({"constant": constant} if how == HOW[0] else {}),
        "lists": [{"miner": one.miner, **one.recipe} for one in lists],
        "found_by": {str(n): int(m) for n, m in enumerate(found_by) if m},
    }
    return Candidates(
        query_ids=first.query_ids,
        doc_ids=first.doc_ids,
        docs=table,
        scores=scores,
        ranks=np.where(table >= 0, np.arange(1, k + 1), 0).astype(np.int32),
        weight=(table >= 0).astype(np.float32),
        positive_scores=positive,
        miner="hybrid",
        recipe=recipe,
    )


def _part(one: Candidates, rows: slice) -> Candidates:
    """The list of some queries."""
    return replace(
        one,
        query_ids=one.query_ids[rows],
        docs=one.docs[rows],
        scores=one.scores[rows],
        ranks=one.ranks[rows],
        weight=one.weight[rows],
        positive_scores=one.positive_scores[rows],
    )


def _fused(
    lists: Sequence[Candidates], shares: Doubles, how: str, constant: float, k: int
) -> tuple[tuple[Ints, Ints], Ints, Floats, Ints, Floats]:
    """(row, rank) of the k best of every query, their documents, scores, and in how many lists."""
    wide = len(lists[0].doc_ids)
    cells: list[Ints] = []
    values: list[Doubles] = []
    positive = np.zeros(len(lists[0].docs))
    for one, share in zip(lists, shares, strict=True):
        parts, of_positive = _ranked(one, constant) if how == HOW[0] else _stretched(one)
        rows, columns = np.nonzero(_kept(one))
        cells.append(rows * wide + one.docs[rows, columns])
        values.append(share * parts[rows, columns])
        positive += share * of_positive
    found, place, times = np.unique(np.concatenate(cells), return_inverse=True, return_counts=True)
    # Rounded as it will be kept, so that what comes to the same number is ordered by position.
    fused = np.bincount(place, weights=np.concatenate(values)).astype(np.float32)
    rows, docs = found // wide, found % wide
    order = np.lexsort((docs, -fused, rows))
    rows, docs, fused, times = rows[order], docs[order], fused[order], times[order]
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    kept = rank < k
    cell = (rows[kept], rank[kept])
    return cell, docs[kept], fused[kept], times[kept], positive.astype(np.float32)


def _check_scores(lists: Sequence[Candidates]) -> None:
    for one in lists:
        if not np.isfinite(one.scores[_kept(one)]).all():
            wanted = "'weighted' needs scores, and it has none"
            raise BadArgument("lists", one, wanted, "Use how='reciprocal_rank'.")


def _kept(one: Candidates) -> Bools:
    kept: Bools = (one.docs >= 0) & (one.weight > 0)
    return kept


def _ranked(one: Candidates, constant: float) -> tuple[Doubles, Doubles]:
    """1 / (constant + rank) of every candidate, and of the positive at the rank it would take."""
    kept = _kept(one)
    place = np.cumsum(kept, axis=1)
    positive = one.positive_scores
    above = (kept & (one.scores > positive[:, None])).sum(axis=1)
    inside = above < place[:, -1] if place.shape[1] else np.zeros(len(kept), dtype=np.bool_)
    of_positive = np.where(inside, 1 / (constant + 1 + above), 0.0)
    return 1 / (constant + np.maximum(place, 1)), np.where(np.isnan(positive), np.nan, of_positive)


def _stretched(one: Candidates) -> tuple[Doubles, Doubles]:
    """Scores of every query from 0, its smallest, to 1, its largest; the positive's likewise."""
    kept = _kept(one)
    scores = one.scores.astype(np.float64)
    low = np.where(kept, scores, np.inf).min(axis=1, initial=np.inf)
    high = np.where(kept, scores, -np.inf).max(axis=1, initial=-np.inf)
    some = np.isfinite(low)
    low, high = np.where(some, low, 0.0), np.where(some, high, 0.0)
    wide = np.where(high > low, high - low, 1.0)
    low = np.where(high > low, low, high - 1)  # a lone candidate is its list's best
    positive = one.positive_scores.astype(np.float64)
    of_positive = np.where(some, np.maximum((positive - low) / wide, 0), 0.0)
    stretched = (np.where(kept, scores, 0.0) - low[:, None]) / wide[:, None]
    return stretched, np.where(np.isnan(positive), np.nan, of_positive)


def _default() -> tuple[Miner, ...]:
    return Dense(k=100), BM25(k=100)


@register("miner", "hybrid")
@dataclass(frozen=True, kw_only=True)
class Hybrid:
    """Several miners' lists, fused by reciprocal rank or by weighted score.

    Args:
        k: see `fuse`, as for all but the first.
        miners: at least two, each deeper than k.
        how: "reciprocal_rank" or "weighted".
        weights: one per miner; None = all equal.
        constant: of reciprocal rank.
    """

    k: int = 30
    miners: tuple[Miner, ...] = field(default_factory=_default)
    how: str = "reciprocal_rank"
    weights: tuple[float, ...] | None = None
    constant: float = 60.0

    def __post_init__(self) -> None:
        miners: object = self.miners
        if not isinstance(miners, Sequence):
            wanted = "it must be a tuple of miners"
            raise BadArgument("miners", miners, wanted, "Write (Dense(k=100), BM25(k=100)).")
        for miner in self.miners:
            check_miner("miners", miner)
        _check(self.how, self.weights, len(self.miners), self.constant, self.k)

    @property
    def needs_vectors(self) -> bool:
        """Does one of its miners?"""
        return any(map(needs_vectors, self.miners))

    def __call__(
        self,
        collection: Collection,
        vectors: tuple[Vectors, Vectors] | None = None,
        *,
        known: KnownPositives | None = None,
    ) -> Candidates:
        """Mine a collection with every miner; those that need vectors all get the same."""
        if self.needs_vectors:  # said before those that need none have searched
            sides = given(vectors, "hybrid")
            check_vectors("mining", sides, collection.query_ids, collection.doc_ids)
        return fuse(
            [miner(collection, vectors, known=known) for miner in self.miners],
            k=self.k,
            how=self.how,
            weights=self.weights,
            constant=self.constant,
        )
