"""The way there and the way back: gold numbers, brute force, and what one direction cannot see."""

import json

import numpy as np
import pytest
import torch

from workbench.audit.directions import direction_audit, mcnemar_exact
from workbench.errors import BadArgument, BadData
from workbench.losses import InfoNCE
from workbench.types import Vectors


def sides(collection, queries, docs):
    return tuple(
        Vectors(values=np.asarray(values, dtype=np.float32), ids=ids, encoder="made")
        for values, ids in ((queries, collection.query_ids), (docs, collection.doc_ids))
    )


@pytest.fixture
def gold(shared):
    cases = json.loads((shared / "gold" / "llm.json").read_text())
    return {case["method"]: case for case in cases if case["method"].startswith("reversal.")}


@pytest.mark.shared
def test_gold_gap(gold):
    case = gold["reversal.gap"]
    hits = [np.array(case["inputs"][name], dtype=bool) for name in ("forward", "reverse")]
    wanted = case["expected"]
    assert hits[0].mean() - hits[1].mean() == pytest.approx(wanted["gap"], abs=1e-12)
    assert mcnemar_exact(*hits) == pytest.approx(wanted["mcnemar_exact_p"], abs=1e-12)


def offset_sides(collection, scores, offset):
    """Vectors whose inner products are these scores plus something per query."""
    count = len(scores)
    queries = np.concatenate([np.array(scores), np.array(offset)[:, None]], axis=1)
    return sides(collection, queries, np.concatenate([np.eye(count), np.ones((count, 1))], axis=1))


@pytest.mark.shared
def test_gold_offset_per_query_is_seen_backwards_only(gold, collection_of):
    case = gold["reversal.row_offset_invariance"]
    wanted, loss = case["expected"], InfoNCE(temperature=1.0)
    scores = torch.tensor(case["inputs"]["scores"], dtype=torch.float64)
    offset = torch.tensor(case["inputs"]["row_offset"], dtype=torch.float64, requires_grad=True)
    own = torch.arange(3)
    for name, added in (("without", 0.0), ("with", offset[:, None])):
        there, back = (loss(m, own).mean() for m in (scores + added, (scores + added).T))
        assert there.item() == pytest.approx(wanted[f"q2p_loss_{name}"], abs=1e-9)
        assert back.item() == pytest.approx(wanted[f"p2q_loss_{name}"], abs=1e-9)
    for name, value in (("q2p", there), ("p2q", back)):
        (slope,) = torch.autograd.grad(value, offset)
        np.testing.assert_allclose(slope, wanted[f"grad_{name}_wrt_offset"], atol=1e-9)
    collection = collection_of({(n, n): 1 for n in range(3)}, queries=3, docs=3)
    vectors = offset_sides(collection, case["inputs"]["scores"], case["inputs"]["row_offset"])
    (row,) = direction_audit(collection, vectors, k=[1], cosine=False).frame().itertuples()
    assert row.forward == pytest.approx(wanted["q2p_acc_with"])
    assert row.backward == pytest.approx(wanted["p2q_acc_with"])
    assert (row.only_forward, row.only_backward) == (2, 0)


@pytest.mark.shared
def test_gold_symmetric_loss(gold, collection_of):
    case = gold["reversal.symmetric_infonce"]
    wanted, loss, own = case["expected"], InfoNCE(temperature=1.0), torch.arange(3)
    scores = torch.tensor(case["inputs"]["scores"], dtype=torch.float64)
    there, back = (loss(m, own).mean().item() for m in (scores, scores.T))
    assert there == pytest.approx(wanted["q2p_loss"], abs=1e-9)
    assert back == pytest.approx(wanted["p2q_loss"], abs=1e-9)
    assert (there + back) / 2 == pytest.approx(wanted["symmetric"], abs=1e-9)
    collection = collection_of({(n, n): 1 for n in range(3)}, queries=3, docs=3)
    vectors = offset_sides(collection, case["inputs"]["scores"], [0, 0, 0])
    found = direction_audit(collection, vectors, k=[1], cosine=False).frame()
    assert found.forward[0] == pytest.approx(wanted["q2p_acc"])
    assert found.backward[0] == pytest.approx(wanted["p2q_acc"])


def test_mcnemar_is_that_of_statsmodels(rng):
    from statsmodels.stats.contingency_tables import mcnemar

    for _ in range(20):
        one, two = rng.random(30) < 0.6, rng.random(30) < 0.4
        table = [[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]]
        assert mcnemar_exact(one, two) == pytest.approx(mcnemar(table, exact=True).pvalue)
    assert mcnemar_exact(one, one) == 1.0


@pytest.fixture
def many(collection_of, rng):
    """30 queries, 40 documents, some of which answer several queries; two near duplicates."""
    topics = rng.integers(0, 12, size=30), rng.integers(0, 12, size=40)
    cells = {
        (int(q), int(d)): 1
        for q, d in np.argwhere(topics[0][:, None] == topics[1])
        if rng.random() < 0.7
    }
    groups = np.arange(40)
    groups[1] = groups[0]
    collection = collection_of(cells, queries=30, docs=40, doc_groups=groups)
    centres = rng.normal(size=(12, 6))
    return collection, *(centres[topic] + rng.normal(size=(len(topic), 6)) for topic in topics)


