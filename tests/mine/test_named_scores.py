"""Scores under a name of the user's, and near duplicates of the positive, on mined lists."""

import numpy as np
import pytest
from scipy import sparse

from workbench.errors import BadArgument
from workbench.mine import apply_rules, bm25, dense, facts
from workbench.mine.facts import ListFacts
from workbench.mine.named import NamedScores
from workbench.rules import Adaptive, Propensity, SameGroup, Scored, ShareOfPositive
from workbench.types import Vectors

QUERIES, DOCS, K = 7, 12, 6
GROUPS = [0, 0, 1, 2, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.fixture
def world(collection_of):
    """Seven queries with two positives each, the last with none; some cells are not scored."""
    random = np.random.default_rng(5)
    grades = {
        (query, int(doc)): 1
        for query in range(QUERIES - 1)
        for doc in random.choice(DOCS, 2, replace=False)
    }
    made = collection_of(grades, queries=QUERIES, docs=DOCS, doc_groups=GROUPS)
    sides = [
        Vectors(
            values=random.standard_normal((len(ids), 4), dtype=np.float32), ids=ids, encoder="e"
        )
        for ids in (made.query_ids, made.doc_ids)
    ]
    table = random.standard_normal((QUERIES, DOCS)).astype(np.float32)
    table[random.random(table.shape) < 0.2] = np.nan
    return made, grades, dense(made, *sides, k=K, exclude="labelled"), table


def as_csr(table):
    """What is NaN is not stored; a score of 0 is."""
    rows, columns = np.nonzero(~np.isnan(table))
    return sparse.coo_array((table[rows, columns], (rows, columns)), shape=table.shape).tocsr()


def as_function(table):
    return lambda queries, docs: table[np.ix_(queries, docs)]


def own(grades, query):
    return [doc for (asked, doc) in grades if asked == query]


@pytest.mark.parametrize("form", [as_csr, as_function])
@pytest.mark.parametrize("step", [1, 4096])
def test_facts_equal_loops(world, form, step):
    made, grades, found, table = world
    table[0, found.docs[0, 0]] = 0.0
    made_of = ListFacts(
        found, collection=made, guide=None, known=None, verdicts=None, scores={"x": form(table)}
    )
    made_of.step = step
    for rows, cells in made_of.chunks():
        for place, query in enumerate(range(rows.start, rows.stop)):
            wanted = [table[query, doc] if doc >= 0 else np.nan for doc in found.docs[query]]
            np.testing.assert_array_equal(cells["x"][place], wanted)
            known = [table[query, doc] for doc in own(grades, query)]
            known = [score for score in known if not np.isnan(score)]
            weakest = min(known, default=np.nan)
            np.testing.assert_array_equal(cells["x_positive"][place], weakest)
            groups = {GROUPS[doc] for doc in own(grades, query)}
            same = [doc >= 0 and GROUPS[doc] in groups for doc in found.docs[query]]
            assert cells["same_group"][place].tolist() == same


@pytest.mark.parametrize("gathered", [1, 64 * 2**20])
def test_rules_ask_by_name(world, gathered, monkeypatch):
    made, grades, found, table = world
    monkeypatch.setattr(facts, "GATHERED", gathered)
    rule = Scored(margin=0.3)
    scores = {"cross_encoder": as_function(table), "selection": as_csr(table)}
    result = apply_rules(found, [rule], collection=made, scores=scores)
    for query in range(QUERIES):
        positives = [table[query, doc] for doc in own(grades, query)]
        limit = np.nanmin([*positives, np.inf]) - 0.3
        for column, doc in enumerate(found.docs[query]):
            lost = table[query, doc] > limit
            assert result.weight[query, column] == (0 if lost else 1)
    assert 0 < result.recipe["dropped"] < QUERIES * K
    weighed = apply_rules(found, [Propensity(temperature=1)], scores=scores).weight
    raw = 1 + np.exp(np.take_along_axis(table, found.docs, axis=1))
    raw = np.where(np.isnan(raw), 1, raw)
    np.testing.assert_allclose(weighed, raw / raw.max(axis=1, keepdims=True), rtol=1e-5)


def test_near_duplicates_of_the_own_positive_are_dropped(world):
    made, grades, found, _ = world
    result = apply_rules(found, [SameGroup()], collection=made)
    lost = result.weight == 0
    wanted = [
        [GROUPS[doc] in {GROUPS[one] for one in own(grades, query)} for doc in found.docs[query]]
        for query in range(QUERIES)
    ]
    np.testing.assert_array_equal(lost, wanted)
    assert lost.any()


def test_a_short_list_is_judged_by_what_is_in_it(collection_of):
    """Places without a candidate must not enter the row's mean, as document 0 once did."""
    made = collection_of({(0, 0): 1}, queries=2, docs=6)
    query = np.array([[1, 0], [0, 1]], dtype=np.float32)
    cosines = np.array([1.0, 0.6, 0.1, 0.11, 0.12, 0.13])
    doc = np.stack([cosines, np.sqrt(1 - cosines**2)], axis=1).astype(np.float32)
    guide = (
        Vectors(values=query, ids=made.query_ids, encoder="e"),
        Vectors(values=doc, ids=made.doc_ids, encoder="e"),
    )
    found = dense(made, *guide, k=6)
    assert found.docs[0].tolist() == [1, 5, 4, 3, 2, -1]
    for by in ("guide", "score"):
        result = apply_rules(found, [Adaptive(by=by)], guide=guide)
        assert result.weight[0].tolist() == [0, 1, 1, 1, 1, 0]


def test_share_of_positive_needs_the_miners_scores_alone(collection_of):
    texts = ["red apple pie", "red apple", "green pear", "apple"]
    made = collection_of({(0, 0): 1}, queries=1, docs=4, query_texts=["red apple"], doc_texts=texts)
    found = bm25(made, k=3, exclude="labelled")  # the query's own text is an answer here
    limit = 0.95 * found.positive_scores[0]
    result = apply_rules(found, [ShareOfPositive()])
    there = found.docs[0] >= 0
    wanted = ((found.scores[0] <= limit) & there).astype(np.float32)
    assert result.weight[0].tolist() == wanted.tolist()
    assert 0 < wanted.sum() < there.sum()


def test_a_function_is_asked_only_if_a_rule_asks_and_only_for_what_is_there(world):
    made, _, found, table = world
    asked = []

    def judge(queries, docs):
        asked.append((queries.tolist(), docs.tolist()))
        return table[np.ix_(queries, docs)]

    apply_rules(found, [SameGroup()], collection=made, scores={"cross_encoder": judge})
    assert not asked
    apply_rules(found, [Scored(at_most=0)], scores={"cross_encoder": judge})
    assert asked == [([query], found.docs[query].tolist()) for query in range(QUERIES)]


def test_tables_of_any_form_are_read_and_left_as_they_are():
    pieces = ([1.0, 2.0, 3.0], ([0, 0, 1], [2, 2, 0]))
    queries, docs = np.array([0, 0, 1, 1]), np.array([2, 1, 0, 2])
    messy = sparse.csr_array(
        (np.array([5.0, 1.0, 2.0, 3.0]), np.array([2, 0, 2, 0]), np.array([0, 3, 4])), shape=(2, 3)
    )
    before = messy.data.copy()
    for table, wanted in (
        (sparse.coo_array(pieces, shape=(2, 3)), [3, np.nan, 3, np.nan]),
        (sparse.csr_matrix(pieces, shape=(2, 3)), [3, np.nan, 3, np.nan]),
        (sparse.csc_array(pieces, shape=(2, 3)), [3, np.nan, 3, np.nan]),
        (messy, [7, np.nan, 3, np.nan]),
        (sparse.csr_array((2, 3)), [np.nan] * 4),
    ):
        found = NamedScores("x", table, (2, 3)).pairs(queries, docs)
        np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(messy.data, before)
    last = NamedScores("x", sparse.coo_array(pieces, shape=(2, 3)), (2, 3))
    assert last.pairs(np.array([], dtype=np.int64), np.array([], dtype=np.int64)).shape == (0,)


def test_what_does_not_fit_is_refused(world):
    _, _, found, table = world
    ask = [Scored(at_most=0)]
    with pytest.raises(BadArgument, match=r"needs cross_encoder, .* Pass scores=\{'cross_encoder'"):
        apply_rules(found, ask)
    with pytest.raises(BadArgument, match=r"needs cross_encoder_positive, .* labelled positives"):
        apply_rules(found, [Scored(margin=0)], scores={"cross_encoder": as_csr(table)})
    with pytest.raises(BadArgument, match=r"needs same_group, .* Pass the collection"):
        apply_rules(found, [SameGroup()])
    with pytest.raises(
        BadArgument, match=r"`scores\['cross_encoder'\]` is \(12, 7\), but it must be \(7, 12\)"
    ):
        apply_rules(found, ask, scores={"cross_encoder": as_csr(table).T})
    with pytest.raises(
        BadArgument, match=r"`scores\['cross_encoder'\]` is 'ndarray', but .*sparse"
    ):
        apply_rules(found, ask, scores={"cross_encoder": table})
    with pytest.raises(
        BadArgument, match=r"`scores` is 'guide', but a name must be there and none"
    ):
        apply_rules(found, [], scores={"guide": as_csr(table)})
    with pytest.raises(
        BadArgument, match=r"is \(6,\), but one query and 6 documents need \(1, 6\)"
    ):
        apply_rules(found, ask, scores={"cross_encoder": lambda queries, docs: table[0, docs]})
