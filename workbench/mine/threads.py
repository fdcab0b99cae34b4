"""Stripes of queries side by side, each on one core.

Libraries that share one multiplication out to all cores make every core wait for the slowest, a
thousand times over in a search by blocks; on a machine that does other work too that costs more
than the second core gives. Stripes never wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from workbench.types import Floats, Ints

Stripe = Callable[[slice], tuple[Floats, Ints]]
"""Rows -> (scores, positions) of these queries."""


def in_stripes(search: Stripe, count: int, *, step: int = 1) -> tuple[Floats, Ints]:
    """Search stripes of `count` queries in as many threads as torch may use.

    Args:
        search: finds the documents of one stripe; called from several threads at once.
        count: queries.
        step: stripes are cut at multiples of it only, so that blocks of so many stay whole.

    Returns:
        scores and positions of all queries, in their order.

    Example:
        >>> found = in_stripes(lambda rows: (np.ones((rows.stop - rows.start, 1), dtype=np.float32),
        ...                                  np.arange(rows.start, rows.stop)[:, None]), 5)
        >>> found[1].ravel().tolist()
        [0, 1, 2, 3, 4]
    """
    import torch

    threads = torch.get_num_threads()
    pieces = np.array_split(np.arange(0, count, step), min(threads, -(-count // step)))
    stripes = [slice(int(piece[0]), min(count, int(piece[-1]) + step)) for piece in pieces]
    if len(stripes) == 1:
        return search(stripes[0])
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(len(stripes), initializer=_one_core) as pool:
            found = list(pool.map(search, stripes))
    finally:
        torch.set_num_threads(threads)
    return np.concatenate([part[0] for part in found]), np.concatenate([part[1] for part in found])


def _one_core() -> None:
    """Neither library may share this thread's work out."""
    import faiss
    import torch

    faiss.omp_set_num_threads(1)
    torch.set_num_threads(1)