def brute(collection, queries, docs, k):
    """Hits of every labelled pair both ways, cell by cell."""
    queries, docs = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (queries, docs))
    scores = queries @ docs.T
    positive = collection.qrels.toarray() > 0
    either = positive[:, :2].any(axis=1)
    answers = positive.copy()
    answers[:, 0] = answers[:, 1] = either  # documents 0 and 1 are near duplicates
    asked = (positive.any(axis=1), positive.any(axis=0))
    hits = []
    for query, doc in np.argwhere(positive):
        wrong = asked[1] & ~answers[query]
        above = (scores[query][wrong] >= scores[query, doc]).sum()
        wrong = asked[0] & ~answers[:, doc]
        below = (scores[:, doc][wrong] >= scores[query, doc]).sum()
        hits.append((above < k, below < k))
    return np.array(hits)


def test_hits_are_those_of_a_loop(many):
    collection, queries, docs = many
    vectors = sides(collection, queries, docs)
    found = direction_audit(collection, vectors, k=(1, 3, 10), same_size=False)
    assert found.pairs.tolist() == collection.pairs.tolist()
    for place, k in enumerate(found.k):
        wanted = brute(collection, queries, docs, k)
        assert found.forward[:, place].tolist() == wanted[:, 0].tolist()
        assert found.backward[:, place].tolist() == wanted[:, 1].tolist()
    frame = found.frame()
    assert 0.1 < frame.forward[0] < 0.9
    np.testing.assert_allclose(frame.gap, frame.forward - frame.backward)
    assert frame.forward.is_monotonic_increasing


def test_both_sides_are_drawn_to_one_size(many):
    collection, queries, docs = many
    vectors = sides(collection, queries, docs)
    found = direction_audit(collection, vectors)
    labelled = collection.pairs
    assert len({*labelled[:, 0]}) < len({*labelled[:, 1]})
    assert found.sizes == (len({*labelled[:, 0]}),) * 2
    assert len(found.pairs) < len(labelled)
    assert {*map(tuple, found.pairs)} < {*map(tuple, labelled)}
    again = direction_audit(collection, vectors, seed=0)
    assert (again.pairs == found.pairs).all()
    assert repr(found).startswith(f"DirectionAudit({len(found.pairs)} pairs: @1 ")


def test_many_queries_of_one_document_do_not_hide_each_other(collection_of):
    collection = collection_of({(0, 0): 1, (1, 0): 1, (2, 0): 1, (3, 1): 1}, queries=4, docs=2)
    queries = [[1, 0.3], [1, 0.2], [1, 0.1], [0, 1]]
    found = direction_audit(
        collection, sides(collection, queries, np.eye(2)), k=[1], same_size=False
    )
    assert found.forward.all()
    assert found.backward.all()


def test_a_collapsed_model_hits_nothing(collection_of):
    collection = collection_of({(n, n): 1 for n in range(5)}, queries=5, docs=5)
    same = np.ones((5, 3))
    found = direction_audit(collection, sides(collection, same, same), k=[1, 4])
    assert not found.forward.any()
    assert not found.backward.any()
    assert found.frame().p_value.tolist() == [1, 1]


def test_hubs_show_on_the_side_where_they_are(collection_of, rng):
    """One document near everything: documents are skewed, queries are not."""
    count = 60
    collection = collection_of({(n, n): 1 for n in range(count)}, queries=count, docs=count)
    queries = rng.normal(size=(count, 40)) + 1
    docs = queries + rng.normal(size=(count, 40))
    plain = direction_audit(collection, sides(collection, queries, docs), k=[3])
    docs[0] = 2 * queries.mean(axis=0)
    hub = direction_audit(collection, sides(collection, queries, docs), k=[3])
    assert hub.hubness[0] > 3 > plain.hubness[0]
    assert abs(hub.hubness[1] - plain.hubness[1]) < 0.5


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": ()}, "list lengths, rising"),
        ({"k": (10, 1)}, "list lengths, rising"),
        ({"k": (0,)}, "`k` is 0"),
        ({"seed": -1}, "`seed` is -1"),
    ],
)
def test_bad_options_are_refused(collection_of, options, words):
    collection = collection_of({(0, 0): 1, (1, 1): 1}, queries=2, docs=2)
    with pytest.raises(BadArgument, match=words):
        direction_audit(collection, sides(collection, np.eye(2), np.eye(2)), **options)


def test_bad_data_is_refused(collection_of):
    collection = collection_of({(0, 0): 1}, queries=2, docs=2)
    vectors = sides(collection, np.eye(2), np.eye(2))
    with pytest.raises(BadData, match="1 labelled pairs to ask about"):
        direction_audit(collection, vectors)
    with pytest.raises(BadData, match="vectors"):
        direction_audit(collection, (vectors[1], vectors[0]))
    collection = collection_of({(0, 0): 1, (1, 1): 1}, queries=2, docs=2)
    with pytest.raises(BadData, match="document vectors has 1 problem"):
        direction_audit(collection, sides(collection, np.eye(2), np.diag([1, np.nan])))
    with pytest.raises(BadArgument, match="both must be booleans of the same pairs"):
        mcnemar_exact(np.array([True]), np.array([True, False]))
    with pytest.raises(BadArgument, match="both must be booleans of the same pairs"):
        mcnemar_exact(np.array([1]), np.array([0]))
