"""Resume, replay and preview in more detail than the laws, and `Shuffled` itself."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from workbench.errors import BadArgument
from workbench.sample import ConflictFree, Shuffled


@pytest.fixture(params=[Shuffled, ConflictFree])
def make(request, graph, worlds):
    pairs = worlds["topical"](800)
    known = graph(pairs)

    def build(**options):
        return request.param(pairs, **({"batch_size": 16, "known": known} | options))

    return build


def test_a_finished_epoch_resumes_with_nothing_left(make):
    sampler = make()
    count = len(list(sampler))
    fresh = make()
    fresh.load_state(sampler.state())
    assert sampler.state()["position"] == count
    assert list(fresh) == []


def test_peeking_does_not_move_the_start(make):
    sampler = make()
    first = next(iter(sampler)).fingerprint
    assert next(iter(sampler)).fingerprint == first


def test_a_state_of_other_data_or_options_is_refused(make, graph):
    state = make(seed=0).state()
    with pytest.raises(BadArgument, match="over the same rows and options"):
        make(seed=1).load_state(state)
    with pytest.raises(BadArgument, match="over the same rows and options"):
        make().load_state({"position": 3})
    with pytest.raises(BadArgument, match=r"`position` is -1, but it must be a whole number >= 0"):
        make().load_state(state | {"position": -1})
    pairs = np.array([[0, 0], [1, 1]])
    other = Shuffled(pairs, batch_size=16, known=graph(pairs))
    with pytest.raises(BadArgument, match="over the same rows and options"):
        other.load_state(state)


def test_any_batch_can_be_made_again(make):
    sampler = make()
    sampler.set_epoch(1)
    expected = [batch.fingerprint for batch in sampler]
    sampler.set_epoch(0)
    assert sampler.batch(7, epoch=1).fingerprint == expected[7]
    assert sampler.epoch == 0
    with pytest.raises(BadArgument, match=r"`position` is 9999, but the epoch has .* batches"):
        sampler.batch(9999)


def test_the_preview_shows_one_row_per_batch_and_changes_nothing(make):
    sampler = make()
    frame = sampler.preview(most=5)
    assert len(frame) == 5
    assert (frame["rows"] == 16).all()
    whole = sampler.preview(epoch=1)
    assert len(whole) == len(sampler.plan(1).batches)
    assert sampler.state()["position"] == 0
    hits = whole["known_false_negatives"].sum()
    assert (hits == 0) == isinstance(sampler, ConflictFree)


def test_shuffled_counts_its_false_negatives_as_the_definition_does(graph, worlds, candidates):
    pairs = worlds["intents"](1800)
    known = graph(pairs)
    rng = np.random.default_rng(0)
    docs = rng.integers(-1, 150, size=(120, 5))
    sampler = Shuffled(
        pairs,
        batch_size=40,
        known=known,
        negatives=candidates(docs, corpus=150),
        num_negatives=2,
    )
    for batch in sampler:
        positives = set(map(tuple, pairs.tolist()))
        used = batch.negatives[batch.negatives >= 0].tolist()
        per_anchor = [
            sum((query, doc) in positives for doc in np.delete(batch.docs, place).tolist() + used)
            for place, query in enumerate(batch.queries.tolist())
        ]
        assert batch.report["known_false_negatives"] == sum(per_anchor)
        assert batch.report["anchors_with_false_negatives"] == np.count_nonzero(per_anchor)
        assert batch.report["duplicate_docs"] == 40 - len(set(batch.docs.tolist()))
        assert batch.report["duplicate_queries"] == 40 - len(set(batch.queries.tolist()))


def test_counting_agrees_for_a_query_with_very_many_answers(graph):
    # The popular query's answers are looked up rather than listed; the count must not care.
    pairs = np.concatenate(
        [
            np.stack([np.zeros(500, dtype=np.int64), np.arange(500)], axis=1),
            np.stack([np.arange(1, 41), np.arange(40)], axis=1),
        ]
    )
    sampler = Shuffled(pairs, batch_size=20, known=graph(pairs))
    positives = set(map(tuple, pairs.tolist()))
    for batch in sampler:
        queries, docs = batch.queries.tolist(), batch.docs.tolist()
        expected = sum(
            (query, doc) in positives
            for place, query in enumerate(queries)
            for other, doc in enumerate(docs)
            if place != other
        )
        assert batch.report["known_false_negatives"] == expected


def test_negatives_are_the_first_of_the_list_that_rules_kept(candidates):
    pairs = np.array([[0, 5], [1, 6]])
    negatives = candidates(
        [[1, 2, 3, -1], [4, 3, 2, 1]],
        corpus=7,
        weight=[[1, 0, 0.5, 0], [0, 1, 1, 1]],
        ranks=[[2, 1, 3, 0], [1, 4, 3, 2]],
    )
    sampler = Shuffled(pairs, batch_size=2, negatives=negatives, num_negatives=3)
    (batch,) = list(sampler)
    found = dict(zip(batch.queries.tolist(), batch.negatives.tolist(), strict=True))
    assert found == {0: [1, 3, -1], 1: [3, 2, 1]}
    assert batch.report["negatives"] == 5
    assert batch.report["negatives_short"] == 1


def test_more_negatives_than_were_mined_come_out_short(candidates):
    negatives = candidates([[1], [0]], corpus=2)
    sampler = Shuffled(
        np.array([[0, 0], [1, 1]]), batch_size=2, negatives=negatives, num_negatives=3
    )
    (batch,) = list(sampler)
    assert batch.negatives.shape == (2, 3)
    assert (batch.negatives[:, 1:] == -1).all()


def test_mistakes_are_refused_with_the_mend():
    pairs = np.array([[0, 0], [1, 1]])
    with pytest.raises(BadArgument, match=r"`batch_size` is 0, but it must be a whole number >= 1"):
        Shuffled(pairs, batch_size=0)
    with pytest.raises(BadArgument, match=r"`seed` is -1, but it must be a whole number >= 0"):
        Shuffled(pairs, batch_size=2, seed=-1)
    with pytest.raises(BadArgument, match=r"it must be whole numbers of shape \(row, 2\)"):
        Shuffled(np.array([0, 1]), batch_size=2)
    with pytest.raises(BadArgument, match="it must have at least one row"):
        Shuffled(np.zeros((0, 2), dtype=np.int64), batch_size=2)
    with pytest.raises(BadArgument, match="a query position must be >= 0"):
        Shuffled(np.array([[-1, 0]]), batch_size=2)
    with pytest.raises(BadArgument, match=r"`num_negatives` is 2, but it must be 0 without"):
        Shuffled(pairs, batch_size=2, num_negatives=2)
    with pytest.raises(BadArgument, match=r"`epoch` is -1"):
        Shuffled(pairs, batch_size=2).set_epoch(-1)


def test_importing_loads_nothing_heavy():
    code = "import sys, workbench.sample; print({'torch', 'pandas', 'datasets'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
