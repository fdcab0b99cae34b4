"""What one sees while a sweep runs: all of it, and one bar per notebook that is running."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from workbench.sweep.job import Watch


class Bars:
    """One bar over all runs with the time left, and below it one per slot: cell k of n, last row.

    Args:
        total: runs.
        places: bars for running notebooks.
        shown: False shows nothing.
    """

    def __init__(self, total: int, *, places: int, shown: bool) -> None:
        from tqdm.auto import tqdm

        self._shown = shown
        self._plain = shown and not sys.stderr.isatty() and "ipykernel" not in sys.modules
        quiet = not shown or self._plain
        self._all = tqdm(total=total, unit="run", desc="Sweep", disable=quiet)
        self._free = [
            tqdm(total=1, position=1 + place, leave=False, disable=quiet, bar_format=_FORMAT)
            for place in range(places)
        ]
        self._bars = list(self._free)
        self._of: dict[str, Any] = {}
        self._count, self._total = 0, total
        if self._plain:
            print(f"Sweep: {total} runs, {places} at a time", file=sys.stderr, flush=True)

    def began(self, run: str) -> None:
        """A run started."""
        if self._free:
            bar = self._of[run] = self._free.pop(0)
            bar.reset(total=1)
            bar.set_description_str(run, refresh=True)

    def show(self, running: Mapping[str, Watch]) -> None:
        """How far each running notebook is."""
        for run, watch in running.items():
            bar = self._of.get(run)
            if bar is None:
                continue
            bar.total, bar.n = max(1, watch.cells), watch.cell
            last = watch.rows[-1] if watch.rows else {}
            bar.set_postfix_str(
                ", ".join(f"{name}={_short(value)}" for name, value in list(last.items())[:4]),
                refresh=False,
            )
            bar.refresh()

    def ended(self, run: str, status: str, seconds: float | None, error: str) -> None:
        """A run ended."""
        self._count += 1
        self._all.update()
        if run in self._of:
            self._free.append(self._of.pop(run))
        took = "" if seconds is None else f" in {seconds:.0f} s"
        line = f"{run}: {status}{took}{': ' + error if error else ''}"
        if self._plain:
            print(f"[{self._count}/{self._total}] {line}", file=sys.stderr, flush=True)
        elif error and self._shown:
            self._all.write(line, file=sys.stderr)

    def known(self, run: str, note: str) -> None:
        """A run was done before; what there is to say of that."""
        self._all.initial = getattr(self._all, "initial", 0) + 1  # not of the time left
        self.ended(run, "was done before", None, note)

    def close(self) -> None:
        """Take the bars of runs away, keep the whole one."""
        for bar in self._bars:
            bar.close()
        self._all.close()


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:20]


_FORMAT = "  {desc}: cell {n_fmt} of {total_fmt} {bar:10} {elapsed} {postfix}"
