"""The smallest training loop: seeded, learns, leaves the documents alone, refuses nonsense."""

import numpy as np
import pytest
import torch

from workbench import losses
from workbench.data.worlds.linear_retrieval import linear_retrieval
from workbench.data.worlds.tower import contrasted, reciprocal_rank, train_tower
from workbench.errors import BadArgument

WORLD = linear_retrieval(docs=100, queries=100, tests=50, dim=8, seed=0)


def in_batch(anchors, rows, rng):
    scores, positive, weight = contrasted(WORLD, anchors, rows, WORLD.positives[rows])
    return losses.info_nce(scores, positive, weight=weight)


@pytest.mark.slow
def test_a_tower_learns_and_the_documents_stay():
    before = WORLD.docs.copy()
    short, long = (train_tower(WORLD, in_batch, steps=steps, rate=0.02) for steps in (1, 150))
    assert reciprocal_rank(WORLD, long) >= reciprocal_rank(WORLD, short) + 0.2
    np.testing.assert_array_equal(WORLD.docs, before)


def test_it_goes_on_from_a_start_and_leaves_the_start_alone():
    start = np.eye(8, dtype=np.float32)
    found = train_tower(WORLD, in_batch, start=start, steps=1, rate=1e-3)
    np.testing.assert_array_equal(start, np.eye(8, dtype=np.float32))
    assert 0 < np.abs(found - start).max() <= 1.01e-3  # Adam's first step


def test_it_is_seeded():
    one, same, other = (train_tower(WORLD, in_batch, steps=3, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_rows_can_be_picked():
    seen = []

    def value(anchors, rows, rng):
        seen.append(rows)
        return anchors.sum(dim=1)

    train_tower(WORLD, value, pick=lambda rng: np.array([4, 2]), steps=2)
    np.testing.assert_array_equal(seen, [[4, 2], [4, 2]])


def test_scores_and_weights_against_loops():
    anchors = torch.nn.functional.normalize(
        torch.randn(3, 8, generator=torch.Generator().manual_seed(0)), dim=1
    )
    rows, columns = np.array([5, 6, 7]), np.append(WORLD.positives[[6, 5]], 3)
    scores, positive, weight = contrasted(WORLD, anchors, rows, columns)
    assert positive.tolist() == [0, 0, 0]
    for row in range(3):
        own = int(WORLD.positives[rows[row]])
        for place, doc in enumerate([own, *columns.tolist()]):
            expected = float(anchors[row] @ torch.from_numpy(WORLD.docs[doc]))
            assert abs(float(scores[row, place]) - expected) < 1e-6
            assert float(weight[row, place]) == float(place == 0 or doc != own)


def test_reciprocal_rank_against_loops():
    tower = np.eye(8, dtype=np.float32)
    ranks = WORLD.ranks(tower).tolist()
    expected = sum(1 / rank for rank in ranks if rank <= 3) / len(ranks)
    assert abs(reciprocal_rank(WORLD, tower, cutoff=3) - expected) < 1e-12


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch": 0}, r"`batch` is 0, but it must be a whole number >= 1"),
        ({"steps": 0}, r"`steps` is 0, but it must be a whole number >= 1"),
        ({"rate": 0.0}, r"`rate` is 0\.0, but it must be > 0"),
        ({"seed": -1}, r"`seed` is -1, but it must be a whole number >= 0"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(BadArgument, match=message):
        train_tower(WORLD, in_batch, **options)
