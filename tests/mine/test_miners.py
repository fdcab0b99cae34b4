import math
from importlib import import_module

import numpy as np
import pytest

from workbench import registry
from workbench.errors import BadArgument, BadData
from workbench.mine import BM25, Dense, bm25, bm25_top_k, dense
from workbench.mine.bm25 import words
from workbench.rules import Guide, Judged, RankWindow
from workbench.types import Candidates, Vectors

GRADES = {(0, 0): 1, (0, 3): 2, (1, 1): 1, (1, 2): 0, (3, 5): 1}
"""Query 2 has no positive; document 2 was judged not relevant for query 1."""


@pytest.fixture
def made(collection_of):
    return collection_of(GRADES, queries=4, docs=6)


@pytest.fixture
def sides(made):
    random = np.random.default_rng(0)
    return tuple(
        Vectors(
            values=random.standard_normal((len(ids), 5), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    )


def test_dense_equals_sorting_without_the_positives(made, sides):
    found = dense(made, *sides, k=4)
    scores = sides[0].values @ sides[1].values.T
    for query in range(4):
        own = [doc for (q, doc), grade in GRADES.items() if q == query and grade > 0]
        order = [doc for doc in np.argsort(-scores[query]).tolist() if doc not in own][:4]
        assert found.docs[query].tolist() == order
        np.testing.assert_allclose(found.scores[query], scores[query, order], rtol=1e-5)
        weakest = min(scores[query, own]) if own else np.nan
        np.testing.assert_allclose(found.positive_scores[query], weakest, rtol=1e-5)
    assert 2 in dense(made, *sides, k=6).docs[1]  # judged not relevant: a welcome negative
    np.testing.assert_array_equal(found.ranks, np.tile([1, 2, 3, 4], (4, 1)))
    np.testing.assert_array_equal(found.weight, np.ones((4, 4)))


def test_k_beyond_the_corpus_comes_out_short(made, sides):
    found = dense(made, *sides, k=9)
    assert (found.docs >= 0).sum(axis=1).tolist() == [4, 5, 6, 5]
    assert ((found.docs < 0) == (found.weight == 0)).all()
    assert ((found.docs < 0) == (found.ranks == 0)).all()
    assert np.isneginf(found.scores[found.docs < 0]).all()
    assert len(found.frame()) == 20


def test_one_query_with_many_positives_costs_nobody_a_candidate(collection_of):
    grades = {(0, doc): 1 for doc in range(80)} | {(1, 90): 1}
    made = collection_of(grades, queries=2, docs=100)
    values = np.linspace(1, 2, 100, dtype=np.float32)[::-1, None].copy()
    found = dense(
        made,
        Vectors(values=np.ones((2, 1), dtype=np.float32), ids=made.query_ids, encoder="e"),
        Vectors(values=values, ids=made.doc_ids, encoder="e"),
        k=10,
    )
    assert found.docs[0].tolist() == list(range(80, 90))
    assert found.docs[1].tolist() == list(range(10))


def test_saving_and_loading_keeps_everything(made, sides, tmp_path):
    found = dense(made, *sides, k=3, rules=[RankWindow(first=2)])
    again = Candidates.load(found.save(tmp_path / "mined"))
    assert again.fingerprint == found.fingerprint
    assert again.recipe == found.recipe
    np.testing.assert_array_equal(again.positive_scores, found.positive_scores)


def test_rules_are_checked_before_the_search(made, sides, monkeypatch):
    module = import_module("workbench.mine.dense")
    monkeypatch.setattr(module, "top_k", lambda *_, **__: pytest.fail("searched already"))
    with pytest.raises(BadArgument, match=r"Guide\(margin=0.0, .*needs guide, .*Pass guide="):
        dense(made, *sides, rules=[Guide()])
    with pytest.raises(BadArgument, match=r"needs verdict, .*Pass verdicts="):
        dense(made, *sides, rules=[Judged()])
    with pytest.raises(BadArgument, match=r"Write rules.Guide"):
        dense(made, *sides, rules=[Guide])
    with pytest.raises(BadArgument, match=r"`k` is 0"):
        dense(made, *sides, k=0)
    swapped = (sides[1], sides[0])
    with pytest.raises(BadData, match=r"mining query vectors has 1 problem:\n  6 ids where 4"):
        dense(made, *swapped)
    with pytest.raises(BadData, match=r"guide query vectors"):
        dense(made, *sides, rules=[Guide()], guide=swapped)
    turned = Vectors(values=sides[1].values, ids=sides[1].ids[::-1], encoder="e")
    with pytest.raises(BadData, match=r"row 0 is 'd5' where 'd0' is wanted"):
        dense(made, sides[0], turned)
    narrow = Vectors(values=sides[1].values[:, :3], ids=sides[1].ids, encoder="e")
    with pytest.raises(BadArgument, match=r"`mining` is \[5, 3\], but both sides must have one"):
        dense(made, sides[0], narrow)


def by_formula(query, texts, k1=1.5, b=0.75):
    """BM25 by nested loops."""
    tokens = [words(text) for text in texts]
    mean = sum(map(len, tokens)) / len(tokens)
    scores = []
    for own in tokens:
        total = 0.0
        for word in words(query):
            frequency = own.count(word)
            holding = sum(word in other for other in tokens)
            idf = math.log(1 + (len(texts) - holding + 0.5) / (holding + 0.5))
            total += idf * frequency / (frequency + k1 * (1 - b + b * len(own) / mean))
        scores.append(total)
    return scores


TEXTS = [
    "def readFile(path): return open(path).read()",
    "write the file to disk file",
    "a banana",
    "the the the file_path",
    "open banana open",
]


@pytest.mark.parametrize("query", ["open file path", "file file", "unheard of", "", "THE banana"])
@pytest.mark.parametrize(("k1", "b"), [(1.5, 0.75), (0.9, 0.4)])
def test_bm25_equals_the_formula(query, k1, b):
    scores, places = bm25_top_k([query], TEXTS, k=5, k1=k1, b=b)
    wanted = by_formula(query, TEXTS, k1, b)
    order = sorted((-score, place) for place, score in enumerate(wanted) if score > 0)
    assert places[0].tolist() == [place for _, place in order] + [-1] * (5 - len(order))
    np.testing.assert_allclose(scores[0][: len(order)], [-score for score, _ in order], rtol=1e-5)


def test_bm25_mines_without_the_positives(collection_of):
    made = collection_of(
        {(0, 0): 1, (0, 3): 1, (1, 2): 1}, queries=2, docs=5,
        query_texts=["file path", "banana"], doc_texts=TEXTS,
    )  # fmt: skip
    found = bm25(made, k=3)
    assert found.docs.tolist() == [[1, -1, -1], [4, -1, -1]]
    of_query = by_formula("file path", TEXTS)
    np.testing.assert_allclose(found.positive_scores[0], min(of_query[0], of_query[3]), rtol=1e-5)
    assert found.miner == "bm25"


def test_words_take_identifiers_apart_in_any_script():
    assert words("getHTTPResponse_code2 Straße naïve") == [
        "get", "http", "response", "code", "2", "straße", "naïve",
    ]  # fmt: skip
    assert words("x_1 fooBar", split_identifiers=False) == ["x_1", "foobar"]


def test_bm25_mistakes_are_named():
    with pytest.raises(BadArgument, match=r"`b` is 2, but it must be <= 1. Try 0.75."):
        bm25_top_k(["a"], ["b"], k=1, b=2)
    with pytest.raises(BadArgument, match=r"`k1` is -1, but it must be >= 0"):
        BM25(k1=-1)
    with pytest.raises(BadArgument, match=r"there must be a word in them"):
        bm25_top_k(["a"], ["", "..."], k=1)


def test_miners_list_themselves(made, sides):
    assert registry.names("miner") == ["bm25", "dense"]
    for name, arguments in (("dense", sides), ("bm25", ())):
        found = registry.get("miner", name)(k=2)(made, *arguments)
        assert found.docs.shape == (4, 2)
    assert Dense(k=2) == Dense(k=2)
