"""What every training row cost in every epoch: one store for all that judges rows by their losses.

Pair rules (a bad pair, a loss gate), samplers that go back to hard rows and audits all read the
same numbers, so they are kept once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument, check_count
from workbench.types._columns import Floats, Ints

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
Made = TypeVar("Made")


@dataclass(eq=False, kw_only=True)
class LossStore:
    """The loss of each training row in each epoch, NaN where there is none.

    Args:
        values: (row, epoch) float32; make an empty store with `LossStore.empty`.

    Raises:
        BadArgument: `values` is not (row, epoch).

    Example:
        >>> store = LossStore.empty(3)
        >>> store.record([0, 2], [0.5, 1.0], epoch=0)
        >>> store.record([0], [0.25], epoch=1)
        >>> store.mean().tolist(), store.mean(before=1).tolist()
        ([0.375, nan, 1.0], [0.5, nan, 1.0])
    """

    values: Floats

    def __post_init__(self) -> None:
        if np.ndim(self.values) != 2:
            wanted = "it must be (row, epoch)"
            raise BadArgument("values", np.shape(self.values), wanted, "Use LossStore.empty(rows).")
        self._made: dict[Hashable, Any] = {}
        self._views: dict[int, LossStore] = {}

    @classmethod
    def empty(cls, rows: int, epochs: int = 0) -> LossStore:
        """A store without a loss.

        Args:
            rows: training rows there are.
            epochs: epochs to make room for at once; more are added as they come.

        Raises:
            BadArgument: rows < 1 or epochs < 0.
        """
        check_count("rows", rows, mend="Give the number of training rows.")
        check_count("epochs", epochs, at_least=0, mend="Leave it out; the store grows.")
        return cls(values=np.full((rows, epochs), np.nan, dtype=np.float32))

    def __len__(self) -> int:
        return len(self.values)

    def record(self, rows: Any, losses: Any, *, epoch: int) -> None:
        """Keep the losses of some rows; of several in one epoch the last stays.

        Args:
            rows: (n,) positions of training rows.
            losses: (n,) their losses, detached.
            epoch: pass over the data, from 0.

        Raises:
            BadArgument: a row out of range, a loss that is not finite, lengths that differ, a
                negative epoch. Nothing is kept then.
        """
        check_count("epoch", epoch, at_least=0, mend="The first epoch is 0.")
        places, numbers = self._rows(rows), np.asarray(losses, dtype=np.float32)
        if numbers.shape != places.shape:
            wanted = f"there must be one per row, {places.shape}"
            raise BadArgument("losses", numbers.shape, wanted, "Take losses before their mean.")
        if len(bad := np.flatnonzero(~np.isfinite(numbers))):
            wanted = f"losses must be finite, and that of row {places[bad[0]]} is not"
            raise BadArgument("losses", float(numbers[bad[0]]), wanted, "Look at that row.")
        have = self.values.shape[1]
        if epoch >= have:
            room = np.full((len(self), epoch + 1 - have), np.nan, dtype=np.float32)
            self.values = np.concatenate([self.values, room], axis=1)
        elif not self.values.flags.writeable:  # loaded: memory-mapped
            self.values = np.array(self.values)
        self.values[places, epoch] = numbers
        self._made.clear()
        self._views = {end: view for end, view in self._views.items() if end <= epoch}

    def _rows(self, rows: Any) -> Ints:
        places = np.asarray(rows)
        if places.ndim != 1 or (places.size and not np.issubdtype(places.dtype, np.integer)):
            wanted = "it must be a list of whole numbers"
            raise BadArgument("rows", rows, wanted, "Give positions of training rows.")
        places = places.astype(np.int64)
        if len(bad := np.flatnonzero((places < 0) | (places >= len(self)))):
            wanted = f"rows are 0..{len(self) - 1}"
            raise BadArgument("rows", int(places[bad[0]]), wanted, "Make the store larger.")
        return places

    def become(self, other: LossStore) -> None:
        """Forget everything and take over what another store holds, as when a run goes on.

        Raises:
            BadArgument: the other is about another number of rows.
        """
        if len(other) != len(self):
            wanted = f"it must be about {len(self):,} rows"
            raise BadArgument("other", other, wanted, "Load the store of this run.")
        self.values = np.array(other.values)
        self._made, self._views = {}, {}

    @property
    def epochs(self) -> int:
        """One more than the last epoch with a loss; 0 without any."""

        def last() -> int:
            filled = np.flatnonzero((~np.isnan(self.values)).any(axis=0))
            return int(filled[-1]) + 1 if len(filled) else 0

        return self.once("epochs", last)

    def before(self, epoch: int) -> LossStore:
        """The store as it stood before an epoch began: what a pair rule may look at in that epoch.

        The same view comes back until an earlier epoch is written to, so statistics kept in it by
        `once` are made once per epoch.

        Raises:
            BadArgument: epoch < 0.
        """
        check_count("epoch", epoch, at_least=0, mend="The first epoch is 0.")
        if epoch not in self._views:  # one at a time: an old one keeps an old array alive
            self._views = {epoch: LossStore(values=self.history()[:, :epoch])}
        return self._views[epoch]

    def once(self, name: Hashable, make: Callable[[], Made]) -> Made:
        """What `make` returns, made once until the next `record`.

        Args:
            name: what it is called in this store; a pair rule uses itself.
            make: called without arguments.
        """
        if name not in self._made:
            value = make()
            if isinstance(value, np.ndarray):
                value.flags.writeable = False
            self._made[name] = value
        made: Made = self._made[name]
        return made

    def history(self) -> Floats:
        """(row, epoch) losses, NaN where there is none; read only."""
        view = self.values.view()
        view.flags.writeable = False
        return view

    def count(self) -> Ints:
        """(row,) epochs with a loss."""
        return self.once("count", lambda: (~np.isnan(self.values)).sum(axis=1).astype(np.int64))

    def mean(self, *, before: int | None = None) -> Doubles:
        """(row,) mean loss over the epochs there are, NaN for a row without any.

        Args:
            before: only epochs before this one; None = all.
        """
        store = self if before is None else self.before(before)
        return store.once("mean", lambda: _mean(store.values.astype(np.float64)))

    def spread(self, *, before: int | None = None) -> Doubles:
        """(row,) standard deviation over epochs (of a population: 0 for one epoch), NaN for none.

        Args:
            before: only epochs before this one; None = all.
        """
        store = self if before is None else self.before(before)
        return store.once(
            "spread", lambda: np.sqrt(_mean((store.values - store.mean()[:, None]) ** 2))
        )

    def last(self, *, before: int | None = None) -> Doubles:
        """(row,) the newest loss of each row, NaN for none.

        Args:
            before: only epochs before this one; None = all.
        """
        store = self if before is None else self.before(before)
        return store.once("last", lambda: _last(store.values))

    def frame(self) -> pd.DataFrame:
        """One row per training row: mean, std, last loss, and the count of epochs."""
        import pandas as pd

        columns = {"mean": self.mean(), "std": self.spread(), "last": self.last()}
        index = pd.RangeIndex(len(self), name="row")
        return pd.DataFrame({**columns, "count": self.count()}, index=index).reset_index()

    @property
    def fingerprint(self) -> str:
        """Of all losses."""
        return files.fingerprint(np.asarray(self.values))

    def save(self, folder: str | Path) -> Path:
        """Write one folder, whole or not at all."""
        return files.save_record(self, folder)

    @classmethod
    def load(cls, folder: str | Path) -> LossStore:
        """Read what `save` wrote; memory-mapped until the next `record`."""
        return files.load_record(cls, folder)

    def __repr__(self) -> str:
        filled = int((self.count() > 0).sum())
        return f"LossStore({len(self):,} rows, {filled:,} with a loss, {self.epochs} epochs)"


def _mean(table: Doubles) -> Doubles:
    count = (~np.isnan(table)).sum(axis=1)
    mean: Doubles = np.nansum(table, axis=1) / np.maximum(count, 1)
    mean[count == 0] = np.nan
    return mean


def _last(values: Floats) -> Doubles:
    there = ~np.isnan(values)
    newest = np.where(there, np.arange(values.shape[1]), -1).max(axis=1, initial=-1)
    last: Doubles = np.full(len(values), np.nan)
    filled = np.flatnonzero(newest >= 0)
    last[filled] = values[filled, newest[filled]]
    return last
