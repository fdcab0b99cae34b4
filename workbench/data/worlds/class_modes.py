"""Classes made of several unrelated heaps: what a label says, and what it leaves out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassModes:
    """Points with a class that is told and a mode that is not.

    Args:
        points: (row, dim).
        classes: (row,) the label.
        modes: (row,) the heap; each belongs to one class.
    """

    points: Floats
    classes: Ints
    modes: Ints


def class_modes(
    *,
    rows: int = 1200,
    classes: int = 4,
    modes: int = 3,
    dim: int = 20,
    spread: float = 0.6,
    seed: int = 0,
) -> ClassModes:
    """Make `classes` x `modes` Gaussian heaps and give each to a class without regard to place.

    Args:
        rows: points, spread evenly over heaps, in random order.
        classes: how many.
        modes: heaps per class.
        dim: width; centres are standard normal.
        spread: standard deviation inside a heap.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, negative spread.

    Example:
        >>> world = class_modes(rows=24)
        >>> bool((world.modes // 3 == world.classes).all()), np.unique(world.modes).size
        (True, 12)

    Source: methods dossier on LOOK (Feng et al. 2022), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 1,200.")
    check_count("classes", classes, mend="Try 4.")
    check_count("modes", modes, mend="Try 3.")
    check_count("dim", dim, mend="Try 20.")
    check_number("spread", spread, at_least=0, mend="Try 0.6.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes * modes, dim))
    heaps = rng.permutation(np.arange(rows) % (classes * modes))
    points = centres[heaps] + spread * rng.standard_normal((rows, dim))
    return ClassModes(points=points.astype(np.float32), classes=heaps // modes, modes=heaps)
