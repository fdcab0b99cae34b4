"""Does a model find the way back? Recall from query to document, and from document to query.

    hit(q -> d) = fewer than k documents that do not answer q score at least as high as d
    gap@k       = share of pairs hit forwards - share of pairs hit backwards

One-directional InfoNCE cannot see anything added to all scores of one query, so a model may rank
documents perfectly and queries not at all; with cosines of unit vectors what is left is smaller.
Other positives are left out of the count on both sides: ten queries of one document do not push
each other off its first place.

Source: Berglund et al. 2023, "The Reversal Curse", for the question; McNemar 1947 for the test;
Radovanovic, Nanopoulos, Ivanovic 2010 for the skewness of k-occurrences.
Breaks when: answers were never judged (they count as wrong); pairs share texts, so that they are
not the independent pairs the test takes them for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.exact import finite_sides, top_k
from workbench.mine.facts import check_vectors, unit
from workbench.mine.ranking import excluded
from workbench.types import Collection, Floats, Ints, Vectors

if TYPE_CHECKING:
    import pandas as pd
    from scipy.sparse import csr_array

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
TIE = 1e-6
"""Scores this near, relative to their size, are equal in float32; a tie is no hit."""


def mcnemar_exact(first: NDArray[Any], second: NDArray[Any]) -> float:
    """Probability of so uneven a disagreement if both were right equally often; two-sided.

        p = 2 P(X <= min(b, c)), X ~ Binomial(b + c, 1/2), at most 1

    b pairs were right the first way only, c the second way only.

    Args:
        first: (pair,) booleans.
        second: (pair,) booleans of the same pairs.

    Returns:
        1 where they never disagree.

    Raises:
        BadArgument: shapes differ, or these are no booleans.

    Example:
        >>> mcnemar_exact(np.array([True] * 5 + [False]), np.array([True] + [False] * 5))
        0.125

    Source: McNemar 1947, the exact form.
    Breaks when: pairs are not independent.
    """
    from scipy.stats import binomtest

    one, two = np.asarray(first), np.asarray(second)
    if one.ndim != 1 or one.shape != two.shape or {one.dtype, two.dtype} != {np.dtype(np.bool_)}:
        wanted = "both must be booleans of the same pairs"
        raise BadArgument("second", (one.shape, two.shape), wanted, "Compare hit with hit.")
    only = int((one & ~two).sum()), int((two & ~one).sum())
    if not sum(only):
        return 1.0
    return min(1.0, float(binomtest(min(only), sum(only), 0.5).pvalue))


@dataclass(frozen=True, eq=False, kw_only=True)
class DirectionAudit:
    """How well a model finds documents for queries, and queries for documents.

    Args:
        k: list lengths, rising.
        pairs: (pair, 2) positions (query, document) that were asked about.
        forward: (pair, k) the document is in the query's first k.
        backward: (pair, k) the query is in the document's first k.
        sizes: queries and documents searched.
        hubness: skewness of how often a document, and how often a query, stands in the first k
            (the longest) of lists it does not belong to; 0 even, above 3 hubs.
    """

    k: tuple[int, ...]
    pairs: Ints
    forward: Bools
    backward: Bools
    sizes: tuple[int, int]
    hubness: tuple[float, float]

    def gap(self) -> Doubles:
        """(k,) share hit forwards less share hit backwards."""
        gap: Doubles = self.forward.mean(axis=0) - self.backward.mean(axis=0)
        return gap

    def frame(self) -> pd.DataFrame:
        """One row per k: both recalls, their gap, pairs hit one way only, exact McNemar p."""
        import pandas as pd

        one_way = self.forward & ~self.backward, self.backward & ~self.forward
        return pd.DataFrame(
            {
                "k": self.k,
                "forward": self.forward.mean(axis=0),
                "backward": self.backward.mean(axis=0),
                "gap": self.gap(),
                "only_forward": one_way[0].sum(axis=0),
                "only_backward": one_way[1].sum(axis=0),
                "p_value": [
                    mcnemar_exact(one, two)
                    for one, two in zip(self.forward.T, self.backward.T, strict=True)
                ],
            }
        )

    def __repr__(self) -> str:
        rows = self.frame().itertuples()
        said = "; ".join(
            f"@{row.k} {row.forward:.3f} forwards, {row.backward:.3f} backwards, "
            f"p = {row.p_value:.2g}"
            for row in rows
        )
        return f"DirectionAudit({len(self.pairs):,} pairs: {said})"


def direction_audit(
    collection: Collection,
    vectors: tuple[Vectors, Vectors],
    *,
    k: Sequence[int] = (1, 10),
    cosine: bool = True,
    same_size: bool = True,
    seed: int = 0,
) -> DirectionAudit:
    """Search with queries for documents and with documents for queries, over labelled pairs.

    Only queries with a positive and documents that are one take part, on both sides.

    Args:
        collection: its labelled positives; near duplicates and queries that say the same count as
            positives too, and are left out of the count.
        vectors: (query, document) vectors of it.
        k: list lengths; usual 1 and 10.
        cosine: False compares inner products of the vectors as they are.
        same_size: draw from the larger side as many as the smaller has; a search among fewer is
            easier, and the gap would show that.
        seed: of the draw.

    Returns:
        A `DirectionAudit`.

    Raises:
        BadArgument: an impossible k or seed.
        BadData: vectors of other ids or not finite; fewer than two labelled pairs.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
        >>> eye, hub = np.eye(3, dtype=np.float32), np.float32([[0, 0, 0], [0, 0, 0], [2, 2, 2]])
        >>> sides = (Vectors(values=eye + hub, ids=demo.query_ids, encoder="e"),
        ...          Vectors(values=eye, ids=demo.doc_ids, encoder="e"))
        >>> direction_audit(demo, sides, k=[1], cosine=False)
        DirectionAudit(3 pairs: @1 1.000 forwards, 0.333 backwards, p = 0.5)

    Source: see the module.
    Breaks when: see the module; a model was trained with both directions and still differs, where
    the texts differ (long documents, short queries) and not the loss.
    """
    check_vectors("vectors", vectors, collection.query_ids, collection.doc_ids)
    lengths = _lengths(k)
    check_count("seed", seed, at_least=0, mend="Try 0.")
    pairs, kept = _sides(collection, same_size=same_size, seed=seed)
    rows = [
        np.asarray(side.values[places], dtype=np.float32)
        for side, places in zip(vectors, kept, strict=True)
    ]
    finite_sides(rows[0], rows[1])
    if cosine:
        rows = [unit(values) for values in rows]
    known = excluded(collection, "known")
    assert known is not None  # "known" always gives a matrix
    known = known[kept[0]][:, kept[1]].tocsr()
    own = np.einsum("pd,pd->p", rows[0][pairs[:, 0]], rows[1][pairs[:, 1]])
    forward, docs_skew = _hits(rows[0], rows[1], known, pairs[:, 0], own, lengths)
    backward, queries_skew = _hits(rows[1], rows[0], known.T.tocsr(), pairs[:, 1], own, lengths)
    return DirectionAudit(
        k=tuple(lengths),
        pairs=np.stack([kept[side][pairs[:, side]] for side in (0, 1)], axis=1),
        forward=forward,
        backward=backward,
        sizes=(len(kept[0]), len(kept[1])),
        hubness=(docs_skew, queries_skew),
    )


def _lengths(k: Sequence[int]) -> list[int]:
    lengths = [*k]
    for length in lengths:
        check_count("k", length, mend="Try (1, 10).")
    if not lengths or sorted({*lengths}) != lengths:
        raise BadArgument("k", k, "it must be list lengths, rising", "Try (1, 10).")
    return lengths


def _sides(collection: Collection, *, same_size: bool, seed: int) -> tuple[Ints, list[Ints]]:
    """Pairs by places among the kept, and positions of kept queries and documents."""
    pairs = collection.pairs
    kept = [np.unique(pairs[:, side]) for side in (0, 1)]
    few = min(len(places) for places in kept)
    if same_size:
        rng = np.random.default_rng(seed)
        kept = [
            np.sort(rng.choice(places, few, replace=False)) if len(places) > few else places
            for places in kept
        ]
    there = np.isin(pairs[:, 0], kept[0]) & np.isin(pairs[:, 1], kept[1])
    pairs = pairs[there]
    if len(pairs) < 2:
        problems = [f"{len(pairs)} labelled pairs to ask about"]
        raise BadData(collection.name, problems, "Give more pairs, or same_size=False.")
    places = [np.searchsorted(kept[side], pairs[:, side]) for side in (0, 1)]
    return np.stack(places, axis=1).astype(np.int64), kept


def _hits(
    asking: Floats,
    among: Floats,
    known: csr_array,
    askers: Ints,
    own: Floats,
    lengths: list[int],
) -> tuple[Bools, float]:
    """(pair, k) whether fewer than k wrong answers score as high, and their skewness."""
    scores, found = top_k(asking, among, k=lengths[-1], exclude=known)
    bars = scores[:, np.array(lengths) - 1][askers]
    slack = TIE * np.maximum(1.0, np.abs(own))
    counts = np.bincount(found[found >= 0], minlength=len(among))
    return np.asarray(own[:, None] > bars + slack[:, None]), skewness(counts)


def skewness(counts: Ints) -> float:
    """How far a few counts stand out above the rest; 0 where all are equal.

    Example:
        >>> round(skewness(np.array([0, 0, 0, 9])), 2), skewness(np.array([2, 2]))
        (1.15, 0.0)
    """
    from scipy.stats import skew

    return float(skew(counts)) if len(np.unique(counts)) > 1 else 0.0
