"""Long curves made short enough to draw, with their peaks kept, and made calm enough to read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_count, check_number
from workbench.types import Ints

Values = NDArray[np.float64]
MOST = 2_000
"""Points of one curve that a browser redraws five times a second without falling behind."""


def thin(y: Values, *, most: int = MOST) -> Ints:
    """Which points of a curve to draw: lowest and highest of each of `most / 2` equal stretches.

    So no peak is lost, whatever its width; the first and the last point are kept too.

    Args:
        y: (point,) values in the order of drawing; what is not finite counts as a gap.
        most: points at most; 2,000 suits a screen.

    Returns:
        Rising positions into `y`, at most `most`; all of them where there are no more.

    Raises:
        BadArgument: `y` is no row of numbers; `most` is below 4.

    Example:
        >>> y = np.zeros(1_000); y[377] = 9.0
        >>> kept = thin(y, most=10)
        >>> len(kept) <= 10, 377 in kept
        (True, True)

    Breaks when: points stand at very unequal distances: a stretch is so many points, not so wide.
    """
    check_count("most", most, at_least=4, mend=f"Try {MOST:,}.")
    values = np.asarray(y, dtype=np.float64)
    if values.ndim != 1:
        raise BadArgument("y", values.shape, "it must be one row of numbers", "Pass y.ravel().")
    count = len(values)
    if count <= most:
        return np.arange(count)
    stretches = (most - 2) // 2
    edges = np.linspace(0, count, stretches + 1).astype(np.int64)
    owner = np.repeat(np.arange(stretches), np.diff(edges))
    there = np.isfinite(values)
    kept = [np.array([0, count - 1])]
    for sign in (1.0, -1.0):
        height = np.where(there, sign * values, np.inf)
        lowest = np.minimum.reduceat(height, edges[:-1])
        hits = np.flatnonzero(height == lowest[owner])
        kept.append(hits[np.unique(owner[hits], return_index=True)[1]])
    return np.unique(np.concatenate(kept)).astype(np.int64)


def smooth(y: Values, *, span: float = 50) -> Values:
    """Exponentially weighted mean of what came up to each point.

        s_t = sum_k (1 - a)^k y_(t-k) / sum_k (1 - a)^k,   a = 2 / (span + 1)

    Args:
        y: (point,) values; gaps (NaN) are passed over.
        span: points over which it looks back; 1 = no smoothing.

    Returns:
        (point,), the first equal to the first value.

    Raises:
        BadArgument: `span` is below 1.

    Example:
        >>> smooth(np.array([0.0, 3.0]), span=3).tolist()
        [0.0, 2.0]

    Breaks when: the curve has a jump: the smoothed one follows it `span` points late.
    """
    check_number("span", span, at_least=1, mend="Try 50.")
    if not len(y):
        return np.zeros(0)
    import pandas as pd

    found = pd.Series(np.asarray(y, dtype=np.float64)).ewm(span=span, ignore_na=True).mean()
    return np.asarray(found, dtype=np.float64)
