"""The guarantee, against the raw definition; coverage, cost, order and mixing."""

from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from workbench import registry
from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData
from workbench.sample import ConflictFree
from workbench.types import Collection


@st.composite
def judged(draw):
    """Judgments, groups and batch sizes small enough that everything collides."""
    queries, docs = draw(st.integers(1, 12)), draw(st.integers(1, 12))
    cells = st.tuples(st.integers(0, queries - 1), st.integers(0, docs - 1))
    positives = sorted(draw(st.sets(cells, min_size=2, max_size=40)))
    query_groups = draw(st.lists(st.integers(0, queries), min_size=queries, max_size=queries))
    doc_groups = draw(st.lists(st.integers(0, docs), min_size=docs, max_size=docs))
    if draw(st.booleans()):
        query_groups, doc_groups = list(range(queries)), list(range(docs))
    batch_size = draw(st.integers(2, 6))
    return positives, query_groups, doc_groups, batch_size


def collection_of(positives, query_groups, doc_groups):
    rows, columns = np.array(positives).T
    grades = np.ones(len(positives), dtype=np.float32)

    def side(letter, count):
        ids = [f"{letter}{place}" for place in range(count)]
        return Dataset.from_dict({"id": ids, "text": ids, "source": ["test"] * count})

    return Collection(
        name="test",
        queries=side("q", len(query_groups)),
        corpus=side("d", len(doc_groups)),
        qrels=sparse.csr_array(
            (grades, (rows, columns)), shape=(len(query_groups), len(doc_groups))
        ),
        query_groups=np.array(query_groups, dtype=np.int64),
        doc_groups=np.array(doc_groups, dtype=np.int64),
    )


