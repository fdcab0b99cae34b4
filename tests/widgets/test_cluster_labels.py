"""Clusters of a picture: nested, numbered by size, and named by the words that mark them."""

import itertools

import numpy as np
import pytest

from workbench.errors import BadArgument, BadData
from workbench.widgets.cluster_labels import (
    ClusterLabels,
    class_words,
    cluster_labels,
    clusters_of,
    placed,
)


def blobs(rng, sizes=(300, 200, 100), apart=20.0):
    group = np.repeat(np.arange(len(sizes)), sizes)
    centres = apart * np.stack([np.arange(len(sizes)), np.arange(len(sizes)) % 2], axis=1)
    return (centres[group] + rng.normal(size=(len(group), 2))).astype(np.float32), group


@pytest.mark.parametrize("sizes", [(300, 200, 100), (30, 20, 10)])
def test_blobs_are_found_and_numbered_by_size(rng, sizes):
    xy, group = blobs(rng, sizes)
    mixed = rng.permutation(len(xy))
    assert clusters_of(xy[mixed], clusters=3).tolist() == group[mixed].tolist()


def test_more_clusters_cut_some_in_two_and_leave_the_others(rng):
    xy, _ = blobs(rng)
    few, more = clusters_of(xy, clusters=3), clusters_of(xy, clusters=4)
    parts = {(int(one), int(other)) for one, other in zip(more, few, strict=True)}
    assert len(parts) == 4  # each of the four lies in one of the three


def test_equal_points_are_one_cluster_and_a_seed_repeats(rng):
    assert set(clusters_of(np.ones((9, 2), dtype=np.float32), clusters=4).tolist()) == {0}
    xy = rng.normal(size=(900, 2)).astype(np.float32)
    assert (clusters_of(xy, clusters=7) == clusters_of(xy, clusters=7)).all()


def test_words_are_those_of_the_equation():
    texts = ["sort list list", "sort array", "socket port", "socket host list"]
    classes = np.array([0, 0, 1, 1])
    counts = {
        0: {"sort": 2, "list": 2, "array": 1},
        1: {"socket": 2, "port": 1, "host": 1, "list": 1},
    }
    totals = {one: sum(some.values()) for one, some in counts.items()}
    mean = sum(totals.values()) / 2
    frequency = {}
    for some in counts.values():
        for word, count in some.items():
            frequency[word] = frequency.get(word, 0) + count
    expected = [
        sorted(
            counts[one],
            key=lambda word: (
                -counts[one][word] / totals[one] * np.log(1 + mean / frequency[word]),
                word,
            ),
        )
        for one in (0, 1)
    ]
    found = class_words(texts, classes, words=5, stop_words=None)
    assert [list(one) for one in found] == expected


def test_a_class_without_words_is_named_by_its_number():
    found = class_words(["the of", "12 !!", "socket"], np.array([0, 1, 2]))
    assert found == ((), (), ("socket",))
    assert class_words(["", "1"], np.array([0, 1])) == ((), ())
    made = ClusterLabels(
        numbers=np.array([0, 1]), words=((), ("socket",)), centres=np.zeros((2, 2)),
        sizes=np.array([1, 1]),
    )  # fmt: skip
    assert made.names == ["cluster 0", "socket"]
    assert made.frame()["words"].tolist() == made.names


def test_clusters_are_named_by_their_own_texts(rng):
    xy, group = blobs(rng)
    own = np.array(["sort a list", "open a socket", "parse json"], dtype=object)
    made = cluster_labels(xy, own[group].tolist(), clusters=3, words=2)
    assert [set(name.split(", ")) for name in made.names] == [
        {"sort", "list"}, {"open", "socket"}, {"parse", "json"},
    ]  # fmt: skip
    assert made.sizes.tolist() == [300, 200, 100]
    for one in range(3):  # a centre is a point of its cluster
        assert (made.numbers[(xy == made.centres[one]).all(axis=1)] == one).all()


def test_few_texts_of_a_large_cluster_are_read(rng, monkeypatch):
    monkeypatch.setattr("workbench.widgets.cluster_labels.TEXTS", 30)
    xy, group = blobs(rng)
    read = []

    class Texts(list):
        def __getitem__(self, at):
            read.append(at)
            return super().__getitem__(at)

    cluster_labels(xy, Texts(["sort"] * len(xy)), clusters=3)
    counts = np.bincount(group[read])  # the type checker of tests draws one or two as well
    assert counts.min() == 10
    assert counts.sum() < 35


def test_markup_and_foreign_letters_do_not_come_through():
    (found,) = class_words(["<script>alert(1)</script> שלום naïve"] * 3, np.zeros(3, dtype=int))
    assert not any(set("<>()/&") & set(word) for word in found)


def test_labels_do_not_touch(rng):
    centres = rng.uniform(size=(40, 2))
    names = ["x" * int(size) for size in rng.integers(5, 30, 40)]
    found = placed(centres, names, extent=(0, 1, 0, 1), size=(760, 520), letter=(6.5, 16))
    assert 10 < len(found) < 40
    assert found[0][0] == 0  # the largest cluster's goes first
    boxes = [(x * 760, y * 520, len(names[at]) * 6.5) for at, x, y in found]
    for (x, y, wide), (other_x, other_y, other) in itertools.combinations(boxes, 2):
        assert abs(x - other_x) >= (wide + other) / 2 - 1e-6 or abs(y - other_y) >= 16 - 1e-6
    for x, y, wide in boxes:
        assert wide / 2 - 1e-6 <= x <= 760 - wide / 2 + 1e-6
        assert 0 <= y <= 520


@pytest.mark.parametrize(
    ("xy", "options", "match"),
    [
        (np.zeros((3, 3)), {}, r"`xy` is \(3, 3\), but it must be \(n, 2\)"),
        (np.zeros((0, 2)), {}, r"it must be \(n, 2\), n >= 1"),
        (np.zeros((3, 2)), {"clusters": 0}, "`clusters` is 0"),
        (np.zeros((3, 2)), {"clusters": 300}, "`clusters` is 300, but it must be <= 256"),
        (np.zeros((3, 2)), {"seed": -1}, "`seed` is -1"),
    ],
)
def test_wrong_options_of_clusters_are_refused(xy, options, match):
    with pytest.raises(BadArgument, match=match):
        clusters_of(xy.astype(np.float32), **options)


def test_wrong_texts_and_numbers_are_refused():
    xy = np.zeros((3, 2), dtype=np.float32)
    with pytest.raises(BadArgument, match="`texts` is 2, but there must be one per point, 3"):
        cluster_labels(xy, ["a", "b"])
    with pytest.raises(BadArgument, match="`words` is 0"):
        cluster_labels(xy, ["a", "b", "c"], words=0)
    with pytest.raises(BadArgument, match="`texts` is 1, but it must be 2"):
        class_words(["a"], np.array([0, 1]))
    with pytest.raises(BadData, match="a coordinate is not finite"):
        clusters_of(np.full((3, 2), np.nan, dtype=np.float32))
