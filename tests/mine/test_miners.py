import dataclasses
import math
from importlib import import_module

import numpy as np
import pytest

from workbench import registry
from workbench.data import KnownPositives, from_rows, with_groups
from workbench.errors import BadArgument, BadData
from workbench.mine import BM25, Dense, bm25, bm25_top_k, dense, ranking
from workbench.mine.bm25 import words
from workbench.mine.ranking import excluded, own_texts
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
    monkeypatch.setattr(module, "nearest", lambda *_, **__: pytest.fail("searched already"))
    with pytest.raises(BadArgument, match=r"Guide\(margin=0.0, .*needs guide, .*Pass guide="):
        dense(made, *sides, rules=[Guide()])
    with pytest.raises(BadArgument, match=r"needs verdict, .*Pass verdicts="):
        dense(made, *sides, rules=[Judged()])
    with pytest.raises(BadArgument, match=r"Write rules.Guide"):
        dense(made, *sides, rules=[Guide])
    with pytest.raises(BadArgument, match=r"`k` is 0"):
        dense(made, *sides, k=0)
    with pytest.raises(BadArgument, match=r"`exclude` is 'label', .* Did you mean 'labelled'\?"):
        dense(made, *sides, exclude="label")
    with pytest.raises(BadArgument, match=r"`index` is 'ifv', .* Did you mean 'ivf'\?"):
        dense(made, *sides, index="ifv")
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
    assert {"bm25", "dense"} <= set(registry.names("miner"))
    for name in ("dense", "bm25"):
        miner = registry.get("miner", name)(k=2, exclude="nothing")
        found = miner(made, sides)
        assert found.docs.shape == (4, 2)
        assert found.recipe["exclude"] == "nothing"
    assert bm25(made, k=2).fingerprint == BM25(k=2)(made).fingerprint
    assert Dense(k=2) == Dense(k=2)
    with pytest.raises(
        BadArgument, match=r"`vectors` is None, but dense needs \(query vectors, doc"
    ):
        Dense(k=2)(made)
    for options, said in (
        ({"exclude": "all"}, r"`exclude` is 'all', but it must be one of known, labelled, nothing"),
        (
            {"index": "ann"},
            r"`index` is 'ann', but it must be one of auto, flat, ivf, ivf_pq, hnsw",
        ),
        ({"recall": 0}, r"`recall` is 0, but it must be > 0"),
        ({"seed": -1}, r"`seed` is -1"),
    ):
        with pytest.raises(BadArgument, match=said):
            Dense(**options)
    with pytest.raises(BadArgument, match=r"`exclude` is 'all'"):
        BM25(exclude="all")


@pytest.fixture
def related(collection_of):
    """Groups of queries and documents, a judged non-answer, and texts that stand on both sides."""
    grades = {(0, 0): 1, (1, 2): 1, (1, 6): 0, (2, 4): 1, (3, 8): 2}
    made = collection_of(
        grades, queries=5, docs=10, doc_groups=[0, 0, 2, 2, 4, 5, 6, 7, 8, 8],
        query_texts=["ask a", "ask b", "ask a?", "say c", "say d"],
        doc_texts="to a|to a.|to b|to b.|to c|say c|no b|say d|x|say d".split("|"),
    )  # fmt: skip
    return dataclasses.replace(made, query_groups=np.array([0, 1, 0, 3, 4]))


def by_definition(made, what):
    """(query, doc) that must be left out, by four loops."""
    grades = made.qrels.toarray()
    queries, docs = made.query_texts, made.doc_texts
    out = np.zeros(grades.shape, dtype=bool)
    for query in range(len(queries)):
        for doc in range(len(docs)):
            if what == "labelled":
                out[query, doc] = grades[query, doc] > 0
            if what == "known":
                out[query, doc] = any(
                    grades[other, near] > 0 or queries[other] == docs[near]
                    for other in np.flatnonzero(made.query_groups == made.query_groups[query])
                    for near in np.flatnonzero(made.doc_groups == made.doc_groups[doc])
                )
    return out


