"""Batches of which a few follow another rule, or none: is what stays costly worth the visits?

Logistic regression. Common rows carry the label sign(x w); the rows of a few batches carry
sign(x v), seen through inputs of their own and a third as large, so that they are learnt slowly.
In the noisy kind those rows look like all others and their labels are coins.

Source: methods dossier on noise, section 5 (delta mini-batches): 40 batches, 6 of them odd.
Breaks when: one reads it as a forecast; rows never mix rules inside a batch here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Ints

Doubles = NDArray[np.float64]


@dataclass(frozen=True, eq=False, kw_only=True)
class RareBatches:
    """Rows in batches, their labels, and fresh ones to be asked about.

    Args:
        inputs: (row, input) what a linear model sees.
        labels: (row,) -1 or 1.
        batches: (row,) which batch each row belongs to.
        odd: (row,) true where the batch is one of the few.
        common_inputs: (test, input) fresh rows of the common rule.
        common_labels: (test,) theirs.
        rare_inputs: (test, input) fresh rows of the rare rule; of the common one where `noisy`.
        rare_labels: (test,) theirs.
    """

    inputs: Doubles
    labels: Doubles
    batches: Ints
    odd: NDArray[np.bool_]
    common_inputs: Doubles
    common_labels: Doubles
    rare_inputs: Doubles
    rare_labels: Doubles


def rare_batches(
    *,
    batches: int = 40,
    odd: int = 6,
    size: int = 16,
    dim: int = 32,
    scale: float = 0.3,
    tests: int = 4000,
    noisy: bool = False,
    seed: int = 0,
) -> RareBatches:
    """Make the batches, `odd` of them of a rare rule or, if `noisy`, of random labels.

    Args:
        batches: how many.
        odd: how many of them are odd.
        size: rows in each.
        dim: width of a point.
        scale: length of the inputs of the rare rule beside those of the common one.
        tests: fresh points.
        noisy: labels of odd rows are drawn by coin, and nothing else tells these rows apart.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, scale <= 0.

    Example:
        >>> world = rare_batches(batches=4, odd=1, size=2, dim=3, tests=5)
        >>> world.inputs.shape, int(world.odd.sum()), world.rare_inputs.shape
        ((8, 6), 2, (5, 6))
    """
    counts = {"batches": batches, "odd": odd, "size": size, "dim": dim, "tests": tests}
    for name, count in counts.items():
        check_count(name, count, mend="Try the default.")
    check_number("scale", scale, above=0, mend="Try 0.3.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    place = np.repeat(np.arange(batches), size)
    points = rng.standard_normal((len(place), dim))
    common, rare = rng.standard_normal((2, dim))
    strange = np.isin(place, rng.choice(batches, min(odd, batches), replace=False))
    labels = np.where(points @ common > 0, 1.0, -1.0)
    coins = rng.choice([-1.0, 1.0], len(place))
    labels = np.where(strange, coins if noisy else np.where(points @ rare > 0, 1.0, -1.0), labels)

    def seen(points: Doubles, strange: NDArray[np.bool_]) -> Doubles:
        if noisy:
            return points
        apart = strange[:, None]
        return np.concatenate([points * ~apart, scale * points * apart], axis=1)

    fresh, every = rng.standard_normal((tests, dim)), np.ones(tests, dtype=np.bool_)
    return RareBatches(
        inputs=seen(points, strange),
        labels=labels,
        batches=place,
        odd=strange,
        common_inputs=seen(fresh, ~every),
        common_labels=np.where(fresh @ common > 0, 1.0, -1.0),
        rare_inputs=seen(fresh, every),
        rare_labels=np.where(fresh @ (common if noisy else rare) > 0, 1.0, -1.0),
    )
