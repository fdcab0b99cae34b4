"""Rows released band by band of hardness."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.grouped import cut, flat, together, unused
from workbench.sample.plan import Plan
from workbench.sample.shuffled import shuffled
from workbench.types import Floats, Ints

Schedule = Mapping[int, Sequence[int]]
ORDERS = ("easy_to_hard", "hard_to_easy")


def hardness_bands(hardness: NDArray[np.floating] | Ints, bands: int | Sequence[float]) -> Ints:
    """The band of each row, 0 the easiest.

    Args:
        hardness: (row,) larger is harder, e.g. the mined negative's score minus the positive's.
        bands: how many, with as many rows each as ties allow; or the edges between bands, rising,
            an edge belonging to the band below it.

    Returns:
        (row,) 0..bands-1.

    Raises:
        BadArgument: a shape, edges that do not rise, an empty band.
        BadData: a hardness is not finite.

    Example:
        >>> hardness_bands(np.array([0.1, 0.9, 0.2, 0.8]), 2).tolist()
        [0, 1, 0, 1]
        >>> hardness_bands(np.array([1, 5, 3]), [1.5, 4.5]).tolist()
        [0, 2, 1]
    """
    values = np.asarray(hardness, dtype=np.float64)
    if values.ndim != 1 or not len(values):
        raise BadArgument("hardness", values.shape, "it must be (row,)", "Give one per row.")
    broken = np.flatnonzero(~np.isfinite(values))
    if len(broken):
        problem = f"row {int(broken[0])} holds NaN or infinity"
        raise BadData("hardness", [problem], "Leave such rows out of pairs.")
    if isinstance(bands, int | np.integer):
        check_count("bands", bands, mend="Try 5.")
        edges = np.quantile(values, np.arange(1, bands) / bands, method="inverted_cdf")
    else:
        try:
            edges = np.asarray(bands, dtype=np.float64)
        except (TypeError, ValueError):
            edges = np.full(1, np.nan)
        if edges.ndim != 1 or not (np.diff(edges) > 0).all() or not np.isfinite(edges).all():
            wanted = "edges must be finite and rise"
            raise BadArgument("bands", bands, wanted, "Sort them, or say how many, as in 5.")
    numbers = np.searchsorted(edges, values, side="left")
    empty = np.flatnonzero(np.bincount(numbers, minlength=len(edges) + 1) == 0)
    if len(empty):
        wanted = f"no row falls into band {int(empty[0])}"
        raise BadArgument("bands", bands, wanted, "Take fewer bands, or give their edges.")
    return numbers.astype(np.int64)


@register("sampler", "curriculum")
@dataclass(eq=False, repr=False, kw_only=True)
class Curriculum(Sampler):
    """Only rows of the hardness bands that are open in the epoch: easy ones first, or any order.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        hardness: (row,) larger is harder; any number: a guide's margin, a rank, a rating.
        batch_size: rows per batch.
        bands: how many bands of equally many rows, usually 3 to 5; or the edges between them.
        schedule: "easy_to_hard": one band more every `every` epochs, the easiest first;
            "hard_to_easy": the hardest first; or {epoch: open bands} from that epoch on, 0 the
            easiest.
        every: epochs before another band opens.
        mixed: rows of all open bands in one batch; False = each batch from one band, bands in
            random order.

    Rows of closed bands are in `left_out`. Seed, negatives and the rest are those of every
    `Sampler`.

    Raises:
        BadArgument: an option, a band or a position out of range; with `drop_last`, open bands that
            hold less than a batch.
        BadData: a hardness is not finite.

    Example:
        >>> pairs = np.stack([np.arange(8), np.arange(8)], axis=1)
        >>> sampler = Curriculum(pairs, np.arange(8), batch_size=2, bands=2)
        >>> [sorted(np.concatenate(sampler.plan(epoch).batches).tolist()) for epoch in (0, 1)]
        [[0, 1, 2, 3], [0, 1, 2, 3, 4, 5, 6, 7]]

    Source: stages of graded rows: Cao et al. 2022, "Multi-Modal Experience Inspired AI Creation"
    (ratings 1 and 5, then without 3, then all); Bengio et al. 2009, curriculum learning.

    Breaks when: hardness is noise in the labels: the hardest band is then the wrong one to end on.
    """

    hardness: Floats | NDArray[np.floating] | Ints = field(kw_only=False)
    bands: int | Sequence[float] = 5
    schedule: str | Schedule = "easy_to_hard"
    every: int = 1
    mixed: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("every", self.every, mend="Try 1.")
        self._band = hardness_bands(self.hardness, self.bands)
        if len(self._band) != len(self.pairs):
            wanted = f"it must be ({len(self.pairs):,},), one per row of pairs"
            raise BadArgument("hardness", self._band.shape, wanted, "Give one each.")
        count = int(self._band.max()) + 1
        if isinstance(self.schedule, str):
            check_choice("schedule", self.schedule, ORDERS)
            order = np.arange(count)[:: 1 if self.schedule == "easy_to_hard" else -1].tolist()
            self._open = {place * self.every: order[: place + 1] for place in range(count)}
        else:
            self._open = _opened(self.schedule, count)
        if self.drop_last:
            self._check_full()

    def _check_full(self) -> None:
        """Refuse an epoch whose open bands hold less than a batch."""
        sizes = np.bincount(self._band)
        for epoch in sorted(self._open):
            held = sizes[self.open_bands(epoch)]
            most = int(held.sum() if self.mixed else held.max())
            if most < self.batch_size:
                what = "the open bands hold" if self.mixed else "the largest open band holds"
                wanted = f"from epoch {epoch} on {what} {most:,} rows, less than a batch"
                mend = "Take a smaller batch_size, fewer bands, or drop_last=False."
                raise BadArgument("batch_size", self.batch_size, wanted, mend)

    def open_bands(self, epoch: int) -> list[int]:
        """The bands whose rows an epoch shows, ascending; 0 is the easiest."""
        return sorted(set(self._open[max(first for first in self._open if first <= epoch)]))

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        rows = np.flatnonzero(np.isin(self._band, self.open_bands(epoch)))
        size = self.batch_size
        if self.mixed:
            places, _ = shuffled(len(rows), batch_size=size, drop_last=self.drop_last, rng=rng)
            batches = [rows[some] for some in places]
        else:
            made = cut(rows, self._band[rows], size=size, rng=rng)
            runs = together(made.blocks, size)
            if not self.drop_last:
                bands = np.unique(made.rest_of)
                runs += [[made.rest[made.rest_of == band]] for band in bands]
            batches = flat(runs, rng=rng)
        left = unused(len(self.pairs), batches)
        return Plan(batches=batches, left_out=left, inspected=len(rows), labels=self._band)


def _opened(schedule: object, count: int) -> dict[int, list[int]]:
    """The bands each named epoch opens."""
    mend = "Try {0: [0], 2: [0, 1]}."
    if not isinstance(schedule, Mapping):
        wanted = f"it must be one of {', '.join(ORDERS)}, or name the open bands by epoch"
        raise BadArgument("schedule", schedule, wanted, mend)
    opened = {}
    for epoch, some in schedule.items():
        check_count("schedule", epoch, at_least=0, mend="Epochs count from 0.")
        bands = np.array(some) if isinstance(some, Sequence | np.ndarray) else np.zeros(0)
        whole = bands.ndim == 1 and bands.size and bands.dtype.kind in "iu"
        if not whole or bands.min() < 0 or bands.max() >= count:
            wanted = f"an epoch must open some of the bands 0..{count - 1}"
            raise BadArgument("schedule", schedule, wanted, mend)
        opened[epoch] = bands.tolist()
    if 0 not in opened:
        wanted = "it must say which bands are open in epoch 0"
        raise BadArgument("schedule", schedule, wanted, mend)
    return opened
