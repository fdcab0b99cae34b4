"""The law of splits: nothing stands on two sides."""

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from workbench.data import from_rows, split
from workbench.data.split import SIDES
from workbench.errors import BadArgument, BadData

words = st.sampled_from([f"text {letter}" for letter in "abcdefghijklmnop"])


@st.composite
def collections(draw):
    """Sources that share queries, documents and judgments with each other."""
    drawn = st.lists(st.tuples(words, words, st.sampled_from("uvwxyz")), max_size=25)
    rows = [(draw(words), draw(words), source) for source in "uvwx"] + draw(drawn)
    return from_rows(
        [
            {
                "query": "ask" + " " * spaces + query,
                "positive": positive + " " * spaces + ".",
                "source": source,
            }
            for spaces, (query, positive, source) in enumerate(rows, start=1)
        ]
    )


def check_apart(whole, sides):
    for first in sides:
        for second in sides:
            if first < second:
                for groups in ("query_groups", "doc_groups"):
                    left, right = getattr(sides[first], groups), getattr(sides[second], groups)
                    assert not set(left.tolist()) & set(right.tolist())
    judged = {
        tuple(row) for row in whole.frame()[["query_id", "doc_id", "grade"]].to_numpy().tolist()
    }
    for side in sides.values():
        kept = side.frame()[["query_id", "doc_id", "grade"]].to_numpy().tolist()
        assert {tuple(row) for row in kept} <= judged
        assert set(side.query_ids[np.unique(side.pairs[:, 0])]) == set(side.query_ids)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(collections(), st.booleans())
def test_by_source_nothing_stands_on_two_sides(whole, named):
    train = ["w", "x"] if named else None
    try:
        sides = split(whole, test=["u"], dev=["v"], train=train)
    except BadData:
        assume(False)
    check_apart(whole, sides)
    wanted = {"test": {"u"}, "dev": {"v"}, "train": set("wx") if named else set("wxyz")}
    for name, side in sides.items():
        assert set(side.queries["source"][:]) | set(side.corpus["source"][:]) <= wanted[name]
    # The first side loses nothing but queries whose every positive belongs to another source.
    assert sides["test"].recipe["split"]["queries_duplicated_elsewhere"] == 0
    assert sides["test"].recipe["split"]["docs_duplicated_elsewhere"] == 0


@pytest.mark.slow
@settings(max_examples=12, deadline=None)
@given(collections(), st.integers(0, 5))
def test_by_group_nothing_stands_on_two_sides_and_nothing_is_lost(whole, seed):
    try:
        sides = split(whole, test=0.3, dev=0.2, seed=seed, largest=1)
    except BadData:
        assume(False)
    check_apart(whole, sides)
    assert sum(len(side.queries) for side in sides.values()) == len(whole.queries)
    assert sum(len(side.pairs) for side in sides.values()) == len(whole.pairs)
    assert len(sides["test"].queries) <= round(0.3 * len(whole.queries))


def twenty():
    return from_rows(
        [{"query": f"q{i}", "positive": f"d{i}", "source": "abcd"[i % 4]} for i in range(20)]
    )


def test_fractions_are_met_and_seeded():
    sides = split(twenty(), test=0.2, dev=0.1, seed=3)
    assert [len(sides[name].queries) for name in SIDES] == [4, 2, 14]
    again, other = (split(twenty(), test=0.2, dev=0.1, seed=seed) for seed in (3, 4))
    assert again["test"].fingerprint == sides["test"].fingerprint
    assert other["test"].fingerprint != sides["test"].fingerprint


def test_documents_without_queries_are_shared_out_too():
    from workbench.data.sets import take

    whole = twenty()
    few = take(whole, queries=np.arange(10), docs=np.arange(20), name="few", recipe={})
    sides = split(few, test=0.5)
    assert [len(sides[name].corpus) for name in ("test", "train")] == [10, 10]


def test_what_was_dropped_is_counted():
    rows = [
        {"query": "a", "positive": "shared", "source": "one"},
        {"query": "b", "positive": "shared ", "source": "two", "positive_id": "copy"},
        {"query": "c", "positive": "own", "source": "two"},
        {"query": "c", "positive": " shared", "source": "two", "positive_id": "copy2"},
        {"query": "a ", "positive": "more", "source": "two", "query_id": "again"},
    ]
    sides = split(from_rows(rows), test=["one"])
    assert sides["train"].query_texts == ["c"]
    assert sides["train"].doc_texts == ["own", "more"]
    assert sides["train"].recipe["split"] == {
        "side": "train",
        "queries_duplicated_elsewhere": 1,
        "docs_duplicated_elsewhere": 2,
        "queries_left_without_positive": 1,
        "positives_elsewhere": 1,
    }


def test_most_caps_a_side():
    sides = split(twenty(), test=["a"], most={"train": 7, "test": 100})
    assert [len(sides[name].queries) for name in ("test", "train")] == [5, 7]
    assert len(sides["train"].corpus) == 7


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"test": ["aa"]}, "`test` is 'aa', but it must be a source of the collection"),
        ({"test": "a"}, "`test` is 'a', but it must be a list of sources"),
        ({"test": ["a"], "dev": ["a"]}, "a source goes to one side"),
        ({"test": 0.0}, "`test` is 0.0, but it must be > 0"),
        ({"test": 20}, "`test` is 20, but it must be <= 1"),
        ({"test": 0.6, "dev": 0.4}, "test and dev together must be < 1"),
        ({"test": 0.5, "dev": ["a"]}, "`dev` is .* but it must be a fraction"),
        ({"test": 0.5, "train": ["a"]}, "`train` is .* but it is what remains"),
        ({"test": 0.5, "by": "source"}, "by='source' wants names of sources"),
        ({"test": 0.5, "largest": 0}, "`largest` is 0, but it must be > 0"),
        ({"test": ["a"], "by": "groups"}, "must be one of source, group"),
        ({"test": ["a"], "most": {"tset": 3}}, "`most` is 'tset'"),
        ({"test": ["a"], "most": {"test": 0}}, r"`most\['test'\]` is 0"),
    ],
)
def test_wrong_options_are_named(options, said):
    with pytest.raises(BadArgument, match=said):
        split(twenty(), **options)


def test_an_empty_side_is_refused():
    tied = from_rows([{"query": f"q{i}", "positive": "the same"} for i in range(9)])
    with pytest.raises(BadData, match="rows/test would have no query"):
        split(tied, test=0.3, largest=1)
    with pytest.raises(BadData, match="rows/train would have no query"):
        split(tied, test=["rows"])
