"""Batches in which no row's known positive stands as another row's candidate."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, check_count
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.composition import Columns, safe_negatives
from workbench.sample.conflicts import Conflicts
from workbench.sample.deal import ATTEMPTS, deal_cliques, deal_tangled, most_batches, top_up
from workbench.sample.plan import Plan
from workbench.types import Ints

REDEALS = 4
"""How often a round of tangled rows is dealt again to fewer batches before it is taken as it is."""


def conflict_free(
    conflicts: Conflicts,
    *,
    batch_size: int,
    min_batch_size: int,
    drop_last: bool,
    rng: np.random.Generator,
) -> Plan:
    """As many full batches as can be made, then short ones down to the floor.

    Each round opens as many batches as the cliques allow and deals the rows that are left.

    Args:
        conflicts: of the rows.
        batch_size: rows of a full batch.
        min_batch_size: the smallest batch worth yielding.
        drop_last: yield full batches only.
        rng: source of the order.
    """
    left = np.arange(len(conflicts.query))
    batches: list[Ints] = []
    hopeless: list[Ints] = []
    size, inspected, narrow = batch_size, 0, 0
    floor = batch_size if drop_last else min_batch_size
    while narrow <= ATTEMPTS:
        covers = conflicts.covers(left)
        count = min(most_batches(cover, size) for cover in covers)
        even = not count
        if even:
            most = min(most_batches(cover, floor) for cover in covers)
            count = min(most, max(int(cover.max(initial=0)) for cover in covers))
        if not count:
            break
        room = np.full(1 if narrow else count, batch_size)
        where, satisfied, asked = _round(conflicts, left, room, size, even=even, rng=rng)
        inspected += asked
        made, rest = _gather(left, where, floor, rng)
        if narrow and not made:
            # Too few of the others may stand beside these rows.
            hopeless.append(left[where >= 0])
            rest = left[where < 0]
        # Once no batch reaches the floor they are made one by one, and not for ever.
        narrow += bool(narrow or not made)
        batches += made
        left = rest
        size = size if satisfied else max(floor, size * 2 // 3)
    full = [batch for batch in batches if len(batch) == batch_size]
    short = [batch for batch in batches if len(batch) < batch_size]
    short.sort(key=len, reverse=True)
    ordered = [full[place] for place in rng.permutation(len(full))] + short
    left = np.sort(np.concatenate([left, *hopeless]))
    return Plan(batches=ordered, left_out=left, inspected=inspected)


def _round(
    conflicts: Conflicts,
    rows: Ints,
    room: Ints,
    size: int,
    *,
    even: bool,
    rng: np.random.Generator,
) -> tuple[Ints, bool, int]:
    """Batch of each row or -1, whether they filled as promised, and the rows looked at."""
    inspected = 0
    for _ in range(REDEALS):
        where, asked = _deal(conflicts, rows, room, rng)
        inspected += asked
        filled = int((where >= 0).sum())
        satisfied = filled >= 0.95 * min(len(room) * size, len(rows))
        if satisfied or even or len(room) == 1 or size < room[0]:
            break
        # A dense graph fills less than its cliques promise: fewer batches, fuller ones.
        room = room[: max(1, filled // size)]
    if satisfied and not even:
        inspected += top_up(conflicts, rows, where, room, rng=rng)
    return where, satisfied, inspected


def _deal(
    conflicts: Conflicts, rows: Ints, room: Ints, rng: np.random.Generator
) -> tuple[Ints, int]:
    """(row,) batch of each row, -1 for none, and the rows looked at."""
    where = np.full(len(rows), -1, dtype=np.int64)
    clique = conflicts.clique[rows]
    lone, tangled = np.flatnonzero(clique >= 0), np.flatnonzero(clique < 0)
    asked = len(lone)
    if len(tangled):
        # A remainder smaller than a batch should differ, not be the last node's rows.
        surplus = len(rows) - int(room.sum())
        if len(room) > 1 and 0 < surplus < min(int(room[0]), len(tangled)):
            tangled = np.sort(rng.permutation(tangled)[surplus:])
        where[tangled], more = deal_tangled(conflicts, rows[tangled], room, rng=rng)
        asked += more
        room = room - np.bincount(where[where >= 0], minlength=len(room))
    where[lone] = deal_cliques(clique[lone], room, rng=rng)
    return where, asked


def _gather(
    rows: Ints, where: Ints, floor: int, rng: np.random.Generator
) -> tuple[list[Ints], Ints]:
    """The batches of at least `floor` rows, rows in random order, and the rows in none of them."""
    counts = np.bincount(where[where >= 0])
    keep = (where >= 0) & (counts[where] >= floor)
    mixed = rng.permutation(np.flatnonzero(keep))
    order = mixed[np.argsort(where[mixed], kind="stable")]
    ends = np.flatnonzero(np.diff(where[order])) + 1
    batches = np.split(rows[order], ends) if len(order) else []
    return batches, rows[~keep]


@register("sampler", "conflict_free")
@dataclass(eq=False, repr=False, kw_only=True)
class ConflictFree(Sampler):
    """No text twice in a batch, and no known positive of one row among another row's candidates.

    Rows (q, d) and (q', d') never share a batch when q and q' are one query group, d and d' one
    document group, d' is a known positive of q, or d of q'. A mined negative that is a known
    positive of any anchor of the batch, or stands in it already, gives way to the next drawn.
    There are as many full batches as the rows allow; the rest forms short batches at the end, down
    to `min_batch_size`; rows beyond that are in `left_out`, others in every epoch.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        batch_size: rows per batch, usually 32 to 1024; at least 2.
        known: the known-positive graph of the collection.
        min_batch_size: the smallest batch worth yielding; one row alone has no in-batch negative.

    Seed, negatives and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option or a position out of range.

    Example:
        >>> from workbench.data import from_rows
        >>> texts = [("add", "a + b"), ("add", "sum(x)"), ("sub", "a - b"), ("neg", "-a")]
        >>> demo = from_rows([{"query": q, "positive": d} for q, d in texts], name="demo")
        >>> sampler = ConflictFree(demo.pairs, batch_size=2, known=KnownPositives.of(demo))
        >>> [len(batch) for batch in sampler], len(sampler.left_out)
        ([2, 2], 0)

    Breaks when: false negatives are unknown to the graph, for it keeps apart only what is known; or
    one group holds more rows than there are batches, for then the surplus is left out.
    """

    known: KnownPositives = field(kw_only=True)
    min_batch_size: int = 2

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size, at_least=2, mend="Try 64.")
        check_count("min_batch_size", self.min_batch_size, mend="Try 2.")
        if self.min_batch_size > self.batch_size:
            wanted = f"it must be <= batch_size, which is {self.batch_size}"
            raise BadArgument("min_batch_size", self.min_batch_size, wanted, "Try 2.")
        given: object = self.known
        if given is None:
            wanted = "it must be the known-positive graph"
            raise BadArgument("known", given, wanted, "Pass KnownPositives.of(collection).")
        super().__post_init__()
        self._conflicts = Conflicts.of(self.pairs, self.known)

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        return conflict_free(
            self._conflicts,
            batch_size=self.batch_size,
            min_batch_size=self.min_batch_size,
            drop_last=self.drop_last,
            rng=rng,
        )

    def _negatives(self, batches: list[Ints], epoch: int) -> tuple[Ints, Columns]:
        if self._pool is None:
            return super()._negatives(batches, epoch)
        parts, passed = [], []
        for rows in batches:
            chosen, passed_over = safe_negatives(
                self.known,
                self.pairs[rows, 0],
                self.pairs[rows, 1],
                self._wanted(rows, epoch),
                count=self.num_negatives,
            )
            parts.append(chosen)
            passed.append(float(passed_over))
        return np.concatenate(parts), {"negatives_passed_over": np.array(passed)}
