"""Every batch from one source, mixed by weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count, check_number
from workbench.registry import register
from workbench.sample.base import Sampler
from workbench.sample.checks import numbered
from workbench.sample.grouped import cut, flat, split_evenly, together, unused
from workbench.sample.plan import Plan
from workbench.types import Ints


def homogeneous(
    sources: Ints,
    *,
    batch_size: int,
    shares: NDArray[np.float64] | None = None,
    processes: int = 1,
    drop_last: bool,
    rng: np.random.Generator,
) -> list[Ints]:
    """Batches of one source each, in random order.

        runs of source s = floor(T share_s),  T = min over s of (runs there are) / share_s

    A run is `processes` batches of one source. Without shares every source gives all its runs.

    Args:
        sources: (row,) source number of each row, from 0.
        batch_size: rows per batch.
        shares: (source,) share of the runs each is to have; 0 = none.
        processes: batches of one source in a row.
        drop_last: leave out what fills no whole run.
        rng: source of the order.

    Example:
        >>> sources = np.repeat([0, 1, 2], [103, 50, 47])
        >>> batches = homogeneous(sources, batch_size=8, drop_last=True,
        ...                       rng=np.random.default_rng(0))
        >>> np.bincount([sources[rows[0]] for rows in batches]).tolist()
        [12, 6, 5]

    Source: Zhang et al. 2023, LLM-Embedder, section 2.2: homogeneous in-batch negatives.

    Breaks when: a source has fewer rows than a run; `drop_last` then leaves all of it out.
    """
    made = cut(np.arange(len(sources)), sources, size=batch_size * processes, rng=rng)
    runs, of = together(made.blocks, batch_size), made.of.tolist()
    if not drop_last:
        for source in np.unique(made.rest_of).tolist():
            short = split_evenly(made.rest[made.rest_of == source], processes)
            runs += [short] if short else []
            of += [source] if short else []
    if shares is not None:
        wanted = np.flatnonzero(shares)
        there = np.bincount(np.array(of, dtype=np.int64), minlength=len(shares))
        most = float((there[wanted] / shares[wanted]).min())
        counts = np.floor(most * shares + 1e-9).astype(np.int64)
        numbers = np.array(of, dtype=np.int64)
        taken = [np.flatnonzero(numbers == one)[: counts[one]] for one in wanted]
        runs = [runs[place] for place in np.concatenate(taken).tolist()]
    return flat(runs, rng=rng)


@register("sampler", "homogeneous")
@dataclass(eq=False, repr=False, kw_only=True)
class Homogeneous(Sampler):
    """Each batch from one source, so that no row is told from another by its source alone.

    In-batch negatives of another task, language or length are easy; a batch of one source has none.
    Batches of all sources come in random order. `purity` in the report is 1.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        sources: (row,) source of each row, words or whole numbers.
        batch_size: rows per batch.
        weights: how often each source comes. None = by its rows; {source: weight} = in these
            proportions; a number T = by rows to the power 1/T, where 1 is None and a large one
            makes sources equal. No row comes twice, so the scarcest source ends the epoch and
            others leave rows out.
        processes: consecutive batches from one source, of different rows: one for each process of
            a training step, so that gathered negatives are of one source as well.

    Seed, negatives and the rest are those of every `Sampler`.

    Raises:
        BadArgument: an option, a label or a position out of range; weights that name other
            sources.
        BadData: with weights, a source of which no batch can be made; or no batch at all.

    Example:
        >>> pairs = np.stack([np.arange(6), np.arange(6)], axis=1)
        >>> sampler = Homogeneous(pairs, ["qa", "qa", "qa", "qa", "chat", "chat"], batch_size=2)
        >>> len(sampler), {batch.report["purity"] for batch in sampler}
        (3, {1.0})

    Source: Zhang et al. 2023, LLM-Embedder, section 2.2; powers of the size: Arivazhagan et al.
    2019, massively multilingual translation, temperature sampling.

    Breaks when: sources differ in what is hard; the loss of a step then says which source it was.
    """

    sources: Any = field(kw_only=False)
    weights: Mapping[Any, float] | float | None = None
    processes: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count("processes", self.processes, mend="Try 1.")
        of = "row of pairs"
        names, self._source = numbered(
            "sources", self.sources, count=len(self.pairs), exact=True, of=of
        )
        self._shares = _shares(self.weights, names, np.bincount(self._source))
        self._check_runs(names)

    def _check_runs(self, names: list[Any]) -> None:
        """Refuse an epoch without a batch: a source that must come has not enough rows for it."""
        sizes, run = np.bincount(self._source), self.batch_size * self.processes
        fewest = run if self.drop_last else self.processes
        short = sizes < fewest
        if self._shares is None:
            short &= bool(short.all())
        else:
            short &= self._shares > 0
        if short.any():
            problems = [
                f"{names[one]!r} has {sizes[one]:,} rows, and its first batches take {fewest:,}"
                for one in np.flatnonzero(short).tolist()
            ]
            mend = "Give it weight 0, take a smaller batch_size, or drop_last=False."
            raise BadData("sources", problems, mend)

    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        batches = homogeneous(
            self._source,
            batch_size=self.batch_size,
            shares=self._shares,
            processes=self.processes,
            drop_last=self.drop_last,
            rng=rng,
        )
        left = unused(len(self.pairs), batches)
        return Plan(batches=batches, left_out=left, inspected=len(self.pairs), labels=self._source)


def _shares(
    weights: Mapping[Any, float] | float | None, names: list[Any], sizes: Ints
) -> NDArray[np.float64] | None:
    if weights is None:
        return None
    if not isinstance(weights, Mapping):
        check_number("weights", weights, above=0, mend="Try 3.0, or name weights by source.")
        powers: NDArray[np.float64] = sizes.astype(np.float64) ** (1 / weights)
        return np.asarray(powers / powers.sum())
    if set(weights) != set(names):
        wanted = f"it must name the sources {sorted(names)}"
        raise BadArgument("weights", dict(weights), wanted, "Give 0 to leave one out.")
    for weight in weights.values():
        check_number("weights", weight, at_least=0, mend="Try 1.0.")
    shares = np.array([float(weights[name]) for name in names])
    if not shares.sum() > 0:
        raise BadArgument("weights", dict(weights), "one must be > 0", "Try 1.0 for each.")
    normed: NDArray[np.float64] = shares / shares.sum()
    return normed
