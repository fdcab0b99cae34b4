"""What every registered sampler promises, whatever it groups by."""

from __future__ import annotations

import json

import numpy as np
import pytest

from workbench import registry
from workbench.errors import BadArgument, BadData
from workbench.sample import nearby
from workbench.types import LossStore

ROWS = 803
QUERIES = 400


PLAIN = ("shuffled", "conflict_free", "neighbours", "hard_replay")
"""Those that know no kinds of rows."""


def unit(rows):
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def table():
    """Two rows of most queries, documents shared by some, rows in no order."""
    rng = np.random.default_rng(4)
    queries = np.concatenate([np.arange(QUERIES), np.arange(QUERIES), [7, 8, 9]])
    docs = rng.integers(0, 500, ROWS)
    return rng.permutation(np.stack([queries, docs], axis=1))


PAIRS = table()
VECTORS = unit(np.random.default_rng(5).standard_normal((QUERIES, 12)))
DOC_VECTORS = unit(np.random.default_rng(6).standard_normal((500, 12)))
LABELS = np.random.default_rng(7).integers(0, 9, ROWS)


def build(name, graph, *, pairs=PAIRS, **options):
    """One of every sampler; a new one on the shelf has to be named here."""
    make = registry.get("sampler", name)
    rows = max(len(pairs), 1)
    options = {"batch_size": 16} | options
    own = {
        "clusters": lambda: make(pairs, VECTORS, cluster_size=8, **options),
        "conflict_free": lambda: make(pairs, known=graph(PAIRS), **options),
        "curriculum": lambda: make(pairs, np.arange(rows) % 7, bands=3, **options),
        "hard_replay": lambda: _replay(make, pairs, options),
        "homogeneous": lambda: make(pairs, LABELS[:rows], **options),
        "neighbours": lambda: make(
            pairs, nearby(np.arange(rows)[:, None] % 97, k=6), select=4, pool=6, **options
        ),
        "per_class": lambda: make(pairs, LABELS[:rows], per_class=4, **options),
        "shuffled": lambda: make(pairs, **options),
        "topics": lambda: make(pairs, np.arange(QUERIES) % 6, **options),
    }
    return own[name]()


def _replay(make, pairs, options):
    from workbench.sample import Shuffled

    store = LossStore.empty(max(len(pairs), 1))
    for epoch in range(4):
        losses = np.random.default_rng([epoch, 11]).random(len(pairs))
        store.record(np.arange(len(pairs)), losses, epoch=epoch)
    return make(Shuffled(pairs, **options), store, delta=0.5)


every_sampler = pytest.mark.parametrize("name", registry.names("sampler"))


@every_sampler
@pytest.mark.parametrize("drop_last", [False, True])
def test_each_row_at_most_once_and_the_length_is_what_iterating_gives(name, graph, drop_last):
    sampler = build(name, graph, drop_last=drop_last, batch_size=32)
    for epoch in range(4):
        sampler.set_epoch(epoch)
        batches = list(sampler)
        assert len(batches) == len(sampler) > 0
        shown = np.concatenate([batch.rows for batch in batches])
        everything = np.sort(np.concatenate([shown, sampler.left_out]))
        np.testing.assert_array_equal(everything, np.arange(ROWS))
        assert all(0 < len(batch) <= 32 for batch in batches)
        if drop_last:
            assert {len(batch) for batch in batches} == {32}
        for batch in batches:
            np.testing.assert_array_equal(batch.queries, PAIRS[batch.rows, 0])
            np.testing.assert_array_equal(batch.docs, PAIRS[batch.rows, 1])
            assert batch.report["left_out"] == len(sampler.left_out)


@pytest.mark.slow
@every_sampler
def test_resuming_at_every_position_gives_the_rest_of_the_straight_run(name, graph):
    whole = build(name, graph, seed=3, batch_size=48)
    whole.refresh(VECTORS, DOC_VECTORS)
    whole.set_epoch(2)
    expected = [batch.fingerprint for batch in whole]
    cut = build(name, graph, seed=3, batch_size=48)
    cut.refresh(VECTORS, DOC_VECTORS)
    cut.set_epoch(2)
    states = [json.loads(json.dumps(cut.state()))]
    states += [json.loads(json.dumps(cut.state())) for _ in cut]
    assert [state["position"] for state in states] == list(range(len(expected) + 1))
    arrays = cut.arrays()
    fresh = build(name, graph, seed=3, batch_size=48)
    fresh.load_arrays(arrays)
    for done, state in enumerate(states):
        fresh.load_state(state)
        assert [batch.fingerprint for batch in fresh] == expected[done:]


@every_sampler
def test_seed_and_epoch_decide_and_nothing_that_was_done_before(name, graph):
    one, other = build(name, graph, seed=5), build(name, graph, seed=5)
    other.preview(epoch=3, most=3)
    list(other)
    for epoch in (1, 0):
        ours = [rows.tolist() for rows in one.plan(epoch).batches]
        assert ours == [rows.tolist() for rows in other.plan(epoch).batches]
    assert one.fingerprint == other.fingerprint
    elsewhere = build(name, graph, seed=6)
    assert elsewhere.fingerprint != one.fingerprint
    orders = [
        [rows.tolist() for rows in sampler.plan(epoch).batches]
        for sampler, epoch in ((one, 0), (one, 1), (elsewhere, 0))
    ]
    assert orders[0] != orders[1]
    assert orders[0] != orders[2]


@every_sampler
@pytest.mark.parametrize("workers", [0, 2])
def test_a_torch_loader_takes_it(name, graph, workers):
    from torch.utils.data import DataLoader

    sampler = build(name, graph, batch_size=64)
    loader = DataLoader(Rows(), batch_sampler=sampler, collate_fn=_same, num_workers=workers)
    assert len(loader) == len(sampler)
    expected = [batch.fingerprint for batch in sampler]
    assert [batch.fingerprint for batch in loader] == expected


