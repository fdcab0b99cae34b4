"""Sources, topics, classes and bands: what stands together, counted from the definition."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.errors import BadArgument, BadData
from workbench.sample import Curriculum, Homogeneous, PerClass, Shuffled, Topics, hardness_bands
from workbench.sample.deal import most_batches
from workbench.sample.grouped import meet


def gold(shared, file, start, key="case"):
    cases = json.loads((shared / "gold" / file).read_text())
    (case,) = [case for case in cases if case.get(key, "").startswith(start)]
    return case


def rows_of(sizes):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return np.stack([np.arange(len(labels)), np.arange(len(labels))], axis=1), labels


def counts_by(labels, batches):
    return np.bincount([labels[rows[0]] for rows in batches], minlength=int(labels.max()) + 1)


# -- homogeneous -----------------------------------------------------------------------------


@pytest.mark.shared
def test_the_gold_batches_per_task(shared):
    case = gold(shared, "retrieval.json", "homogeneous batches")
    sizes, expected = case["inputs"]["sizes"], case["expected"]
    names = np.repeat(list(sizes), list(sizes.values()))
    pairs, _ = rows_of(list(sizes.values()))
    sampler = Homogeneous(pairs, names, batch_size=8, drop_last=True)
    # The released sampler says len 25 here and yields 23.
    assert len(sampler) == sum(expected["batches_per_task"].values())
    found = [names[batch.rows] for batch in sampler]
    assert all(len(set(tasks)) == 1 for tasks in found)
    of = [str(tasks[0]) for tasks in found]
    assert {name: of.count(name) for name in sizes} == expected["batches_per_task"]
    left = names[sampler.left_out].tolist()
    assert {name: left.count(name) for name in sizes} == expected["dropped"]
    assert of != sorted(of)


def test_short_batches_are_of_one_source_too():
    pairs, labels = rows_of([10, 3, 1])
    sampler = Homogeneous(pairs, labels, batch_size=4)
    assert sorted(len(batch) for batch in sampler) == [1, 2, 3, 4, 4]
    assert {batch.report["purity"] for batch in sampler} == {1.0}
    assert len(sampler.left_out) == 0


def test_weights_are_met_and_the_scarcest_source_ends_the_epoch():
    pairs, labels = rows_of([320, 80, 160])
    weights = {0: 1.0, 1: 1.0, 2: 2.0}
    sampler = Homogeneous(pairs, labels, batch_size=8, weights=weights, drop_last=True)
    assert counts_by(labels, sampler.plan().batches).tolist() == [10, 10, 20]
    assert len(sampler.left_out) == 240
    assert sampler.plan(0).left_out.tolist() != sampler.plan(1).left_out.tolist()
    none = Homogeneous(pairs, labels, batch_size=8, weights={0: 1, 1: 0, 2: 1}, drop_last=True)
    assert counts_by(labels, none.plan().batches).tolist() == [20, 0, 20]
    flat = Homogeneous(pairs, labels, batch_size=8, weights=1e6, drop_last=True)
    assert counts_by(labels, flat.plan().batches).tolist() == [10, 10, 10]
    root = Homogeneous(pairs, labels, batch_size=8, weights=2.0, drop_last=True)
    # Shares by the square root of the rows: 1, 1/2, 1/sqrt 2 of the largest.
    assert counts_by(labels, root.plan().batches).tolist() == [20, 10, 14]


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("kind", [Homogeneous, Topics])
def test_all_processes_of_a_step_get_one_source_and_different_rows(kind, drop_last):
    pairs, labels = rows_of([103, 50, 47, 5])
    sampler = kind(pairs, labels, batch_size=8, processes=4, drop_last=drop_last)
    full = sum(size // 32 for size in (103, 50, 47, 5))
    for epoch in range(3):
        batches = sampler.plan(epoch).batches
        # Training hands batch i of a step to process i: steps begin at multiples of 4.
        assert len(batches) % 4 == 0
        steps = [np.concatenate(batches[at : at + 4]) for at in range(0, len(batches), 4)]
        pure = [len(set(labels[rows].tolist())) == 1 for rows in steps]
        assert sum(one for one, rows in zip(pure, steps, strict=True) if len(rows) == 32) >= full
        shown = np.concatenate(steps)
        assert len(set(shown.tolist())) == len(shown)
        if kind is Homogeneous:
            assert all(pure)
            assert len(steps) == (full if drop_last else full + 4)


def test_homogeneous_refuses_mistakes():
    pairs, labels = rows_of([4, 4])
    with pytest.raises(BadArgument, match=r"`sources` is \(3,\), but it must be \(8,\), one per"):
        Homogeneous(pairs, labels[:3], batch_size=2)
    with pytest.raises(BadArgument, match=r"`sources` is -1, but a label must be >= 0"):
        Homogeneous(pairs, labels - 1, batch_size=2)
    with pytest.raises(BadArgument, match="words or whole numbers, none missing"):
        Homogeneous(pairs, [*"abcdefg", None], batch_size=2)
    with pytest.raises(BadArgument, match="words or whole numbers, none missing"):
        Homogeneous(pairs, labels + 0.5, batch_size=2)
    with pytest.raises(BadArgument, match=r"it must name the sources \[0, 1\]"):
        Homogeneous(pairs, labels, batch_size=2, weights={0: 1.0})
    with pytest.raises(BadArgument, match=r"`weights` is -1.0, but it must be >= 0"):
        Homogeneous(pairs, labels, batch_size=2, weights={0: 1.0, 1: -1.0})
    with pytest.raises(BadArgument, match="one must be > 0"):
        Homogeneous(pairs, labels, batch_size=2, weights={0: 0.0, 1: 0.0})
    with pytest.raises(BadArgument, match=r"`weights` is 0, but it must be > 0"):
        Homogeneous(pairs, labels, batch_size=2, weights=0)
    with pytest.raises(BadArgument, match=r"`processes` is 0"):
        Homogeneous(pairs, labels, batch_size=2, processes=0)


# -- topics ----------------------------------------------------------------------------------


def test_every_batch_is_one_topic_when_a_cluster_holds_a_batch():
    # The dossier's world: 40 clusters of 100 queries, batches of 32.
    pairs, labels = rows_of([100] * 40)
    sampler = Topics(pairs, labels, batch_size=32, drop_last=True)
    assert len(sampler) == 120
    assert all(batch.report["purity"] == 1.0 for batch in sampler)
    whole = Topics(pairs, labels, batch_size=32)
    pure = [batch.report["purity"] == 1.0 for batch in whole]
    assert sum(pure) == 120
    assert len(pure) == 125
    assert len(whole.left_out) == 0
    four = Topics(pairs, labels, batch_size=32, clusters_per_batch=4, drop_last=True)
    purity = four.summary(most=1000)["purity"].iloc[0]
    assert purity == pytest.approx(4 * 8 * 7 / (32 * 31))
    small = Topics(pairs, labels, batch_size=256)
    assert 0.3 < small.summary()["purity"].iloc[0] < 0.4  # the dossier has .373


def test_small_clusters_are_filled_up_and_no_query_comes_twice():
    # Clusters of 20 and 12 queries, batches of 32: the released loader may draw one of them twice.
    pairs, labels = rows_of([20, 12])
    for seed in range(5):
        (batch,) = Topics(pairs, labels, batch_size=32, seed=seed, drop_last=True)
        assert np.bincount(labels[batch.rows]).tolist() == [20, 12]


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.integers(0, 11), min_size=6, max_size=60),
    st.integers(1, 4),
    st.integers(1, 2),
    st.booleans(),
)
def test_no_query_stands_twice_in_a_batch(queries, half, several, drop_last):
    queries = np.array(queries)
    pairs = np.stack([queries, np.arange(len(queries))], axis=1)
    sampler = Topics(
        pairs,
        np.arange(12) % 3,
        batch_size=2 * half,
        clusters_per_batch=several,
        drop_last=drop_last,
    )
    try:
        batches = list(sampler)
    except BadData:
        assert drop_last
        return
    for batch in batches:
        assert len(set(batch.queries.tolist())) == len(batch)
    if not drop_last:
        assert len(sampler.left_out) == 0


@pytest.mark.parametrize("several", [1, 2])
def test_no_two_queries_that_say_the_same_stand_in_a_batch_when_it_is_known(several, graph):
    rng = np.random.default_rng(0)
    pairs = np.stack([np.arange(60), np.arange(60)], axis=1)
    groups = rng.integers(0, 30, 60)
    topic = groups % 2
    options = {"batch_size": 4, "clusters_per_batch": several}
    known = graph(pairs, query_groups=groups)
    with_graph = Topics(pairs, topic, known=known, **options)
    for batch in with_graph:
        assert batch.report["duplicate_queries"] == 0
        assert len(set(groups[batch.queries].tolist())) == len(batch)
    assert len(with_graph.left_out) == 0
    alone = Topics(pairs, topic, known=graph(pairs), **options)
    unsaid = Topics(pairs, topic, **options)
    assert [rows.tolist() for rows in alone.plan().batches] == [
        rows.tolist() for rows in unsaid.plan().batches
    ]


def test_vectors_are_given_alike_everywhere():
    vectors = np.random.default_rng(0).standard_normal((8, 4)).astype(np.float32)
    pairs, _ = rows_of([8])
    plans = [
        Topics(pairs, 2, batch_size=4, **how).plan().batches
        for how in ({"vectors": vectors}, {"vectors": (vectors, vectors)})
    ]
    plans.append(Topics(pairs, 2, vectors, batch_size=4).plan().batches)
    said = [[rows.tolist() for rows in plan] for plan in plans]
    assert said[0] == said[1] == said[2]


def test_samplers_are_compared_by_the_same_labels():
    pairs, labels = rows_of([40, 40])
    names = np.array(["dogs", "cats"], dtype=object)[labels]
    shuffled, topics = (
        make.summary(labels=names)["purity"].iloc[0]
        for make in (Shuffled(pairs, batch_size=8), Topics(pairs, labels, batch_size=8))
    )
    assert topics == 1
    assert 0.4 < shuffled < 0.6
    frame = Shuffled(pairs, batch_size=8).preview(most=3, labels=labels)
    batch = Shuffled(pairs, batch_size=8).batch(0)
    same = labels[batch.rows][:, None] == labels[batch.rows][None, :]
    assert frame["purity"].iloc[0] == pytest.approx((same.sum() - 8) / 56)
    other = Topics(pairs, labels, batch_size=8).preview(labels=np.arange(80))
    assert (other["purity"] == 0).all()
    assert "purity" not in Shuffled(pairs, batch_size=8).preview()
    with pytest.raises(BadArgument, match=r"`labels` is \(3,\), but it must be \(80,\), one per"):
        Shuffled(pairs, batch_size=8).preview(labels=labels[:3])


def test_a_source_without_a_batch_is_named_at_once():
    pairs, labels = rows_of([40, 3])
    names = np.array(["qa", "chat"], dtype=object)[labels]
    for weights in (2.0, {"qa": 1.0, "chat": 1.0}):
        with pytest.raises(BadData, match="'chat' has 3 rows, and its first batches take 8"):
            Homogeneous(pairs, names, batch_size=4, processes=2, weights=weights, drop_last=True)
    with pytest.raises(BadData, match="'chat' has 3 rows, and its first batches take 4"):
        Homogeneous(pairs, names, batch_size=1, processes=4, weights=2.0)
    weights = {"qa": 1.0, "chat": 0.0}
    assert len(Homogeneous(pairs, names, batch_size=4, weights=weights, drop_last=True)) == 10
    assert len(Homogeneous(pairs, names, batch_size=4, drop_last=True)) == 10
    assert len(Homogeneous(pairs, names, batch_size=4, weights=2.0)) > 0
    with pytest.raises(BadData, match="sources has 2 problems"):
        Homogeneous(pairs, names, batch_size=64, drop_last=True)


def test_too_few_classes_for_a_full_batch_are_said_at_once():
    pairs, labels = rows_of([9, 4, 3])
    with pytest.raises(BadData, match="takes 3 classes of 4 rows or more, and there are 2"):
        PerClass(pairs, labels, batch_size=12, per_class=4, drop_last=True)
    assert len(PerClass(pairs, labels, batch_size=8, per_class=4, drop_last=True)) == 1
    assert len(PerClass(pairs, labels, batch_size=12, per_class=4)) > 0


@pytest.mark.parametrize(
    ("mixed", "held"), [(False, "the largest open band holds 4"), (True, "the open bands hold 4")]
)
def test_an_epoch_of_fewer_rows_than_a_batch_is_said_at_once(mixed, held):
    pairs, _ = rows_of([16])
    hardness = np.repeat([0, 1, 2], [6, 6, 4])
    options = {"batch_size": 6, "bands": [0.5, 1.5], "mixed": mixed}
    late = {0: [0], 3: [2]}
    with pytest.raises(BadArgument, match=f"`batch_size` is 6, but from epoch 3 on {held} rows"):
        Curriculum(pairs, hardness, schedule=late, drop_last=True, **options)
    assert len(Curriculum(pairs, hardness, schedule=late, **options).plan(3).batches) == 1
    enough = Curriculum(pairs, hardness, drop_last=True, **options)
    assert [len(enough.plan(epoch).batches) for epoch in range(3)] == [1, 2, 2]
    as_range = Curriculum(pairs, hardness, schedule={0: range(2)}, **options)
    assert as_range.open_bands(0) == [0, 1]


def test_clusters_can_be_made_of_vectors():
    rng = np.random.default_rng(0)
    centres = np.eye(4, dtype=np.float32)
    vectors = np.repeat(centres, 25, axis=0) + 0.05 * rng.standard_normal((100, 4))
    pairs = np.stack([np.arange(100), np.arange(100)], axis=1)
    sampler = Topics(pairs, 4, vectors=vectors.astype(np.float32), batch_size=25)
    found = sorted({tuple(np.unique(batch.rows // 25)) for batch in sampler})
    assert found == [(0,), (1,), (2,), (3,)]


def test_topics_refuse_mistakes():
    pairs, labels = rows_of([4, 4])
    with pytest.raises(BadArgument, match=r"`clusters_per_batch` is 3, but it must divide"):
        Topics(pairs, labels, batch_size=4, clusters_per_batch=3)
    with pytest.raises(BadArgument, match=r"`clusters` is \(7,\), but it must be \(>= 8,\), one"):
        Topics(pairs, labels[:7], batch_size=4)
    with pytest.raises(BadArgument, match="vectors are given with a number of clusters"):
        Topics(pairs, 3, batch_size=4)
    with pytest.raises(BadArgument, match="vectors are given with a number of clusters"):
        Topics(pairs, labels, vectors=np.eye(8, dtype=np.float32), batch_size=4)
    vectors = np.eye(8, dtype=np.float32)
    vectors[5] = np.nan
    with pytest.raises(BadData, match=r"query vectors has 1 problem:\n  row 5 holds NaN"):
        Topics(pairs, 3, vectors=vectors, batch_size=4)


# -- per class -------------------------------------------------------------------------------


def test_a_batch_holds_m_rows_of_each_of_its_classes():
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat(np.arange(10), 30))
    pairs, _ = rows_of([300])
    sampler = PerClass(pairs, labels, batch_size=20, per_class=5)
    assert len(sampler) == 15
    for batch in sampler:
        assert sorted(np.bincount(labels[batch.rows], minlength=10)) == [0] * 6 + [5] * 4
    assert len(sampler.left_out) == 0


def test_small_classes_give_all_they_have_and_lone_rows_wait():
    labels = np.repeat(np.arange(5), [8, 8, 3, 2, 1])
    pairs, _ = rows_of([22])
    sampler = PerClass(pairs, labels, batch_size=8, per_class=4)
    shown = np.concatenate([batch.rows for batch in sampler])
    assert np.bincount(labels[shown], minlength=5).tolist() == [8, 8, 3, 2, 0]
    for batch in sampler:
        counts = np.bincount(labels[batch.rows], minlength=5)
        assert (counts > 0).sum() >= 2
        assert set(counts.tolist()) <= {0, 2, 3, 4}
    full = PerClass(pairs, labels, batch_size=8, per_class=4, drop_last=True)
    assert len(full) == 2
    assert np.isin(labels[full.left_out], [2, 3, 4]).all()


def test_one_class_alone_never_fills_a_batch():
    labels = np.repeat([0, 1], [40, 4])
    pairs, _ = rows_of([44])
    sampler = PerClass(pairs, labels, batch_size=8, per_class=4)
    assert len(sampler) == 1
    assert len(sampler.left_out) == 36


@pytest.mark.slow
@given(st.lists(st.integers(0, 5), min_size=1, max_size=40), st.integers(1, 4), st.integers(0, 3))
def test_pieces_of_different_groups_meet_in_as_many_batches_as_there_can_be(groups, count, seed):
    groups = np.array(groups)
    batches, left = meet(groups, count, rng=np.random.default_rng(seed))
    assert len(batches) == most_batches(np.bincount(groups), count)
    assert all(len(set(groups[batch].tolist())) == count for batch in batches)
    assert sorted([*batches.ravel().tolist(), *left.tolist()]) == list(range(len(groups)))


def test_per_class_refuses_mistakes():
    pairs, labels = rows_of([4, 4])
    with pytest.raises(BadArgument, match=r"`per_class` is 1, but it must be a whole number >= 2"):
        PerClass(pairs, labels, batch_size=4, per_class=1)
    with pytest.raises(BadArgument, match=r"`batch_size` is 6, but it must be a multiple of per"):
        PerClass(pairs, labels, batch_size=6, per_class=4)
    with pytest.raises(BadArgument, match=r"`batch_size` is 4, but .* at least twice it"):
        PerClass(pairs, labels, batch_size=4, per_class=4)
    with pytest.raises(BadArgument, match=r"`classes` is \(9,\)"):
        PerClass(pairs, np.zeros(9, dtype=int), batch_size=4, per_class=2)
    with pytest.raises(BadData, match="fewer than two classes have two rows"):
        PerClass(pairs, np.array([0, 0, 0, 0, 0, 0, 0, 1]), batch_size=4, per_class=2)


# -- curriculum ------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_gold_stages(shared):
    case = gold(shared, "llm.json", "mmtg.curriculum", key="method")
    ratings = np.array(case["inputs"]["ratings"])
    pairs, _ = rows_of([len(ratings)])
    sampler = Curriculum(
        pairs,
        ratings,
        batch_size=2,
        bands=[1.5, 2.5, 3.5, 4.5],
        schedule={0: [0, 4], 1: [0, 1, 3, 4], 3: [0, 1, 2, 3, 4]},
    )
    for stage, epochs in ((1, [0]), (2, [1, 2]), (3, [3, 4, 9])):
        expected = sorted(case["expected"]["stage_indices"][str(stage)])
        for epoch in epochs:
            plan = sampler.plan(epoch)
            assert sorted(np.concatenate(plan.batches).tolist()) == expected
            assert len(plan.left_out) == len(ratings) - len(expected)


def test_bands_open_one_by_one_and_a_batch_is_of_one_band():
    rng = np.random.default_rng(3)
    hardness = rng.random(300)
    pairs, _ = rows_of([300])
    sampler = Curriculum(pairs, hardness, batch_size=10, bands=3, every=2)
    highest = [max(hardness[rows].max() for rows in sampler.plan(e).batches) for e in range(6)]
    edges = np.sort(hardness)[[99, 199, 299]]
    assert highest == [edges[0], edges[0], edges[1], edges[1], edges[2], edges[2]]
    sampler.set_epoch(5)
    assert {batch.report["purity"] for batch in sampler} == {1.0}
    mixed = Curriculum(pairs, hardness, batch_size=10, bands=3, mixed=True)
    mixed.set_epoch(2)
    assert mixed.preview(epoch=2)["purity"].mean() < 0.5
    back = Curriculum(pairs, hardness, batch_size=10, bands=3, schedule="hard_to_easy")
    assert back.open_bands(0) == [2]
    assert back.open_bands(1) == [1, 2]
    assert min(hardness[rows].min() for rows in back.plan(0).batches) > edges[1]


def test_ties_stay_in_one_band():
    assert hardness_bands(np.array([3, 1, 1, 2, 1, 1]), 2).tolist() == [1, 0, 0, 1, 0, 0]
    with pytest.raises(BadArgument, match="no row falls into band"):
        hardness_bands(np.array([1, 1, 1, 1]), 2)


def test_curriculum_refuses_mistakes():
    pairs, _ = rows_of([6])
    hardness = np.arange(6.0)
    with pytest.raises(BadArgument, match=r"`hardness` is \(5,\), but it must be \(6,\)"):
        Curriculum(pairs, hardness[:5], batch_size=2, bands=2)
    with pytest.raises(BadData, match="row 2 holds NaN or infinity"):
        Curriculum(pairs, np.where(hardness == 2, np.nan, hardness), batch_size=2, bands=2)
    with pytest.raises(BadArgument, match=r"it must be \(row,\)"):
        hardness_bands(np.zeros((2, 2)), 2)
    with pytest.raises(BadArgument, match="edges must be finite and rise"):
        Curriculum(pairs, hardness, batch_size=2, bands=[3.0, 1.0])
    with pytest.raises(BadArgument, match=r"`bands` is 0"):
        Curriculum(pairs, hardness, batch_size=2, bands=0)
    with pytest.raises(BadArgument, match=r"`schedule` is 'easy', but it must be one of easy_to"):
        Curriculum(pairs, hardness, batch_size=2, bands=2, schedule="easy")
    with pytest.raises(BadArgument, match="which bands are open in epoch 0"):
        Curriculum(pairs, hardness, batch_size=2, bands=2, schedule={1: [0]})
    with pytest.raises(BadArgument, match=r"an epoch must open some of the bands 0\.\.1"):
        Curriculum(pairs, hardness, batch_size=2, bands=2, schedule={0: [0, 2]})
    with pytest.raises(BadArgument, match=r"`every` is 0"):
        Curriculum(pairs, hardness, batch_size=2, bands=2, every=0)
