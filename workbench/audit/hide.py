"""Labels hidden on purpose: a free test of whatever claims to find hidden positives.

Nobody labelled the false negatives, but some of the positives are labelled. Hide one, put it among
its query's mined candidates where the guide would have put it, compute every signal as if it had
never been labelled, and a signal that works ranks it high. Hidden labels thus measure rules and
teach weights without one new judgment.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.audit.evidence import (
    Evidence,
    Guides,
    check_guides,
    check_losses,
    signals,
    with_column,
)
from workbench.audit.words import Words
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_choice, check_count
from workbench.mine.facts import Unit, check_ids
from workbench.mine.named import Scores
from workbench.types import Candidates, Collection, Ids, Ints, LossStore

if TYPE_CHECKING:
    import pandas as pd

    from workbench.audit.margin import JudgedSample

ROUNDS, FOLDS, QUERIES = 3, 5, 5000
"""How often one label of every query is hidden; folds of whole queries; queries at most."""
FEW = 30
"""Hidden labels below which nothing can be learned from them."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Hidden:
    """Candidates among which some are labelled positives that were hidden.

    Args:
        names: (signal,) of the values.
        values: (pair, signal) as if the hidden labels had never been given.
        hidden: (pair,) true for a hidden label; false is a candidate nobody labelled, which may be
            a positive too.
        queries: (pair,) positions of queries.
        alone: the hidden label was the query's only one, so that signals which compare with the
            query's own positives are unknown.
        lost: share of hidden labels that the guide would not have ranked among the candidates.
        view: (signal,) true for signals that a hidden label's fate leaves comparable with those of
            candidates, so that weights may be learned from them.
    """

    names: Ids
    values: NDArray[np.float32]
    hidden: NDArray[np.bool_]
    queries: Ints
    alone: bool
    lost: float
    view: NDArray[np.bool_]

    def sample(self) -> JudgedSample:
        """The hidden labels as judgments: a free test of any threshold on `number`.

        Recall is what it looks like. Precision is a lower bound: candidates that nobody labelled
        count as negatives, and per query only one label is hidden.

        Example:
            >>> from workbench.audit import choose_margin
            >>> from workbench.audit.toys import toy_audit
            >>> candidates, collection, guides, truth = toy_audit()
            >>> found = hide(candidates, collection, guides=guides)
            >>> chosen = choose_margin(found.sample(), found.number("toy.company"), recall=0.8)
            >>> bool(chosen["recall"] >= 0.8 and chosen["dropped"] < 0.3)
            True
        """
        from workbench.audit.margin import JudgedSample

        count = len(self.hidden)
        return JudgedSample(
            rows=np.arange(count),
            columns=np.zeros(count, dtype=np.int64),
            positive=self.hidden,
            weight=np.ones(count),
        )

    def number(self, name: str) -> NDArray[np.float32]:
        """(pair, 1) one signal, as `margin_curve` and `choose_margin` want it.

        Raises:
            BadArgument: there is none of this name.
        """
        check_choice("name", name, [str(one) for one in self.names])
        return self.values[:, [self.names.tolist().index(name)]]

    def frame(self) -> pd.DataFrame:
        """Average precision and AUC with which each signal alone finds what was hidden.

        They are lower bounds: a positive that nobody labelled counts as a mistake.
        """
        import pandas as pd
        from sklearn.metrics import average_precision_score, roc_auc_score

        rows = []
        for place, name in enumerate(self.names):
            value = self.values[:, place]
            some = ~np.isnan(value)
            truth = self.hidden[some]
            if not truth.any() or truth.all():
                rows.append((name, np.nan, np.nan))
                continue
            precision = average_precision_score(truth, value[some])
            rows.append((name, precision, roc_auc_score(truth, value[some])))
        frame = pd.DataFrame(rows, columns=["signal", "average_precision", "auc"])
        return frame.sort_values("average_precision", ascending=False, ignore_index=True)

    def __repr__(self) -> str:
        kind = "the only label" if self.alone else "one of several labels"
        counts = f"{int(self.hidden.sum()):,} hidden among {len(self.hidden):,} candidates"
        return f"Hidden({counts}; {kind} of a query)"


