"""What every batch sampler does: check, plan an epoch, yield `Batch`es, say where it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.known import KnownPositives
from workbench.errors import BadArgument, BadData, check_count
from workbench.files import fingerprint
from workbench.sample.checks import (
    checked_arrays,
    checked_epochs,
    checked_negatives,
    checked_pairs,
    numbered,
)
from workbench.sample.composition import Columns, composition, purity
from workbench.sample.drawing import Pool, Window, check_draw, preferred
from workbench.sample.nearest import Sides, checked_sides, measured, own_graph
from workbench.sample.plan import Plan, laid_out, made_of
from workbench.types import Batch, Candidates, Floats, Ints, Vectors

if TYPE_CHECKING:
    import pandas as pd

Grouping = NDArray[np.integer[Any]]
AT_ONCE = 16_384
"""Rows whose batches are made together."""


@dataclass(eq=False, repr=False, kw_only=True)
class Sampler(ABC):
    """Yields `Batch`es; a torch `DataLoader` takes it as `batch_sampler` (see docs/sample.md).

    The order of epoch e depends on the data, the options, `seed`, e and the refreshes before e, and
    on nothing else. Every sampler takes these arguments beside its own.

    Args:
        pairs: (row, 2) positions (query, document), as `collection.pairs`.
        batch_size: rows per batch, usually 32 to 1024.
        seed: of the order and of the negatives drawn, together with the epoch.
        drop_last: yield batches of `batch_size` rows only; the other rows are in `left_out`.
        known: the known-positive graph; with it the report counts the false negatives inside.
        negatives: mined candidates, of which those of weight > 0 are used, in the list's order.
        num_negatives: how many per row, usually 1 to 8.
        draw: which: "top" = the first of the list; "random"; "margin_bins" = spread evenly over
            positive score minus negative score.
        window: (ranks to skip, last rank or None) among the kept ones, as in `mine.choose`; STAR
            draws 1 at random of (0, 200).
        bins: margin bins, 10 in TAS-Balanced.

    Raises:
        BadArgument: an option or a position out of range.
    """

    pairs: Ints = field(kw_only=False)
    batch_size: int
    seed: int = 0
    drop_last: bool = False
    known: KnownPositives | None = None
    negatives: Candidates | None = None
    num_negatives: int = 0
    draw: str = "top"
    window: Window = (0, None)
    bins: int = 10

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size, mend="Try 64.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")
        check_count("num_negatives", self.num_negatives, at_least=0, mend="Try 1.")
        self.pairs = checked_pairs(self.pairs, self.known)
        check_draw(self.draw, self.window, self.bins, self.num_negatives)
        checked_negatives(self.negatives, self.num_negatives, self.pairs, self.known)
        self._pool = None if self.negatives is None else self._drawn_from(self.negatives)
        self._renewed = False
        self._epoch = self._position = self._resume = 0
        self._planned: tuple[int, Plan] | None = None
        self._groupings: list[tuple[int, Grouping]] = []
        self._sides: Sides | None = None
        self._graph_made: KnownPositives | None = None
        self._fingerprint: str | None = None

    # -- what a sampler decides --------------------------------------------------------------

    @abstractmethod
    def _plan(self, epoch: int, rng: np.random.Generator) -> Plan:
        """Decide which rows stand together."""

    def _group(self, sides: Sides, epoch: int) -> Grouping | None:
        """(row, ...) what the plans from an epoch on read off the vectors; None = nothing."""
        return None

    def _negatives(self, batches: list[Ints], epoch: int) -> tuple[Ints, Columns]:
        """(row, rank) negatives of batches laid end to end, and (batch,) figures about them."""
        rows = np.concatenate(batches)
        chosen = np.full((len(rows), self.num_negatives), -1, dtype=np.int64)
        best = self._wanted(rows, epoch)[:, : self.num_negatives]
        chosen[:, : best.shape[1]] = best
        return chosen, {}

    def _wanted(self, rows: Ints, epoch: int) -> Ints:
        if self._pool is None:
            return np.full((len(rows), 0), -1, dtype=np.int64)
        queries = self.pairs[rows, 0]
        return preferred(self._pool, rows, queries, draw=self.draw, seed=self.seed, epoch=epoch)

    def _drawn_from(self, negatives: Candidates) -> Pool:
        return Pool.of(negatives, self.pairs, draw=self.draw, window=self.window, bins=self.bins)

    def _grouping(self, epoch: int) -> Grouping | None:
        """What the newest refresh at or before an epoch left."""
        made = [grouping for first, grouping in self._groupings if first <= epoch]
        return made[-1] if made else None

    # -- batches -----------------------------------------------------------------------------

    def plan(self, epoch: int | None = None) -> Plan:
        """All batches of an epoch, the current one when none is named.

        Raises:
            BadData: not one batch can be made.
        """
        wanted = self._epoch if epoch is None else epoch
        check_count("epoch", wanted, at_least=0, mend="Epochs count from 0.")
        if self._planned is None or self._planned[0] != wanted:
            plan = self._plan(wanted, np.random.default_rng([self.seed, wanted]))
            if not plan.batches:
                problem = (
                    f"no batch of {self.batch_size} of the {len(self.pairs):,} rows can be made"
                )
                raise BadData("pairs", [problem], "Take a smaller batch_size or drop_last=False.")
            self._planned = (wanted, plan)
        return self._planned[1]

    @property
    def epoch(self) -> int:
        """The pass over the data that iterating gives, from 0."""
        return self._epoch

    @property
    def left_out(self) -> Ints:
        """Rows that the current epoch does not show, ascending."""
        return self.plan().left_out

    def __len__(self) -> int:
        """Number of batches that the current epoch really yields."""
        return len(self.plan().batches)

    def __iter__(self) -> Iterator[Batch]:
        plan, epoch, first, self._resume = self.plan(), self._epoch, self._resume, 0
        made: list[Batch] = []
        pool = self._pool
        several = max(1, AT_ONCE // self.batch_size)
        for place in range(first, len(plan.batches)):
            if not made or pool is not self._pool:
                ahead = range(place, min(place + several, len(plan.batches)))
                made, pool = self._batches(plan, ahead, epoch)[::-1], self._pool
            self._position = place + 1
            yield made.pop()

    def batch(self, position: int, *, epoch: int | None = None) -> Batch:
        """One batch by its place in an epoch, the same that iterating gives.

        Raises:
            BadArgument: the epoch has no such batch.
        """
        plan = self.plan(epoch)
        check_count("position", position, at_least=0, mend="Batches count from 0.")
        if position >= len(plan.batches):
            wanted = f"the epoch has {len(plan.batches):,} batches, counted from 0"
            raise BadArgument("position", position, wanted, "Take a smaller one.")
        return self._batches(plan, [position], self._epoch if epoch is None else epoch)[0]

    def _batches(
        self, plan: Plan, places: Sequence[int], epoch: int, *, labels: Ints | None = None
    ) -> list[Batch]:
        """Some batches of a plan; their reports are counted together, which is much cheaper."""
        parts = [plan.batches[place] for place in places]
        sizes = np.array([len(part) for part in parts])
        rows, of = np.concatenate(parts), np.repeat(np.arange(len(parts)), sizes)
        queries, docs = self.pairs[rows, 0], self.pairs[rows, 1]
        negatives, more = self._negatives(parts, epoch)
        left = np.full(len(parts), float(len(plan.left_out)))
        columns = {"rows": sizes.astype(np.float64), "left_out": left}
        columns |= composition(self.known, queries, docs, negatives, of) | more
        if (named := plan.labels if labels is None else labels) is not None:
            columns["purity"] = purity(named[rows], of)
        return laid_out(parts, self.pairs, negatives, columns, epoch=epoch)

    # -- looking -----------------------------------------------------------------------------

    def measure(self, batch: Batch) -> dict[str, float]:
        """How hard a batch is by the newest vectors: see `workbench.sample.nearest.measured`.

        Raises:
            BadArgument: there are no vectors yet.
        """
        if self._sides is None:
            wanted = "vectors are needed to say how hard a batch is"
            raise BadArgument("refresh", None, wanted, "Call refresh(queries, docs) first.")
        return measured([batch], self._sides, self._graph, self.pairs)[0]

    @property
    def _graph(self) -> KnownPositives:
        if self._graph_made is None:
            self._graph_made = own_graph(self.pairs, self.known)
        return self._graph_made

    def _looked_at(self, epoch: int, places: Sequence[int], labels: Any) -> pd.DataFrame:
        import pandas as pd

        if labels is not None:
            count, of = len(self.pairs), "row of pairs"
            labels = numbered("labels", labels, count=count, exact=True, of=of)[1]
        batches = self._batches(self.plan(epoch), places, epoch, labels=labels)
        reports = [batch.report for batch in batches]
        if self._sides is not None:
            more = measured(batches, self._sides, self._graph, self.pairs)
            reports = [report | extra for report, extra in zip(reports, more, strict=True)]
        return pd.DataFrame(reports, index=pd.Index(list(places), name="batch"))

    def preview(self, *, epoch: int = 0, most: int = 200, labels: Any = None) -> pd.DataFrame:
        """One row per batch of an epoch, before training: what stands inside.

        After a refresh it also says how hard the batches are, by the newest vectors.

        Args:
            epoch: which pass.
            most: how many batches, from the first; an epoch may have thousands.
            labels: (row,) words or whole numbers that `purity` is to be about, so that samplers can
                be compared; None = the sampler's own, where it has some.
        """
        check_count("most", most, mend="Try 200.")
        return self._looked_at(epoch, range(min(most, len(self.plan(epoch).batches))), labels)

    def summary(
        self, *, epochs: Sequence[int] = (0,), most: int = 200, labels: Any = None
    ) -> pd.DataFrame:
        """One row per epoch: its batches, rows shown and left out, and the mean of all else.

        Args:
            epochs: which passes.
            most: how many batches of each are looked at for the means, evenly spread.
            labels: as in `preview`.
        """
        import pandas as pd

        check_count("most", most, mend="Try 200.")
        lines, named = [], checked_epochs(epochs)
        for epoch in named:
            plan = self.plan(epoch)
            places = np.linspace(0, len(plan.batches) - 1, min(most, len(plan.batches)))
            frame = self._looked_at(epoch, places.round().astype(int).tolist(), labels)
            shown = float(len(self.pairs) - len(plan.left_out))
            counts = {"batches": float(len(plan.batches)), "looked_at": float(len(frame))}
            counts |= {"rows": shown, "left_out": float(len(plan.left_out))}
            lines.append(counts | frame.drop(columns=["rows", "left_out"]).mean().to_dict())
        return pd.DataFrame(lines, index=pd.Index(named, name="epoch"))

    # -- what training brings ----------------------------------------------------------------

    def wants_refresh(self, epoch: int) -> bool:
        """Should `refresh` be called before this epoch begins? False where nothing would change."""
        return False

    def refresh(
        self,
        queries: Vectors | Floats,
        docs: Vectors | Floats | None = None,
        *,
        epoch: int | None = None,
    ) -> int:
        """Take the vectors of the encoder as it is now.

        A sampler that groups by vectors groups anew; every sampler can then say how hard its
        batches are. The epoch that has begun stays as it is, and so do those before: their
        groupings are kept.

        Args:
            queries: (query, dim) of every query position.
            docs: (doc, dim) of every document position; None = queries stand for both sides.
            epoch: the first epoch that is to change; None = the current one if none of its batches
                was yielded yet, else the next.

        Returns:
            The first epoch that changes.

        Raises:
            BadArgument: a shape, or an epoch before that of an earlier refresh.
            BadData: a vector is not finite.
        """
        first = self._epoch + (self._position > 0) if epoch is None else epoch
        check_count("epoch", first, at_least=0, mend="Epochs count from 0.")
        if self._groupings and first < self._groupings[-1][0]:
            wanted = f"a later refresh holds from epoch {self._groupings[-1][0]} on"
            raise BadArgument("epoch", first, wanted, "Refresh in order.")
        self._sides = checked_sides(queries, docs, self.pairs, self.known)
        if (grouping := self._group(self._sides, first)) is not None:
            earlier = [entry for entry in self._groupings if entry[0] < first]
            self._groupings = [*earlier, (first, grouping)]
            self._planned = None
        return first

    def renew(self, negatives: Candidates) -> None:
        """Draw from newly mined negatives from now on; the rows of the batches stay as they are.

        Raises:
            BadArgument: the sampler was made without negatives, or these are of other texts.
        """
        _ = self.fingerprint  # of the negatives it was made with
        checked_negatives(negatives, self.num_negatives, self.pairs, self.known)
        self._pool, self.negatives, self._renewed = self._drawn_from(negatives), negatives, True

    # -- where it stands ---------------------------------------------------------------------

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What refreshes and `renew` left, for a checkpoint: groupings by epoch, negatives."""
        kept: dict[str, NDArray[Any]] = {
            f"grouping.{first}": grouping for first, grouping in self._groupings
        }
        if self._renewed and self._pool is not None:
            kept |= {"negatives": self._pool.docs, "bins": self._pool.bins}
        return kept

    def load_arrays(self, arrays: dict[str, NDArray[Any]]) -> None:
        """Take over what `arrays()` gave; before `load_state`.

        Raises:
            BadArgument: unknown names, or arrays of other data.
        """
        queries = int(self.pairs[:, 0].max()) + 1
        groupings = checked_arrays(arrays, rows=len(self.pairs), queries=queries)
        self._groupings, self._planned = groupings, None
        if "negatives" in arrays:
            _ = self.fingerprint
            self._pool = Pool(docs=np.array(arrays["negatives"]), bins=np.array(arrays["bins"]))
            self._renewed = True

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that iterating gives; naming the current one keeps the resume point."""
        check_count("epoch", epoch, at_least=0, mend="Epochs count from 0.")
        if epoch != self._epoch:
            self._epoch, self._position, self._resume = epoch, 0, 0

    def state(self) -> dict[str, Any]:
        """Where it stands, as JSON can hold it: the batches already yielded count as done."""
        return {
            "sampler": type(self).__name__,
            "fingerprint": self.fingerprint,
            "epoch": self._epoch,
            "position": self._position,
            "arrays": {name: fingerprint(array) for name, array in self.arrays().items()},
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Go on where `state()` stood: the next iteration yields the batches not yet yielded.

        Raises:
            BadArgument: the state is of other rows, negatives, options or refreshes.
        """
        given: object = state
        keys = set(given) if isinstance(given, dict) else set()
        missing = {"sampler", "fingerprint", "epoch", "position", "arrays"} - keys
        if missing or state["fingerprint"] != self.fingerprint:
            raise BadArgument(
                "state",
                state,
                f"it must come from a {type(self).__name__} over the same rows and options",
                "Build the sampler as it was built when the state was saved.",
            )
        held = {name: fingerprint(array) for name, array in self.arrays().items()}
        if state["arrays"] != held:
            wanted = f"the refreshes must be those of this sampler, {held}"
            mend = "Call load_arrays with the arrays() of that moment first."
            raise BadArgument("state", state["arrays"], wanted, mend)
        check_count("epoch", state["epoch"], at_least=0, mend="Epochs count from 0.")
        check_count("position", state["position"], at_least=0, mend="Batches count from 0.")
        self._epoch, self._position = state["epoch"], state["position"]
        self._resume = state["position"]

    @property
    def fingerprint(self) -> str:
        """Of rows, known positives, mined negatives and options as they were at construction."""
        if self._fingerprint is None:
            options = {one.name: getattr(self, one.name) for one in fields(self)}
            self._fingerprint = made_of(type(self).__name__, options, draw=self.draw)
        return self._fingerprint

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.pairs):,} rows, batch_size={self.batch_size}, "
            f"seed={self.seed}, drop_last={self.drop_last}, num_negatives={self.num_negatives})"
        )
