"""Where the next run of a sweep comes from: a fixed list, or Optuna, which learns from the last."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from workbench.errors import BadArgument, BadData
from workbench.sweep.plan import SEED, Between, Point, Space, choices

SEARCHES = ("grid", "random", "optuna")


class Listed:
    """Points in a fixed order.

    Example:
        >>> source = Listed([{"seed": 0}])
        >>> source.following(), source.following()
        ((0, {'seed': 0}), None)
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self._left = iter(list(enumerate(points)))

    def following(self) -> tuple[int, Point] | None:
        """The next point."""
        return next(self._left, None)

    prunes = False

    def saw(self, number: int, point: Point, row: Mapping[str, Any]) -> bool:
        """Nothing is pruned."""
        return False

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Nothing is learned."""


class Study:
    """Optuna's search (tree-structured Parzen estimator), with its median pruner.

    A trial is one point; with several seeds it is run once per seed, and its value is the mean.
    Only the first seed's rows prune, for rows of several runs cannot be told apart.

    Args:
        space: name -> values, or `Between`.
        n: trials.
        seeds: of each trial; None = the notebook's own.
        seed: of the sampler.

    Raises:
        BadArgument: optuna is not installed, or a name has no values.

    Source: Akiba et al. 2019 (arXiv 1907.10902); TPE of Bergstra et al. 2011.

    Breaks when: many runs go at once: each is chosen without knowing the others.
    """

    prunes = True

    def __init__(self, space: Space, n: int, *, seeds: Sequence[int] | None, seed: int) -> None:
        optuna = _optuna()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._spread: dict[str, Any] = {}
        for name, value in space.items():
            self._spread[name] = _distribution(optuna, name, value)
        sampler = optuna.samplers.TPESampler(seed=seed, constant_liar=True)
        self.study = optuna.create_study(direction="maximize", sampler=sampler)
        self._n, self._asked, self._seeds = n, 0, seeds
        self._ready: list[tuple[int, Point]] = []
        self._pruned: set[int] = set()
        self._trials: dict[int, Any] = {}
        self._values: dict[int, list[float | None]] = {}
        self._open: dict[int, int] = {}  # trial -> points of it that are not told yet

    def following(self) -> tuple[int, Point] | None:
        """The next seed of a trial, or the first of a new one."""
        if not self._ready and self._asked < self._n:
            trial = self.study.ask(self._spread)
            self._asked += 1
            self._trials[trial.number], self._values[trial.number] = trial, []
            base = dict(trial.params)
            points = [base] if self._seeds is None else [{**base, SEED: one} for one in self._seeds]
            self._ready = [(trial.number, point) for point in points]
            self._open[trial.number] = len(points)
        return self._ready.pop(0) if self._ready else None

    def saw(self, number: int, point: Point, row: Mapping[str, Any]) -> bool:
        """Report a row with `step` and `value`; is the trial below the median of the others?"""
        first = self._seeds is None or point[SEED] == self._seeds[0]
        step, value = row.get("step"), row.get("value")
        if not first or not _is_number(value) or not isinstance(step, int) or step < 0:
            return False
        trial = self._trials[number]
        trial.report(float(value), step)  # type: ignore[arg-type]
        return bool(trial.should_prune())

    def tell(self, number: int, value: float | None, *, pruned: bool = False) -> None:
        """Note one run's value; the trial is told once all its seeds are there."""
        from optuna.trial import TrialState

        found = self._values[number]
        found.append(value)
        self._open[number] -= 1
        if pruned:  # its other seeds need not start
            self._pruned.add(number)
            left = [one for one in self._ready if one[0] != number]
            self._open[number] -= len(self._ready) - len(left)
            self._ready = left
        if self._open[number] > 0:
            return
        known = [one for one in found if one is not None]
        if number in self._pruned:
            self.study.tell(number, state=TrialState.PRUNED)
        elif known:
            self.study.tell(number, statistics.fmean(known))
        else:
            self.study.tell(number, state=TrialState.FAIL)


Source = Listed | Study


def _optuna() -> Any:
    try:
        import optuna
    except ModuleNotFoundError as error:
        wanted = "optuna is not installed"
        mend = "pip install 'negatives-workbench[sweep]'."
        raise BadArgument("search", "optuna", wanted, mend) from error
    return optuna


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _distribution(optuna: Any, name: str, value: object) -> Any:
    spread = optuna.distributions
    if isinstance(value, Between):
        if value.whole:
            low, high = int(value.low), int(value.high)
            return spread.IntDistribution(low, high, log=value.log)
        return spread.FloatDistribution(value.low, value.high, log=value.log)
    some = choices(value)
    if not some:
        raise BadArgument(name, value, "it has no values", "Give one, or leave it out.")
    return spread.CategoricalDistribution(some)


def objective(result: Mapping[str, Any], metric: str) -> float:
    """The number of a result that a search raises.

    Args:
        result: what a notebook reported.
        metric: "trained", "headroom_recovered", or a path such as "details.memory" or
            "difference.mean".

    Raises:
        BadData: no such number.

    Example:
        >>> objective({"difference": {"mean": 0.2}}, "difference.mean")
        0.2
    """
    found: Any = result
    for part in metric.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    if not _is_number(found):
        raise BadData("result.json", [f"{metric!r} is no number in it"], "Name another metric.")
    return float(found)
