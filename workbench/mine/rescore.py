"""A second, stronger opinion on what was found: a cross-encoder's scores for the miner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.facts import check_ids
from workbench.mine.ranking import weakest
from workbench.types import Candidates, Collection, Floats, Ints

_pairs = 65_536
"""Pairs handed over at once."""


@runtime_checkable
class PairScorer(Protocol):
    """Reads query and document together: `encode.CrossEncoder`, or anything with this method."""

    def scores(self, queries: Sequence[str], docs: Sequence[str]) -> NDArray[np.floating]:
        """(pair,) the score of every (queries[i], docs[i]); higher = more relevant."""
        ...


def check_scorer(argument: str, scorer: object) -> None:
    """Refuse what cannot score pairs of texts.

    Raises:
        BadArgument: it has no method `scores`.
    """
    if isinstance(scorer, type) or not isinstance(scorer, PairScorer):
        wanted = "it must have a method scores(queries, docs)"
        raise BadArgument(argument, scorer, wanted, "Try encode.CrossEncoder.load(...).")


def rescore(
    candidates: Candidates, collection: Collection, scorer: PairScorer, *, depth: int | None = None
) -> Candidates:
    """Score every candidate and every labelled positive again, and order by the new scores.

    Args:
        candidates: mined. What a rule has dropped keeps weight 0 and is not scored (NaN, last).
        collection: where the texts and the labelled positives stand.
        scorer: of (query, document) texts; asked for each pair once, never for a place where no
            candidate is.
        depth: only the first so many of every query are looked at and stay; None = all.

    Returns:
        (query, depth) candidates by falling new score, `positive_scores` those of the weakest
        labelled positive by the same scorer. `ranks` stay those of the raw search, so that
        `RankWindow` means what it meant before; the order of the list is the new one, by which
        `choose` goes.

    Raises:
        BadArgument: not a scorer, or it answers another number of scores.
        BadData: candidates of another collection, or a score that is not finite.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25
        >>> class Longest:
        ...     def scores(self, queries, docs): return np.array([len(doc) for doc in docs])
        >>> rows = [{"query": f"word {n}", "positive": "word " + n * "so "} for n in range(3)]
        >>> demo = from_rows(rows, name="demo")
        >>> rescore(bm25(demo, k=2), demo, Longest()).scores[0].tolist()
        [10.0, 7.0]

    Breaks when: depth is small and the miner weak: what it ranks low is never read.
    """
    check_scorer("scorer", scorer)
    mend = "Mine this very collection again."
    check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
    check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
    if depth is not None:
        check_count("depth", depth, mend="Try 50.")
    docs = candidates.docs[:, :depth]
    weight = np.where(docs >= 0, candidates.weight[:, :depth], np.float32(0))
    rows, columns = np.nonzero(weight > 0)
    pairs = collection.pairs
    asked = np.concatenate([np.stack([rows, docs[rows, columns]], axis=1), pairs])
    told = _asked(collection, asked, scorer)
    scores = np.where(docs >= 0, np.float32(np.nan), np.float32(-np.inf)).astype(np.float32)
    scores[rows, columns] = told[: len(rows)]
    order = np.lexsort((docs, -scores, docs < 0), axis=1)

    def take(values: NDArray[Any]) -> NDArray[Any]:
        return np.take_along_axis(values, order, axis=1)

    return replace(
        candidates,
        docs=take(docs),
        scores=take(scores),
        ranks=take(candidates.ranks[:, :depth]),
        weight=take(weight),
        positive_scores=weakest(pairs[:, 0], told[len(rows) :], len(docs)),
        miner=f"{candidates.miner}, rescored",
        recipe={
            **candidates.recipe,
            "rescored_by": repr(scorer),
            "rescored": len(rows),
            "depth": docs.shape[1],
        },
    )


def _asked(collection: Collection, pairs: Ints, scorer: PairScorer) -> Floats:
    from tqdm.auto import tqdm

    queries, docs = collection.query_texts, collection.doc_texts
    told = np.empty(len(pairs), dtype=np.float32)
    starts = range(0, len(pairs), _pairs)
    for start in tqdm(starts, desc="rescore", unit="block", disable=None, delay=2):
        some = pairs[start : start + _pairs].tolist()
        answer = scorer.scores([queries[q] for q, _ in some], [docs[d] for _, d in some])
        if np.shape(answer) != (len(some),):
            wanted = f"{len(some):,} pairs need as many scores"
            raise BadArgument("scorer", np.shape(answer), wanted, "Return one per pair.")
        told[start : start + _pairs] = answer
    wrong = np.flatnonzero(~np.isfinite(told))
    if len(wrong):
        query, doc = pairs[wrong[0]]
        problem = f"{collection.query_ids[query]!r}, {collection.doc_ids[doc]!r} has no number"
        raise BadData("the new scores", [problem], "Score with dtype=torch.float32.")
    return told
