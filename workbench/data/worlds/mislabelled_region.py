"""Points of two classes, one region of which is mislabelled alike in training and in test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats, Ints


@dataclass(frozen=True, eq=False, kw_only=True)
class MislabelledRegion:
    """Training and test points with true and given labels.

    Args:
        points: (row, 2) to train on.
        truth: (row,) 0 or 1, the side of a straight line.
        labels: (row,) as said: the other class inside the region.
        test_points: (row, 2).
        test_truth: (row,).
        test_labels: (row,) wrong in the same region.
    """

    points: Floats
    truth: Ints
    labels: Ints
    test_points: Floats
    test_truth: Ints
    test_labels: Ints

    @property
    def wrong(self) -> NDArray[np.bool_]:
        """(row,) test labels that are wrong."""
        return np.asarray(self.test_labels != self.test_truth)


def mislabelled_region(
    *, rows: int = 600, share: float = 0.13, blur: float = 0.1, seed: int = 0
) -> MislabelledRegion:
    """Make two classes that a line tells apart; in one disc on that line each is called the other.

    A simple model cannot follow the disc and is right about it; a flexible one learns it and wins
    on given labels.

    Args:
        rows: points to train on, and as many to test.
        share: share of all points that the disc holds.
        blur: standard deviation of the noise on the side of the line; both models pay for it.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: fewer than 20 rows, a share outside [0, 0.4], a negative blur.

    Example:
        >>> world = mislabelled_region()
        >>> round(float(world.wrong.mean()), 2)
        0.14

    Source: methods dossier on pervasive label errors (Northcutt et al. 2021), rank flip.
    """
    check_count("rows", rows, at_least=20, mend="Try 600.")
    check_number("share", share, at_least=0, at_most=0.4, mend="Try 0.13.")
    check_number("blur", blur, at_least=0, mend="Try 0.1.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((2 * rows, 2))
    truth = (points[:, 0] + blur * rng.standard_normal(2 * rows) > 0).astype(np.int64)
    away = np.linalg.norm(points - [0.0, 1.5], axis=1)
    inside = away < np.quantile(away, share)
    labels = np.where(inside, 1 - truth, truth)
    return MislabelledRegion(
        points=points[:rows].astype(np.float32),
        truth=truth[:rows],
        labels=labels[:rows],
        test_points=points[rows:].astype(np.float32),
        test_truth=truth[rows:],
        test_labels=labels[rows:],
    )
