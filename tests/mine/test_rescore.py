"""Rescoring: every candidate and positive once, never padding, in the new order."""

from dataclasses import replace

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.mine import PairScorer, apply_rules, dense, hard_negatives, rescore
from workbench.rules import Margin, RankWindow
from workbench.types import Vectors

QUERIES, DOCS, K = 8, 20, 25


class Hashed:
    """Scores a pair by its texts, and remembers every pair it was asked for."""

    def __init__(self):
        self.asked = []
        self.calls = 0

    def scores(self, queries, docs):
        pairs = list(zip(queries, docs, strict=True))
        self.asked += pairs
        self.calls += 1
        return np.array([score(*pair) for pair in pairs], dtype=np.float32)

    def __repr__(self):
        return "Hashed()"


def score(query, doc):
    return float(np.sin(37.0 * int(query[1:]) + 11.0 * int(doc[1:])))


@pytest.fixture
def world(collection_of):
    """Every query sees the whole corpus less its positives, and comes out short of K."""
    grades = {(query, query): 1 for query in range(QUERIES - 1)}
    grades |= {(query, query + 9): 1 for query in range(3)}
    made = collection_of(grades, queries=QUERIES, docs=DOCS)
    stream = np.random.default_rng(0)
    sides = tuple(
        Vectors(
            values=stream.standard_normal((len(ids), 4), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    )
    return made, grades, dense(made, *sides, k=K)


def test_every_candidate_and_positive_is_asked_for_once_and_padding_never(world):
    made, grades, found = world
    scorer = Hashed()
    rescore(found, made, scorer)
    rows, columns = np.nonzero(found.docs >= 0)
    wanted = [(f"q{q}", f"d{d}") for q, d in zip(rows, found.docs[rows, columns], strict=True)]
    wanted += [(f"q{q}", f"d{d}") for q, d in grades]
    assert sorted(scorer.asked) == sorted(wanted)
    assert (found.docs < 0).any()
    assert scorer.calls == 1  # one flat stream, not a call per query


def test_scores_positives_and_order_are_the_scorers(world):
    made, grades, found = world
    result = rescore(found, made, Hashed())
    for query in range(QUERIES):
        docs = result.docs[query][result.docs[query] >= 0]
        assert set(docs.tolist()) == set(found.docs[query][found.docs[query] >= 0].tolist())
        scores = [score(f"q{query}", f"d{doc}") for doc in docs]
        np.testing.assert_allclose(result.scores[query, : len(docs)], scores, rtol=1e-6)
        assert scores == sorted(scores, reverse=True)
        own = [score(f"q{query}", f"d{d}") for (q, d) in grades if q == query]
        weakest = min(own) if own else np.nan
        np.testing.assert_allclose(result.positive_scores[query], weakest, rtol=1e-6)
        raw = dict(zip(found.docs[query].tolist(), found.ranks[query].tolist(), strict=True))
        assert result.ranks[query, : len(docs)].tolist() == [raw[doc] for doc in docs.tolist()]
        assert (result.docs[query, len(docs) :] == -1).all()
    assert result.recipe["rescored_by"] == "Hashed()"
    assert result.recipe["rescored"] == (found.docs >= 0).sum()
    assert result.miner == "dense, rescored"


def test_a_rank_window_still_means_the_raw_search(world):
    made, _, found = world
    window = apply_rules(rescore(found, made, Hashed()), [RankWindow(first=4)])
    dropped = set(zip(*np.nonzero((window.docs >= 0) & (window.weight == 0)), strict=True))
    docs = {(int(q), int(window.docs[q, c])) for q, c in dropped}
    assert docs == {(q, int(d)) for q in range(QUERIES) for d in found.docs[q, :3]}


def test_depth_looks_at_the_first_only(world):
    made, grades, found = world
    scorer = Hashed()
    result = rescore(found, made, scorer, depth=4)
    assert result.docs.shape == (QUERIES, 4)
    assert len(scorer.asked) == 4 * QUERIES + len(grades)
    for query in range(QUERIES):
        assert set(result.docs[query].tolist()) == set(found.docs[query, :4].tolist())


def test_what_a_rule_has_dropped_is_not_paid_for(world):
    made, grades, found = world
    ruled = apply_rules(found, [RankWindow(last=3)])
    scorer = Hashed()
    result = rescore(ruled, made, scorer)
    assert len(scorer.asked) == 3 * QUERIES + len(grades)
    assert (result.weight[:, :3] == 1).all()
    assert not result.weight[:, 3:].any()
    assert (result.docs >= 0).sum() == (found.docs >= 0).sum()


@pytest.mark.parametrize("rules", [[], [Margin(margin=0.1)], [RankWindow(first=2)]])
def test_a_cross_encoder_given_always_rescores(world, rules):
    """The peer forgets its cross-encoder where no threshold is set (PEERS 3b.6)."""
    made, grades, found = world
    scorer = Hashed()
    result = hard_negatives(made, found, rules=rules, cross_encoder=scorer, num_negatives=3)
    assert len(scorer.asked) == (found.docs >= 0).sum() + len(grades)
    rows, columns = np.nonzero(result.docs >= 0)
    wanted = [
        score(f"q{q}", f"d{d}") for q, d in zip(rows, result.docs[rows, columns], strict=True)
    ]
    np.testing.assert_allclose(result.scores[rows, columns], wanted, rtol=1e-6)


def test_wording(world):
    made, _, found = world

    class Few:
        def scores(self, queries, docs):
            return np.zeros(2)

    class Broken:
        def scores(self, queries, docs):
            return np.full(len(queries), np.nan)

    assert isinstance(Few(), PairScorer)
    with pytest.raises(BadArgument, match=r"`scorer` is \(2,\), but 1\d\d pairs need as many"):
        rescore(found, made, Few())
    with pytest.raises(BadData, match=r"'q0', 'd\d+' has no number"):
        rescore(found, made, Broken())
    with pytest.raises(BadArgument, match=r"`cross_encoder` .* must have a method scores\(queries"):
        hard_negatives(made, found, cross_encoder=Few)
    with pytest.raises(BadArgument, match=r"`depth` is 0"):
        rescore(found, made, Hashed(), depth=0)
    with pytest.raises(BadData, match=r"candidates' documents has 1 problem"):
        rescore(replace(found, doc_ids=found.doc_ids[::-1]), made, Hashed())
