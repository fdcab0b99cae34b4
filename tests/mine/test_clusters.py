"""Clusters: sizes, gold partition, purity, seeds, and what is refused."""

import json

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.mine.clusters import bisect, kmeans


def topics(count=600, groups=12, dim=16, noise=0.15, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(groups, dim))
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    which = rng.permutation(np.arange(count) % groups)
    rows = centres[which] + noise * rng.normal(size=(count, dim)) / np.sqrt(dim)
    return (rows * rng.uniform(0.5, 2, size=(count, 1))).astype(np.float32), which


def purity(labels, truth):
    most = [np.bincount(truth[labels == one]).max() for one in np.unique(labels)]
    return sum(most) / len(truth)


def test_kmeans_finds_planted_topics_whatever_the_length_of_a_row():
    rows, truth = topics()
    assert purity(kmeans(rows, clusters=12, iterations=25), truth) > 0.8
    assert np.array_equal(kmeans(rows, clusters=12), kmeans(rows * 7, clusters=12))


def test_each_row_of_kmeans_has_the_nearest_centre():
    rows, _ = topics(groups=5)
    labels = kmeans(rows, clusters=5)
    units = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centres = np.stack([units[labels == one].mean(axis=0) for one in range(5)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    assert ((units @ centres.T).argmax(axis=1) == labels).mean() > 0.98


@pytest.mark.parametrize(("count", "clusters"), [(600, 12), (601, 12), (500, 37), (40, 40)])
def test_balanced_clusters_have_one_size(count, clusters):
    rows, truth = topics(count)
    labels = kmeans(rows, clusters=clusters, balanced=True)
    sizes = np.bincount(labels, minlength=clusters)
    assert sizes.max() - sizes.min() <= 1
    assert sizes.sum() == count
    if count == 600:
        assert purity(labels, truth) > 0.7  # a random cut has .13


def test_balanced_clusters_of_equal_rows_still_have_one_size():
    sizes = np.bincount(kmeans(np.ones((50, 4), dtype=np.float32), clusters=7, balanced=True))
    assert sizes.max() - sizes.min() <= 1


@pytest.mark.shared
def test_bisect_is_the_gold_partition_for_every_seed(shared):
    records = json.loads((shared / "gold" / "retrieval.json").read_text())
    (gold,) = [one for one in records if one["case"].startswith("balanced bisection")]
    points = np.array(gold["inputs"]["points"], dtype=np.float32)
    for seed in range(20):
        labels = bisect(points, size=gold["inputs"]["cluster_size"], seed=seed)
        found = sorted(np.flatnonzero(labels == one).tolist() for one in np.unique(labels))
        assert found == gold["expected"]["clusters"]


@pytest.mark.parametrize(("count", "size"), [(600, 16), (1000, 7), (5, 8), (33, 1), (1, 1)])
def test_halves_are_even_and_no_larger_than_asked(count, size):
    rows, _ = topics(count)
    labels = bisect(rows, size=size)
    sizes = np.bincount(labels)
    assert sizes.max() <= size
    assert sizes.max() - sizes.min() <= 1
    halvings = int(np.ceil(np.log2(count / size))) if count > size else 0
    assert len(sizes) <= 2**halvings < len(sizes) + 2  # the last may be empty at size 1


def test_realised_sizes_are_those_of_the_released_code():
    rows = np.random.default_rng(0).normal(size=(4606, 3)).astype(np.float32)
    # 294,805 / 64 rows: the same share of a power of two, so the same mean size.
    assert len(np.unique(bisect(rows, size=2))) == 4096


def test_halving_keeps_topics_together():
    rows, truth = topics(1024, groups=16, noise=0.1)
    random = np.random.default_rng(1).permutation(bisect(rows, size=64))
    assert purity(bisect(rows, size=64), truth) > 0.7 > 3 * purity(random, truth)


@pytest.mark.parametrize("seed", range(10))
def test_copies_do_not_stop_a_split(seed):
    rows = np.repeat(np.eye(2, dtype=np.float32), 4, axis=0)[[0, 4, 1, 5, 2, 6, 3, 7]]
    labels = bisect(rows, size=4, seed=seed)  # two equal rows to start from would leave it stuck
    assert labels[0] != labels[1]
    assert len(set(labels[::2].tolist())) == 1


def test_seeds_decide_and_nothing_else():
    rows, _ = topics()
    assert np.array_equal(bisect(rows, size=8, seed=3), bisect(rows, size=8, seed=3))
    assert not np.array_equal(bisect(rows, size=8, seed=3), bisect(rows, size=8, seed=4))
    assert np.array_equal(kmeans(rows, clusters=9, seed=3), kmeans(rows, clusters=9, seed=3))


@pytest.mark.parametrize("cut", [lambda x: kmeans(x, clusters=2), lambda x: bisect(x, size=2)])
def test_what_is_no_vector_is_refused(cut):
    with pytest.raises(BadArgument, match=r"`vectors` is \(0, 4\), but it must be \(n, dim\)"):
        cut(np.empty((0, 4), dtype=np.float32))
    rows = np.ones((5, 4), dtype=np.float32)
    rows[3, 1] = np.nan
    with pytest.raises(BadData, match="row 3 holds NaN"):
        cut(rows)


def test_counts_are_checked():
    rows = np.ones((5, 4), dtype=np.float32)
    with pytest.raises(BadArgument, match="`clusters` is 6, but it must be <= 5"):
        kmeans(rows, clusters=6)
    with pytest.raises(BadArgument, match="`size` is 0"):
        bisect(rows, size=0)