def answered(positives, query_groups, doc_groups, query, doc):
    """The definition, read off the judgments."""
    return any(
        query_groups[q] == query_groups[query] and doc_groups[d] == doc_groups[doc]
        for q, d in positives
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(judged(), st.integers(0, 3), st.booleans())
def test_no_two_rows_of_a_batch_conflict(world, epoch, drop_last):
    positives, query_groups, doc_groups, batch_size = world
    collection = collection_of(positives, query_groups, doc_groups)
    sampler = ConflictFree(
        collection.pairs,
        batch_size=batch_size,
        known=KnownPositives.of(collection),
        drop_last=drop_last,
    )
    sampler.set_epoch(epoch)
    try:
        batches = list(sampler)
    except BadData:
        # Refused only where not even one batch of the smallest size exists.
        floor = batch_size if drop_last else 2
        distinct = min(
            len({query_groups[q] for q, _ in positives}), len({doc_groups[d] for _, d in positives})
        )
        assert floor > 2 or distinct < 2 or _all_conflict(positives, query_groups, doc_groups)
        return
    assert len(batches) == len(sampler)
    seen = np.concatenate([batch.rows for batch in batches])
    everything = np.sort(np.concatenate([seen, sampler.left_out]))
    np.testing.assert_array_equal(everything, np.arange(len(positives)))
    for batch in batches:
        assert (len(batch) == batch_size) if drop_last else (2 <= len(batch) <= batch_size)
        assert batch.report["known_false_negatives"] == 0
        for one in range(len(batch)):
            for other in range(len(batch)):
                if one == other:
                    continue
                query, doc = batch.queries[one], batch.docs[other]
                assert not answered(positives, query_groups, doc_groups, query, doc)
                assert query_groups[query] != query_groups[batch.queries[other]]
                assert doc_groups[batch.docs[one]] != doc_groups[doc]


def _all_conflict(positives, query_groups, doc_groups):
    return all(
        answered(positives, query_groups, doc_groups, q, other_doc)
        or answered(positives, query_groups, doc_groups, other_query, d)
        for q, d in positives
        for other_query, other_doc in positives
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=30)
@given(judged(), st.data())
def test_a_mined_negative_answers_no_anchor_and_no_text_stands_twice(world, data):
    positives, query_groups, doc_groups, batch_size = world
    docs = len(doc_groups)
    row = st.lists(st.integers(-1, docs - 1), min_size=4, max_size=4)
    listed = data.draw(st.lists(row, min_size=len(query_groups), max_size=len(query_groups)))
    collection = collection_of(positives, query_groups, doc_groups)
    from_test = _candidates(listed, docs)
    sampler = ConflictFree(
        collection.pairs,
        batch_size=batch_size,
        known=KnownPositives.of(collection),
        negatives=from_test,
        num_negatives=2,
    )
    try:
        batches = list(sampler)
    except BadData:
        return
    for batch in batches:
        assert batch.negatives.shape == (len(batch), 2)
        used = [doc for doc in batch.negatives.ravel().tolist() if doc >= 0]
        for doc in used:
            for query in batch.queries.tolist():
                assert not answered(positives, query_groups, doc_groups, query, doc)
        groups = [doc_groups[doc] for doc in [*batch.docs.tolist(), *used]]
        assert len(groups) == len(set(groups))
        for query, own in zip(batch.queries.tolist(), batch.negatives.tolist(), strict=True):
            assert set(own) - {-1} <= set(listed[query])
        assert batch.report["known_false_negatives"] == 0
        assert batch.report["negatives"] == len(used)
        assert batch.report["negatives_short"] == 2 * len(batch) - len(used)


def _candidates(listed, docs):
    from workbench.types import Candidates

    array = np.array(listed, dtype=np.int64)
    return Candidates(
        query_ids=np.array([f"q{place}" for place in range(len(array))], dtype=object),
        doc_ids=np.array([f"d{place}" for place in range(docs)], dtype=object),
        docs=array,
        scores=np.zeros(array.shape, dtype=np.float32),
        ranks=np.where(array >= 0, np.arange(1, 5)[None, :], 0).astype(np.int32),
        weight=np.ones(array.shape, dtype=np.float32),
        positive_scores=np.ones(len(array), dtype=np.float32),
        miner="test",
    )


def test_a_refused_negative_gives_way_to_the_next_of_the_same_query(graph, candidates):
    pairs = np.array([[0, 0], [1, 1]])
    # Query 0 mined document 1, which answers query 1; both mined document 2.
    negatives = candidates([[1, 2, 3], [2, 4, -1]], corpus=5)
    known = graph(pairs, doc_groups=np.arange(5))
    sampler = ConflictFree(pairs, batch_size=2, known=known, negatives=negatives, num_negatives=1)
    (batch,) = list(sampler)
    chosen = dict(zip(batch.queries.tolist(), batch.negatives[:, 0].tolist(), strict=True))
    assert chosen in ({0: 2, 1: 4}, {0: 3, 1: 2})
    assert batch.report["negatives_passed_over"] >= 1
    assert batch.report["negatives_short"] == 0


def test_every_row_of_clean_data_once_and_all_but_the_last_batch_full(graph):
    pairs = np.stack([np.arange(1000), np.arange(1000)], axis=1)
    sampler = ConflictFree(pairs, batch_size=64, known=graph(pairs))
    sizes = [len(batch) for batch in sampler]
    assert sizes == [64] * 15 + [40]
    assert len(sampler.left_out) == 0


def test_batches_are_full_where_the_graph_allows_it(world, graph):
    pairs = world(7200)
    sampler = ConflictFree(pairs, batch_size=32, known=graph(pairs))
    plan = sampler.plan()
    full = sum(len(batch) == 32 for batch in plan.batches)
    by_query, by_doc = np.bincount(pairs[:, 0]), np.bincount(pairs[:, 1])
    bound = min(_fillable(by_query, 32), _fillable(by_doc, 32))
    # The bound sees one clique at a time; no schedule need reach it on tangled data.
    assert full >= 0.96 * bound


def _fillable(counts, size):
    """Upper bound by trying every number of batches."""
    possible = [
        f for f in range(counts.sum() // size + 1) if np.minimum(counts, f).sum() >= f * size
    ]
    return max(possible)


def test_the_work_of_an_epoch_grows_with_the_rows(world, graph):
    def work(rows):
        pairs = world(rows)
        plan = ConflictFree(pairs, batch_size=32, known=graph(pairs)).plan()
        return plan.inspected / len(pairs)

    small, large = work(1800), work(3600)
    assert 2 * large / small < 2.6
    assert large < 12


def test_popular_documents_are_spread_over_the_epoch_and_meet_each_other(graph):
    # Two documents stand in 40 rows each of 100 batches; nothing says they must meet or must not.
    docs = np.concatenate([np.zeros(40), np.ones(40), np.arange(2, 1522)]).astype(np.int64)
    pairs = np.stack([np.arange(len(docs)), docs], axis=1)
    sampler = ConflictFree(pairs, batch_size=16, known=graph(pairs))
    early, together = [], []
    for epoch in range(30):
        batches = sampler.plan(epoch).batches
        holds = np.array([[(docs[rows] == doc).any() for doc in (0, 1)] for rows in batches])
        early.append(holds[:50, 0].sum())
        together.append((holds[:, 0] & holds[:, 1]).sum())
    # By chance 20 of 40 stand in the first half, and 16 of 100 batches hold both.
    assert abs(np.mean(early) - 20) < 3
    assert 6 < np.mean(together) < 26


def test_which_rows_of_a_popular_document_are_left_out_changes_with_the_epoch(graph, worlds):
    pairs = worlds["popular"](1000)
    sampler = ConflictFree(pairs, batch_size=32, known=graph(pairs), drop_last=True)
    first = set(sampler.left_out.tolist())
    sampler.set_epoch(1)
    second = set(sampler.left_out.tolist())
    assert first != second
    assert sampler.plan().left_out.tolist() == sorted(second)


def test_the_same_seed_and_epoch_give_the_same_batches(world, graph):
    pairs = world(720)
    known = graph(pairs)

    def prints(seed, epoch):
        sampler = ConflictFree(pairs, batch_size=16, known=known, seed=seed)
        sampler.set_epoch(epoch)
        return [rows.tolist() for rows in sampler.plan().batches]

    assert prints(0, 1) == prints(0, 1)
    assert prints(0, 1) != prints(0, 2)
    assert prints(0, 1) != prints(1, 1)


def test_known_answers_that_are_no_training_row_count_as_well(graph):
    pairs = np.array([[0, 0], [1, 1], [2, 2]])
    known = graph(np.array([[0, 0], [1, 1], [2, 2], [0, 1]]))
    sampler = ConflictFree(pairs, batch_size=2, known=known, min_batch_size=1)
    for batch in sampler:
        assert {0, 1} - set(batch.rows.tolist())


def test_a_label_that_the_graph_lacks_keeps_its_row_apart_all_the_same(graph):
    known = graph(np.array([[0, 0], [1, 1], [2, 2]]))
    pairs = np.array([[0, 0], [1, 0], [2, 2]])
    sampler = ConflictFree(pairs, batch_size=2, known=known, min_batch_size=1)
    for batch in sampler:
        assert {0, 1} - set(batch.rows.tolist())


def test_options_are_refused_with_the_mend(graph, candidates):
    pairs = np.array([[0, 0], [1, 1]])
    known = graph(pairs)
    with pytest.raises(BadArgument, match=r"`batch_size` is 1, but it must be a whole number >= 2"):
        ConflictFree(pairs, batch_size=1, known=known)
    with pytest.raises(BadArgument, match=r"`min_batch_size` is 9, but it must be <= batch_size"):
        ConflictFree(pairs, batch_size=8, known=known, min_batch_size=9)
    with pytest.raises(
        BadArgument, match=r"document position must be >= 0 and < 2, as `known` has"
    ):
        ConflictFree(np.array([[0, 2]]), batch_size=2, known=known)
    with pytest.raises(BadArgument, match=r"`num_negatives` is 0, but it must be 0 without"):
        ConflictFree(pairs, batch_size=2, known=known, negatives=candidates([[1], [0]], corpus=2))
    with pytest.raises(BadArgument, match=r"document position must be < 2, as `known` has"):
        ConflictFree(
            pairs,
            batch_size=2,
            known=known,
            negatives=candidates([[7], [0]], corpus=8),
            num_negatives=1,
        )


def test_data_without_a_single_batch_is_refused(graph):
    pairs = np.array([[0, 0], [1, 0], [2, 0]])
    sampler = ConflictFree(pairs, batch_size=2, known=graph(pairs))
    with pytest.raises(BadData, match=r"no batch of 2 of the 3 rows can be made"):
        len(sampler)


def test_both_samplers_are_on_the_shelf():
    assert {"conflict_free", "shuffled"} <= set(registry.names("sampler"))


@pytest.mark.shared
def test_clinc150_never_contrasts_two_queries_of_one_intent(shared, graph):
    lines = (shared / "data/clinc150/qrels/train.tsv").read_text().splitlines()[1:]
    judged_pairs = [line.split("\t")[:2] for line in lines]
    queries = np.unique([query for query, _ in judged_pairs], return_inverse=True)[1]
    docs = np.unique([doc for _, doc in judged_pairs], return_inverse=True)[1]
    pairs = np.stack([queries, docs], axis=1)
    sampler = ConflictFree(pairs, batch_size=128, known=graph(pairs))
    assert len(pairs) == 27_000
    assert len(sampler) == 211
    assert len(sampler.left_out) == 0
    positives = set(map(tuple, pairs.tolist()))
    for batch in (sampler.batch(0), sampler.batch(150)):
        rows = list(zip(batch.queries.tolist(), batch.docs.tolist(), strict=True))
        assert not any((q, d) in positives for q, own in rows for _, d in rows if d != own)