class Rows:
    def __getitems__(self, batch):
        return batch


def _same(batch):
    return batch


@every_sampler
def test_a_refresh_shows_in_the_next_epoch_and_the_one_begun_stays(name, graph):
    sampler = build(name, graph)
    begun = iter(sampler)
    first = next(begun)
    before = [rows.tolist() for rows in sampler.plan(0).batches]
    rng = np.random.default_rng(8)
    fresh = unit(rng.standard_normal((QUERIES, 12))), unit(rng.standard_normal((500, 12)))
    assert sampler.refresh(*fresh) == 1
    rest = [batch.rows.tolist() for batch in begun]
    assert [first.rows.tolist(), *rest] == before
    assert [rows.tolist() for rows in sampler.plan(0).batches] == before
    assert sampler.batch(3, epoch=0).rows.tolist() == before[3]
    after = [rows.tolist() for rows in sampler.plan(1).batches]
    other = build(name, graph)
    groups = name in ("clusters", "neighbours")
    assert (after != [rows.tolist() for rows in other.plan(1).batches]) == groups
    assert bool({"grouping.1"} & set(sampler.arrays())) == groups
    other.refresh(*fresh, epoch=1)  # not one epoch late
    assert after == [rows.tolist() for rows in other.plan(1).batches]
    assert sampler.fingerprint == build(name, graph).fingerprint


@every_sampler
def test_renewed_negatives_come_at_once_and_rows_stay(name, graph, candidates):
    rng = np.random.default_rng(9)

    def of(seed):
        docs = np.random.default_rng(seed).permuted(np.tile(np.arange(500), (QUERIES, 1)), axis=1)
        return candidates(docs[:, :6], corpus=500)

    # In ConflictFree most candidates give way to others.
    sampler = build(name, graph, negatives=of(0), num_negatives=2)
    rows = [some.tolist() for some in sampler.plan().batches]
    made, old = sampler.fingerprint, sampler.batch(0).negatives
    renewed = of(1)
    sampler.renew(renewed)
    assert sampler.fingerprint == made
    assert [some.tolist() for some in sampler.plan().batches] == rows
    batch = sampler.batch(0)
    assert not np.array_equal(batch.negatives, old)
    for query, own in zip(batch.queries, batch.negatives, strict=True):
        assert set(own.tolist()) - {-1} <= set(renewed.docs[query].tolist())
    state, arrays = json.loads(json.dumps(sampler.state())), sampler.arrays()
    fresh = build(name, graph, negatives=of(0), num_negatives=2)
    with pytest.raises(BadArgument, match="Call load_arrays with the arrays"):
        fresh.load_state(state)
    fresh.load_arrays(arrays)
    fresh.load_state(state)
    np.testing.assert_array_equal(fresh.batch(0).negatives, batch.negatives)
    with pytest.raises(BadArgument, match="must be 0 without `negatives`"):
        build(name, graph).renew(of(int(rng.integers(9))))


@every_sampler
def test_the_preview_changes_nothing_and_the_summary_agrees_with_it(name, graph):
    sampler = build(name, graph)
    before = sampler.state()
    frame = sampler.preview()
    assert len(frame) == len(sampler)
    assert frame["rows"].sum() == ROWS - len(sampler.left_out)
    line = sampler.summary(epochs=(0, 1)).iloc[0]
    assert line["batches"] == line["looked_at"] == len(frame)
    assert line["rows"] == frame["rows"].sum()
    assert line["duplicate_docs"] == pytest.approx(frame["duplicate_docs"].mean())
    assert sampler.state() == before
    assert ("purity" in frame) == (name not in PLAIN)


@every_sampler
def test_mistakes_are_refused_with_the_mend(name, graph):
    with pytest.raises(BadArgument, match="it must have at least one row"):
        build(name, graph, pairs=np.zeros((0, 2), dtype=np.int64))
    with pytest.raises(BadArgument, match="a query position must be >= 0"):
        build(name, graph, pairs=np.where(PAIRS == 9, -1, PAIRS))
    with pytest.raises(BadArgument, match=r"`batch_size` is 0, but"):
        build(name, graph, batch_size=0)
    with pytest.raises(TypeError, match="unexpected keyword argument 'batchsize'"):
        build(name, graph, batchsize=4)
    none = (
        "no batch of 4096 of the 803 rows|less than a batch|a full batch takes|batches take 4,096"
    )
    with pytest.raises((BadArgument, BadData), match=none):
        build(name, graph, batch_size=4096, drop_last=True).plan()
    sampler = build(name, graph)
    broken = VECTORS.copy()
    broken[17, 3] = np.nan
    with pytest.raises(
        BadData, match=r"query vectors has 1 problem:\n  row 17 holds NaN or infinity"
    ):
        sampler.refresh(broken)
    with pytest.raises(BadArgument, match=r"`queries` is \(9, 12\), but it must be"):
        sampler.refresh(VECTORS[:9])
    with pytest.raises(BadArgument, match="its width must be 12 as that of the queries"):
        sampler.refresh(VECTORS, DOC_VECTORS[:, :5])
    with pytest.raises(BadArgument, match="`other` must be what arrays"):
        sampler.load_arrays({"other": np.arange(ROWS)})
    with pytest.raises(BadArgument, match=r"`grouping\.1` must be what arrays"):
        sampler.load_arrays({"grouping.1": np.arange(5)})
    with pytest.raises(BadArgument, match="`negatives` and `bins` come together"):
        sampler.load_arrays({"bins": np.zeros((QUERIES, 2), dtype=np.int64)})
