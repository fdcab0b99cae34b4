"""What came of a sweep, read from its folder: a table, the best run, a line that repeats it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.errors import BadArgument, BadData
from workbench.report import RESULT
from workbench.sweep.ledger import FILE, Entry, Ledger
from workbench.sweep.parameters import declared
from workbench.sweep.search import objective

if TYPE_CHECKING:
    import pandas as pd

FIGURES = ("metric", "zero_shot", "trained", "headroom_recovered")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep's folder as its ledger tells it.

    Args:
        folder: `runs/<name>`.
        entries: its runs of one state of the notebook's code, in the order they were entered.
        earlier: how many runs of other states are left out; their numbers do not compare.
    """

    folder: Path
    entries: tuple[Entry, ...]
    earlier: int = 0

    @classmethod
    def load(cls, folder: str | Path, *, code: str | None = None) -> Sweep:
        """Read a sweep, also one that is running or was killed.

        Args:
            folder: `runs/<name>`.
            code: fingerprint of the notebook's code; None = what was started last.

        Raises:
            BadArgument: no sweep is there.
            BadData: a damaged ledger.
        """
        where = Path(folder)
        if not (where / FILE).is_file():
            mend = "`ls runs` shows what there is."
            raise BadArgument("folder", str(folder), "it must hold a sweep's ledger", mend)
        found = Ledger(where, read_only=True).entries()
        if code is None and found:
            code = max(found, key=lambda one: one.started).notebook
        kept = tuple(one for one in found if one.notebook == code)
        return cls(folder=where, entries=kept, earlier=len(found) - len(kept))

    def result(self, entry: Entry) -> dict[str, Any]:
        """What a finished run reported; {} of one that is not."""
        if entry.status != "done":
            return {}
        try:
            return dict(files.read_json(self.folder / entry.run / RESULT))
        except (BadArgument, BadData):
            return {}

    def varied(self) -> list[str]:
        """The parameters in which the runs differ."""
        names = dict.fromkeys(name for one in self.entries for name in one.parameters)
        return [
            name
            for name in names
            if len({repr(one.parameters.get(name)) for one in self.entries}) > 1
        ]

    def table(self) -> pd.DataFrame:
        """One row per run: what it varies, status, figures, seconds, why it failed."""
        import pandas as pd

        rows, varied = [], self.varied()
        for entry in self.entries:
            told = self.result(entry)
            gain = told.get("difference") or {}
            rows.append(
                {
                    **{name: entry.parameters.get(name) for name in varied},
                    "status": entry.status,
                    **{name: told.get(name) for name in FIGURES},
                    "difference": gain.get("mean"),
                    "low": gain.get("low"),
                    "high": gain.get("high"),
                    "seconds": entry.seconds,
                    "attempts": entry.attempts,
                    "error": entry.error,
                    "run": entry.run,
                }
            )
        return pd.DataFrame(rows)

    def best(self, metric: str = "trained") -> Entry:
        """The point whose mean over its seeds is highest, by its best run.

        Raises:
            BadArgument: no run is done, or none reported such a number.
        """
        found: dict[str, list[tuple[float, Entry]]] = {}
        for entry in self.entries:
            if entry.status == "done":
                point = {name: one for name, one in entry.parameters.items() if name != "seed"}
                try:
                    value = objective(self.result(entry), metric)
                except BadData:  # it was never asked for
                    continue
                found.setdefault(repr(sorted(point.items())), []).append((value, entry))
        if not found and any(one.status == "done" for one in self.entries):
            wanted = "no finished run has a number of that name"
            raise BadArgument("metric", metric, wanted, 'Try "trained", or "metrics.RR@10".')
        if not found:
            wanted = "no run of it is done"
            raise BadArgument("sweep", self.folder.name, wanted, "Look at .table()['error'].")
        winner = max(found.values(), key=lambda some: sum(value for value, _ in some) / len(some))
        return max(winner, key=lambda pair: pair[0])[1]

    def command(self, entry: Entry, notebook: str | Path) -> str:
        """The line that repeats one run: every parameter that is not the notebook's default.

        Raises:
            BadArgument: there is no such notebook.
        """
        usual = {name: one.default for name, one in declared(notebook).items()}
        said = " ".join(
            f"-p {shlex.quote(f'{name}={value}')}"
            for name, value in entry.parameters.items()
            if name not in usual or usual[name] != value
        )
        return f"python -m workbench run {shlex.quote(str(notebook))} {said}".rstrip()

    def __repr__(self) -> str:
        counts: dict[str, int] = {}
        for one in self.entries:
            counts[one.status] = counts.get(one.status, 0) + 1
        told = ", ".join(f"{number} {status}" for status, number in counts.items())
        told += f"; {self.earlier} of other code left out" if self.earlier else ""
        return f"Sweep({self.folder.name}: {len(self.entries)} runs{', ' if told else ''}{told})"
