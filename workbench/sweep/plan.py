"""Which runs a sweep is made of: a grid, a list, or draws, checked before anything starts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadArgument, check_count, check_number
from workbench.sweep.parameters import Parameter, declared, fitted

SEED = "seed"
Point = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Between:
    """Any number of a range, for random and Optuna's search.

    Args:
        low: smallest.
        high: largest.
        log: draw evenly on a logarithmic scale, as for learning rates.
        whole: whole numbers only.

    Raises:
        BadArgument: an empty range, or a logarithm of what is not positive.

    Example:
        >>> Between(low=1e-5, high=1e-3, log=True).at(0.5)
        0.0001
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        check_number("low", self.low, mend="Try 0.")
        check_number("high", self.high, mend="Try 1.")
        if self.low >= self.high:
            raise BadArgument("low", self.low, f"it must be below {self.high}", "Swap them.")
        if self.log and self.low <= 0:
            wanted = "a logarithmic range starts above 0"
            raise BadArgument("low", self.low, wanted, "Try 1e-5, or log=False.")

    def at(self, share: float) -> float | int:
        """The number at a share of the way from `low` to `high`."""
        if self.log:
            found = self.low * math.exp(share * math.log(self.high / self.low))
        else:
            found = self.low + share * (self.high - self.low)
        return round(found) if self.whole else float(f"{found:.12g}")


Space = Mapping[str, object]


def choices(value: object) -> list[object]:
    """A grid's entry as a list: one value alone is a list of one."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    return [value]


def grid_points(space: Space) -> list[Point]:
    """Every combination, the last name varying fastest.

    Raises:
        BadArgument: a name without values, or a range, of which a grid would have no end.

    Example:
        >>> grid_points({"loss": ["a", "b"], "margin": 0.1})
        [{'loss': 'a', 'margin': 0.1}, {'loss': 'b', 'margin': 0.1}]
    """
    lists: dict[str, list[object]] = {}
    for name, value in space.items():
        if isinstance(value, Between):
            wanted = "a grid needs values one by one"
            raise BadArgument(name, value, wanted, 'Try search="random", n=20.')
        lists[name] = choices(value)
        if not lists[name]:
            raise BadArgument(name, value, "it has no values", "Give one, or leave it out.")
    rows = itertools.product(*lists.values())
    return [dict(zip(lists, row, strict=True)) for row in rows]


def random_points(space: Space, n: int, *, seed: int = 0) -> list[Point]:
    """`n` draws, each value of its own; no point twice as far as there are enough.

    Example:
        >>> random_points({"margin": Between(low=0, high=1), "loss": ["a", "b"]}, 2, seed=1)
        [{'margin': 0.5118216247, 'loss': 'b'}, {'margin': 0.14415961272, 'loss': 'b'}]
    """
    check_count("n", n, mend="Try 20.")
    rng = np.random.default_rng(seed)
    found: dict[str, Point] = {}
    lists = {name: choices(value) for name, value in space.items()}
    for name, some in lists.items():
        if not some:
            raise BadArgument(name, some, "it has no values", "Give one, or leave it out.")
    for _ in range(20 * n):
        point: Point = {}
        for name, value in space.items():
            drawn = float(rng.random())
            some = lists[name]
            point[name] = (
                value.at(drawn) if isinstance(value, Between) else some[int(drawn * len(some))]
            )
        found.setdefault(repr(point), point)
        if len(found) == n:
            break
    return list(found.values())


def seeds_of(seeds: int | Sequence[int] | None) -> list[int] | None:
    """The seeds asked for: a count stands for 0, 1, ..."""
    if seeds is None:
        return None
    if isinstance(seeds, int) and not isinstance(seeds, bool):
        check_count("seeds", seeds, mend="Try 3.")
        return list(range(seeds))
    given: object = seeds
    listed = list(given) if isinstance(given, list | tuple | range | np.ndarray) else []
    if not listed or len({repr(one) for one in listed}) < len(listed):
        wanted = "it must be a count, or different whole numbers"
        raise BadArgument("seeds", seeds, wanted, "Try 3, or [0, 1, 2].")
    for one in listed:
        check_count("seeds", one, at_least=0, mend="Try [0, 1, 2].")
    return [int(one) for one in listed]


def with_seeds(points: Sequence[Point], seeds: Sequence[int] | None) -> list[Point]:
    """Every point once per seed.

    Raises:
        BadArgument: a point that sets a seed by itself.
    """
    if seeds is None:
        return [dict(point) for point in points]
    for point in points:
        if SEED in point:
            wanted = "`seeds` sets it already"
            raise BadArgument(SEED, point[SEED], wanted, "Leave one of the two out.")
    return [{**point, SEED: seed} for point in points for seed in seeds]


def checked(notebook: str | Path, points: Sequence[Mapping[str, object]]) -> list[Point]:
    """The points with values of the types that the notebook declares, each point once.

    Args:
        notebook: with a cell tagged `parameters`.
        points: name -> value; text is read as the declared type.

    Returns:
        Full points: what is not said has the notebook's default, so that equal runs are equal.

    Raises:
        BadArgument: an unknown name, a value of another type or that no registered part has.
        BadData: the notebook declares nothing, or wrongly.
    """
    known = declared(notebook)
    found: dict[str, Point] = {}
    for point in points:
        full = filled(known, point)
        found.setdefault(repr(sorted(full.items())), full)
    return list(found.values())


def filled(known: Mapping[str, Parameter], point: Mapping[str, object]) -> Point:
    """One point in full, of parameters that were read before; see `checked`."""
    values = fitted(known, point)
    return {name: values.get(name, one.default) for name, one in known.items()}
