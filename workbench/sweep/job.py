"""One notebook executed by one kernel, wherever that is: in a thread here or on a Dask worker.

papermill executes; what it does not notice is checked here. After a kernel's death it marks every
cell completed, so a run counts only when nothing was raised *and* the notebook has reported a whole
result.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.errors import BadData
from workbench.files import read_json, write_json
from workbench.report import DIGEST, RESULT, ROWS, RUN_VARIABLE, lacking, read_rows
from workbench.sweep.kernels import LOG, kernel_class, memory_of, stop
from workbench.sweep.page import write_page

WIDGET = "application/vnd.jupyter.widget-view+json"
GB = 2**30
STOP = ".stop"
BORN_DEAD = "Kernel died before replying"


@dataclass(frozen=True, kw_only=True)
class Job:
    """What it takes to execute one notebook; plain data, so that it can travel.

    Args:
        notebook: path of the notebook.
        folder: where the run writes.
        values: its parameters.
        kernel: see `kernels.check_kernel`.
        environment: variables of the kernel.
        seconds: it may take; None = as long as it likes.
        memory: GB that its kernel, with children, may hold; None = all there is.
        home: the kernel's working directory; "" = the notebook's folder.
    """

    notebook: str
    folder: str
    values: Mapping[str, Any]
    kernel: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    memory: float | None = None
    home: str = ""


@dataclass(frozen=True, kw_only=True)
class Done:
    """How a job went.

    Args:
        status: done, failed, pruned or stopped.
        seconds: it took.
        error: why it is not done; "" when it is.
        result: what the notebook reported.
    """

    status: str
    seconds: float
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)


class Watch:
    """What others see of a running job, and how they end it; safe from any thread."""

    def __init__(self) -> None:
        self.cell, self.cells = 0, 0
        self.folder: Path | None = None
        self.reason: tuple[str, str] | None = None
        self._managers: list[Any] = []
        self._read, self._file = 0, (0, 0)
        self.rows: list[dict[str, Any]] = []

    def began(self, manager: Any) -> None:
        """A kernel's manager was made."""
        self._managers.append(manager)
        if self.reason is not None:
            stop(manager)

    def end(self, status: str, why: str) -> None:
        """Stop the kernel; the first reason given counts."""
        if self.reason is None:
            self.reason = (status, why)
        for manager in self._managers:
            stop(manager)

    def new_rows(self) -> list[dict[str, Any]]:
        """Rows that the notebook reported (`report.row`) since the last call."""
        try:
            path = (self.folder or Path()) / ROWS
            here = path.stat()
            if (here.st_dev, here.st_ino) != self._file or here.st_size < self._read:
                self._file, self._read = (here.st_dev, here.st_ino), 0  # a second attempt's
            with path.open("rb") as file:
                file.seek(self._read)
                text = file.read()
        except OSError:
            return []
        whole = text[: text.rfind(b"\n") + 1]
        self._read += len(whole)
        found = read_rows(whole)
        self.rows.extend(found)
        return found

    @contextmanager
    def limits(self, job: Job) -> Iterator[None]:
        """End the kernel when it takes too long or too much memory."""
        over = threading.Event()
        began = time.monotonic()

        def look() -> None:
            while not over.wait(0.25):
                if job.seconds is not None and time.monotonic() - began > job.seconds:
                    self.end("failed", f"it took longer than {job.seconds:g} seconds")
                if job.memory is not None:
                    held = sum(memory_of(one) or 0 for one in self._managers) / GB
                    if held > job.memory:
                        self.end("failed", f"it held {held:.1f} GB, more than {job.memory:g}")
                asked = Path(job.folder) / STOP
                if asked.is_file():  # by a sweep that is another process, on a shared disk
                    status, _, why = asked.read_text(encoding="utf-8").partition("\n")
                    self.end(status or "stopped", why)
                if self.reason is not None:  # a kernel may have started since
                    self.end(*self.reason)

        thread = threading.Thread(target=look, daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def perform(job: Job, watch: Watch | None = None, *, bar: bool = False) -> Done:
    """Execute a notebook to its end, or say where it stopped; never raises for what it does.

    Args:
        job: what and where; the folder is there.
        watch: to be looked at, and to be stopped by, from another thread.
        bar: show papermill's own progress bar.

    Returns:
        How it went. The folder holds the executed notebook as far as it came, an HTML copy and what
        the kernel itself said.
    """
    seen = Watch() if watch is None else watch
    folder = Path(job.folder)
    seen.folder = folder
    for name in (RESULT, ROWS, STOP):  # of an attempt that a worker's death cut short
        (folder / name).unlink(missing_ok=True)
    began = time.monotonic()
    source = Path(job.notebook)
    executed = folder / source.name
    with seen.limits(job), _own_loop():
        problem = _execute(source, executed, job, seen, bar=bar)
        if problem is not None and BORN_DEAD in problem and seen.reason is None:
            problem = _execute(source, executed, job, seen, bar=bar)  # its ports were taken, say
            if problem is not None and BORN_DEAD in problem:
                problem = f"no kernel starts, twice: {_last_line(folder / LOG)}"
    took, reason = time.monotonic() - began, seen.reason  # what is said later is said too late
    if problem is None:
        problem = _kept(executed, folder / RESULT)
    if executed.is_file():
        with suppress(Exception):  # a full disk, a picture that is missing: the notebook is there
            drop_dead_widgets(executed)
            write_page(executed, executed.with_suffix(".html"))
    if problem is not None:
        status, why = reason or ("failed", problem)
        return Done(status=status, seconds=took, error=why)
    return Done(status="done", seconds=took, result=read_json(folder / RESULT))


@contextmanager
def _own_loop() -> Iterator[None]:
    """Close the event loop that nbclient opens in a thread and leaves there with its sockets."""
    from jupyter_core.utils import ensure_event_loop

    try:
        yield
    finally:
        if threading.current_thread() is not threading.main_thread():
            loop = ensure_event_loop()
            left = asyncio.all_tasks(loop)  # nbclient's watch over the kernel
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()


def _execute(source: Path, executed: Path, job: Job, watch: Watch, *, bar: bool) -> str | None:
    """Run every cell; return what went wrong, or None."""
    import logging

    import papermill
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    # it warns of parameters that its reader missed; ours has read and checked them
    logging.getLogger("papermill").setLevel(logging.ERROR)
    environment = {**job.environment, RUN_VARIABLE: job.folder}

    def began(cell: Any, cell_index: int) -> None:
        watch.cell = cell_index + 1

    watch.cells = len(read_json(source).get("cells", [])) + bool(job.values)  # one is put in
    try:
        papermill.execute_notebook(
            _escaped(source),
            _escaped(executed),
            parameters=dict(job.values),
            kernel_name="python3",
            language="python",
            kernel_manager_class=kernel_class(
                job.kernel, environment, watch.began, Path(job.folder)
            ),
            resources={"metadata": {"path": job.home or str(source.parent)}},
            progress_bar={"desc": "Cells"} if bar else False,
            store_widget_state=False,
            on_cell_start=began,
        )
    except PapermillExecutionError as error:
        where = f"In [{error.exec_count}] of {source.name}"
        return f"{where} failed: {error.ename}: {error.evalue}"
    except (DeadKernelError, CellTimeoutError) as error:
        place = mend_statuses(executed)
        return f"{place} of {source.name} ended the kernel ({error}); often memory ran out."
    except KeyboardInterrupt:
        mend_statuses(executed)
        raise
    except Exception as error:  # no port, no disk, a gateway that went away
        with suppress(Exception):
            mend_statuses(executed)
        return f"{source.name} could not be executed: {type(error).__name__}: {error}"
    return None


def _last_line(log: Path) -> str:
    """The last thing a kernel said."""
    said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.is_file() else []
    return next((one.strip() for one in reversed(said) if one.strip()), "it said nothing")


def _escaped(path: Path) -> str:
    return str(path).replace("{", "{{").replace("}", "}}")  # papermill formats its paths


def mend_statuses(executed: Path) -> str:
    """Say in the kept notebook which cell stopped it: papermill wrote "completed" on all."""
    import nbformat

    try:
        book = nbformat.read(executed, as_version=4)
    except (OSError, ValueError, nbformat.reader.NotJSONError):  # not there, or cut short
        return "The start"
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


def drop_dead_widgets(executed: Path) -> None:
    """Take out live views: their state is not kept; a view's static twin stands beside it."""
    book = read_json(executed)
    for cell in book["cells"]:
        if "outputs" in cell:
            cell["outputs"] = [one for one in cell["outputs"] if WIDGET not in one.get("data", {})]
    write_json(executed, book)


def _kept(executed: Path, path: Path) -> str | None:
    """What keeps the result from being one; a kernel on another machine sends it as an output."""
    if not path.is_file():
        sent = _sent(executed)
        if sent is None:
            return (
                f"Every cell ran, but none wrote {RESULT}: end with workbench.report.report(...)."
            )
        write_json(path, sent)
    try:
        missing = lacking(read_json(path))
    except BadData as error:
        return str(error)
    return f"{RESULT} lacks {', '.join(missing)}." if missing else None


def _sent(executed: Path) -> dict[str, Any] | None:
    """The last result among a notebook's outputs."""
    found = None
    cells = read_json(executed)["cells"] if executed.is_file() else []
    for cell in cells:
        for output in cell.get("outputs", []):
            told = output.get("data", {}).get(DIGEST)
            if isinstance(told, dict) and isinstance(told.get("result"), dict):
                found = told["result"]
    return found
