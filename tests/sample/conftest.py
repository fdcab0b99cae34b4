from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from workbench.data.known import KnownPositives
from workbench.types import Candidates


def graph_of(pairs, query_groups=None, doc_groups=None):
    """The graph whose positives are these pairs; each text its own group if unsaid."""
    if query_groups is None:
        query_groups = np.arange(int(pairs[:, 0].max()) + 1)
    if doc_groups is None:
        doc_groups = np.arange(int(pairs[:, 1].max()) + 1)
    shape = (int(query_groups.max()) + 1, int(doc_groups.max()) + 1)
    cells = (query_groups[pairs[:, 0]], doc_groups[pairs[:, 1]])
    matrix = sparse.coo_array((np.ones(len(pairs), dtype=bool), cells), shape=shape).tocsr()
    matrix.sum_duplicates()
    matrix.sort_indices()
    matrix.data[:] = True
    return KnownPositives(
        query_groups=query_groups.astype(np.int64),
        doc_groups=doc_groups.astype(np.int64),
        positives=matrix,
    )


def mined(docs, *, corpus, weight=None, ranks=None):
    docs = np.asarray(docs, dtype=np.int64)
    if ranks is None:
        ranks = np.where(docs >= 0, np.arange(1, docs.shape[1] + 1)[None, :], 0)
    return Candidates(
        query_ids=np.array([f"q{place}" for place in range(len(docs))], dtype=object),
        doc_ids=np.array([f"d{place}" for place in range(corpus)], dtype=object),
        docs=docs,
        scores=np.where(docs >= 0, 0.5, -np.inf).astype(np.float32),
        ranks=np.asarray(ranks, dtype=np.int32),
        weight=np.ones(docs.shape, np.float32) if weight is None else np.float32(weight),
        positive_scores=np.ones(len(docs), dtype=np.float32),
        miner="test",
    )


def unique(rows):
    return np.stack([np.arange(rows), np.arange(rows)], axis=1)


def popular(rows):
    """Thirty in a hundred rows share one document."""
    docs = np.arange(1, rows + 1)
    docs[np.random.default_rng(1).permutation(rows)[: rows * 3 // 10]] = 0
    return np.stack([np.arange(rows), docs], axis=1)


def zipf(rows):
    share = 1 / np.arange(1, rows // 4 + 1)
    docs = np.random.default_rng(2).choice(len(share), rows, p=share / share.sum())
    return np.stack([np.arange(rows), docs], axis=1)


def intents(rows):
    """Groups of 12 queries that all take the same 15 documents, as in intent classification."""
    groups = rows // 180
    return np.array(
        [(12 * g + q, 15 * g + d) for g in range(groups) for q in range(12) for d in range(15)]
    )


def topical(rows):
    """Four positives per query out of the 20 documents of its topic: no clean cliques."""
    rng = np.random.default_rng(3)
    queries = rows // 4
    topics = rng.integers(0, queries // 10, queries)
    docs = (
        np.stack([rng.choice(20, 4, replace=False) for _ in range(queries)]) + 20 * topics[:, None]
    )
    return np.stack([np.repeat(np.arange(queries), 4), docs.ravel()], axis=1)


def generic(rows):
    """A document that answers 15 % of the queries, each of which has its own answer too."""
    hub = rows * 15 // 100
    own = np.arange(rows - hub)
    first = np.stack([np.arange(hub), np.zeros(hub, dtype=np.int64)], axis=1)
    return np.concatenate([np.stack([own, own + 1], axis=1), first])


WORLDS = {
    "unique": unique,
    "popular": popular,
    "zipf": zipf,
    "intents": intents,
    "topical": topical,
    "generic": generic,
}


@pytest.fixture
def graph():
    return graph_of


@pytest.fixture
def candidates():
    return mined


@pytest.fixture(params=list(WORLDS))
def world(request):
    """A function from a number of rows to a training table of one shape."""
    return WORLDS[request.param]


@pytest.fixture
def worlds():
    return WORLDS
