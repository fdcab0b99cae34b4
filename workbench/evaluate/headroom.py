"""How much of what an oracle would gain does a rule gain?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from workbench.evaluate.compare import Values, aligned, check_resampling, interval
from workbench.types import Scorecard

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class Headroom:
    """Share of the oracle's gain over plain that a rule recovers.

    Args:
        metric: which.
        plain: mean of the run without a rule.
        rule: mean of the run with the rule.
        oracle: mean of the run that knows the truth.
        share: (rule - plain) / (oracle - plain); NaN where there is no headroom.
        low: lower end of the interval; NaN where it is unbounded.
        high: upper end of the interval.
        confidence: of the interval.
        reason: why a number is NaN, else empty.
    """

    metric: str
    plain: float
    rule: float
    oracle: float
    share: float
    low: float
    high: float
    confidence: float
    reason: str = ""

    def frame(self) -> pd.DataFrame:
        """One row."""
        import pandas as pd

        return pd.DataFrame([vars(self)])

    def __str__(self) -> str:
        ends = (
            f"{self.metric}: plain {self.plain:.4f}, rule {self.rule:.4f}, oracle {self.oracle:.4f}"
        )
        if np.isnan(self.share):
            return f"{ends}; no share: {self.reason}"
        bounds = f"[{self.low:.0%}, {self.high:.0%}] at {self.confidence:.0%}"
        shown = self.reason if np.isnan(self.low) else bounds
        return f"{ends}; {self.share:.0%} of the headroom recovered ({shown})"


BOUNDLESS = 1e12
"""Stands for the share in a resample without headroom."""


def _share(plain: Values, rule: Values, oracle: Values, axis: int = -1) -> Values:
    start = plain.mean(axis=axis)
    room = oracle.mean(axis=axis) - start
    gain = rule.mean(axis=axis) - start
    there = room > 0
    share = gain / np.where(there, room, 1.0)
    return np.asarray(np.where(there, share, np.copysign(BOUNDLESS, gain)))


def share_of_headroom(
    plain: Scorecard,
    rule: Scorecard,
    oracle: Scorecard,
    *,
    metric: str = "RR@10",
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> Headroom:
    """Share of oracle headroom recovered, with a paired bootstrap interval over queries.

        share = (mean rule - mean plain) / (mean oracle - mean plain)

    1 = as good as knowing every false negative, 0 = no better than plain, below 0 = harmful. The
    three runs are resampled together. When the oracle does not beat plain there is nothing to share
    (NaN, and the reason is said); when it beats plain in too few resamples the share is given
    without an interval.

    Args:
        plain: trained without a rule.
        rule: trained with the rule.
        oracle: trained with the truth as mask.
        metric: in all three.
        resamples: of the bootstrap.
        confidence: of the interval.
        seed: of the resampling.

    Raises:
        BadArgument: the metric is missing.
        BadData: the runs were scored on different queries.

    Example:
        >>> ids = np.array(["p", "q", "r"], dtype=object)
        >>> base = np.array([0.2, 0.3, 0.4])
        >>> runs = [Scorecard(name="run", query_ids=ids, values={"RR@10": base + more})
        ...         for more in (0.0, 0.1, 0.2)]
        >>> round(share_of_headroom(*runs).share, 6)
        0.5

    Source: this workbench.

    Breaks when: the headroom is small beside its own noise; pool several seeds first.
    """
    check_resampling(resamples, confidence)
    columns = aligned([plain, rule, oracle], metric)
    means = [float(column.mean()) for column in columns]
    share, low, high, reason = float("nan"), float("nan"), float("nan"), ""
    if means[2] <= means[0]:
        reason = "the oracle does not beat plain"
    else:
        share = (means[1] - means[0]) / (means[2] - means[0])
        ends = interval(columns, _share, resamples=resamples, confidence=confidence, seed=seed)
        if float((np.abs(ends[2]) == BOUNDLESS).mean()) >= (1 - confidence) / 2:
            reason = "no interval: whether the oracle beats plain at all is within chance"
        else:
            low, high = ends[:2]
    return Headroom(
        metric=metric, plain=means[0], rule=means[1], oracle=means[2],
        share=share, low=low, high=high, confidence=confidence, reason=reason,
    )  # fmt: skip
