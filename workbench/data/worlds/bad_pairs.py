"""Pairs of views, some of which do not belong together and some of which are too easy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class BadPairs:
    """Two views per row, and what is wrong with which rows.

    Args:
        left: (row, dim) first view.
        right: (row, dim) second view.
        faulty: (row,) the second view is of another item.
        noisy: (row,) both views are one strong pattern that says nothing of any item.
    """

    left: Floats
    right: Floats
    faulty: NDArray[np.bool_]
    noisy: NDArray[np.bool_]


def bad_pairs(
    *,
    rows: int = 1000,
    clusters: int = 8,
    dim: int = 20,
    share: float = 0.1,
    noise: float = 0.4,
    seed: int = 0,
) -> BadPairs:
    """Make two noisy views of items in clusters, then spoil two shares of the pairs.

    Args:
        rows: pairs.
        clusters: items are a cluster's centre plus something of their own.
        dim: width of a view.
        share: share of faulty pairs, and as many noisy ones; at most 0.5.
        noise: standard deviation by which views of one item differ; items differ by 1.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, a share outside [0, 0.5], or one faulty pair alone.

    Example:
        >>> world = bad_pairs(rows=50)
        >>> int(world.faulty.sum()), int(world.noisy.sum()), world.left.shape
        (5, 5, (50, 20))

    Source: methods dossier on DBPM (Lan et al. 2024), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 1,000.")
    check_count("clusters", clusters, mend="Try 8.")
    check_count("dim", dim, mend="Try 20.")
    check_number("share", share, at_least=0, at_most=0.5, mend="Try 0.1.")
    check_number("noise", noise, at_least=0, mend="Try 0.4.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    count = int(share * rows)
    if count == 1:
        wanted = f"of {rows} rows one is faulty, and it needs another to take its view from"
        raise BadArgument("share", share, wanted, "Give more rows.")
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((clusters, dim))
    items = centres[rng.integers(0, clusters, size=rows)] + rng.standard_normal((rows, dim))
    order = rng.permutation(rows)
    wrong, easy = order[:count], order[count : 2 * count]
    items[easy] = 4 * rng.standard_normal((count, dim))
    left, right = (items + noise * rng.standard_normal((rows, dim)) for _ in range(2))
    right[wrong] = right[np.roll(wrong, 1)]
    faulty, noisy = np.zeros(rows, dtype=np.bool_), np.zeros(rows, dtype=np.bool_)
    faulty[wrong], noisy[easy] = True, True
    return BadPairs(
        left=left.astype(np.float32), right=right.astype(np.float32), faulty=faulty, noisy=noisy
    )
