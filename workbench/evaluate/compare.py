"""Is one run better than another, beyond chance? Paired over the same queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_choice, check_count, check_number
from workbench.types import Scorecard

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]
HELD = 4_000_000
"""Numbers held at once while resampling: 32 MB."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The difference b - a of one metric over the same queries.

    Args:
        metric: which.
        a: name of the first run.
        b: name of the second.
        mean: mean difference, b - a.
        low: lower end of the interval.
        high: upper end of the interval.
        confidence: of the interval.
        p_value: two-sided, of the randomisation test; never 0.
        queries: how many were compared.
        wins: queries on which b is better.
        losses: queries on which a is better.
        ties: queries on which they are equal.
    """

    metric: str
    a: str
    b: str
    mean: float
    low: float
    high: float
    confidence: float
    p_value: float
    queries: int
    wins: int
    losses: int
    ties: int

    def frame(self) -> pd.DataFrame:
        """One row."""
        import pandas as pd

        return pd.DataFrame([vars(self)])

    def __str__(self) -> str:
        return (
            f"{self.metric}: {self.b} - {self.a} = {self.mean:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}] at {self.confidence:.0%}, p = {self.p_value:.2g} "
            f"({self.queries:,} queries: {self.wins:,} better, {self.losses:,} worse, "
            f"{self.ties:,} equal)"
        )


def aligned(cards: Sequence[Scorecard], metric: str) -> list[Values]:
    """Values of one metric of several runs, in the order of the first run's queries.

    Raises:
        BadArgument: a run lacks the metric.
        BadData: runs were scored on different queries, or a query stands twice.
    """
    for card in cards:
        check_choice("metric", metric, card.values)
    first = cards[0].query_ids
    columns = []
    for card in cards:
        places = {str(name): place for place, name in enumerate(card.query_ids.tolist())}
        problems = [
            f"query {name!r} only in one" for name in sorted({*map(str, first)} ^ {*places})
        ]
        if len(places) != len(card.query_ids):
            problems.append(f"{card.name} holds a query twice")
        if problems:
            raise BadData(
                f"comparing {cards[0].name} and {card.name}", problems,
                "Score both runs on the same queries.",
            )  # fmt: skip
        order = [places[str(name)] for name in first.tolist()]
        columns.append(np.asarray(card.values[metric], dtype=np.float64)[order])
    return columns


def interval(
    columns: Sequence[Values], statistic: Any, *, resamples: int, confidence: float, seed: int
) -> tuple[float, float, Values]:
    """Percentile bootstrap over queries, all columns resampled together.

    Returns:
        low, high, and the statistic of every resample.
    """
    from scipy import stats

    result = stats.bootstrap(
        tuple(columns),
        statistic,
        n_resamples=resamples,
        batch=max(1, HELD // len(columns[0])),
        vectorized=True,
        paired=len(columns) > 1,
        axis=-1,
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    )
    ends = result.confidence_interval
    return float(ends.low), float(ends.high), np.asarray(result.bootstrap_distribution)


def check_resampling(resamples: int, confidence: float) -> None:
    """Refuse too few resamples or an impossible confidence."""
    check_count("resamples", resamples, at_least=100, mend="Try 10,000.")
    check_number("confidence", confidence, above=0, at_most=0.9999, mend="Try 0.95.")


def _mean(values: Values, axis: int = -1) -> Values:
    return np.asarray(np.mean(values, axis=axis))


def _p_value(difference: Values, *, resamples: int, seed: int) -> float:
    from scipy import stats

    if not np.any(difference):
        return 1.0
    result = stats.permutation_test(
        (difference, np.zeros_like(difference)),
        lambda b, a, axis=-1: np.mean(b - a, axis=axis),
        permutation_type="samples",
        vectorized=True,
        n_resamples=resamples,
        batch=max(1, HELD // (2 * len(difference))),
        alternative="two-sided",
        axis=-1,
        rng=np.random.default_rng(seed),
    )
    return min(1.0, float(result.pvalue))


def compare(
    a: Scorecard,
    b: Scorecard,
    *,
    metric: str = "RR@10",
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Comparison:
    """The mean difference b - a with a paired bootstrap interval and a randomisation test.

    Queries are aligned by id. The interval resamples queries with replacement (percentiles of the
    mean difference); the test flips the sign of each query's difference at random and counts means
    at least as far from 0, itself included, so p >= 1 / (resamples + 1) or is exact on few queries.

    Args:
        a: the run to beat.
        b: the other.
        metric: in both.
        resamples: for each; 10,000 gives p to about .005 at .05.
        confidence: of the interval.
        seed: of the resampling.

    Returns:
        A `Comparison`; print it.

    Raises:
        BadArgument: the metric is missing.
        BadData: the runs were scored on different queries.

    Example:
        >>> ids = np.array([f"q{n}" for n in range(12)], dtype=object)
        >>> a = Scorecard(name="a", query_ids=ids, values={"RR@10": np.linspace(0, 0.5, 12)})
        >>> b = Scorecard(name="b", query_ids=ids, values={"RR@10": np.linspace(0.1, 0.6, 12)})
        >>> print(compare(a, b))
        RR@10: b - a = +0.1000 [+0.1000, +0.1000] at 95%, p = 0.00049 (12 queries: 12 better, \
0 worse, 0 equal)

    Source: Smucker, Allan, Carterette 2007, "A comparison of statistical significance tests".

    Breaks when: queries are not independent (paraphrases of one question), or the better of many
    runs was picked on these very queries.
    """
    check_resampling(resamples, confidence)
    first, second = aligned([a, b], metric)
    difference = second - first
    if len(difference) < 2:
        raise BadArgument("a", a, "it must hold at least two queries", "Score more queries.")
    low, high, _ = interval(
        [difference], _mean, resamples=resamples, confidence=confidence, seed=seed
    )
    return Comparison(
        metric=metric,
        a=a.name,
        b=b.name,
        mean=float(difference.mean()),
        low=low,
        high=high,
        confidence=confidence,
        p_value=_p_value(difference, resamples=resamples, seed=seed),
        queries=len(difference),
        wins=int((difference > 0).sum()),
        losses=int((difference < 0).sum()),
        ties=int((difference == 0).sum()),
    )