def hide(
    candidates: Candidates,
    collection: Collection,
    *,
    guides: Guides,
    scores: Scores | None = None,
    losses: LossStore | None = None,
    alone: bool | None = None,
    queries: int = QUERIES,
    seed: int = 0,
    words: Words | None = None,
) -> Hidden:
    """Hide labelled positives among mined candidates and compute every signal without them.

    Where queries have several labels one is hidden at a time (three rounds); where they have one,
    the queries of a fifth at a time lose theirs. A label goes with its duplicates: every label
    between the query's group and the document's group is hidden with it. The hidden document stands
    in the list only if the first guide ranks it above the list's last, and documents that answer
    no other query are hidden only as often as candidates answer none.

    Args:
        candidates: a mined list.
        collection: the one mined.
        guides: see `evidence`, as for scores and losses.
        scores: a table must also hold the labelled positives' scores; those it lacks are unknown.
        losses: of labelled pairs.
        alone: hide only labels; None = where fewer than 30 queries have two or more.
        queries: at most this many, drawn at random.
        seed: of what is hidden.
        words: those of the collection, if they are there already.

    Raises:
        BadArgument: what `evidence` refuses, or there is no label to hide.

    Example:
        >>> from workbench.audit.toys import toy_audit
        >>> candidates, collection, guides, truth = toy_audit()
        >>> found = hide(candidates, collection, guides=guides)
        >>> found.alone, bool(found.frame()["auc"].max() > 0.9)
        (False, True)

    Source: this workbench; hiding known positives as "spies" is Liu et al. 2002, "Partially
    Supervised Classification of Text Documents".

    Breaks when: labels were not given at random among the positives (pooled by one retriever, say):
    what was labelled then looks unlike what was not.
    """
    check_guides(guides, collection)
    check_losses(losses, collection)
    check_count("queries", queries, mend="Try 5000.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    mend = "Mine this very collection again."
    check_ids("candidates' queries", collection.query_ids, candidates.query_ids, mend)
    check_ids("candidates' documents", collection.doc_ids, candidates.doc_ids, mend)
    candidates = _unlabelled(candidates, collection)
    listed = (candidates.docs >= 0).any(axis=1)
    several = _several(collection) & listed
    if alone is None:
        alone = int(several.sum()) < FEW
    rng = np.random.default_rng(seed)
    chosen = np.flatnonzero(_labelled(collection) & listed if alone else several)
    if not len(chosen):
        wanted = "there must be a query with a label to hide" if alone else "of two labels or more"
        raise BadArgument("collection", collection, wanted, "Judge some candidates first.")
    chosen = np.sort(rng.permutation(chosen)[:queries])
    words = Words.of(collection) if words is None else words
    floor, bare = _last(candidates, guides), _bare(candidates, collection)
    parts: list[tuple[Evidence, Ints, NDArray[np.bool_]]] = []
    offered = ranked = asked = 0
    for some, docs in _rounds(collection, chosen, alone=alone, rng=rng):
        kept = _kept(collection, some, docs, all_of_query=alone)
        rest = _without(collection, kept)
        near = _cosines(guides, some, docs) >= floor[some]
        offered, ranked = offered + len(some), ranked + int(near.sum())
        elsewhere = np.diff(rest.qrels.T.tocsr().indptr)[docs] > 0
        near &= _like_candidates(elsewhere & near, near & ~elsewhere, bare, rng)
        asked += int((near & elsewhere).sum())
        whole = np.full(len(collection.query_ids), -1, dtype=np.int64)
        whole[some] = np.where(near, docs, -1)
        lists = _unlabelled(_only(with_column(candidates, whole), some), rest)
        found = signals(
            lists, rest, guides=guides, scores=scores, words=words,
            losses=None if losses is None else LossStore(values=losses.values[kept]),
        )  # fmt: skip
        owners, columns = np.nonzero(lists.docs >= 0)
        parts.append((found, owners.astype(np.int64), columns == lists.docs.shape[1] - 1))
    kinds = parts[0][0].kinds()
    values = np.concatenate([found.values for found, _, _ in parts])
    hidden = np.concatenate([one for _, _, one in parts])
    view = _as_often_known(values, hidden)
    if alone:
        view &= kinds != "own"
    if asked < FEW:
        view &= kinds == "text"
    return Hidden(
        names=parts[0][0].names,
        values=values,
        hidden=hidden,
        queries=np.concatenate([owners for _, owners, _ in parts]),
        alone=alone,
        lost=1 - ranked / max(1, offered),
        view=view,
    )


def _bare(candidates: Candidates, collection: Collection) -> float:
    """Share of candidates that answer no query as far as labels say."""
    labelled = np.zeros(len(collection.doc_ids), dtype=np.bool_)
    labelled[collection.pairs[:, 1]] = True
    docs = candidates.docs[candidates.docs >= 0]
    return float((~labelled[docs]).mean()) if len(docs) else 0.0


def _like_candidates(
    asked: NDArray[np.bool_], alone: NDArray[np.bool_], bare: float, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which hidden documents stay, so that of them as of the candidates few have no query left.

    A document that loses its only query has no company any more; were all hidden ones like that
    and no candidate, the model would learn to tell them by it. Where none has a query left, all
    stay and signals of company are not learned from (`view`).
    """
    if not asked.any():
        return asked | alone
    most = round(int(asked.sum()) * bare / max(1e-9, 1 - bare))
    lonely = np.flatnonzero(alone)
    stay = asked.copy()
    stay[rng.permutation(lonely)[:most]] = True
    return stay


def _group_pairs(collection: Collection) -> Ints:
    """(label, 2) query and document group of every labelled pair."""
    pairs = collection.pairs
    groups = np.asarray(collection.query_groups), np.asarray(collection.doc_groups)
    return np.stack([groups[0][pairs[:, 0]], groups[1][pairs[:, 1]]], axis=1)


def _several(collection: Collection) -> NDArray[np.bool_]:
    """(query,) has it labels in two groups of documents or more?"""
    owners = collection.pairs[:, 0]
    distinct = np.unique(np.stack([owners, _group_pairs(collection)[:, 1]], axis=1), axis=0)
    return np.bincount(distinct[:, 0], minlength=len(collection.query_ids)) >= 2


def _labelled(collection: Collection) -> NDArray[np.bool_]:
    return np.bincount(collection.pairs[:, 0], minlength=len(collection.query_ids)) >= 1


def _last(candidates: Candidates, guides: Guides) -> NDArray[np.float32]:
    """(query,) the smallest cosine in each list, by the first guide."""
    queries, docs = (Unit(side) for side in next(iter(guides.values())))
    found = np.full(len(candidates.docs), np.inf, dtype=np.float32)
    for place in range(candidates.docs.shape[1]):
        some = np.flatnonzero(candidates.docs[:, place] >= 0)
        cosines = np.einsum("qd,qd->q", queries(some), docs(candidates.docs[some, place]))
        found[some] = np.minimum(found[some], cosines)
    return found


def _cosines(guides: Guides, queries: Ints, docs: Ints) -> NDArray[np.float32]:
    sides = [Unit(side) for side in next(iter(guides.values()))]
    return np.asarray(np.einsum("qd,qd->q", sides[0](queries), sides[1](docs)))


def _rounds(
    collection: Collection, chosen: Ints, *, alone: bool, rng: np.random.Generator
) -> Iterator[tuple[Ints, Ints]]:
    """(queries, one labelled document of each) to hide together."""
    pairs = collection.pairs
    if alone:
        for some in np.array_split(rng.permutation(chosen), FOLDS):
            if len(some):
                yield np.sort(some), _drawn(pairs, np.sort(some), rng)
        return
    for _ in range(ROUNDS):
        yield chosen, _drawn(pairs, chosen, rng)


def _drawn(pairs: Ints, queries: Ints, rng: np.random.Generator) -> Ints:
    """One labelled document of each query, at random."""
    first = np.searchsorted(pairs[:, 0], queries)
    count = np.searchsorted(pairs[:, 0], queries, side="right") - first
    drawn: Ints = pairs[first + (rng.random(len(queries)) * count).astype(np.int64), 1]
    return drawn


def _as_often_known(values: NDArray[np.float32], hidden: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(signal,) not where a score is known of candidates and of hidden documents is not.

    A table of mined pairs lacks the labelled ones; learned from, being unknown would tell them.
    """
    told = ~np.isnan(values)
    some = [told[which].mean(axis=0) if which.any() else np.ones(told.shape[1])
            for which in (hidden, ~hidden)]  # fmt: skip
    return np.asarray(some[0] >= 0.5 * some[1], dtype=np.bool_)


def _kept(
    collection: Collection, queries: Ints, docs: Ints, *, all_of_query: bool
) -> NDArray[np.bool_]:
    """(label,) false between the groups of these queries and documents."""
    labels = _group_pairs(collection)
    query_groups = np.asarray(collection.query_groups)[queries]
    if all_of_query:
        gone = np.isin(labels[:, 0], query_groups)
    else:
        wide = int(np.asarray(collection.doc_groups).max(initial=0)) + 1
        keys = query_groups * wide + np.asarray(collection.doc_groups)[docs]
        gone = np.isin(labels[:, 0] * wide + labels[:, 1], keys)
    return ~gone


def _without(collection: Collection, which: NDArray[np.bool_]) -> Collection:
    """The collection with only these of its labels."""
    from scipy.sparse import csr_array

    kept = collection.pairs[which]
    ones = np.ones(len(kept), dtype=np.float32)
    qrels = csr_array((ones, (kept[:, 0], kept[:, 1])), shape=collection.qrels.shape)
    return replace(collection, qrels=qrels)


def _only(candidates: Candidates, queries: Ints) -> Candidates:
    """The lists of these queries; those of all others are empty."""
    docs = np.full_like(candidates.docs, -1)
    docs[queries] = candidates.docs[queries]
    return replace(candidates, docs=docs)


def _unlabelled(candidates: Candidates, collection: Collection) -> Candidates:
    """Known positives taken out, as a miner would."""
    known = KnownPositives.of(collection).paired(np.arange(len(candidates.docs)), candidates.docs)
    return replace(candidates, docs=np.where(known, -1, candidates.docs))
