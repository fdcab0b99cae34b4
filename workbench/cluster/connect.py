"""Reaching a Dask cluster, and running shards on it so that nothing done is done again."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench import files
from workbench.errors import BadArgument, check_count, check_number

if TYPE_CHECKING:
    from distributed import Client

Job = tuple[object, ...]


def connect(
    address: str | None = None, *, workers: int | None = None, timeout: float = 10.0
) -> Client:
    """Reach a Dask cluster, or start one of processes on this machine.

    Args:
        address: of a scheduler, e.g. "tcp://10.0.0.5:8786"; None starts a local cluster, which ends
            with the client.
        workers: processes of a local cluster, each with one thread; None = one per core.
        timeout: seconds to wait for a scheduler and its first worker.

    Returns:
        A `distributed.Client`; use it in a `with`, or close it.

    Raises:
        BadArgument: dask is not installed, nobody answers at the address, or nobody works there.

    Example:
        >>> connect("tcp://127.0.0.1:9", timeout=0.2)
        Traceback (most recent call last):
        workbench.errors.BadArgument: `address` is 'tcp://127.0.0.1:9', but no scheduler answers \
there. Start one with `dask scheduler`, or leave it out.

    Breaks when: called at the top of a script without `if __name__ == "__main__":`, for processes
    start by importing it.
    """
    distributed = _distributed()
    check_number("timeout", timeout, above=0, mend="Try 10.")
    if workers is not None:
        check_count("workers", workers, mend="Try 2.")
    if address is None:
        import dask

        with dask.config.set({"scheduler-address": None}):  # whatever the environment says
            return distributed.Client(
                n_workers=workers or os.cpu_count() or 1,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # any free port; None would still take 8787
                silence_logs=logging.CRITICAL,
                set_as_default=False,
            )
    if workers is not None:
        wanted = "the cluster at that address has its own"
        raise BadArgument("workers", workers, wanted, "Leave it out.")
    try:
        client = distributed.Client(address, timeout=timeout, set_as_default=False)
    except (OSError, ValueError) as error:
        wanted = "no scheduler answers there"
        mend = "Start one with `dask scheduler`, or leave it out."
        raise BadArgument("address", address, wanted, mend) from error
    try:
        client.wait_for_workers(1, timeout=timeout)
    except TimeoutError as error:
        client.close()
        wanted = "its scheduler has no workers"
        mend = f"Start some with `dask worker {address} --nthreads 1`."
        raise BadArgument("address", address, wanted, mend) from error
    return client


def _distributed() -> Any:
    try:
        import distributed
    except ModuleNotFoundError as error:
        wanted = "dask is not installed"
        mend = "pip install 'negatives-workbench[cluster]'."
        raise BadArgument("client", None, wanted, mend) from error
    return distributed


def shared(client: Client, folder: str | Path) -> Path:
    """The folder by its full name, once every worker has found in it what was put there.

    Raises:
        BadArgument: no client, a closed one, no folder, or a worker sees another or none.
    """
    where: object = folder
    if not isinstance(where, str | Path):
        raise BadArgument("folder", where, "it must be a path", 'Try folder="shared".')
    given: object = client
    if not isinstance(given, _distributed().Client) or given.status != "running":
        wanted = "it must be a running dask client"
        raise BadArgument("client", given, wanted, "Try `with cluster.connect() as client:`.")
    root = Path(where).resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        wanted = "a file stands in its place"
        raise BadArgument("folder", str(folder), wanted, "Name a folder.") from error
    handle, name = tempfile.mkstemp(prefix=".seen-", dir=root)
    os.close(handle)
    try:
        found = given.run(os.path.exists, name)
    finally:
        Path(name).unlink()
    blind = sorted(worker for worker, sees in found.items() if not sees)
    if blind:
        wanted = f"{blind[0]} does not see what is put there"
        mend = "Name a folder that all machines share under one name."
        raise BadArgument("folder", str(folder), wanted, mend)
    if not found:
        wanted = "its scheduler has no workers"
        raise BadArgument("client", given, wanted, "Start some with `dask worker`.")
    return root


def run_shards(
    client: Client, work: Callable[..., None], jobs: dict[Path, Job], *, label: str
) -> None:
    """Call work(*job, path) wherever there is room, for every path that does not exist yet.

    Args:
        client: from `connect`.
        work: makes the path, whole or not at all; importable by name on the workers.
        jobs: path -> what else to pass: paths and numbers.
        label: what the progress bar says.
    """
    from distributed import KilledWorker, as_completed
    from tqdm.auto import tqdm

    left = {path: job for path, job in jobs.items() if not path.exists()}
    done = len(jobs) - len(left)
    futures = [client.submit(work, *job, str(path), pure=False) for path, job in left.items()]
    try:
        with tqdm(
            total=len(jobs), initial=done, desc=label, unit="shard", disable=None, delay=2
        ) as bar:
            for future in as_completed(futures, loop=client.loop):
                future.result()
                bar.update()
    except KilledWorker as error:
        error.add_note("A shard ended several workers, as too little memory does: cut it smaller.")
        raise
    finally:
        client.cancel(futures)


def write_array(path: Path, values: NDArray[Any]) -> None:
    """Write an array file, whole or not at all."""
    with files.atomic_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, values, allow_pickle=False)
