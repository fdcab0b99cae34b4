"""Miners that need no search of their own: fused, random, within a cluster."""

from dataclasses import dataclass, replace

import numpy as np
import pytest

from workbench import registry
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.mine import Hybrid, Miner, Random, WithinCluster, fuse, random, within_cluster
from workbench.mine.clusters import kmeans
from workbench.mine.draw import keys
from workbench.mine.random import draw
from workbench.types import Candidates, Collection, Vectors

QUERIES, DOCS = 12, 40


def listed(seed, k, *, short=True):
    """A list of random documents under falling scores; some queries come out short."""
    stream = np.random.default_rng(seed)
    docs = np.stack([stream.permutation(DOCS)[:k] for _ in range(QUERIES)])
    sizes = stream.integers(0, k + 1, QUERIES) if short else np.full(QUERIES, k)
    there = np.arange(k) < sizes[:, None]
    scores = -np.sort(-stream.normal(size=(QUERIES, k)).astype(np.float32), axis=1)
    positive = stream.normal(size=QUERIES).astype(np.float32)
    positive[0] = np.nan
    return Candidates(
        query_ids=np.array([f"q{n}" for n in range(QUERIES)], dtype=object),
        doc_ids=np.array([f"d{n}" for n in range(DOCS)], dtype=object),
        docs=np.where(there, docs, -1),
        scores=np.where(there, scores, -np.inf).astype(np.float32),
        ranks=np.where(there, np.arange(1, k + 1), 0).astype(np.int32),
        weight=(there & (stream.random((QUERIES, k)) > 0.2)).astype(np.float32),
        positive_scores=positive,
        miner=f"made{seed}",
    )


def by_loops(lists, query, how, weights, constant):
    """{document: fused score} of one query, and the positive's."""
    total, positive = {}, 0.0
    for one, weight in zip(lists, weights, strict=True):
        kept = [c for c in range(one.docs.shape[1]) if one.weight[query, c] > 0]
        scores = [float(one.scores[query, c]) for c in kept]
        own = float(one.positive_scores[query])
        if how == "reciprocal_rank":
            parts = [1 / (constant + place + 1) for place in range(len(kept))]
            above = sum(score > own for score in scores)
            part = 1 / (constant + above + 1) if above < len(kept) else 0.0
        else:
            low, high = (min(scores), max(scores)) if scores else (0, 0)
            flat = high == low
            parts = [1.0 if flat else (score - low) / (high - low) for score in scores]
            part = max(0.0, own - high + 1 if flat else (own - low) / (high - low)) if kept else 0.0
        for c, value in zip(kept, parts, strict=True):
            doc = int(one.docs[query, c])
            total[doc] = total.get(doc, 0.0) + weight * value
        positive += weight * part if not np.isnan(own) else np.nan
    return total, positive


