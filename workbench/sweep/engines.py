"""Who executes a run: a thread here with a kernel of its own, or a worker of a Dask cluster."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import BadArgument
from workbench.sweep.job import STOP, Done, Job, Watch, perform

if TYPE_CHECKING:
    from distributed import Client

ENGINES = ("local", "dask")
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


def dask(client: Client, *, threads: int | None) -> tuple[Engine, int]:
    """Kernels started by the workers of a cluster, which must see the same folders.

    A worker that has the resource "GPU" gets one run per GPU, else one per thread. When a worker
    dies, its run is tried again elsewhere.

    Raises:
        BadArgument: the cluster has no workers.
    """
    workers = client.scheduler_info(n_workers=-1)["workers"]
    if not workers:
        wanted = "the cluster has no workers"
        raise BadArgument("client", client, wanted, "Start some with `dask worker ADDRESS`.")
    gpus = sum(int(one.get("resources", {}).get("GPU", 0)) for one in workers.values())
    places = gpus or sum(int(one["nthreads"]) for one in workers.values())
    wants = {"GPU": 1} if gpus else None
    count = {} if threads is None else {"OMP_NUM_THREADS": str(threads)}

    def execute(job: Job, watch: Watch) -> Done:
        from concurrent.futures import CancelledError

        from distributed import TimeoutError as Later

        sent = replace(job, environment={**count, **job.environment})
        watch.folder = Path(job.folder)
        began = time.monotonic()
        future = client.submit(perform, sent, pure=False, resources=wants)
        while True:
            try:
                found: Done = future.result(timeout=0.3)
                return found
            except (Later, TimeoutError):
                if watch.reason is not None:  # the worker looks for this file
                    (Path(job.folder) / STOP).write_text("\n".join(watch.reason), encoding="utf-8")
            except (CancelledError, Exception) as error:
                why = f"the cluster gave it up: {type(error).__name__}: {error}"
                return Done(status="failed", seconds=time.monotonic() - began, error=why)

    return execute, places
