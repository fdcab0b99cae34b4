"""Where runs go: one slot per GPU (or several), else per processor core."""

from __future__ import annotations

import os
from collections.abc import Sequence

from workbench.errors import BadArgument, check_count

VISIBLE = "CUDA_VISIBLE_DEVICES"
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")


def gpus_here() -> list[str]:
    """The GPUs a new process would see, as CUDA_VISIBLE_DEVICES names them.

    Example:
        >>> isinstance(gpus_here(), list)
        True
    """
    import torch

    named = os.environ.get(VISIBLE)
    count = torch.cuda.device_count()
    if named is not None:
        return [one.strip() for one in named.split(",") if one.strip()][:count]
    return [str(number) for number in range(count)]


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if "sched_getaffinity" in dir(os) else os.cpu_count() or 1


def slots(
    *,
    jobs: int | None = None,
    gpus: Sequence[int | str] | None = None,
    per_gpu: int = 1,
    threads: int | None = None,
) -> list[dict[str, str]]:
    """What each kernel that runs at the same time has in its environment.

    Args:
        jobs: kernels at a time; None = one per GPU times `per_gpu`, or one per core.
        gpus: which to use; None = all there are, [] = none.
        per_gpu: kernels on one GPU at a time.
        threads: of each kernel; None = cores / jobs, at least 1.

    Returns:
        One dict per slot: CUDA_VISIBLE_DEVICES where GPUs are used ("" where they are not to be),
        and the thread counts.

    Raises:
        BadArgument: a count below 1, more jobs than `per_gpu` allows.

    Example:
        >>> [one["CUDA_VISIBLE_DEVICES"] for one in slots(gpus=[0, 1], per_gpu=2)]
        ['0', '1', '0', '1']
        >>> len(slots(jobs=3, gpus=[])), slots(jobs=1, gpus=[], threads=2)[0]["OMP_NUM_THREADS"]
        (3, '2')
    """
    check_count("per_gpu", per_gpu, mend="Try 1.")
    for name, value in (("jobs", jobs), ("threads", threads)):
        if value is not None:
            check_count(name, value, mend="Try 2.")
    if gpus is not None and not isinstance(gpus, list | tuple | range):
        raise BadArgument("gpus", gpus, "it must be a list of GPUs", "Try [0, 1]; [] for cores.")
    cards = gpus_here() if gpus is None else [str(one) for one in gpus]
    if len({*cards}) < len(cards):
        raise BadArgument("gpus", list(gpus or []), "each is named once", "Use per_gpu=2.")
    places = [card for _ in range(per_gpu) for card in cards]
    if places and jobs is not None and jobs > len(places):
        wanted = f"{len(cards)} GPUs with {per_gpu} kernels each give {len(places)} slots"
        raise BadArgument("jobs", jobs, wanted, "Raise per_gpu.")
    count = jobs or len(places) or cores()
    each = str(threads or max(1, cores() // count))
    common = dict.fromkeys(THREADS, each)
    if not places:
        hide = {VISIBLE: ""} if gpus is not None else {}
        return [{**common, **hide} for _ in range(count)]
    return [{**common, VISIBLE: card} for card in places[:count]]
