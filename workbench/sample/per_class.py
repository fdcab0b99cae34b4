"""Several classes in every batch, several rows of each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from workbench.errors import BadArgument, BadData, check_count
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.checks import numbered
from workbench.sample.grouped import cut, meet, unused
from workbench.sample.plan import Plan
from workbench.types import Ints


def per_class(
    classes: Ints, *, per_class: int, batch_size: int, drop_last: bool, rng: np.random.Generator
) -> list[Ints]:
    """Batches of batch_size / m classes with m rows each.

    Classes are cut into pieces of m rows; pieces of different classes meet in as many full batches
    as can be made, then in batches of fewer classes. A class with 2 to m - 1 rows is one short
    piece; what is left of a larger class waits for another epoch.

    Args:
        classes: (row,) class number of each row, from 0.
        per_class: m.
        batch_size: rows per batch, a multiple of m.
        drop_last: full batches only.
        rng: source of the order.

    Example:
        >>> classes = np.repeat([0, 1, 2], 4)
        >>> batches = per_class(classes, per_class=2, batch_size=4, drop_last=True,
        ...                     rng=np.random.default_rng(0))
        >>> [sorted(np.bincount(classes[rows], minlength=3).tolist()) for rows in batches]
        [[0, 2, 2], [0, 2, 2], [0, 2, 2]]
    """
    made = cut(np.arange(len(classes)), classes, size=per_class, rng=rng)
    pieces, of = list(made.blocks), made.of.tolist()
    if not drop_last:
        sizes = np.bincount(classes)
        small = (sizes[made.rest_of] >= 2) & (sizes[made.rest_of] < per_class)
        rest, rest_of = made.rest[small], made.rest_of[small]
        ends = np.flatnonzero(np.diff(rest_of)) + 1
        pieces += np.split(rest, ends) if len(rest) else []
        of += [int(rest_of[start]) for start in [0, *ends.tolist()]] if len(rest) else []
    groups, left = np.array(of, dtype=np.int64), np.arange(len(of))
    batches: list[Ints] = []
    for count in range(batch_size // per_class, 1, -1):
        found, lone = meet(groups[left], count, rng=rng)
        batches += [np.concatenate([pieces[one] for one in some]) for some in left[found]]
        left = left[lone]
        if drop_last or len(np.unique(groups[left])) < 2:
            break
    return batches


@register("sampler", "per_class")
@dataclass(eq=False, repr=False, kw_only=True)
class PerClass(Sampler):
    """m rows of each of several classes in every batch, for losses that learn from labels.

    In a batch at random from 1,000 classes a row rarely has a partner of its class; here each has
    m - 1 of them. Batches of fewer classes come last, for what one class alone still has.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        classes: (row,) class of each row, words or whole numbers.
        batch_size: rows per batch, a multiple of `per_class`, at least two classes.
        per_class: m, at least 2, usually 2 to 8.

    A class with fewer than m rows (but two) gives all of them, and its batch is shorter; with
    `drop_last` it gives none. A class of one row is always left out, as is what is left of a larger
    class. Seed, negatives and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option, a label or a position out of range.
        BadData: fewer than two classes have two rows; with `drop_last`, too few for a full batch.

    Example:
        >>> pairs = np.stack([np.arange(8), np.arange(8)], axis=1)
        >>> sampler = PerClass(pairs, np.arange(8) % 2, batch_size=4, per_class=2)
        >>> [np.bincount(batch.rows % 2).tolist() for batch in sampler]
        [[2, 2], [2, 2]]

    Source: batches of p classes with k rows each: Hermans, Beyer and Leibe 2017, "In Defense of the
    Triplet Loss", section 2.

    Breaks when: one class holds most rows; it runs out of others to stand beside.
    """

    classes: Any = field(kw_only=False)
    per_class: int

    def __post_init__(self) -> None:
        check_count("per_class", self.per_class, at_least=2, mend="Try 4.")
        super().__post_init__()
        if self.batch_size % self.per_class or self.batch_size < 2 * self.per_class:
            wanted = f"it must be a multiple of per_class, {self.per_class}, and at least twice it"
            raise BadArgument("batch_size", self.batch_size, wanted, "Round it.")
        rows = len(self.pairs)
        self._class = numbered("classes", self.classes, count=rows, exact=True, of="row of pairs")[
            1
        ]
        if int((np.bincount(self._class) >= 2).sum()) < 2:
            problem = "fewer than two classes have two rows"
            raise BadData("classes", [problem], "Give one label to rows that belong together.")
        wanted_classes = self.batch_size // self.per_class
        there = int((np.bincount(self._class) >= self.per_class).sum())
        if self.drop_last and there < wanted_classes:
            problem = f"a full batch takes {wanted_classes} classes of {self.per_class} rows"
            mend = "Take a smaller batch_size or per_class, or drop_last=False."
            raise BadData("classes", [f"{problem} or more, and there are {there}"], mend)

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        batches = per_class(
            self._class,
            per_class=self.per_class,
            batch_size=self.batch_size,
            drop_last=self.drop_last,
            rng=rng,
        )
        left = unused(len(self.pairs), batches)
        return Plan(batches=batches, left_out=left, inspected=len(self.pairs), labels=self._class)
