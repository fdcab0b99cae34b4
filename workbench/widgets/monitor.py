"""The run monitor: a training run while it goes, and three buttons that only leave a flag."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import traitlets

from workbench.errors import BadArgument, check_choice, check_number
from workbench.widgets.assets import Core, css, esm
from workbench.widgets.curves import AXES, TITLES, Curve, Log, curves, figures, read_history
from workbench.widgets.theme import BLUE, COLOURS, GREY, VERMILION
from workbench.widgets.twin import Twin, page, picture, table, words
from workbench.widgets.view import View

if TYPE_CHECKING:
    from workbench.train import Run
    from workbench.train.history import Row

SHARE = 0.1
"""Part of the time that drawing may take from the loop, whatever `every` says."""
QUIET = 3.0
"""Seconds without a step (or five steps' time) after which the monitor says so."""
ASKED = ("pause", "resume", "stop", "checkpoint")


def monitor(run: Run | str | Path, *, every: float | None = 0.2, x: str = "step") -> Monitor:
    """Watch a training run, and pause, stop or checkpoint it between two steps.

    Show it, then train in the same notebook: `await run.finish_async()`, `async for row in run` or
    `train.background(run)` let the buttons act at once; in a plain `for` the curves move and a
    click is obeyed when the cell has ended. The buttons do what `run.control` does.

    Args:
        run: what `train.fit` made; or, to look at a run that is over, its folder or the
            `history.jsonl` in it.
        every: seconds between two drawings, at least 0.05; 0.2 = 5 per second. A drawing that is
            slow makes the next ones rarer, so that the loop keeps nine tenths of the time. None =
            only on `refresh()`.
        x: "step", or "seconds" spent in steps.

    Returns:
        A view; its traits `status` and `step` can be observed.

    Raises:
        BadArgument: no run, no such folder, a number out of range.
        BadData: a damaged history.

    Example:
        >>> monitor("no-such-run")
        Traceback (most recent call last):
        workbench.errors.BadArgument: `run` is 'no-such-run', but there is no such folder or file. \
Check the spelling.

    Breaks when: the run is in another process: a folder is read once, as it was then.
    """
    if every is not None:
        check_number("every", every, at_least=0.05, mend="Try 0.2, or None.")
    check_choice("x", x, AXES)
    if isinstance(run, str | Path):
        return Monitor(None, read_history(run), every=every, x=x)
    from workbench.train import Run

    given: object = run
    if not isinstance(given, Run):
        wanted = "it must be a run of train.fit, or the folder of one"
        raise BadArgument("run", given, wanted, "Pass what train.fit returned.")
    return Monitor(run, run.history.rows, every=every, x=x)


class MonitorCore(Core):
    """What the browser draws: `state` holds all of it, so that a new page draws the same."""

    _esm = esm("monitor.js")
    _css = css("monitor.css")
    state = traitlets.Dict().tag(sync=True)


class Monitor(View):
    """A view of a run; made by `monitor`.

    Traits: `status`, one of `train.control.STATES`; `step`, steps done.
    """

    status = traitlets.Unicode("waiting")
    step = traitlets.Int(0)

    def __init__(self, run: Run | None, rows: list[Row], *, every: float | None, x: str) -> None:
        self._run, self._rows = run, rows
        self._log, self._axis, self._every = Log(), x, every
        self._seen: object = None
        self._moved = time.monotonic()
        self._lock, self._over = threading.Lock(), threading.Event()
        self.core = MonitorCore()
        super().__init__([self.core], says=self._words, twin=self._static)
        for kind in ASKED:
            self.core.answer(kind, self._asked)
        self.refresh()
        if self._run is not None and every is not None:
            threading.Thread(target=self._follow, name="workbench-monitor", daemon=True).start()

    def refresh(self) -> bool:
        """Draw what the history holds now.

        Returns:
            Was there anything new to draw?
        """
        with self._lock:
            if self._run is not None:
                self._rows = self._run.history.rows
            new = self._log.read(self._rows)
            if new:
                self._moved = time.monotonic()
            told = self._told()
            if not new and told == self._seen:
                return False
            self._seen = told
            panels = _panels(curves(self._log, x=self._axis))
            numbers = figures(self._log, total=self._total)
            self.core.state = {**told, "numbers": numbers, "panels": panels, "x": self._axis}
            self.status, self.step = told["status"], int(numbers["step"])
            return True

    def close(self) -> None:
        """Take the view away and stop following the run, which goes on."""
        self._over.set()
        super().close()

    # -- following -----------------------------------------------------------------------------

    def _follow(self) -> None:
        wait = every = self._every or 0.2
        while not self._over.wait(wait):
            began = time.perf_counter()
            if self.refresh():
                wait = max(every, (time.perf_counter() - began) / SHARE)
            if self.status in ("done", "stopped", "failed", "interrupted"):
                self._leave()
            if self.status == "done":
                return

    def _told(self) -> dict[str, Any]:
        """Everything but the numbers: what it does, and what it was asked for."""
        run = self._run
        if run is None:
            return {"live": False, "status": "done", "total": None, "error": "", "quiet": False}
        control = run.control
        status = "done" if run.step >= run.total else control.state
        pace = self._log.column("seconds")[-20:]
        slow = 5 * float(np.mean(pace)) if len(pace) else 0.0
        still = time.monotonic() - self._moved > max(QUIET, slow)
        return {
            "live": True,
            "status": status,
            "total": run.total,
            "error": control.error,
            "quiet": still and status == "running",
            "pausing": control.paused,
            "stopping": control.stopping,
            "saving": control.saving,
            "keeps": run.folder is not None,
        }

    @property
    def _total(self) -> int | None:
        return self._run.total if self._run is not None else None

    def _asked(self, message: dict[str, Any]) -> dict[str, Any]:
        """Leave a flag, nothing more; the loop obeys between two steps."""
        kind = str(message["kind"])
        if self._run is None:
            wanted = "this run is over"
            raise BadArgument("run", "a history", wanted, "Make a monitor of what fit returned.")
        control = self._run.control
        acts: dict[str, Callable[[], None]] = {
            "pause": control.pause,
            "resume": control.resume,
            "stop": control.stop,
            "checkpoint": control.checkpoint,
        }
        if kind == "checkpoint" and self._run.folder is None:
            wanted = "this run keeps nothing on disk"
            raise BadArgument("folder", None, wanted, "Give train.fit a folder.")
        acts[kind]()
        if self._every is None:
            self.refresh()
        return {"asked": kind}

    # -- what stays in the file ----------------------------------------------------------------

    def _words(self) -> str:
        total = self._total
        if self._run is None or total is None:
            return f"Monitor({len(self._rows):,} steps, from disk)"
        status = "done" if self._run.step >= total else self._run.control.state
        return f"Monitor(step {self._run.step:,} of {total:,}, {status})"

    def _static(self) -> Twin:
        self.refresh()
        return twin(self._log, total=self._total, says=self._words(), x=self._axis)

    def _leave(self) -> None:
        """Bring the twin in the notebook up to date, once per end."""
        if self._left != (now := self._words()):
            self._left = now
            self.leave()

    _left = ""


def _panels(found: list[Curve]) -> list[dict[str, Any]]:
    """Curves by panel, in the order of `TITLES`, their numbers as float32 bytes."""
    return [
        {
            "key": key,
            "title": title,
            "curves": [
                {
                    "name": one.name,
                    "kind": one.kind,
                    "x": one.x.astype("<f4").tobytes(),
                    "y": one.y.astype("<f4").tobytes(),
                }
                for one in found
                if one.panel == key
            ],
        }
        for key, title in TITLES.items()
        if any(one.panel == key for one in found)
    ]


def twin(log: Log, *, total: int | None = None, says: str = "", x: str = "step") -> Twin:
    """The curves as a picture, the numbers as a table and as JSON.

    Args:
        log: the rows of the run.
        total: steps it will take, if known.
        says: its title.
        x: see `monitor`.

    Example:
        >>> log = Log(); _ = log.read([{"step": 1, "loss": 0.5}])
        >>> twin(log).digest["numbers"]["loss"]
        0.5
    """
    import pandas as pd

    numbers = figures(log, total=total)
    digest = {"view": "monitor", "total": total, "x": x, "numbers": numbers}
    if not log.count:
        return Twin(html=page(says, words("No step has been taken yet.")), digest=digest)
    rows = pd.DataFrame({"figure": list(numbers), "value": list(numbers.values())})
    shown = f"Training curves over {log.count:,} steps; the table gives the last values."
    drawn = picture(_figure(curves(log, x=x), x), shown)
    return Twin(html=page(says, drawn, table(rows, "at the last step")), digest=digest)


def _figure(found: list[Curve], x: str) -> Any:
    from matplotlib.figure import Figure

    keys = [key for key in TITLES if any(one.panel == key for one in found)]
    figure = Figure(figsize=(9, 2.2 * -(-len(keys) // 2)), layout="constrained")
    for place, key in enumerate(keys):
        axis = figure.add_subplot(-(-len(keys) // 2), 2, place + 1)
        lines = [one for one in found if one.panel == key]
        for number, one in enumerate(lines):
            raw = one.kind == "raw"
            colour = GREY if raw else (BLUE, VERMILION, *COLOURS[2:6])[number % 6]
            dash = ("-", "--", ":", "-.")[number % 4]
            mark = "o" if one.kind == "points" else None
            axis.plot(
                one.x, one.y, dash if not raw else "-", color=colour, marker=mark, markersize=4,
                linewidth=0.6 if raw else 1.4, label=one.name,
            )  # fmt: skip
        axis.set_title(TITLES[key], fontsize=9, loc="left")
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_xlabel("step" if x == "step" else "seconds of training", fontsize=7)
        if len(lines) > 1:
            axis.legend(fontsize=7, frameon=False)
    return figure
