"""One notebook, executed from top to bottom into a folder of its own.

papermill executes; what it does not notice is checked here. After a kernel's death it marks every
cell completed, so a run counts only when nothing was raised *and* the notebook's last cell has
left a whole `result.json`.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from workbench.errors import BadArgument, BadData
from workbench.files import read_json, write_json
from workbench.report import RESULT, RUN_VARIABLE, lacking
from workbench.sweep.page import write_page
from workbench.sweep.parameters import check_parameters, read_notebook

LATEST = "latest"
WIDGET = "application/vnd.jupyter.widget-view+json"


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
) -> Run:
    """Execute a notebook into `runs/<time>-<name>/` and point `runs/latest` at it.

    Args:
        notebook: a notebook with a cell tagged `parameters` whose last cell calls
            `workbench.report.report`.
        parameters: values for that cell, checked before anything runs.
        runs: the folder that holds all runs.
        name: the run's name; by default the notebook's without its number.

    Returns:
        The folder, notebook, HTML page and result.

    Raises:
        BadArgument: an unknown parameter, a value of another type, an odd name.
        BadData: no notebook, or one without declared parameters.
        RunFailed: a cell failed, the kernel died, or the notebook reported no result.
        KeyboardInterrupt: it was stopped (Ctrl-C or SIGTERM); the kernel is gone by then.
    """
    source = Path(notebook).resolve()
    values = check_parameters(source, dict(parameters or {}))
    book = read_notebook(source)
    folder = _new_folder(Path(runs).resolve(), name or _plain_name(source))
    executed = folder / source.name
    _announce(source, book, values, folder)
    with _stoppable():
        problem = _execute(source, executed, values, folder)
        if problem is None:
            problem = _missing(folder / RESULT)
        if problem is not None:
            raise RunFailed(problem, executed)
        _drop_dead_widgets(executed)
        page = write_page(executed, executed.with_suffix(".html"))
    _point_latest(folder)
    return Run(folder=folder, notebook=executed, page=page, result=read_json(folder / RESULT))


def _drop_dead_widgets(executed: Path) -> None:
    """Take out progress bars: their state is not kept, so they would stand there half-way."""
    book = read_json(executed)
    for cell in book["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [one for one in cell["outputs"] if WIDGET not in one.get("data", {})]
    write_json(executed, book)


def _plain_name(source: Path) -> str:
    return re.sub(r"^\d+[_-]", "", source.stem)


def _new_folder(runs: Path, name: str) -> Path:
    """A folder no other run has: `mkdir` decides when two start in the same second."""
    if not re.fullmatch(r"[\w][\w.-]{0,80}", name):
        wanted = "it must be letters, digits, '_', '-' and '.'"
        raise BadArgument("name", name, wanted, "Try 'tour'.")
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    runs.mkdir(parents=True, exist_ok=True)
    for number in range(1, 1000):
        folder = runs / (stem if number == 1 else f"{stem}-{number}")
        with suppress(FileExistsError):
            folder.mkdir()
            return folder
    raise BadArgument("runs", str(runs), "it has 999 runs of this second", "Clear it.")


def _announce(source: Path, book: dict[str, Any], values: dict[str, Any], folder: Path) -> None:
    minutes = book.get("metadata", {}).get("workbench", {}).get("minutes")
    says = f"about {minutes:g} minutes on two cores" if minutes else "it does not say how long"
    said = " ".join(f"{name}={value!r}" for name, value in values.items())
    print(f"Running {source.name} ({says})", f"with {said}" if said else "with its defaults")
    print(f"  results go to {_short(folder)}", flush=True)


def _short(path: Path) -> str:
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C, so that the kernel is shut down on both."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _kernel_class(environment: dict[str, str]) -> type:
    """This interpreter as the kernel, whatever kernels a user has installed elsewhere."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    # the kernel's own log would break the progress bar; a cell's error is in the notebook
    launch = [sys.executable, "-m", "ipykernel_launcher", "--log-level=CRITICAL"]

    class ThisPython(AsyncKernelManager):
        @property
        def kernel_spec(self) -> KernelSpec:
            return KernelSpec(
                argv=[*launch, "-f", "{connection_file}"],
                env=environment,
                display_name="workbench",
                language="python",
            )

    return ThisPython


def _execute(source: Path, executed: Path, values: dict[str, Any], folder: Path) -> str | None:
    """Run every cell; return what went wrong, or None."""
    import logging

    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    # it warns of parameters that its reader missed; ours has read and checked them
    logging.getLogger("papermill").setLevel(logging.ERROR)
    try:
        papermill.execute_notebook(
            _escaped(source),
            _escaped(executed),
            parameters=values,
            kernel_name="python3",
            language="python",
            kernel_manager_class=_kernel_class({RUN_VARIABLE: str(folder)}),
            resources={"metadata": {"path": str(source.parent)}},
            progress_bar={"desc": "Cells"},
            store_widget_state=False,
        )
    except PapermillExecutionError as error:
        where = f"In [{error.exec_count}] of {source.name}"
        return f"{where} failed: {error.ename}: {error.evalue}"
    except (DeadKernelError, CellTimeoutError) as error:
        place = _mend_statuses(executed)
        return f"{place} of {source.name} ended the kernel ({error}); often memory ran out."
    except KeyboardInterrupt:
        _mend_statuses(executed)
        raise
    return None


def _escaped(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats its paths


def _mend_statuses(executed: Path) -> str:
    """Say in the kept notebook which cell stopped it: papermill wrote "completed" on all."""
    import nbformat

    if not executed.is_file():
        return "The start"
    book = nbformat.read(executed, as_version=4)
    began = [cell for cell in book.cells if cell.metadata.get("papermill", {}).get("start_time")]
    for cell in book.cells:
        cell.metadata.setdefault("papermill", {})
        if not cell.metadata["papermill"].get("start_time"):
            cell.metadata["papermill"]["status"] = "pending"
    place = "The start"
    if began:
        began[-1].metadata["papermill"].update(status="failed", exception=True)
        book.metadata.setdefault("papermill", {})["exception"] = True
        counts = [cell.get("execution_count") or 0 for cell in began]
        place = f"In [{counts[-1] or max(counts) + 1}]"  # a dying kernel does not say its number
    nbformat.write(book, executed)
    return place


def _missing(path: Path) -> str | None:
    """What keeps `result.json` from being a result; the folder is new, so it is this run's."""
    if not path.is_file():
        return f"Every cell ran, but none wrote {RESULT}: end with workbench.report.report(...)."
    try:
        missing = lacking(read_json(path))
    except BadData as error:
        return str(error)
    return f"{RESULT} lacks {', '.join(missing)}." if missing else None


def _point_latest(folder: Path) -> None:
    """Move `runs/latest` at once; a link, so that no run is ever copied or overwritten."""
    fresh = folder.parent / f".{LATEST}.{os.getpid()}.{threading.get_ident()}.tmp"
    try:
        fresh.symlink_to(folder.name, target_is_directory=True)
        fresh.replace(folder.parent / LATEST)
    except OSError as error:  # no links on this file system, or a real folder of that name
        fresh.unlink(missing_ok=True)
        print(f"  runs/{LATEST} was not moved: {error}")
