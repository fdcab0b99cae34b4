"""Who executes a run: a thread here with a kernel of its own, or a worker of a Dask cluster."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BadArgument
from workbench.files import atomic_file
from workbench.sweep.job import STOP, Done, Job, Watch, perform
from workbench.sweep.kernels import check_kernel

if TYPE_CHECKING:
    from distributed import Client

ENGINES = ("local", "dask")
PATIENCE = 10.0
"""Seconds in which a worker that is there has seen that its run is to stop."""
Engine = Callable[[Job, Watch], Done]


def local(slots: Sequence[dict[str, str]]) -> tuple[Engine, int]:
    """Kernels on this machine, or behind its gateway, one per slot at a time.

    Returns:
        The engine, to be called from several threads, and how many it takes at a time.
    """
    free: queue.Queue[dict[str, str]] = queue.Queue()
    for slot in slots:
        free.put(slot)

    def execute(job: Job, watch: Watch) -> Done:
        slot = free.get()
        try:
            return perform(replace(job, environment={**slot, **job.environment}), watch)
        finally:
            free.put(slot)

    return execute, len(slots)


def dask(client: Client, *, kernel: str | None, threads: int | None) -> tuple[Engine, int]:
    """Kernels started by the workers of a cluster, which must see the same folders.

    A worker that has the resource "GPU" gets one run per GPU, else one per thread. When a worker
    dies, its run is tried again elsewhere.

    Raises:
        BadArgument: the cluster has no workers, one of them several GPUs, or not this kernel.
    """
    gpus, places = _places(client)
    client.run(check_kernel, kernel)
    wants = {"GPU": 1} if gpus else None
    count = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}

    def execute(job: Job, watch: Watch) -> Done:
        from concurrent.futures import CancelledError

        from distributed import TimeoutError as Later

        sent = replace(job, environment={**count, **job.environment})
        watch.folder = Path(job.folder)
        began, asked = time.monotonic(), 0.0
        future = client.submit(perform, sent, pure=False, resources=wants)
        while True:
            try:
                found: Done = future.result(timeout=0.3)
                return found
            except (Later, TimeoutError) as error:
                if future.status == "error":  # the run's own: a disk that is far away, say
                    return _lost(error, began)
                if watch.reason is None:
                    continue
                asked = asked or time.monotonic()
                _ask_to_stop(Path(job.folder) / STOP, watch.reason)
                if time.monotonic() - asked > PATIENCE:  # nobody is there to read it
                    future.cancel()
                    status, why = watch.reason
                    return Done(status=status, seconds=time.monotonic() - began, error=why)
            except (CancelledError, Exception) as error:
                return _lost(error, began)

    return execute, places


def _places(client: Client) -> tuple[int, int]:
    """GPUs of the workers, and how many runs they take at a time."""
    if not hasattr(client, "scheduler_info"):
        wanted = "it must be a client of dask.distributed"
        raise BadArgument("client", client, wanted, "Pass workbench.cluster.connect(...).")
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        wanted = "the cluster has no workers"
        raise BadArgument("client", client, wanted, "Start some with `dask worker ADDRESS`.")
    cards = [int(one.get("resources", {}).get("GPU", 0)) for one in workers.values()]
    gpus = sum(cards)
    if max(cards) > 1:
        wanted = f"a worker has {max(cards)} GPUs, and its runs would all take the first"
        mend = "Start one worker per GPU, each with its CUDA_VISIBLE_DEVICES and GPU=1."
        raise BadArgument("client", client, wanted, mend)
    return gpus, gpus or sum(int(one["nthreads"]) for one in workers.values())


def _lost(error: BaseException, began: float) -> Done:
    why = f"the cluster gave it up: {type(error).__name__}: {error}"
    return Done(status="failed", seconds=time.monotonic() - began, error=why)


def _ask_to_stop(path: Path, reason: tuple[str, str]) -> None:
    """Leave word where the worker looks; a folder that is gone needs none."""
    with suppress(OSError):
        if not path.is_file():
            with atomic_file(path) as temporary:
                temporary.write_text("\n".join(reason), encoding="utf-8")
