"""Points along a curved line, whose label is how far along they lie."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class LabelCurve:
    """Points with a graded label.

    Args:
        points: (row, dim).
        labels: (row,) 0, 1, ... levels - 1.
    """

    points: Floats
    labels: Floats


def label_curve(
    *, rows: int = 400, levels: int = 20, dim: int = 20, noise: float = 0.3, seed: int = 0
) -> LabelCurve:
    """Make a smooth curve through `dim` dimensions and scatter points about it.

    Coordinate c of label y is sin(a_c y / levels + b_c), a_c between 3 and 12, b_c any angle; a
    curve depends on its seed, a split on its rows.

    Args:
        rows: points; the labels are spread evenly, in random order.
        levels: label values.
        dim: width.
        noise: standard deviation of each coordinate.
        seed: of curve and points.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, negative noise.

    Example:
        >>> world = label_curve(rows=40)
        >>> np.unique(world.labels).size, world.points.shape
        (20, (40, 20))

    Source: methods dossier on SupReMix (Wu et al. 2023), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 400.")
    check_count("levels", levels, mend="Try 20.")
    check_count("dim", dim, mend="Try 20.")
    check_number("noise", noise, at_least=0, mend="Try 0.3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    speed, phase = rng.uniform(3, 12, size=dim), rng.uniform(0, 2 * np.pi, size=dim)
    labels = rng.permutation(np.arange(rows) % levels)
    curve = np.sin(speed * labels[:, None] / levels + phase)
    points = curve + noise * rng.standard_normal((rows, dim))
    return LabelCurve(points=points.astype(np.float32), labels=labels.astype(np.float32))
