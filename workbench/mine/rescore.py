"""A second, stronger opinion on what was found: a cross-encoder's scores for the miner's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count
from workbench.mine.facts import check_ids
from workbench.mine.ranking import weakest
from workbench.mine.resume import Tick, claim, in_blocks, rows_fingerprint
from workbench.types import Candidates, Collection, Floats, Ints

_pairs = 65_536
"""Pairs handed over at once."""


@runtime_checkable
class PairScorer(Protocol):
    """Reads query and document together: `encode.CrossEncoder`, or anything with this method."""

    def scores(self, queries: Sequence[str], docs: Sequence[str]) -> NDArray[np.floating]:
        """(pair,) the score of every (queries[i], docs[i]); higher = more relevant."""
        ...


@runtime_checkable
class Told(Protocol):
    """Says what it is made of, so that its scores are never taken for another's."""

    @property
    def fingerprint(self) -> str:
        """Of its weights and options."""
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
    candidates: Candidates,
    collection: Collection,
    scorer: PairScorer,
    *,
    depth: int | None = None,
    checkpoint: str | Path | None = None,
) -> Candidates:
    """Score every candidate and every labelled positive again, and order by the new scores.

    Args:
        candidates: mined. What a rule has dropped keeps weight 0 and is not scored (NaN, last).
        collection: where the texts and the labelled positives stand.
        scorer: of (query, document) texts; asked for each pair once, never for a place where no
            candidate is.
        depth: only the first so many of every query are looked at and stay; None = all.
        checkpoint: folder in which finished blocks of 65,536 scores are kept, so that what was
            interrupted goes on; other pairs' or another scorer's folder is refused. The scorer
            must tell by a `fingerprint` what it is, as `encode.CrossEncoder` does.

    Returns:
        (query, depth) candidates by falling new score, `positive_scores` those of the weakest
        labelled positive by the same scorer. `ranks` stay those of the raw search, so that
        `RankWindow` means what it meant before; the order of the list is the new one, by which
        `choose` goes.

    Raises:
        BadArgument: not a scorer, or it answers another number of scores; the checkpoint is of
            other pairs.
        BadData: candidates of another collection, a score that is not finite, a damaged checkpoint.

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
    asked, of = _once(asked, len(collection.doc_ids))
    told = _asked(collection, asked, scorer, None if checkpoint is None else Path(checkpoint))[of]
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
            **{key: value for key, value in candidates.recipe.items() if key != "hardness"},
            "rescored_by": repr(scorer),
            "rescored": len(rows),
            "depth": docs.shape[1],
        },
    )


def _once(pairs: Ints, wide: int) -> tuple[Ints, Ints]:
    """Every different pair once, in the order of its first place, and which one each place is."""
    cells, first, of = np.unique(
        pairs[:, 0] * wide + pairs[:, 1], return_index=True, return_inverse=True
    )
    turn = np.empty(len(cells), dtype=np.int64)
    by_place = np.argsort(first, kind="stable")
    turn[by_place] = np.arange(len(cells))
    return pairs[first[by_place]], turn[of]


def _asked(
    collection: Collection, pairs: Ints, scorer: PairScorer, checkpoint: Path | None
) -> Floats:
    queries, docs = collection.query_texts, collection.doc_texts

    def score(rows: slice, tick: Tick) -> tuple[Floats, Ints]:
        some = pairs[rows].tolist()
        answer = scorer.scores([queries[q] for q, _ in some], [docs[d] for _, d in some])
        if np.shape(answer) != (len(some),):
            wanted = f"{len(some):,} pairs need as many scores"
            raise BadArgument("scorer", np.shape(answer), wanted, "Return one per pair.")
        told = np.asarray(answer, dtype=np.float32)
        wrong = np.flatnonzero(~np.isfinite(told))
        if len(wrong):
            query, doc = some[wrong[0]]
            problem = f"{collection.query_ids[query]!r}, {collection.doc_ids[doc]!r} has no number"
            raise BadData("the new scores", [problem], "Score with dtype=torch.float32.")
        tick()
        return told[:, None], pairs[rows, 1:]

    if checkpoint is not None:
        made_of = {"pairs": rows_fingerprint(pairs), "scorer": _what_it_is(scorer)}
        claim(checkpoint, {**made_of, "collection": collection.fingerprint})
    told, _ = in_blocks(score, len(pairs), 1, size=_pairs, label="rescore", checkpoint=checkpoint)
    return told[:, 0]


def _what_it_is(scorer: PairScorer) -> str:
    if not isinstance(scorer, Told):
        wanted = "scores are kept under the scorer's `fingerprint`, and it has none"
        raise BadArgument("scorer", scorer, wanted, "Add one, or leave out checkpoint=.")
    return str(scorer.fingerprint)
