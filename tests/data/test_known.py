"""The known-positive graph against the raw definition: judgments and groups, nested loops."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument
from workbench.types import Collection


def _side(letter, count):
    names = [f"{letter}{place}" for place in range(count)]
    return Dataset.from_dict({"id": names, "text": names, "source": ["test"] * count})


def _collection(grades, query_groups, doc_groups):
    """`grades`: {(query, doc): grade}, zeros and negatives stored."""
    rows, columns = np.array(sorted(grades)).T if grades else np.zeros((2, 0), dtype=np.int64)
    values = np.array([grades[cell] for cell in sorted(grades)], dtype=np.float32)
    return Collection(
        name="test",
        queries=_side("q", len(query_groups)),
        corpus=_side("d", len(doc_groups)),
        qrels=sparse.csr_array(
            (values, (rows, columns)), shape=(len(query_groups), len(doc_groups))
        ),
        query_groups=np.array(query_groups, dtype=np.int64),
        doc_groups=np.array(doc_groups, dtype=np.int64),
    )


@st.composite
def judged(draw):
    queries, docs = draw(st.integers(1, 7)), draw(st.integers(1, 7))
    cell = st.tuples(st.integers(0, queries - 1), st.integers(0, docs - 1))
    grades = draw(st.dictionaries(cell, st.sampled_from([-1.0, 0.0, 1.0, 3.0]), max_size=15))
    # Group numbers with holes and far from zero: only equality may matter.
    numbers = st.sampled_from([0, 5, 6, 70, -3])
    query_groups = draw(st.lists(numbers, min_size=queries, max_size=queries))
    doc_groups = draw(st.lists(numbers, min_size=docs, max_size=docs))
    return grades, query_groups, doc_groups


def _known(world, query, doc):
    grades, query_groups, doc_groups = world
    return any(
        grade > 0 and query_groups[q] == query_groups[query] and doc_groups[d] == doc_groups[doc]
        for (q, d), grade in grades.items()
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(judged(), st.data())
def test_a_block_is_the_definition_cell_by_cell(world, data):
    _, query_groups, doc_groups = world
    graph = KnownPositives.of(_collection(*world))
    # Any order, any repetition, as in a batch.
    queries = data.draw(st.lists(st.integers(0, len(query_groups) - 1), min_size=1, max_size=9))
    docs = data.draw(st.lists(st.integers(0, len(doc_groups) - 1), min_size=1, max_size=9))
    expected = [[_known(world, query, doc) for doc in docs] for query in queries]
    np.testing.assert_array_equal(graph.block(np.array(queries), np.array(docs)), expected)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(judged(), st.data())
def test_a_mined_list_is_the_definition_and_a_missing_candidate_is_none(world, data):
    _, query_groups, doc_groups = world
    graph = KnownPositives.of(_collection(*world))
    queries = data.draw(st.lists(st.integers(0, len(query_groups) - 1), min_size=1, max_size=6))
    row = st.lists(st.integers(-1, len(doc_groups) - 1), min_size=3, max_size=3)
    docs = data.draw(st.lists(row, min_size=len(queries), max_size=len(queries)))
    expected = [
        [doc >= 0 and _known(world, query, doc) for doc in listed]
        for query, listed in zip(queries, docs, strict=True)
    ]
    np.testing.assert_array_equal(graph.paired(np.array(queries), np.array(docs)), expected)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(judged())
def test_queries_share_when_they_say_the_same_or_have_an_answer_in_common(world):
    _, query_groups, doc_groups = world
    graph = KnownPositives.of(_collection(*world))
    count = len(query_groups)
    expected = [
        [
            query_groups[one] == query_groups[other]
            or any(
                _known(world, one, doc) and _known(world, other, doc)
                for doc in range(len(doc_groups))
            )
            for other in range(count)
        ]
        for one in range(count)
    ]
    shared = graph.shared(np.arange(count), np.arange(count))
    np.testing.assert_array_equal(shared, expected)
    np.testing.assert_array_equal(shared, shared.T)


@pytest.mark.slow
@settings(deadline=None, max_examples=40)
@given(judged())
def test_the_positives_of_a_query_are_the_true_cells_of_its_row(world):
    _, query_groups, doc_groups = world
    graph = KnownPositives.of(_collection(*world))
    for query in range(len(query_groups)):
        expected = [doc for doc in range(len(doc_groups)) if _known(world, query, doc)]
        assert graph.positives_of(query).tolist() == expected


def test_only_equality_of_group_numbers_matters():
    grades = {(0, 0): 1.0, (1, 2): 2.0}
    one = KnownPositives.of(_collection(grades, [0, 1, 0], [0, 1, 2]))
    other = KnownPositives.of(_collection(grades, [9, -4, 9], [70, 3, 11]))
    everyone = np.arange(3)
    np.testing.assert_array_equal(one.block(everyone, everyone), other.block(everyone, everyone))


def test_a_judged_zero_is_no_positive_and_a_duplicate_of_a_positive_is_one():
    # Document 2 is a near-duplicate of 0; document 1 was judged and found not relevant.
    graph = KnownPositives.of(_collection({(0, 0): 1.0, (0, 1): 0.0}, [0, 1], [0, 1, 0]))
    block = graph.block(np.array([0, 1]), np.array([0, 1, 2]))
    np.testing.assert_array_equal(block, [[True, False, True], [False, False, False]])


def test_a_collection_without_positives_knows_of_none():
    graph = KnownPositives.of(_collection({}, [0, 1], [0, 1]))
    assert not graph.block(np.arange(2), np.arange(2)).any()
    assert not graph.paired(np.arange(2), np.array([[0, 1], [1, -1]])).any()
    np.testing.assert_array_equal(graph.shared(np.arange(2), np.arange(2)), np.eye(2, dtype=bool))


def test_positions_outside_the_collection_are_refused():
    graph = KnownPositives.of(_collection({(0, 0): 1.0}, [0], [0]))
    with pytest.raises(BadArgument, match=r"`queries` is 1, but a position must be in 0\.\.0"):
        graph.block(np.array([1]), np.array([0]))
    with pytest.raises(BadArgument, match=r"`docs` is -1, but a position must be in 0\.\.0"):
        graph.block(np.array([0]), np.array([-1]))
