"""What the rows of a training run say, as columns, curves and a few numbers; no widget here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from workbench.errors import BadArgument, BadData, check_choice
from workbench.widgets.thin import MOST, Values, smooth, thin

if TYPE_CHECKING:
    from workbench.train.history import Row

Kind = Literal["line", "raw", "points"]
HISTORY = "history.jsonl"
AXES = ("step", "seconds")
SPAN = 50
"""Steps over which curves are smoothed and the time left is judged."""
TITLES = {
    "loss": "Loss",
    "kept": "Candidates kept by the rules",
    "rate": "Learning rate",
    "pairs": "Pairs per second",
    "evaluation": "Evaluation",
}


def read_history(path: str | Path) -> list[Row]:
    """The rows of a run from its folder, or from its `history.jsonl`.

    A half-written last line, as a kill leaves it, is passed over.

    Args:
        path: the folder given to `train.fit`, or the file in it.

    Returns:
        One row per step.

    Raises:
        BadArgument: there is no such folder or file, or no history in it.
        BadData: a line before the last is damaged, or a row has no step.

    Example:
        >>> read_history("no-such-run")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `run` is 'no-such-run', but there is no such folder or file. \
Check the spelling.
    """
    found = Path(path)
    if not found.exists():
        wanted = "there is no such folder or file"
        raise BadArgument("run", str(path), wanted, "Check the spelling.")
    file = found / HISTORY if found.is_dir() else found
    if not file.is_file():
        wanted = f"it holds no {HISTORY}"
        raise BadArgument("run", str(path), wanted, "Name the folder that train.fit was given.")
    rows: list[Row] = []
    problems = []
    lines = file.read_bytes().splitlines()
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
        except ValueError:  # not JSON, or not UTF-8
            if number < len(lines):
                problems.append(f"line {number}: not JSON")
            continue
        if isinstance(row, dict) and _is_number(row.get("step")):
            rows.append(row)
        else:
            problems.append(f"line {number}: it is no row of a step")
    if problems:
        raise BadData(str(file), problems, "Resume the run, which mends it, or leave it out.")
    return rows


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class Log:
    """Rows of a history as columns that grow with it; only new rows are looked at.

    Example:
        >>> log = Log()
        >>> log.read([{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.25, "evaluation": 0.7}])
        True
        >>> log.column("evaluation").tolist()
        [nan, 0.7]
    """

    def __init__(self) -> None:
        self.count, self._last = 0, None  # type: int, Row | None
        self._columns: dict[str, Values] = {}

    def read(self, rows: Sequence[Row]) -> bool:
        """Take up what is new; begin again where the history was wound back.

        Args:
            rows: all rows so far. Another thread may append to them meanwhile.

        Returns:
            Was anything new?
        """
        count = len(rows)
        back = count < self.count or (self.count > 0 and rows[self.count - 1] is not self._last)
        if back:
            self.count, self._columns = 0, {}
        if count == self.count:
            return back
        fresh = rows[self.count : count]
        names = {name for row in fresh for name, value in row.items() if _is_number(value)}
        for name in names:
            column = self._grown(name, count)
            values = [row.get(name) for row in fresh]
            column[self.count : count] = [one if _is_number(one) else np.nan for one in values]
        self.count, self._last = count, fresh[-1]
        return True

    def _grown(self, name: str, count: int) -> Values:
        column = self._columns.get(name, np.zeros(0))
        if len(column) < count:
            more = np.full(max(1_024, 2 * count) - len(column), np.nan)
            column = self._columns[name] = np.concatenate([column, more])
        return column

    def column(self, name: str) -> Values:
        """(row,) values of one name, NaN where a row has none."""
        column = self._columns.get(name, np.zeros(0))[: self.count]
        missing = self.count - len(column)
        return np.concatenate([column, np.full(missing, np.nan)]) if missing else column

    @property
    def blocks(self) -> list[str]:
        """Names of the blocks whose kept share is known."""
        return sorted(name[len("kept_") :] for name in self._columns if name.startswith("kept_"))


@dataclass(frozen=True, eq=False, kw_only=True)
class Curve:
    """One curve of one panel, thinned.

    Args:
        panel: a key of `TITLES`.
        name: what it shows.
        kind: "line", "raw" (behind a smoothed one) or "points".
        x: (point,) steps, or seconds of training.
        y: (point,).
    """

    panel: str
    name: str
    kind: Kind
    x: Values
    y: Values


def curves(log: Log, *, x: str = "step", most: int = MOST) -> list[Curve]:
    """The curves of a run, each of at most `most` points.

        kept = (candidates - dropped) / candidates,   smoothed over 50 steps, of all and per block

    Args:
        log: what was read.
        x: "step", or "seconds" spent in steps (without evaluations and refreshes).
        most: points of each curve.

    Returns:
        Loss, its smoothed form, kept shares, learning rate, pairs per second, evaluations; those
        that the history knows nothing of are left out.

    Raises:
        BadArgument: an unknown `x`.

    Example:
        >>> log = Log()
        >>> _ = log.read([{"step": 1, "loss": 0.5, "learning_rate": 0.1}])
        >>> [(one.panel, one.name) for one in curves(log)]
        [('loss', 'each step'), ('loss', 'smoothed'), ('rate', 'learning rate')]
    """
    check_choice("x", x, AXES)
    steps = log.column("step")
    along = steps if x == "step" else np.nancumsum(log.column("seconds"))
    loss = log.column("loss")
    blocks = log.blocks if len(log.blocks) > 1 else []
    marks = log.column("evaluation")
    made: list[tuple[str, str, Kind, Values]] = [
        ("loss", "each step", "raw", loss),
        ("loss", "smoothed", "line", smooth(loss, span=SPAN)),
        ("kept", "all", "line", smooth(kept_share(log), span=SPAN)),
        *(("kept", name, "line", smooth(log.column(f"kept_{name}"), span=SPAN)) for name in blocks),
        ("rate", "learning rate", "line", log.column("learning_rate")),
        ("pairs", "pairs per second", "line", pace(log)),
        ("evaluation", "evaluation", "points", marks[np.isfinite(marks)]),
    ]
    found = []
    for panel, name, kind, y in made:
        if not np.isfinite(y).any():
            continue
        xs = along[np.isfinite(marks)] if kind == "points" else along
        places = thin(y, most=most)
        found.append(Curve(panel=panel, name=name, kind=kind, x=xs[places], y=y[places]))
    return found


def kept_share(log: Log) -> Values:
    """(row,) share of the candidates' weight that the rules left, in [0, 1]; NaN without any."""
    candidates, dropped = log.column("candidates"), log.column("dropped")
    return (candidates - dropped) / np.where(candidates > 0, candidates, np.nan)


