"""Deal rows into batches so that no two of a batch conflict, in time near-linear in the rows."""

from __future__ import annotations

from collections import deque
from itertools import chain

import numpy as np

from workbench.sample.conflicts import Conflicts
from workbench.types import Ints

ATTEMPTS = 32
"""Batches tried for one tangled row before it waits for the next round."""


def most_batches(cliques: Ints, size: int) -> int:
    """The largest number of conflict-free batches of `size` rows that the cliques can fill.

    f batches can be filled exactly when sum_i min(c_i, f) >= f * size: a clique of c_i rows gives
    at most one row to each batch.

    Args:
        cliques: (clique,) rows of each.
        size: rows per batch.

    Example:
        >>> most_batches(np.array([6, 1, 1, 1]), 2)
        3
    """
    counts, times = np.unique(cliques, return_counts=True)
    low, high = 0, int(cliques.sum()) // size
    while low < high:
        middle = (low + high + 1) // 2
        if int((np.minimum(counts, middle) * times).sum()) >= middle * size:
            low = middle
        else:
            high = middle - 1
    return low


def deal_cliques(cliques: Ints, room: Ints, *, rng: np.random.Generator) -> Ints:
    """Give rows of disjoint cliques to batches, at most one of a clique to each.

    The rows, clique after clique in random order, go round the batches like cards, so the rows of
    a clique meet different batches as long as they are no more than the batches, and every batch
    gets its share of rare and popular cliques alike.

    Args:
        cliques: (row,) number of the clique.
        room: (batch,) rows each batch still takes.
        rng: source of the order.

    Returns:
        (row,) batch of each row, -1 where none was left.
    """
    where = np.full(len(cliques), -1, dtype=np.int64)
    widest = np.lexsort((rng.random(len(room)), -room))
    widths = [int((room > level).sum()) for level in range(int(room.max(initial=0)))]
    if not len(cliques) or not widths:
        return where
    slots = np.concatenate([widest[:width] for width in widths])
    counts = np.bincount(cliques)
    # Where the rounds get shorter a clique could meet a batch twice: single rows end the deal.
    singles = rng.permutation(np.flatnonzero(counts == 1))
    late = np.zeros(len(counts), dtype=np.bool_)
    late[singles[: sum(width for width in widths if width < widths[0])]] = True
    turn = np.argsort(np.lexsort((rng.random(len(counts)), late)))
    mixed = rng.permutation(len(cliques))
    order = mixed[np.argsort(turn[cliques[mixed]], kind="stable")]
    sizes = counts[cliques[order]]
    first = np.concatenate([[True], cliques[order][1:] != cliques[order][:-1]])
    place = np.arange(len(order)) - np.maximum.accumulate(np.where(first, np.arange(len(order)), 0))
    fits = np.flatnonzero(place < widths[0])
    surplus = len(fits) - len(slots)
    if surplus > 0:
        # What has to wait should differ: one row of a clique that leaves no other row behind.
        waiting = np.lexsort((rng.random(len(fits)), place[fits], sizes[fits] > widths[0]))
        fits = np.sort(fits[waiting[surplus:]])
    chosen = order[fits]
    where[chosen] = slots[: len(chosen)]
    if widths[-1] < widths[0]:
        keys = where[chosen] * len(counts) + cliques[chosen]
        twice = np.ones(len(chosen), dtype=np.bool_)
        twice[np.unique(keys, return_index=True)[1]] = False
        where[chosen[twice]] = -1
    return where


def deal_tangled(
    conflicts: Conflicts, rows: Ints, room: Ints, *, rng: np.random.Generator
) -> tuple[Ints, int]:
    """Give tangled rows to batches round by round, popular nodes first, checking each conflict.

    A batch that refuses a row is set aside until all rows of the same popular node are dealt, so
    that it is not asked again for each of them.

    Args:
        conflicts: of the whole table.
        rows: which rows to deal.
        room: (batch,) rows each batch takes.
        rng: source of the order.

    Returns:
        (row,) batch of each of `rows`, -1 where none would take it, and the batches asked.
    """
    hand = _Hand(conflicts, room, rng)
    where = np.full(len(rows), -1, dtype=np.int64)
    order, starts = _by_hub(conflicts, rows, batches=len(room), rng=rng)
    queries, docs = conflicts.query[rows].tolist(), conflicts.doc[rows].tolist()
    from tqdm.auto import tqdm

    bar = tqdm(total=len(rows), desc="batches", disable=None if len(rows) > 200_000 else True)
    for run in np.split(order, starts[1:]):
        for row in run.tolist():
            where[row] = hand.give(queries[row], docs[row])
        hand.next_hub()
        bar.update(len(run))
    bar.close()
    return where, hand.asked


