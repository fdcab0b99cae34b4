"""One notebook over a grid, on every GPU or core at hand; what is finished is never done again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench import files
from workbench.errors import BadArgument, BadData, check_choice, check_count, check_number
from workbench.report import RESULT, ROWS, read_rows, versions
from workbench.sweep import engines
from workbench.sweep.bars import Bars
from workbench.sweep.engines import ENGINES, Engine
from workbench.sweep.folder import COPY, LOCK, check_writable, new_attempt, run_name
from workbench.sweep.job import Done, Job, Watch
from workbench.sweep.kernels import check_kernel, gateway
from workbench.sweep.ledger import Entry, Ledger, key_of
from workbench.sweep.notebook import check_name, plain_name, stoppable
from workbench.sweep.parameters import declared, read_notebook
from workbench.sweep.plan import (
    Between,
    Point,
    Space,
    checked,
    choices,
    filled,
    grid_points,
    random_points,
    seeds_of,
    with_seeds,
)
from workbench.sweep.result import Sweep
from workbench.sweep.search import SEARCHES, Listed, Source, Study, objective
from workbench.sweep.slots import slots

if TYPE_CHECKING:
    from distributed import Client


@dataclass(frozen=True, kw_only=True)
class _Setting:
    """What all runs of a sweep share."""

    notebook: Path
    home: Path
    code: str
    folder: Path
    kernel: str | None
    seconds: float | None
    memory: float | None
    metric: str
    again: bool


def run(
    notebook: str | Path,
    *,
    grid: Space | Sequence[Mapping[str, object]],
    seeds: int | Sequence[int] | None = None,
    search: str = "grid",
    n: int | None = None,
    metric: str = "trained",
    engine: str = "local",
    client: Client | None = None,
    jobs: int | None = None,
    gpus: Sequence[int | str] | None = None,
    per_gpu: int = 1,
    threads: int | None = None,
    kernel: str | None = None,
    runs: str | Path = "runs",
    name: str | None = None,
    again: bool = False,
    seconds: float | None = None,
    memory: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Sweep:
    """Execute a notebook once per point and seed, several kernels at a time.

    A run counts when nothing was raised and the notebook reported a result. What the ledger of
    `runs/<name>/` holds as done, of this notebook's code and these parameters, is not done again;
    what failed, was stopped or was killed is. Runs are never in each other's folders, and no kernel
    outlives this call, however it ends.

    Args:
        notebook: with a cell tagged `parameters`, which ends with `workbench.report.report`.
        grid: name -> values, every combination; or a list of points. With search "random" or
            "optuna" values may be `Between(low=, high=)`.
        seeds: how often each point is run, or which seeds; the notebook must declare `seed`.
        search: "grid", "random" (n draws), or "optuna" (n trials, each chosen by what came of the
            earlier ones; pruned by the rows that the notebook reports with `report.row`).
        n: draws or trials; of a grid None.
        metric: what Optuna raises: a number of the result, see `search.objective`.
        engine: "local", or "dask" on a cluster (`cluster.connect`) whose workers see this folder.
        client: of the cluster.
        jobs: kernels at a time; None = one per GPU times `per_gpu`, or one per core.
        gpus: which GPUs; None = all, [] = none.
        per_gpu: kernels on one GPU at a time.
        threads: of each kernel; None = cores / jobs.
        kernel: a kernelspec's name, here or of the gateway that JUPYTER_GATEWAY_URL names.
        runs: the folder that holds all runs.
        name: of the sweep, its folder in `runs`; None = the notebook's without its number.
        again: do finished runs again; the earlier ones are set aside.
        seconds: limit of each run.
        memory: limit of each run in GB, of kernel and children; not through a gateway.
        seed: of draws and of Optuna's sampler.
        progress: show bars.

    Returns:
        The sweep, failed runs included.

    Raises:
        BadArgument: anything that does not fit, before a kernel is started: an unknown parameter or
            part, a value of another type, no gateway, a folder that cannot be written, a full disk,
            another process in the same sweep.
        BadData: the notebook has no `parameters` cell, or a damaged ledger.
        KeyboardInterrupt: it was stopped (Ctrl-C or SIGTERM); the kernels are gone by then, and the
            next call goes on.

    Breaks when: the notebook reads what is not among its parameters, a file that changed say: a
    finished run is then taken for the same, though it would differ now; again=True repeats.
    """
    source = Path(notebook).resolve()
    for option, value, known in (("search", search, SEARCHES), ("engine", engine, ENGINES)):
        check_choice(option, value, known)
    for option, limit in (("seconds", seconds), ("memory", memory)):
        if limit is not None:
            check_number(option, limit, above=0, mend="Leave it out for no limit.")
    if memory is not None and gateway() is not None:
        wanted = "what a kernel behind a gateway holds is not seen from here"
        raise BadArgument("memory", memory, wanted, "Leave it out, and limit it at the gateway.")
    points, listed = _planned(source, grid, seeds, search, n, seed)
    work, places = _engine(engine, client, kernel, jobs, gpus, per_gpu, threads)
    folder = Path(runs).resolve() / check_name(plain_name(source) if name is None else name)
    check_writable(folder)
    with _locked(folder):
        copy = _copied(source, folder)
        setting = _Setting(
            notebook=copy, home=source.parent, code=_code_of(read_notebook(copy)), folder=folder,
            kernel=kernel, seconds=seconds, memory=memory, metric=metric, again=again,
        )  # fmt: skip
        ledger = Ledger(folder)
        left = ledger.recover()
        if left and gateway() is not None:
            from workbench.sweep.gateway import end_left

            for run_left in left:
                end_left(folder / run_left)
        origin = Listed(points) if listed is None else listed
        total = len(points) or (n or 0) * len(seeds_of(seeds) or [0])
        _Conductor(setting, ledger, origin, work, places).conduct(total, progress=progress)
    return Sweep.load(folder, code=setting.code)


def _copied(source: Path, folder: Path) -> Path:
    """The notebook as it is now: who edits it meanwhile edits the next sweep."""
    copy = folder / COPY / source.name
    with files.atomic_file(copy) as temporary:
        temporary.write_bytes(source.read_bytes())
    return copy


def _planned(
    source: Path,
    grid: Space | Sequence[Mapping[str, object]],
    seeds: int | Sequence[int] | None,
    search: str,
    n: int | None,
    seed: int,
) -> tuple[list[Point], Study | None]:
    """The points, or the study that will give them; all that can be checked is."""
    numbers = seeds_of(seeds)
    check_count("seed", seed, at_least=0, mend="Try 0.")
    if search == "grid" and n is not None:
        raise BadArgument("n", n, "a grid has its own length", 'Leave it out, or search="random".')
    if not isinstance(grid, Mapping):
        listed: object = grid
        if not isinstance(listed, list | tuple) or not listed:
            wanted = "it must be names with values, or a list of points"
            raise BadArgument("grid", grid, wanted, 'Try {"margin": [0.0, 0.1]}.')
        for one in listed:
            if not isinstance(one, Mapping):
                wanted = "each point must be name -> value"
                raise BadArgument("grid", one, wanted, 'Try [{"margin": 0.1}].')
        if search != "grid":
            wanted = f"search={search!r} draws from names with values"
            raise BadArgument("grid", grid, wanted, 'Try {"margin": [0.0, 0.1]}.')
        return checked(source, with_seeds([dict(one) for one in grid], numbers)), None
    if search == "grid":
        return checked(source, with_seeds(grid_points(grid), numbers)), None
    if n is None:
        raise BadArgument("n", n, f"search={search!r} needs how many", "Try n=20.")
    if search == "random":
        return checked(source, with_seeds(random_points(grid, n, seed=seed), numbers)), None
    check_count("n", n, mend="Try 20.")
    ends = [
        {name: end}
        for name, one in grid.items()
        for end in ((one.low, one.high) if isinstance(one, Between) else choices(one))
    ]
    checked(source, with_seeds(ends or [{}], numbers))
    return [], Study(grid, n, seeds=numbers, seed=seed)


def _engine(
    engine: str,
    client: Client | None,
    kernel: str | None,
    jobs: int | None,
    gpus: Sequence[int | str] | None,
    per_gpu: int,
    threads: int | None,
) -> tuple[Engine, int]:
    if engine == "dask":
        if client is None:
            wanted = 'engine="dask" needs a cluster'
            raise BadArgument("client", client, wanted, "Pass workbench.cluster.connect(...).")
        if jobs is not None or gpus is not None:
            wanted = "a cluster's workers decide"
            raise BadArgument("jobs" if jobs else "gpus", jobs or gpus, wanted, "Leave it out.")
        return engines.dask(client, kernel=kernel, threads=threads)
    if client is not None:
        raise BadArgument("client", client, 'engine="local" uses none', 'Say engine="dask".')
    check_kernel(kernel)
    return engines.local(slots(jobs=jobs, gpus=gpus, per_gpu=per_gpu, threads=threads))


def _code_of(book: Mapping[str, Any]) -> str:
    """A fingerprint of all code but the parameters cell, whose values stand for it."""
    cells = [
        "".join(cell["source"])
        for cell in book["cells"]
        if cell.get("cell_type") == "code"
        and "parameters" not in cell.get("metadata", {}).get("tags", [])
    ]
    return files.fingerprint(cells)


def _locked(folder: Path) -> Any:
    """The sweep's lock; the system frees it when the process dies, however it does."""
    from filelock import FileLock, Timeout

    lock = FileLock(folder / LOCK)
    try:
        return lock.acquire(timeout=0)
    except Timeout as error:
        wanted = "another process runs this sweep"
        raise BadArgument("name", folder.name, wanted, "Wait for it, or name another.") from error