def pace(log: Log) -> Values:
    """(row,) pairs per second spent in steps, smoothed over 50 of them."""
    pairs, seconds = (smooth(log.column(name), span=SPAN) for name in ("pairs", "seconds"))
    return pairs / np.where(seconds > 0, seconds, np.nan)


def figures(log: Log, *, total: int | None = None) -> dict[str, float]:
    """The numbers beside the curves, as of the last row.

        seconds_left = (total - step) mean seconds of the last 50 steps

    Args:
        log: what was read.
        total: steps the run will take, if known.

    Returns:
        `step`, and those known of `loss` (smoothed), `kept`, `kept_<block>`, `rate`,
        `pairs_per_second`, `seconds`, `seconds_left`, `evaluation` (the last), `best`, `best_step`.

    Example:
        >>> log = Log()
        >>> _ = log.read([{"step": 2, "seconds": 0.5, "pairs": 8}])
        >>> figures(log, total=10)["seconds_left"], figures(log)["pairs_per_second"]
        (4.0, 16.0)

    Breaks when: evaluations or refreshes take long: the time left counts the steps alone.
    """
    if not log.count:
        return {"step": 0.0}
    last = slice(max(0, log.count - SPAN), log.count)
    steps, seconds = log.column("step"), log.column("seconds")
    found = {
        "step": float(steps[-1]),
        "loss": float(smooth(log.column("loss"), span=SPAN)[-1]),
        "kept": float(smooth(kept_share(log), span=SPAN)[-1]),
        "rate": float(log.column("learning_rate")[-1]),
        "pairs_per_second": float(pace(log)[-1]),
        "seconds": float(np.nansum(seconds)),
    }
    for name in log.blocks:
        found[f"kept_{name}"] = float(smooth(log.column(f"kept_{name}"), span=SPAN)[-1])
    if total is not None:
        found["seconds_left"] = max(0.0, total - found["step"]) * _mean(seconds[last])
    marks = log.column("evaluation")
    if np.isfinite(marks).any():
        best = int(np.nanargmax(marks))
        found["evaluation"] = float(marks[np.isfinite(marks)][-1])
        found["best"], found["best_step"] = float(marks[best]), float(steps[best])
    return {name: value for name, value in found.items() if np.isfinite(value)}


def _mean(values: Values) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")
