"""The dealing of cliques is optimal: against exhaustive search."""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workbench.sample.conflict_free import conflict_free
from workbench.sample.conflicts import Conflicts
from workbench.sample.deal import deal_cliques, most_batches


@cache
def _best(counts, size):
    """(full batches, rows in short batches of two or more) reachable at best, by trying all."""
    alive = [place for place, count in enumerate(counts) if count]
    best = (0, 0)
    for many in range(2, min(size, len(alive)) + 1):
        for batch in combinations(alive, many):
            rest = tuple(sorted(c - (place in batch) for place, c in enumerate(counts)))
            full, rows = _best(rest, size)
            here = (full + 1, rows) if many == size else (full, rows + many)
            best = max(best, here)
    return best


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 5))
def test_as_many_full_batches_as_possible_and_then_as_few_rows_left_out(counts, size, seed):
    # First full batches, then rows in short ones: what is left is the least possible.
    full, rows = _best(tuple(sorted(counts)), size)
    cliques = np.repeat(np.arange(len(counts)), counts)
    conflicts = Conflicts(query=cliques, doc=cliques, clique=cliques, answers={}, asked={})
    plan = conflict_free(
        conflicts,
        batch_size=size,
        min_batch_size=2,
        drop_last=False,
        rng=np.random.default_rng(seed),
    )
    assert sum(len(batch) == size for batch in plan.batches) == full
    assert len(plan.left_out) == len(cliques) - full * size - rows
    for batch in plan.batches:
        assert len(set(cliques[batch].tolist())) == len(batch)


@given(st.lists(st.integers(1, 30), min_size=1, max_size=12), st.integers(1, 8))
def test_most_batches_is_the_largest_that_the_bound_admits(counts, size):
    counts = np.array(counts)
    tried = range(int(counts.sum()) // size + 1)
    expected = max(f for f in tried if np.minimum(counts, f).sum() >= f * size)
    assert most_batches(counts, size) == expected


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 6), min_size=0, max_size=40),
    st.lists(st.integers(0, 5), min_size=1, max_size=8),
    st.integers(0, 3),
)
def test_uneven_room_is_never_overfilled_nor_a_clique_met_twice(cliques, room, seed):
    cliques, room = np.array(cliques, dtype=np.int64), np.array(room, dtype=np.int64)
    where = deal_cliques(cliques, room, rng=np.random.default_rng(seed))
    placed = where >= 0
    assert (np.bincount(where[placed], minlength=len(room)) <= room).all()
    cells = set(zip(where[placed].tolist(), cliques[placed].tolist(), strict=True))
    assert len(cells) == placed.sum()
    if (room == room.max()).all():
        counts = np.bincount(cliques)
        assert placed.sum() == min(np.minimum(counts, len(room)).sum(), room.sum())


def test_twins_become_one_clique_and_only_the_rest_is_tangled(worlds, graph):
    def tangled(name, rows):
        pairs = worlds[name](rows)
        return Conflicts.of(pairs, graph(pairs)).clique

    assert (tangled("unique", 100) >= 0).all()
    assert len(np.unique(tangled("intents", 900))) == 5
    assert np.bincount(tangled("popular", 1000)).max() == 300
    assert (tangled("topical", 400) < 0).any()
