"""One notebook, executed from top to bottom into a folder of its own."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from workbench.errors import BadArgument
from workbench.sweep.job import Job, perform
from workbench.sweep.kernels import check_kernel
from workbench.sweep.parameters import check_parameters, read_notebook

LATEST = "latest"


class RunFailed(RuntimeError):
    """A notebook did not reach its end; what it did is kept.

    Args:
        what: the cell and its error, or what is missing.
        folder: the run's folder with the notebook as far as it came.
    """

    def __init__(self, what: str, folder: Path) -> None:
        self.what, self.folder = what, folder
        super().__init__(f"{what}\nThe notebook as far as it came: {folder}")


@dataclass(frozen=True, kw_only=True)
class Run:
    """A finished run.

    Args:
        folder: `runs/<time>-<name>`.
        notebook: the executed notebook in it.
        page: its HTML copy.
        result: what the notebook reported.
    """

    folder: Path
    notebook: Path
    page: Path
    result: dict[str, Any]

    def table(self) -> str:
        """The result in seven lines of text."""
        found, gain = self.result, self.result["difference"]
        share = found["headroom_recovered"]
        rows = [
            ("metric", found["metric"]),
            ("zero-shot", f"{found['zero_shot']:.4f}"),
            ("trained", f"{found['trained']:.4f}"),
            ("difference", f"{gain['mean']:+.4f}  [{gain['low']:+.4f}, {gain['high']:+.4f}]"),
            ("headroom recovered", "not measured" if share is None else f"{share:.0%}"),
            ("seconds", f"{found['seconds']:.0f}"),
        ]
        return "\n".join(f"  {name:<20}{value}" for name, value in rows)


def run_notebook(
    notebook: str | Path,
    *,
    parameters: Mapping[str, object] | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    kernel: str | None = None,
) -> Run:
    """Execute a notebook into `runs/<time>-<name>/` and point `runs/latest` at it.

    Args:
        notebook: a notebook with a cell tagged `parameters` whose last cell calls
            `workbench.report.report`.
        parameters: values for that cell, checked before anything runs.
        runs: the folder that holds all runs.
        name: the run's name; by default the notebook's without its number.
        kernel: a kernelspec's name; None = this Python, or a gateway's "python3" where
            JUPYTER_GATEWAY_URL names one.

    Returns:
        The folder, notebook, HTML page and result.

    Raises:
        BadArgument: an unknown parameter, a value of another type, an odd name, no such kernel.
        BadData: no notebook, or one without declared parameters.
        RunFailed: a cell failed, the kernel died, or the notebook reported no result.
        KeyboardInterrupt: it was stopped (Ctrl-C or SIGTERM); the kernel is gone by then.
    """
    source = Path(notebook).resolve()
    values = check_parameters(source, dict(parameters or {}))
    book = read_notebook(source)
    check_kernel(kernel)
    folder = _new_folder(Path(runs).resolve(), name or plain_name(source))
    executed = folder / source.name
    _announce(source, book, values, folder)
    job = Job(notebook=str(source), folder=str(folder), values=values, kernel=kernel)
    with stoppable():
        done = perform(job, bar=True)
        if done.status != "done":
            raise RunFailed(done.error, executed)
    _point_latest(folder)
    page = executed.with_suffix(".html")
    return Run(folder=folder, notebook=executed, page=page, result=done.result)


def plain_name(source: Path) -> str:
    """A notebook's name without its number."""
    return re.sub(r"^\d+[_-]", "", source.stem)


def check_name(name: str) -> str:
    """A name that can be a folder's, or an error."""
    if not re.fullmatch(r"[\w][\w.-]{0,80}", name):
        wanted = "it must be letters, digits, '_', '-' and '.'"
        raise BadArgument("name", name, wanted, "Try 'tour'.")
    return name


def _new_folder(runs: Path, name: str) -> Path:
    """A folder no other run has: `mkdir` decides when two start in the same second."""
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{check_name(name)}"
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise BadArgument("runs", str(runs), "it has 999 runs of this second", "Clear it.")


def _announce(source: Path, book: dict[str, Any], values: dict[str, Any], folder: Path) -> None:
    minutes = book.get("metadata", {}).get("workbench", {}).get("minutes")
    unit = "minute" if minutes == 1 else "minutes"
    says = f"about {minutes:g} {unit} on two cores" if minutes else "it does not say how long"
    said = " ".join(f"{name}={value!r}" for name, value in values.items())
    print(f"Running {source.name} ({says})", f"with {said}" if said else "with its defaults")
    print(f"  results go to {_short(folder)}", flush=True)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def stoppable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal unwind like Ctrl-C, so that kernels are shut down."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(number, signal.signal(number, stop)) for number in numbers]
    try:
        yield
    finally:
        for number, was in before:
            signal.signal(number, was)


def _point_latest(folder: Path) -> None:
    """Move `runs/latest` at once; a link, so that no run is ever copied or overwritten."""
    fresh = folder.parent / f".{LATEST}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        fresh.symlink_to(folder.name, target_is_directory=True)
        fresh.replace(folder.parent / LATEST)
    except OSError as error:  # no links on this file system, or a real folder of that name
        fresh.unlink(missing_ok=True)
        print(f"  runs/{LATEST} was not moved: {error}")
