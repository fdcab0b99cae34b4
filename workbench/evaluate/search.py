"""Search the whole corpus, positives included, and score what comes out."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from workbench.evaluate.metrics import METRICS, check_judgments, collapse, parse, ranking
from workbench.mine import bm25_top_k, top_k
from workbench.mine.facts import check_vectors
from workbench.types import Collection, Ints, Scorecard, Vectors


def retrieval(
    collection: Collection,
    query_vectors: Vectors,
    doc_vectors: Vectors,
    *,
    metrics: Sequence[str] = METRICS,
    group_aware: bool = False,
    name: str = "dense",
) -> Scorecard:
    """Rank the corpus for every query by inner product, exactly, and score the rankings.

    It searches as deep as the largest cutoff asks (deeper where duplicates collapse). Equal scores
    stand in the order of the corpus.

    Args:
        collection: whose queries, corpus and judgments.
        query_vectors: one per query, in the collection's order.
        doc_vectors: one per document.
        metrics: see `ranking`.
        group_aware: see `ranking`.
        name: what is scored, for tables.

    Returns:
        One value per query and metric; the recipe holds the fingerprints of both sides.

    Raises:
        BadArgument: an unknown metric; widths differ.
        BadData: vectors of other texts, a vector that is not finite, a query without a positive.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c + c} for c in "ab"], name="demo")
        >>> eye = np.eye(2, dtype=np.float32)
        >>> queries = Vectors(values=eye, ids=demo.query_ids, encoder="e")
        >>> docs = Vectors(values=eye, ids=demo.doc_ids, encoder="e")
        >>> retrieval(demo, queries, docs, metrics=["RR@10"]).mean()
        {'RR@10': 1.0}
    """
    depth = _depth(collection, metrics)
    vectors = (query_vectors, doc_vectors)
    check_vectors("retrieval", vectors, collection.query_ids, collection.doc_ids)
    docs = _deep_enough(
        collection,
        lambda k: top_k(query_vectors.values, doc_vectors.values, k=k)[1],
        depth=depth,
        group_aware=group_aware,
    )
    recipe = {"queries": query_vectors.fingerprint, "docs": doc_vectors.fingerprint}
    return ranking(
        collection, docs, metrics=metrics, group_aware=group_aware, name=name, recipe=recipe
    )


def bm25(
    collection: Collection,
    *,
    metrics: Sequence[str] = METRICS,
    group_aware: bool = False,
    split_identifiers: bool = True,
    name: str = "BM25",
) -> Scorecard:
    """Rank the corpus for every query by BM25 and score the rankings.

    Args:
        collection: whose queries, corpus and judgments.
        metrics: see `ranking`.
        group_aware: see `ranking`.
        split_identifiers: see `workbench.mine.bm25_top_k`.
        name: what is scored, for tables.

    Returns:
        One value per query and metric.

    Raises:
        BadArgument: an unknown metric.
        BadData: a query without a positive.

    Example:
        >>> from workbench.data import from_rows
        >>> demo = from_rows([{"query": c, "positive": c * 2 + " " + c} for c in "ab"], name="demo")
        >>> bm25(demo, metrics=["RR@10"]).mean()
        {'RR@10': 1.0}
    """
    depth = _depth(collection, metrics)
    queries, texts = collection.query_texts, collection.doc_texts
    docs = _deep_enough(
        collection,
        lambda k: bm25_top_k(queries, texts, k=k, split_identifiers=split_identifiers)[1],
        depth=depth,
        group_aware=group_aware,
    )
    recipe = {"split_identifiers": split_identifiers}
    return ranking(
        collection, docs, metrics=metrics, group_aware=group_aware, name=name, recipe=recipe
    )


def _depth(collection: Collection, metrics: Sequence[str]) -> int:
    check_judgments(collection)
    return max(cutoff for _, cutoff in parse(metrics).values())


def _deep_enough(
    collection: Collection, search: Callable[[int], Ints], *, depth: int, group_aware: bool
) -> Ints:
    """Search to `depth`; group-aware, deeper until each ranking holds that many groups."""
    size = len(collection.doc_ids)
    k = min(depth, size)
    if not group_aware:
        return search(k)
    groups = np.asarray(collection.doc_groups)
    wanted = min(depth, len(np.unique(groups)))
    while True:
        docs = search(k)
        distinct = (collapse(docs, groups - groups.min(), depth=depth) >= 0).sum(axis=1)
        if k == size or bool(((distinct >= wanted) | (docs[:, -1] < 0)).all()):
            return docs
        k = min(2 * k, size)
