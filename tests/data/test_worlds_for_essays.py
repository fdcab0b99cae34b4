"""Worlds of the essays: what is wrong is known, and the seed decides everything."""

import dataclasses

import numpy as np
import pytest

from workbench.data import from_rows
from workbench.data.worlds.guided_topics import guided_topics
from workbench.data.worlds.wrong_pairs import wrong_pairs
from workbench.errors import BadArgument


@pytest.fixture
def demo():
    rows = [{"query": f"how {n}", "positive": f"do {n} and {n}"} for n in range(40)]
    return from_rows(rows, name="demo")


def test_wrong_pairs_are_wrong_and_the_others_untouched(demo):
    spoiled = wrong_pairs(demo, share=0.3, seed=1)
    before, after = demo.pairs, spoiled.collection.pairs
    assert spoiled.wrong.sum() == 12
    np.testing.assert_array_equal(before[:, 1] != after[:, 1], spoiled.wrong)
    np.testing.assert_array_equal(np.sort(after[:, 1]), np.sort(before[:, 1]))
    assert spoiled.collection.fingerprint != demo.fingerprint


def test_no_swap_between_near_duplicates(demo):
    alike = dataclasses.replace(demo, doc_groups=np.arange(40) // 10)
    spoiled = wrong_pairs(alike, share=0.9)
    groups = alike.doc_groups
    assert spoiled.wrong.sum() == 4  # one document of each group, whatever the share
    moved = groups[spoiled.collection.pairs[:, 1]] != groups[alike.pairs[:, 1]]
    np.testing.assert_array_equal(moved, spoiled.wrong)


def test_one_pair_cannot_be_swapped(demo):
    assert not wrong_pairs(demo, share=1 / 40).wrong.any()
    assert not wrong_pairs(demo, share=0).wrong.any()


def test_wrong_pairs_are_seeded(demo):
    one, same, other = (wrong_pairs(demo, seed=seed).wrong for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_a_query_with_two_positives_is_refused(demo):
    qrels = demo.qrels.tolil()
    qrels[0, 1] = 1.0
    two = dataclasses.replace(demo, qrels=qrels.tocsr())
    with pytest.raises(BadArgument, match="every query must have exactly one positive"):
        wrong_pairs(two)


def test_the_guide_reads_topics_off_anchors_and_documents():
    world = guided_topics(seed=3)
    for side in (world.anchors, world.docs):
        np.testing.assert_allclose(np.linalg.norm(side, axis=1), 1, rtol=1e-5)
        assert ((side @ world.head.T).argmax(axis=1) == world.topics).mean() >= 0.85
    assert ((world.anchors @ world.docs.T).argmax(axis=1) == np.arange(48)).mean() >= 0.9
    np.testing.assert_array_equal(guided_topics(seed=3).docs, world.docs)
    assert not np.array_equal(guided_topics(seed=4).docs, world.docs)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda demo: wrong_pairs(demo, share=1.5), r"`share` is 1\.5, but it must be <= 1"),
        (lambda demo: wrong_pairs(demo, seed=-1), "`seed` is -1, but it must be a whole number"),
        (lambda demo: guided_topics(topics=0), "`topics` is 0, but it must be a whole number >= 1"),
        (lambda demo: guided_topics(noise=-1), "`noise` is -1, but it must be >= 0"),
    ],
)
def test_what_makes_no_sense_is_refused(make, message, demo):
    with pytest.raises(BadArgument, match=message):
        make(demo)
