"""Classes some of which are taken for one certain other class."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from workbench.data.worlds.noisy_classes import NoisyClasses
from workbench.errors import BadArgument, check_count, check_number

CONFUSION = {(0, 1): 0.2, (2, 3): 0.2, (3, 0): 0.1}
"""(true class, said class) -> share of the true class's rows."""


def confused_classes(
    *,
    rows: int = 2000,
    classes: int = 4,
    dim: int = 10,
    spread: float = 0.8,
    confusion: Mapping[tuple[int, int], float] = CONFUSION,
    seed: int = 0,
) -> NoisyClasses:
    """Make Gaussian classes and replace labels as people confuse classes, not evenly.

    Args:
        rows: points to train on, and as many to test.
        classes: how many.
        dim: width; centres are standard normal.
        spread: standard deviation inside a class; classes overlap as it grows.
        confusion: (true class, said class) -> share of the true class's rows that get that label.
        seed: of everything.

    Returns:
        The world; `test_truth` is right everywhere.

    Raises:
        BadArgument: a count below 1, a class out of range or confused with itself, shares of one
            class that do not lie in [0, 1].

    Example:
        >>> world = confused_classes()
        >>> said = world.labels[world.truth == 0]
        >>> round(float((said == 1).mean()), 1), round(float((said == 2).mean()), 1)
        (0.2, 0.0)

    Source: methods dossier on confident learning (Northcutt et al. 2021), algorithmic unit test.
    """
    check_count("rows", rows, mend="Try 2,000.")
    check_count("classes", classes, at_least=2, mend="Try 4.")
    check_count("dim", dim, mend="Try 10.")
    check_number("spread", spread, at_least=0, mend="Try 0.8.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    shares = np.eye(classes)
    for (true, said), share in confusion.items():
        if not (0 <= true < classes and 0 <= said < classes) or true == said:
            wanted = f"it must name two different classes of 0..{classes - 1}"
            raise BadArgument("confusion", (true, said), wanted, "Try {(0, 1): 0.2}.")
        mend = "Shares of one true class must sum to at most 1."
        check_number(f"confusion[{true}, {said}]", share, at_least=0, at_most=1, mend=mend)
        shares[true, said] += share
        shares[true, true] -= share
    if shares.min() < -1e-12:
        wanted = "the shares of one true class must sum to at most 1"
        raise BadArgument("confusion", dict(confusion), wanted, "Try {(0, 1): 0.2}.")
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((classes, dim))
    truth = rng.integers(0, classes, size=2 * rows)
    points = centres[truth] + spread * rng.standard_normal((2 * rows, dim))
    bounds = np.cumsum(shares, axis=1)[truth[:rows]]
    labels = (rng.random(rows)[:, None] > bounds).sum(axis=1).clip(max=classes - 1)
    return NoisyClasses(
        points=points[:rows].astype(np.float32),
        truth=truth[:rows],
        labels=labels,
        test_points=points[rows:].astype(np.float32),
        test_truth=truth[rows:],
    )
