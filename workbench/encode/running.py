"""How an encoder runs: in eval mode, batches side by side on a CPU, results looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from workbench.errors import BadArgument
from workbench.types import Floats, Ints


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """Eval mode inside, and each part's own mode again afterwards."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes.items():
            part.training = mode


def check_finite(texts: Sequence[str], values: Floats) -> None:
    """Refuse a vector that is not finite, naming its text."""
    wrong = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if wrong.size:
        raise BadArgument(
            "texts",
            texts[wrong[0]],
            "the model gives it a vector that is not finite",
            "Load the model with dtype=torch.float32, or look at its weights.",
        )


def run_batches(
    work: Callable[[Ints], int], batches: Iterable[Ints], *, workers: int
) -> Iterator[int]:
    """Run `work` on every batch, in order or side by side, and yield its results in order.

    Threads that share one small matrix product spend their time waiting for each other at its end;
    threads with a batch each never wait. Torch lets go of Python's lock inside its kernels.

    Args:
        work: takes one batch; must be safe to run in several threads at once.
        batches: what to work on.
        workers: threads; 1 runs in the caller's own.

    Yields:
        What `work` returned.

    Example:
        >>> import numpy as np
        >>> list(run_batches(len, [np.arange(3), np.arange(5)], workers=2))
        [3, 5]

    Breaks when: another thread of the process changes torch's number of threads meanwhile.
    """
    if workers <= 1:
        yield from map(work, batches)
        return
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            yield from pool.map(work, batches)
    finally:
        torch.set_num_threads(threads)
