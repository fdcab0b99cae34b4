"""Overlapping classes of which a known share of labels is wrong."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class NoisyClasses:
    """Points of Gaussian classes, with true and given labels, and clean points to test on.

    Args:
        points: (row, dim) to train on.
        truth: (row,) the class each was drawn from.
        labels: (row,) the class that was said.
        test_points: (row, dim).
        test_truth: (row,).
    """

    points: Floats
    truth: Ints
    labels: Ints
    test_points: Floats
    test_truth: Ints

    @property
    def clean(self) -> NDArray[np.bool_]:
        """Which labels are right."""
        return np.asarray(self.labels == self.truth)


def noisy_classes(
    *,
    rows: int = 2000,
    classes: int = 10,
    dim: int = 20,
    spread: float = 1.0,
    wrong: float = 0.4,
    seed: int = 0,
) -> NoisyClasses:
    """Make Gaussian classes and replace a share of labels by another class, all equally likely.

    Args:
        rows: points to train on, and as many to test.
        classes: how many.
        dim: width; centres are standard normal.
        spread: standard deviation inside a class.
        wrong: share of wrong labels.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, fewer than two classes, a share outside [0, 1].

    Example:
        >>> round(float(noisy_classes(wrong=0.4).clean.mean()), 1)
        0.6

    Source: methods dossier on DLG-LC (Han et al. 2022), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 2,000.")
    check_count("classes", classes, at_least=2, mend="Try 10.")
    check_count("dim", dim, mend="Try 20.")
    check_number("spread", spread, at_least=0, mend="Try 1.")
    check_number("wrong", wrong, at_least=0, at_most=1, mend="Try 0.4.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dim))
    truth = rng.integers(0, classes, size=2 * rows)
    points = centres[truth] + spread * rng.standard_normal((2 * rows, dim))
    moved = (truth[:rows] + rng.integers(1, classes, size=rows)) % classes
    labels = np.where(rng.random(rows) < wrong, moved, truth[:rows])
    return NoisyClasses(
        points=points[:rows].astype(np.float32),
        truth=truth[:rows],
        labels=labels,
        test_points=points[rows:].astype(np.float32),
        test_truth=truth[rows:],
    )
