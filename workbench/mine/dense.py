"""Dense mining: each query's nearest documents by an encoder, its labelled positives left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.data.known import KnownPositives
from workbench.errors import check_count
from workbench.mine.exact import top_k
from workbench.mine.facts import check_facts, check_vectors
from workbench.mine.filter import apply_rules
from workbench.mine.ranking import as_candidates, positives, weakest
from workbench.registry import register
from workbench.types import Candidates, Collection, Floats, Vectors, Verdicts

if TYPE_CHECKING:
    from workbench.rules import Rule

PAIRS = 16_384
"""Labelled pairs scored at once."""


def dense(
    collection: Collection,
    query_vectors: Vectors,
    doc_vectors: Vectors,
    *,
    k: int = 30,
    rules: Sequence[Rule] = (),
    guide: tuple[Vectors, Vectors] | None = None,
    known: KnownPositives | None = None,
    verdicts: Verdicts | None = None,
) -> Candidates:
    """Mine the k documents nearest to each query that are not labelled as its positives.

    Positives are masked inside the search, so k stays k however many a query has. Near duplicates
    of a positive are *not* left out: to see them is the point, and `KnownPositive()` drops them.

    Args:
        collection: queries, corpus and judgments.
        query_vectors: one per query; the score is their inner product with those of documents.
        doc_vectors: one per document.
        k: candidates per query, usually 10 to 100.
        rules: applied at once, see `apply_rules`.
        guide: (query, document) vectors of a frozen model, for rules that ask for it.
        known: the known-positive graph; None = that of the collection.
        verdicts: what people said.

    Returns:
        Candidates; `positive_scores` are those of each query's weakest labelled positive, NaN where
        it has none.

    Raises:
        BadArgument: k, a width, or a rule that lacks a fact.
        BadData: vectors of other texts.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "abc"], name="demo")
        >>> eye = np.eye(3, dtype=np.float32)
        >>> queries = Vectors(values=eye, ids=demo.query_ids, encoder="e")
        >>> docs = Vectors(values=eye, ids=demo.doc_ids, encoder="e")
        >>> dense(demo, queries, docs, k=1).docs.tolist()
        [[1], [0], [0]]

    Breaks when: labels are incomplete: on real sets 5 to 69 % of what stands at rank 1 is a
    positive that nobody labelled.
    """
    check_count("k", k, mend="Try 30.")
    vectors = (query_vectors, doc_vectors)
    check_vectors("mining", vectors, collection.query_ids, collection.doc_ids)
    check_facts(rules, collection=collection, guide=guide, known=known, verdicts=verdicts)
    if guide is not None:
        check_vectors("guide", guide, collection.query_ids, collection.doc_ids)
    found = as_candidates(
        collection,
        top_k(query_vectors.values, doc_vectors.values, k=k, exclude=positives(collection)),
        _positive_scores(collection, query_vectors.values, doc_vectors.values),
        miner="dense",
        recipe={"queries": query_vectors.fingerprint, "docs": doc_vectors.fingerprint},
    )
    if not rules:
        return found
    return apply_rules(
        found, rules, collection=collection, guide=guide, known=known, verdicts=verdicts
    )


def _positive_scores(collection: Collection, queries: Floats, docs: Floats) -> Floats:
    pairs = collection.pairs
    scores = np.empty(len(pairs), dtype=np.float32)
    for start in range(0, len(pairs), PAIRS):
        some = pairs[start : start + PAIRS]
        scores[start : start + PAIRS] = np.einsum("pd,pd->p", queries[some[:, 0]], docs[some[:, 1]])
    return weakest(pairs[:, 0], scores, len(queries))


@register("miner", "dense")
@dataclass(frozen=True, kw_only=True)
class Dense:
    """Nearest documents by an encoder's vectors, exactly.

    Args:
        k: see `dense`.
    """

    k: int = 30

    def __post_init__(self) -> None:
        check_count("k", self.k, mend="Try 30.")

    def __call__(
        self, collection: Collection, query_vectors: Vectors, doc_vectors: Vectors
    ) -> Candidates:
        """Mine a collection; rules follow with `apply_rules`."""
        return dense(collection, query_vectors, doc_vectors, k=self.k)