def _by_hub(
    conflicts: Conflicts, rows: Ints, *, batches: int, rng: np.random.Generator
) -> tuple[Ints, Ints]:
    """Order of the rows by the busier of their two nodes, and where each node's run starts."""
    query, doc = conflicts.query[rows], conflicts.doc[rows]
    by_query, by_doc = np.bincount(query)[query], np.bincount(doc)[doc]
    load = np.maximum(by_query, by_doc)
    hub = np.where(by_doc >= by_query, doc, query + int(doc.max(initial=0)) + 1)
    # Only what could run out of batches must come early; the rest is free to meet at random. What
    # has more rows than batches comes last, for it would shut its neighbours out of every batch.
    tier = np.select([load > batches, load * 4 > batches, load > 1], [3, 0, 1], default=2)
    luck = rng.random(int(hub.max(initial=0)) + 1)[hub]
    luck += np.where(tier == 3, by_query + by_doc, 0)
    order = np.lexsort((rng.random(len(rows)), hub, luck, tier))
    starts = np.flatnonzero(np.concatenate([[True], hub[order][1:] != hub[order][:-1]]))
    return order, starts


class _Hand:
    """The batches in the order in which they are offered a row.

    Each batch with room stands in one of three piles: `coming` in this round, `served` in it, or
    `aside` because it refused a row of the present hub.
    """

    def __init__(self, conflicts: Conflicts, room: Ints, rng: np.random.Generator) -> None:
        self.apart = conflicts.apart
        self.room, self.rng, self.asked = room.tolist(), rng, 0
        self.queries: list[set[int]] = [set() for _ in self.room]
        self.docs: list[set[int]] = [set() for _ in self.room]
        self.coming: list[int] = self._shuffled(np.flatnonzero(room > 0))
        self.served: list[int] = []
        self.aside: list[int] = []

    def _shuffled(self, batches: Ints | list[int]) -> list[int]:
        return self.rng.permutation(np.asarray(batches, dtype=np.int64)).tolist()  # type: ignore[no-any-return]

    def give(self, query: int, doc: int) -> int:
        """The batch that takes a row, -1 when none of `ATTEMPTS` does."""
        retried = False
        for _ in range(ATTEMPTS):
            if not self.coming and self.served:
                self.coming, self.served = self._shuffled(self.served), []
            elif not self.coming and not retried:
                self.coming, self.aside, retried = self.aside[::-1], [], True
            if not self.coming:
                break
            batch = self.coming.pop()
            self.asked += 1
            if self.apart(query, doc, self.queries[batch], self.docs[batch]):
                self.queries[batch].add(query)
                self.docs[batch].add(doc)
                self.room[batch] -= 1
                if self.room[batch]:
                    self.served.append(batch)
                return batch
            self.aside.append(batch)
        return -1

    def next_hub(self) -> None:
        """Offer what was set aside first, for it is a row behind the others."""
        self.coming.extend(self.aside[::-1])
        self.aside = []


def top_up(
    conflicts: Conflicts, rows: Ints, where: Ints, room: Ints, *, rng: np.random.Generator
) -> int:
    """Fill the batches that lack a few rows, from the rows in none and then from the emptiest ones.

    Args:
        conflicts: of the whole table.
        rows: which rows were dealt.
        where: (row,) batch of each of `rows`, -1 for none; changed in place.
        room: (batch,) rows a full batch holds.
        rng: source of the order.

    Returns:
        Rows looked at, at most `ATTEMPTS` for each place that was free.
    """
    room = room - np.bincount(where[where >= 0], minlength=len(room))
    short = np.flatnonzero(room > 0)
    short = short[np.lexsort((rng.random(len(short)), room[short]))]
    members: dict[int, deque[int]] = {batch: deque() for batch in [-1, *short.tolist()]}
    for place in rng.permutation(np.flatnonzero((where < 0) | (room[where] > 0))).tolist():
        members[int(where[place])].append(place)
    queries, docs = conflicts.query[rows], conflicts.doc[rows]
    asked = 0
    for turn, target in enumerate(short.tolist(), start=1):
        held = list(members[target])
        seen_queries, seen_docs = set(queries[held].tolist()), set(docs[held].tolist())
        free, budget = int(room[target]), ATTEMPTS * int(room[target])
        for donor in chain([-1], reversed(short[turn:].tolist())):
            # The rows in no batch are often one popular clique: half of the tries go elsewhere.
            tries = budget // 2 if donor < 0 else budget
            for _ in range(min(tries, len(members[donor]))):
                place = members[donor].pop()
                query, doc = int(queries[place]), int(docs[place])
                budget, asked = budget - 1, asked + 1
                if conflicts.apart(query, doc, seen_queries, seen_docs):
                    where[place] = target
                    seen_queries.add(query)
                    seen_docs.add(doc)
                    free -= 1
                    if not free:
                        break
                else:
                    members[donor].appendleft(place)
            if not free or not budget:
                break
    return asked
