"""Items, orders and filters beside brute force."""

from __future__ import annotations

import numpy as np
import pytest
from inspector_toys import (
    DOCS,
    QUERIES,
    toy_draw,
    toy_list,
    toy_losses,
    toy_suspicion,
)

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.types import LABELS
from workbench.widgets.filters import STATES, Filters, in_state, passing
from workbench.widgets.queue import ORDERS, Queue, ordered


@pytest.fixture(scope="module")
def found(candidates, collection):
    known = KnownPositives.of(collection)
    labelled = known.paired(np.arange(QUERIES), candidates.docs)
    assert labelled.any()
    return toy_suspicion(candidates, labelled)


@pytest.fixture(scope="module")
def queue(found, collection):
    return Queue.of(found, collection, losses=toy_losses(collection))


def cells(candidates, collection):
    """(row, column) of what is found and no positive, by loops."""
    groups = collection.doc_groups
    positive = {(int(q), int(groups[d])) for q, d in collection.pairs}
    return [
        (row, column)
        for row in range(QUERIES)
        for column, doc in enumerate(candidates.docs[row])
        if doc >= 0 and (row, int(groups[doc])) not in positive
    ]


def test_items_are_what_is_found_and_not_labelled(candidates, collection, queue):
    wanted = cells(candidates, collection)
    assert list(zip(queue.rows.tolist(), queue.columns.tolist(), strict=True)) == wanted
    assert len(Queue.of(candidates, collection)) == len(wanted)
    assert queue.docs.tolist() == [candidates.docs[cell] for cell in wanted]
    for at, (row, column) in enumerate(wanted):
        assert queue.numbers["score"][at] == candidates.scores[row, column]
        gap = candidates.scores[row, column] - candidates.positive_scores[row]
        np.testing.assert_array_equal(queue.numbers["margin"][at], gap)


def test_signals_probabilities_and_losses_are_each_items_own(found, collection, queue):
    frame = found.frame().set_index(["query_id", "doc_id"])
    for at, pair in enumerate(queue.pairs(np.arange(len(queue)))):
        row = frame.loc[pair]
        assert queue.numbers["probability"][at] == np.float32(row["probability"])
        assert queue.numbers["guide"][at] == np.float32(row["guide"])
        assert queue.numbers["guide.margin"][at] == np.float32(row["guide.margin"])
    losses = toy_losses(collection)
    for at, query in enumerate(queue.rows):
        own = collection.pairs[:, 0] == query
        mean = np.nanmean(losses.values[own].astype(float).mean(axis=1))
        assert queue.numbers["loss.mean"][at] == pytest.approx(mean, rel=1e-5)


def test_another_list_is_looked_up_pair_by_pair(candidates, collection):
    other = toy_list(collection, k=4, seed=9)
    array = np.arange(candidates.docs.size, dtype=np.float32).reshape(candidates.docs.shape)
    queue = Queue.of(candidates, collection, scores={"bm25": other, "mine": array})
    hits = 0
    for at in range(len(queue)):
        row, doc = queue.rows[at], queue.docs[at]
        place = np.flatnonzero(other.docs[row] == doc)
        hits += len(place)
        expected = (other.scores[row, place[0]], other.ranks[row, place[0]]) if len(place) else (
            np.nan, np.nan)  # fmt: skip
        told = queue.numbers["bm25"][at], queue.numbers["bm25.rank"][at]
        np.testing.assert_array_equal(told, expected)
        assert queue.numbers["mine"][at] == array[row, queue.columns[at]]
    assert 0 < hits < len(queue)


def test_mates_ask_and_answer_the_same(candidates, collection, queue):
    for item in range(len(queue)):
        mates = [
            other
            for other in range(len(queue))
            if collection.query_groups[queue.rows[other]]
            == collection.query_groups[queue.rows[item]]
            and collection.doc_groups[queue.docs[other]] == collection.doc_groups[queue.docs[item]]
        ]
        assert queue.mates(item).tolist() == mates
    assert queue.pairs(queue.mates(0)) == [("q0", "d2"), ("q0", "d12")]


def test_pairs_and_items_are_inverse(queue):
    everyone = np.arange(len(queue))
    assert queue.items(queue.pairs(everyone)).tolist() == everyone.tolist()
    assert queue.items([("q0", "nobody"), ("nobody", "d1"), ("q0", "d0")]).tolist() == [-1, -1, -1]


@pytest.mark.parametrize("how", ORDERS)
def test_orders(queue, candidates, collection, how):
    plain = Queue.of(candidates, collection)
    for one in (queue, plain):
        order = ordered(one, how)
        assert sorted(order.tolist()) == list(range(len(one)))
        number = "probability" if one is queue else "margin"
        value = one.numbers[number][order].astype(float)
        key = {"informative": np.abs(value - (0.5 if one is queue else 0)), "suspicious": -value,
               "rank": one.columns[order]}[how]  # fmt: skip
        known = key[~np.isnan(key)]
        assert (np.diff(known) >= 0).all()
        assert not np.isnan(key[: len(known)]).any()  # what is unknown comes last


def test_without_any_positive_score_the_best_scores_come_first(candidates, collection):
    nothing = np.full(QUERIES, np.nan, dtype=np.float32)
    bare = type(candidates)(**{**vars(candidates), "positive_scores": nothing})
    queue = Queue.of(bare, collection)
    assert (np.diff(queue.numbers["score"][ordered(queue)]) <= 0).all()


