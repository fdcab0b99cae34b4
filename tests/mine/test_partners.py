"""Seen with their labelled partners, hidden positives stand out."""

import numpy as np
import pytest

from workbench.data import from_rows
from workbench.errors import BadArgument, BadData
from workbench.mine import with_partners
from workbench.train import Knowledge
from workbench.types import Vectors


def unit(rows):
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def rows_of(pairs):
    return from_rows([{"query": f"q{q}", "positive": f"d{d}"} for q, d in pairs], name="made")


def guide_of(collection, queries, docs):
    """Vectors by the number in each text, in the collection's own order."""
    sides = ((collection.query_texts, collection.query_ids, queries),
             (collection.doc_texts, collection.doc_ids, docs))  # fmt: skip
    return tuple(
        Vectors(values=rows[[int(t[1:]) for t in texts]].astype(np.float32), ids=ids, encoder="e")
        for texts, ids, rows in sides
    )


@pytest.fixture
def small(rng):
    """Four queries, five documents; d1 answers two queries, d4 none of those that remain."""
    collection = rows_of([(0, 0), (0, 1), (1, 1), (2, 2), (3, 3), (3, 0)])
    return collection, guide_of(collection, rng.normal(size=(4, 6)), rng.normal(size=(4, 6)))


def by_hand(collection, guide, rounds):
    queries, docs = (unit(np.asarray(side.values, dtype=float)) for side in guide)
    for _ in range(rounds):
        new = [queries.copy(), docs.copy()]
        for place, (own, others, column) in enumerate(((queries, docs, 0), (docs, queries, 1))):
            for text in range(len(own)):
                mine = [pair[1 - column] for pair in collection.pairs if pair[column] == text]
                if mine:
                    new[place][text] = unit(own[text] + unit(np.mean(others[mine], axis=0)))
        queries, docs = new
    return queries, docs


@pytest.mark.parametrize("rounds", [0, 1, 2, 3])
def test_vectors_by_hand(small, rounds):
    collection, guide = small
    found = with_partners(collection, guide, rounds=rounds)
    for mine, expected in zip(found, by_hand(collection, guide, rounds), strict=True):
        np.testing.assert_allclose(mine.values, expected, atol=1e-6)


def test_they_serve_wherever_a_guide_does_and_are_another_one(small):
    collection, guide = small
    prints = {
        Knowledge.of(collection, guide=with_partners(collection, guide, rounds=rounds)).recipe
        for rounds in (0, 1, 2)
    }
    assert len(prints | {Knowledge.of(collection, guide=guide).recipe}) == 4


def cosines(collection, guide, *, rounds):
    queries, docs = (side.values for side in with_partners(collection, guide, rounds=rounds))
    return queries @ docs.T


def average_precision(scores, truth):
    order = np.argsort(-scores, kind="stable")
    hits = truth[order]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_partners_find_hidden_positives_that_the_guide_alone_misses(seed):
    """80 topics of 4 pairs, a guide whose error is larger than the topic; one label per query."""
    rng = np.random.default_rng(seed)
    topics = np.repeat(np.arange(80), 4)
    truth = topics[:, None] == topics[None, :]
    centres = unit(rng.normal(size=(80, 32)))[topics]
    noisy = lambda: unit(centres + 1.2 * rng.normal(size=centres.shape) / 32**0.5)  # noqa: E731
    collection = rows_of([(row, row) for row in range(len(topics))])
    guide = guide_of(collection, noisy(), noisy())
    order = [int(text[1:]) for text in collection.query_texts]
    truth = truth[np.ix_(order, order)]
    others = ~np.eye(len(topics), dtype=bool)
    docs = guide[1].values
    found = {
        "guide": guide[0].values @ docs.T,
        "neighbour": docs @ docs.T,
        "partners": cosines(collection, guide, rounds=2),
    }
    ap = {name: average_precision(score[others], truth[others]) for name, score in found.items()}
    assert ap["partners"] >= max(ap["guide"], ap["neighbour"]) + 0.2


@pytest.mark.slow
def test_wrong_partners_poison_it():
    """What `Breaks when` says: labels drawn at random leave nothing of the advantage."""
    rng = np.random.default_rng(0)
    topics = np.repeat(np.arange(80), 4)
    centres = unit(rng.normal(size=(80, 32)))[topics]
    noisy = lambda: unit(centres + 0.6 * rng.normal(size=centres.shape) / 32**0.5)  # noqa: E731
    wrong = rng.permutation(len(topics))
    collection = rows_of(list(enumerate(wrong.tolist())))
    guide = guide_of(collection, noisy(), noisy())
    queries, docs = (
        topics[[int(text[1:]) for text in texts]]
        for texts in (collection.query_texts, collection.doc_texts)
    )
    truth = queries[:, None] == docs[None, :]
    alone, together = (cosines(collection, guide, rounds=rounds) for rounds in (0, 2))
    assert average_precision(together.ravel(), truth.ravel()) < 0.7 * average_precision(
        alone.ravel(), truth.ravel()
    )


def test_wording(small):
    collection, guide = small
    with pytest.raises(BadArgument, match=r"`rounds` is -1, but it must be a whole number >= 0"):
        with_partners(collection, guide, rounds=-1)
    with pytest.raises(BadData, match=r"guide query vectors has 1 problem"):
        with_partners(collection, (guide[1], guide[0]))
