"""A small collection and a mined list with everything an inspector can be given, made by hand."""

from __future__ import annotations

import numpy as np

from workbench.audit import Draw, Suspicion
from workbench.audit.evidence import Evidence
from workbench.data import from_rows
from workbench.types import Candidates, LossStore, Vectors

QUERIES, DOCS, K = 12, 14, 5


def toy_collection():
    """12 queries and 14 documents of two sources; d12 says what d2 says; q11 has two positives."""
    rows = [
        {"query": f"how to add {n}", "positive": f"def add{n}(a, b): return a + {n}",
         "query_id": f"q{n}", "positive_id": f"d{n}", "source": "even" if n % 2 == 0 else "odd"}
        for n in range(QUERIES)
    ]  # fmt: skip
    rows += [
        {"query": "how to add 11", "positive": f"said {n} <b>", "query_id": "q11",
         "positive_id": f"d{n}", "source": "odd"}
        for n in (12, 13)
    ]  # fmt: skip
    made = from_rows(rows, name="toy")
    groups = np.arange(DOCS)
    groups[12] = groups[2]
    return type(made)(
        name=made.name, queries=made.queries, corpus=made.corpus, qrels=made.qrels,
        query_groups=made.query_groups, doc_groups=groups,
    )  # fmt: skip


def toy_list(collection, *, k=K, seed=0):
    """Some documents of each query, one query short, one with its positive in the list."""
    rng = np.random.default_rng(seed)
    docs = np.stack([rng.permutation(DOCS)[:k] for _ in range(QUERIES)])
    docs[0] = [2, 12, 5, 6, 7][:k]
    docs[3, -1] = -1
    docs[4, 0] = 4
    docs[4, 1:] = [8, 9, 10, 11][: k - 1]
    scores = -np.sort(-rng.random(docs.shape)).astype(np.float32)
    scores[docs < 0] = -np.inf
    ranks = np.where(docs >= 0, np.arange(1, k + 1), 0).astype(np.int32)
    positive = rng.random(QUERIES).astype(np.float32)
    positive[5] = np.nan
    return Candidates(
        query_ids=collection.query_ids, doc_ids=collection.doc_ids, docs=docs.astype(np.int64),
        scores=scores, ranks=ranks, weight=(docs >= 0).astype(np.float32),
        positive_scores=positive, miner="toy",
    )  # fmt: skip


def toy_suspicion(candidates, labelled, *, seed=1):
    """The list with made-up probabilities and two signals."""
    rng = np.random.default_rng(seed)
    there = candidates.docs >= 0
    probability = np.where(there, rng.random(there.shape), np.nan).astype(np.float32)
    probability[labelled] = 1
    signals = Evidence(
        names=np.array(["guide", "guide.margin"], dtype=object),
        values=rng.random((int(there.sum()), 2)).astype(np.float32),
    )
    return Suspicion(
        candidates=candidates, signals=signals, prior=probability, probability=probability,
        verdict=labelled.astype(np.int8), labelled=labelled, groups=np.arange(QUERIES),
    )  # fmt: skip


def toy_guide(collection, *, seed=2):
    """Vectors of both sides."""
    rng = np.random.default_rng(seed)
    return tuple(
        Vectors(values=rng.normal(size=(len(ids), 4)).astype(np.float32), ids=ids, encoder="toy")
        for ids in (collection.query_ids, collection.doc_ids)
    )


def toy_losses(collection, *, seed=3):
    """Three epochs of losses."""
    rng = np.random.default_rng(seed)
    return LossStore(values=rng.random((len(collection.pairs), 3)).astype(np.float32))


def toy_draw(pairs, *, population):
    """A random draw of these pairs."""
    empty = np.empty(0, dtype=object)
    queries, docs = (np.array([pair[side] for pair in pairs], dtype=object) for side in (0, 1))
    return Draw(
        query_ids=queries, doc_ids=docs, strata=np.zeros(len(pairs), dtype=np.int64),
        sizes=np.array([population]), expected=np.array([0.2]), population=population,
        earlier_query_ids=empty, earlier_doc_ids=empty,
    )  # fmt: skip