def _outcome(future: Future[Done]) -> Done:
    """How a run went, also when what executes it broke."""
    error = future.exception()
    if error is None:
        return future.result()
    return Done(status="failed", seconds=0.0, error=f"{type(error).__name__}: {error}")


def _changed(then: Mapping[str, str], now: Mapping[str, str]) -> str:
    """A note on which versions differ; "" when none does."""
    found = [
        f"{name} {then[name]}, now {now[name]}"
        for name in sorted(then.keys() & now.keys())
        if then[name] != now[name]
    ]
    return f"made with {'; '.join(found)} (--again repeats it)" if found else ""


class _Conductor:
    """The loop of a sweep; the only one that writes to the ledger."""

    def __init__(
        self, setting: _Setting, ledger: Ledger, source: Source, engine: Engine, places: int
    ) -> None:
        self.setting, self.ledger, self.source = setting, ledger, source
        self.engine, self.places = engine, places
        self.known = {one.key: one for one in ledger.entries()}
        self.parameters = declared(setting.notebook)
        self.defaults = {name: one.default for name, one in self.parameters.items()}
        self.running: dict[Future[Done], tuple[int, Point, str, str, Watch]] = {}
        self.same: dict[str, list[int]] = {}  # key of a running run -> who else asked for it
        self.fresh: set[str] = set()  # done in this very call
        self.versions = versions()

    def conduct(self, total: int, *, progress: bool) -> None:
        """Start, watch and note runs until there are none."""
        bars = Bars(total, places=min(self.places, total), shown=progress)
        with stoppable(), ThreadPoolExecutor(self.places) as pool:
            try:
                while self._start(pool, bars) or self.running:
                    done, _ = wait(self.running, timeout=0.2, return_when=FIRST_COMPLETED)
                    self._watch(bars)
                    for future in done:
                        self._note(future, bars)
            except BaseException:  # Ctrl-C above all: no kernel may stay behind
                self._stop()
                raise
            finally:
                bars.close()

    def _start(self, pool: ThreadPoolExecutor, bars: Bars) -> bool:
        """Fill the free places; was anything started?"""
        began = False
        while len(self.running) < self.places and (found := self.source.following()) is not None:
            number, point = found
            full = filled(self.parameters, point)
            key = key_of(self.setting.code, full)
            entry = self.known.get(key)
            if any(one[2] == key for one in self.running.values()):  # a study may ask twice
                self.same.setdefault(key, []).append(number)
                continue
            if entry is not None and self._known(number, point, entry, bars):
                continue
            run = run_name(full, self.defaults, key) if entry is None else entry.run
            self.ledger.enter(key, run=run, parameters=full, notebook=self.setting.code)
            folder = self.setting.folder / run
            new_attempt(folder)
            self.ledger.start(key, self.versions)
            job = Job(
                notebook=str(self.setting.notebook), folder=str(folder), values=full,
                kernel=self.setting.kernel, seconds=self.setting.seconds,
                memory=self.setting.memory, home=str(self.setting.home),
            )  # fmt: skip
            watch = Watch()
            self.running[pool.submit(self.engine, job, watch)] = (number, point, key, run, watch)
            bars.began(run)
            began = True
        return began

    def _known(self, number: int, point: Point, entry: Entry, bars: Bars) -> bool:
        """Need it not be done again? Then the search learns what came of it."""
        pruned = entry.status == "pruned" and self.source.prunes
        if self.setting.again and entry.key not in self.fresh:
            return False
        if entry.status != "done" and not pruned:
            return False
        folder, value, note = self.setting.folder / entry.run, None, ""
        try:
            if not pruned:
                value, note = self._value(files.read_json(folder / RESULT))
        except (BadArgument, BadData):  # somebody took its folder away
            return False
        with suppress(OSError):
            for row in read_rows((folder / ROWS).read_bytes()):
                self.source.saw(number, point, row)
        self.source.tell(number, value, pruned=pruned)
        bars.known(entry.run, note or _changed(entry.versions, self.versions))
        return True

    def _value(self, result: Mapping[str, Any]) -> tuple[float | None, str]:
        """What a search raises, and what is wrong with it."""
        try:
            return objective(result, self.setting.metric), ""
        except BadData as problem:
            return None, str(problem)

    def _watch(self, bars: Bars) -> None:
        for number, point, _, _, watch in self.running.values():
            for row in watch.new_rows():
                if self.source.saw(number, point, row):
                    watch.end("pruned", f"below the median of the others at step {row['step']}")
        bars.show({run: watch for *_, run, watch in self.running.values()})

    def _note(self, future: Future[Done], bars: Bars) -> None:
        number, _, key, run, _ = self.running.pop(future)
        done, value, note = _outcome(future), None, ""
        status = done.status
        if status == "done":
            value, note = self._value(done.result)  # it is done all the same
        self.ledger.end(key, status, seconds=done.seconds, error=done.error, result=done.result)
        self.known = {one.key: one for one in self.ledger.entries()}
        self.fresh.add(key)
        for asked in (number, *self.same.pop(key, ())):
            self.source.tell(asked, value, pruned=status == "pruned")
            bars.ended(run, status, done.seconds, done.error or note)

    def _stop(self) -> None:
        """End every kernel, wait until it is gone, and say so in the ledger."""
        for *_, watch in self.running.values():
            watch.end("stopped", "the sweep was stopped")
        wait(self.running)
        for future, (_, _, key, _, _) in self.running.items():
            done = _outcome(future)
            self.ledger.end(
                key, done.status, seconds=done.seconds, error=done.error, result=done.result
            )