@pytest.mark.parametrize("how", ["reciprocal_rank", "weighted"])
@pytest.mark.parametrize(("weights", "constant"), [(None, 60), ((0.3, 2.0, 1.0), 5)])
def test_fusion_equals_loops(how, weights, constant):
    lists = [listed(0, 8), listed(1, 5), listed(2, 12, short=False)]
    found = fuse(lists, k=9, how=how, weights=weights, constant=constant)
    for query in range(QUERIES):
        total, positive = by_loops(lists, query, how, weights or (1, 1, 1), constant)
        order = sorted(total, key=lambda doc: (-np.float32(total[doc]), doc))[:9]
        size = len(order)
        assert found.docs[query].tolist() == order + [-1] * (9 - size)
        wanted = [total[doc] for doc in order]
        np.testing.assert_allclose(found.scores[query, :size], wanted, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(found.positive_scores[query], positive, rtol=1e-4, atol=1e-6)
        assert found.ranks[query].tolist() == [*range(1, size + 1), *[0] * (9 - size)]
    assert np.isnan(found.positive_scores[0])
    assert sum(found.recipe["found_by"].values()) == (found.docs >= 0).sum()
    assert set(found.recipe["found_by"]) > {"1"}, "no document was found twice"


def test_equal_lists_fuse_to_themselves():
    one = listed(4, 10)
    for how in ("reciprocal_rank", "weighted"):
        found = fuse([one, one], k=10, how=how)
        for query in range(QUERIES):
            kept = one.docs[query][one.weight[query] > 0].tolist()
            assert found.docs[query, : len(kept)].tolist() == kept
            assert (found.docs[query, len(kept) :] == -1).all()


@dataclass(frozen=True, kw_only=True)
class Given:
    """A miner that has its list ready and notes what it was given."""

    found: Candidates
    seen: list

    def __call__(self, collection, vectors=None, *, known=None):
        self.seen.append((collection, vectors))
        return self.found


def test_every_miner_is_asked_once_with_the_same_vectors(collection_of):
    made = collection_of({(0, 0): 1}, queries=QUERIES, docs=DOCS)
    seen = []
    lists = [listed(0, 8), listed(1, 5)]
    sides = vectors_of(made)
    hybrid = Hybrid(k=6, miners=tuple(Given(found=one, seen=seen) for one in lists))
    assert hybrid(made, sides).fingerprint == fuse(lists, k=6).fingerprint
    assert [pair[0] is made and pair[1] is sides for pair in seen] == [True, True]


def test_mistakes_of_a_fusion_are_named():
    one, two = listed(0, 8), listed(1, 5)
    with pytest.raises(BadArgument, match=r"`miners` is 1, but there must be at least two"):
        fuse([one])
    with pytest.raises(BadArgument, match=r"there must be 2, one per miner. Give one each"):
        fuse([one, two], weights=[1])
    with pytest.raises(BadArgument, match=r"`weights` is 0, but it must be > 0"):
        fuse([one, two], weights=[1, 0])
    with pytest.raises(BadArgument, match=r"`how` is 'rrf', but it must be one of reciprocal_rank"):
        Hybrid(how="rrf")
    with pytest.raises(BadArgument, match=r"`constant` is -1, but it must be >= 0"):
        Hybrid(constant=-1)
    with pytest.raises(BadArgument, match=r"it must be a miner with its options. Try Dense"):
        Hybrid(miners=(Random, Random()))
    with pytest.raises(BadData, match=r"the lists' queries has 1 problem"):
        fuse([one, replace(two, query_ids=two.query_ids[::-1])])
    unknown = replace(two, scores=np.full_like(two.scores, np.nan))
    with pytest.raises(BadArgument, match=r"'weighted' needs scores, and it has none"):
        fuse([one, unknown], how="weighted")
    assert fuse([one, unknown]).docs.shape == (QUERIES, 30)


def vectors_of(made, seed=0, dim=6):
    stream = np.random.default_rng(seed)
    return tuple(
        Vectors(
            values=stream.standard_normal((len(ids), dim), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    )


@pytest.fixture
def made(collection_of):
    """Twelve queries; the first has 30 of 40 documents as positives, the last none."""
    grades = {(0, doc): 1 for doc in range(30)}
    grades |= {(query, query): 1 for query in range(1, QUERIES - 1)}
    return collection_of(
        grades, queries=QUERIES, docs=DOCS, doc_groups=[n // 2 for n in range(DOCS)]
    )


@pytest.mark.parametrize("k", [3, 15, 45])
def test_random_never_draws_a_known_positive_nor_one_twice(made, k):
    found = random(made, k=k, seed=1)
    known = KnownPositives.of(made).block(np.arange(QUERIES), np.arange(DOCS))
    for query in range(QUERIES):
        drawn = found.docs[query][found.docs[query] >= 0]
        assert len(drawn) == len(set(drawn.tolist())) == min(k, int((~known[query]).sum()))
        assert not known[query, drawn].any()
    assert np.isnan(found.scores[found.docs >= 0]).all()
    assert np.isnan(found.positive_scores).all()
    labelled = random(made, k=45, seed=1, exclude="labelled")
    assert (labelled.docs >= 0).sum(axis=1).tolist() == [10, *[39] * 10, 40]
    everything = random(made, k=45, seed=1, exclude="nothing")
    assert ((everything.docs >= 0).sum(axis=1) == 40).all()


@pytest.mark.parametrize("k", [2, 30])
def test_draws_are_uniform(k):
    size, rounds = 40, 3000
    of = keys(np.array([f"q{n}" for n in range(rounds)], dtype=object), 0)
    places = draw(of, size, k=k)
    counts = np.bincount(places.ravel(), minlength=size)
    expected = rounds * k / size
    assert (np.abs(counts - expected) < 5 * np.sqrt(expected)).all()
    first = np.bincount(places[:, 0], minlength=size)
    assert (np.abs(first - rounds / size) < 5 * np.sqrt(rounds / size)).all()


def test_a_draw_belongs_to_the_query_whoever_else_is_mined(made):
    found = random(made, k=3, seed=7)
    np.testing.assert_array_equal(found.docs, random(made, k=3, seed=7).docs)
    assert (found.docs != random(made, k=3, seed=8).docs).any()
    some = np.array([9, 4, 2])
    fewer = Collection(
        name="some", queries=made.queries.select(some), corpus=made.corpus,
        qrels=made.qrels[some], query_groups=made.query_groups[some], doc_groups=made.doc_groups,
    )  # fmt: skip
    np.testing.assert_array_equal(random(fewer, k=3, seed=7).docs, found.docs[some])


def test_memory_of_a_draw_is_not_queries_times_documents(monkeypatch):
    from importlib import import_module

    module = import_module("workbench.mine.random")
    cells = []
    real = module.numbers

    def watched(of, items):
        result = real(of, items)
        cells.append(result.size)
        return result

    monkeypatch.setattr(module, "numbers", watched)
    of = keys(np.array([f"q{n}" for n in range(2000)], dtype=object), 0)
    places = draw(of, 1_000_000, k=10)
    assert (places >= 0).all()
    assert sum(cells) < 2000 * 10 * 6
    assert sum(cells) < 2000 * 1_000_000 / 1000


def test_vectors_score_what_was_drawn(made):
    sides = vectors_of(made)
    plain = random(made, k=5, seed=3)
    found = random(made, k=5, seed=3, vectors=sides)
    scores = sides[0].values @ sides[1].values.T
    for query in range(QUERIES):
        assert sorted(found.docs[query].tolist()) == sorted(plain.docs[query].tolist())
        wanted = scores[query, found.docs[query]]
        np.testing.assert_allclose(found.scores[query], wanted, rtol=1e-5)
        assert (np.diff(found.scores[query]) <= 0).all()
    np.testing.assert_allclose(found.positive_scores[3], scores[3, 3], rtol=1e-5)
    np.testing.assert_allclose(found.positive_scores[0], scores[0, :30].min(), rtol=1e-5)


@pytest.mark.parametrize("how", ["random", "nearest"])
def test_within_cluster_stays_in_the_cluster(made, how):
    sides = vectors_of(made, dim=3)
    found = within_cluster(made, *sides, k=6, clusters=5, how=how, seed=2)
    labels = kmeans(sides[1].values, clusters=5, seed=2)
    unit = sides[1].values / np.linalg.norm(sides[1].values, axis=1, keepdims=True)
    centres = np.stack([unit[labels == c].sum(axis=0) for c in range(5)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    own = (sides[0].values @ centres.T).argmax(axis=1)
    known = KnownPositives.of(made).block(np.arange(QUERIES), np.arange(DOCS))
    scores = sides[0].values @ sides[1].values.T
    assert (found.docs >= 0).any()
    for query in range(QUERIES):
        allowed = np.flatnonzero((labels == own[query]) & ~known[query])
        drawn = found.docs[query][found.docs[query] >= 0]
        assert set(drawn.tolist()) <= set(allowed.tolist())
        assert len(drawn) == min(6, len(allowed))
        if how == "nearest":
            order = allowed[np.argsort(-scores[query, allowed])][:6]
            assert drawn.tolist() == order.tolist()
        assert (np.diff(found.scores[query, : len(drawn)]) <= 0).all()
    again = within_cluster(made, *sides, k=6, clusters=5, how=how, seed=2)
    assert again.fingerprint == found.fingerprint


def test_documents_of_the_own_topic_are_harder_than_random_ones(collection_of):
    """Planted topics: within a cluster lies one topic, at random a tenth is of it."""
    stream = np.random.default_rng(0)
    topics = stream.standard_normal((10, 16))
    topic = np.arange(300) % 10

    def texts():
        rows = topics[topic] + 0.3 * stream.standard_normal((300, 16))
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    made = collection_of({(n, n): 1 for n in range(300)}, queries=300, docs=300)
    sides = (
        Vectors(values=texts(), ids=made.query_ids, encoder="e"),
        Vectors(values=texts(), ids=made.doc_ids, encoder="e"),
    )
    share = {}
    for miner in (WithinCluster(k=5, clusters=20), Random(k=5)):
        found = miner(made, sides)
        share[found.miner] = float((topic[found.docs] == topic[:, None]).mean())
    assert share["within_cluster"] > 0.95
    assert 0.05 < share["random"] < 0.15


def test_miners_are_miners_and_name_their_mistakes(made):
    for name in ("hybrid", "random", "within_cluster"):
        assert isinstance(registry.get("miner", name)(k=2), Miner)
        assert registry.get("miner", name)(k=2) == registry.get("miner", name)(k=2)
    with pytest.raises(BadArgument, match=r"`vectors` is None, but within_cluster needs \(query"):
        WithinCluster()(made)
    with pytest.raises(BadArgument, match=r"`clusters` is 99, but there are 40 documents"):
        within_cluster(made, *vectors_of(made), clusters=99)
    with pytest.raises(BadArgument, match=r"`how` is 'near', .*Did you mean 'nearest'"):
        WithinCluster(how="near")
    with pytest.raises(BadArgument, match=r"`clusters` is 0, but it must be a whole number >= 1"):
        WithinCluster(clusters=0)
    with pytest.raises(BadArgument, match=r"`exclude` is 'all', but it must be one of known, lab"):
        Random(exclude="all")
    with pytest.raises(BadArgument, match=r"`k` is 0"):
        Random(k=0)
    with pytest.raises(BadArgument, match=r"`seed` is -1"):
        WithinCluster(seed=-1)
    turned = vectors_of(made)[::-1]
    with pytest.raises(BadData, match=r"mining query vectors has 1 problem:\n  40 ids where 12"):
        Random()(made, turned)