def test_drawn_items_come_first_in_their_order(queue):
    first = queue.pairs(np.array([7, 3, 20]))
    draw = toy_draw(first, population=len(queue))
    again = toy_draw(queue.pairs(np.array([3, 11])), population=len(queue))
    order = ordered(queue, "suspicious", draws=[draw, again])
    assert order[:4].tolist() == [7, 3, 20, 11]
    rest = [item for item in ordered(queue, "suspicious").tolist() if item not in (7, 3, 20, 11)]
    assert order[4:].tolist() == rest


@pytest.mark.usefixtures("untyped")
def test_what_is_refused(queue, candidates, collection):
    with pytest.raises(BadArgument, match="`order` is 'best', but it must be one of informative"):
        ordered(queue, "best")
    foreign = toy_draw([("q0", "nobody")], population=3)
    with pytest.raises(BadArgument, match=r"`draw` is .* it must be of this list's candidates"):
        ordered(queue, draws=[foreign])
    with pytest.raises(BadArgument, match="`found` is 'list', but it must be Candidates"):
        Queue.of([1], collection)
    with pytest.raises(BadArgument, match="`collection` is 'str', but it must be the Collection"):
        Queue.of(candidates, "toy")
    with pytest.raises(BadArgument, match=r"`scores\['a'\]` is .* numbers of shape \(12, 5\)"):
        Queue.of(candidates, collection, scores={"a": np.zeros((2, 2))})
    with pytest.raises(BadArgument, match="`scores` is 'rank', but a name must be there and none"):
        Queue.of(candidates, collection, scores={"rank": candidates.scores})
    wrong = type(candidates)(**{**vars(candidates), "query_ids": candidates.query_ids[::-1]})
    with pytest.raises(BadData, match="row 0 is 'q11' where 'q0' is wanted"):
        Queue.of(wrong, collection)
    with pytest.raises(BadArgument, match="it must be about the 14 labelled pairs"):
        Queue.of(candidates, collection, losses=type(toy_losses(collection)).empty(3))


def test_filters_beside_loops(queue, collection):
    texts = dict(zip(collection.doc_ids, collection.doc_texts, strict=True))
    asks = dict(zip(collection.query_ids, collection.query_texts, strict=True))
    pairs = queue.pairs(np.arange(len(queue)))
    source = dict(zip(collection.doc_ids, collection.corpus["source"][:], strict=True))

    def mask(**given):
        return passing(queue, Filters(**given)).tolist()

    assert mask() == [True] * len(queue)
    assert mask(source="even") == [source[doc] == "even" for _, doc in pairs]
    wanted = ["ADD 1" in asks[q].upper() or "ADD 1" in texts[d].upper() for q, d in pairs]
    assert mask(text="add 1") == wanted
    assert any(wanted)
    assert mask(text="<b>") == ["<b>" in texts[doc] for _, doc in pairs]
    assert mask(query_ids=["q1", "q2"]) == [query in ("q1", "q2") for query, _ in pairs]
    assert mask(doc_ids=["d3"]) == [doc == "d3" for _, doc in pairs]
    scores = queue.numbers["score"]
    half = float(np.median(scores))
    assert mask(by="score", low=half) == (scores >= half).tolist()
    assert mask(by="score", high=half) == (scores <= half).tolist()
    nan = np.isnan(queue.numbers["margin"])
    assert nan.any()
    assert mask(by="margin") == (~nan).tolist()  # of an unknown number no band is true
    both = [a and b for a, b in zip(mask(source="odd"), mask(text="<b>"), strict=True)]
    assert mask(source="odd", text="<b>") == both


@pytest.mark.usefixtures("untyped")
def test_filters_refuse(queue):
    for given, match in (
        ({"source": "nowhere"}, "`source` is 'nowhere', but it must be one of even, odd"),
        ({"low": 1.0}, "`by` is None, but a bound needs a number"),
        ({"by": "skore"}, "`by` is 'skore', but it must be one of .*Did you mean 'score'"),
        ({"by": "score", "low": 2.0, "high": 1.0}, "`low` is 2.0, but it must be <= high"),
        ({"by": "score", "low": float("nan")}, "`low` is nan, but it must be a finite number"),
        ({"query_ids": ["q1", "q99"]}, "`query_ids` is 'q99', but the list has no such id"),
        ({"doc_ids": "d1"}, "`doc_ids` is 'd1', but it must be a list of ids"),
    ):
        with pytest.raises(BadArgument, match=match):
            passing(queue, Filters(**given))
    with pytest.raises(BadArgument, match="`verdict` is 'wrong', but it must be one of unjudged"):
        in_state(np.zeros(2, dtype=np.int8), "wrong")


def test_states():
    labels = np.arange(len(LABELS) + 1, dtype=np.int8)
    told = {state: in_state(labels, state).tolist() for state in STATES}
    assert told["unjudged"] == [True, False, False, False, False]
    assert told["judged"] == [False, True, True, True, True]
    assert [told[label].index(True) for label in LABELS] == [1, 2, 3, 4]


def test_an_empty_list_is_an_empty_queue(candidates, collection):
    nothing = type(candidates)(**{**vars(candidates), "docs": np.full_like(candidates.docs, -1)})
    queue = Queue.of(nothing, collection)
    assert len(queue) == 0
    assert len(ordered(queue)) == 0
    assert queue.items([("q0", "d0")]).tolist() == [-1]
    assert len(passing(queue, Filters(text="add"))) == 0
    assert DOCS == len(collection.doc_ids)
