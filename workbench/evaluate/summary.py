"""Several runs side by side: means, differences to a baseline, seeds pooled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice
from workbench.evaluate.compare import aligned, compare
from workbench.types import Scorecard

if TYPE_CHECKING:
    import pandas as pd


def holm(p_values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Holm's correction: the chance of any false alarm among all rows stays below each value.

        p'_(i) = max over j <= i of min(1, (m - j + 1) p_(j)), p sorted rising

    Example:
        >>> holm(np.array([0.01, 0.04, 0.03]))
        array([0.03, 0.06, 0.06])

    Source: Holm 1979.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    corrected = np.empty_like(p_values)
    corrected[order] = np.maximum.accumulate(np.minimum(1.0, factors * p_values[order]))
    return corrected


def pooled(cards: Sequence[Scorecard], *, name: str) -> Scorecard:
    """One scorecard out of runs that differ by seed only: each query's mean over the seeds.

    Compare pooled with pooled: the paired test then runs over queries, on values from which the
    chance of a single training run is averaged out.

    Args:
        cards: one per seed, on the same queries and metrics.
        name: of the result.

    Raises:
        BadArgument: no card, or metrics differ.
        BadData: queries differ.

    Example:
        >>> ids = np.array(["q"], dtype=object)
        >>> runs = [Scorecard(name="s", query_ids=ids, values={"RR@10": np.array([value])})
        ...         for value in (0.5, 1.0)]
        >>> pooled(runs, name="both").mean()
        {'RR@10': 0.75}
    """
    if not cards:
        raise BadArgument("cards", cards, "it must hold a scorecard", "Pass one per seed.")
    names = list(cards[0].values)
    for card in cards:
        if set(card.values) != set(names):
            raise BadArgument(
                "cards", sorted(card.values), f"each must hold {sorted(names)}", "Score them alike."
            )
    return Scorecard(
        name=name,
        query_ids=cards[0].query_ids,
        values={metric: np.mean(aligned(cards, metric), axis=0) for metric in names},
        recipe={"pooled": [card.recipe for card in cards]},
    )


def summary(
    cards: Sequence[Scorecard],
    *,
    baseline: Scorecard | None = None,
    metric: str = "RR@10",
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """One row per run: the mean of every metric, and how `metric` differs from the baseline's.

    Args:
        cards: the runs; a baseline among them gets no difference.
        baseline: what the others are compared with; None = means only.
        metric: the one that is tested.
        resamples: see `compare`, as for the next two.
        confidence: of the interval of each row (not corrected).
        seed: of the resampling.

    Returns:
        A frame indexed by run; columns `difference`, `low`, `high`, `p` (two-sided) and `p_holm`
        (corrected over the rows of this table).

    Raises:
        BadArgument: no card, or the metric is missing.
        BadData: queries differ.

    Example:
        >>> ids = np.array(["p", "q"], dtype=object)
        >>> runs = [Scorecard(name=name, query_ids=ids, values={"RR@10": np.array([0.5, value])})
        ...         for name, value in (("plain", 0.5), ("guided", 1.0))]
        >>> summary(runs, baseline=runs[0]).loc["guided", ["RR@10", "difference"]].tolist()
        [0.75, 0.25]
    """
    import pandas as pd

    if not cards:
        raise BadArgument("cards", cards, "it must hold a scorecard", "Pass one per run.")
    frame = pd.DataFrame(
        [card.mean() for card in cards], index=pd.Index([card.name for card in cards], name="run")
    )
    if baseline is None:
        return frame
    check_choice("metric", metric, baseline.values)
    columns = np.full((len(cards), 5), np.nan)
    compared = [place for place, card in enumerate(cards) if card is not baseline]
    for place in compared:
        found = compare(
            baseline, cards[place], metric=metric,
            resamples=resamples, confidence=confidence, seed=seed,
        )  # fmt: skip
        columns[place, :4] = found.mean, found.low, found.high, found.p_value
    columns[compared, 4] = holm(columns[compared, 3])
    for place, name in enumerate(("difference", "low", "high", "p", "p_holm")):
        frame[name] = columns[:, place]
    return frame