@pytest.mark.parametrize("what", ["known", "labelled", "nothing"])
def test_what_is_left_out_is_the_definition_cell_by_cell(related, what, rng):
    wanted = by_definition(related, what)
    cells = excluded(related, what)
    assert (cells is None) == (what == "nothing")
    if cells is not None:
        np.testing.assert_array_equal(cells.toarray(), wanted)
    vectors = [
        Vectors(values=rng.standard_normal((len(ids), 3), dtype=np.float32), ids=ids, encoder="e")
        for ids in (related.query_ids, related.doc_ids)
    ]
    for index in ("flat", "ivf"):
        found = dense(related, *vectors, k=10, exclude=what, index=index, recall=1.0)
        there = np.zeros_like(wanted)
        rows, columns = np.nonzero(found.docs >= 0)
        there[rows, found.docs[rows, columns]] = True
        np.testing.assert_array_equal(there, ~wanted)
    words_found = bm25(related, k=10, exclude=what)
    rows, columns = np.nonzero(words_found.docs >= 0)
    assert len(rows)
    assert not wanted[rows, words_found.docs[rows, columns]].any()
    everything = bm25(related, k=10, exclude="nothing")
    assert (everything.docs >= 0).sum() - len(rows) == sum(
        wanted[row, doc] for row, docs in enumerate(everything.docs) for doc in docs if doc >= 0
    )


def test_nothing_left_out_is_the_whole_ranking(related):
    cells = excluded(related, "known")
    assert cells[3, 5]  # a document that is the query's own text
    assert cells[4, 7]
    assert cells[4, 9]  # and again
    assert cells[4, 8]  # its near duplicate
    assert not cells[1, 6]  # judged, and found no answer
    graph = KnownPositives.of(with_groups(related, doc_threshold=1.0))
    assert not excluded(related, "known", graph)[0, 1]  # in that graph no near duplicate
    with pytest.raises(BadArgument, match=r"`known` is \(3, 3\), but it must be of \(5, 10\) quer"):
        excluded(related, "known", KnownPositives.of(from_rows(ROWS, name="other")))


ROWS = [{"query": word, "positive": word * 2} for word in ("ab", "cd", "ef")]


def test_texts_that_stand_on_both_sides_often(collection_of):
    """Every pair of equal texts, repeats on either side included."""
    made = collection_of(
        {(0, 0): 1}, queries=4, docs=5,
        query_texts=["x", "y", "x", ""], doc_texts=["x", "z", "", "x", "y"],
    )  # fmt: skip
    assert own_texts(made).tolist() == [[0, 0], [0, 3], [1, 4], [2, 0], [2, 3], [3, 2]]


def test_thousands_of_known_positives_cost_the_others_no_score(collection_of, monkeypatch, rng):
    """The same cells are scored with and without them, and the others find the same."""
    shown = []
    real = ranking.Running.add

    def watched(self, rows, scores, positions):
        shown.append(scores.shape)
        return real(self, rows, scores, positions)

    monkeypatch.setattr(ranking.Running, "add", watched)
    sizes, found = [], []
    values = [rng.standard_normal((n, 4), dtype=np.float32) for n in (6, 3000)]
    for grades in ({(5, 0): 1}, {(0, 0): 1, (5, 0): 1}):
        made = collection_of(grades, queries=6, docs=3000, doc_groups=[0] * 2500 + [*range(1, 501)])
        sides = [
            Vectors(values=side, ids=ids, encoder="e")
            for side, ids in zip(values, (made.query_ids, made.doc_ids), strict=True)
        ]
        shown.clear()
        found.append(dense(made, *sides, k=20).docs)
        sizes.append(list(shown))
    assert sizes[0] == sizes[1]
    np.testing.assert_array_equal(found[0][1:], found[1][1:])
    assert (found[1][0] >= 2500).all()
    assert (found[0][0] < 2500).any()
