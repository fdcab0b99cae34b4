"""What a contamination score is worth: the estimated performance gain (EPG) of what it marks.

A score is judged by whether the examples it marks really do better. The gain confounds copies with
ease (short boilerplate is easy), so it can be taken within strata of like examples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from workbench.errors import BadArgument, BadData, check_count, check_number
from workbench.types import Ints

if TYPE_CHECKING:
    import pandas as pd

Values = NDArray[np.float64]
Taker = Callable[[Ints, Values], Values]
"""(items of a stratum, (resample, item) weights) -> (resample, column) mean of the unmarked."""
HELD = 2_000_000
"""Weights of resamples held at once: 16 MB."""


def epg_curve(
    scores: ArrayLike,
    per_item_metric: ArrayLike,
    *,
    thresholds: Sequence[float] | None = None,
    min_clean: int = 50,
    strata: ArrayLike | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How much the marked examples lift a metric, at every threshold of a contamination score.

        marked(tau) = score >= tau
        EPG(tau)    = mean metric of all - mean metric of those not marked

    With strata both means are taken in each stratum and averaged by its size. The threshold of the
    largest gain drifts to marking too much: compare scores by `epg_at_share`, not by their peak.

    Args:
        scores: (item,) 0 to 1; NaN (text too short) leaves the item out of all means.
        per_item_metric: (item,) of one model: 0 or 1, reciprocal rank, recall@k, nDCG.
        thresholds: values of tau; None = every different score above 0, at most 100 of them.
        min_clean: with fewer unmarked items the gain is noise and stays NaN.
        strata: (item,) number of the group each item is compared in, e.g. `length_bins`.
        resamples: of the bootstrap over items, 1,000 to 10,000.
        confidence: of the interval.
        seed: of the bootstrap.

    Returns:
        One row per threshold: `tau`, `epg`, `share` marked, `clean` items left, `ci_low`,
        `ci_high`.

    Raises:
        BadArgument: lengths differ, a metric is not finite or a score infinite, an option is out of
            range.
        BadData: no item has a score.

    Example:
        >>> scores, right = [0.0, 0.1, 0.2, 0.6, 0.8, 1.0], [0, 0, 1, 1, 1, 1]
        >>> curve = epg_curve(scores, right, thresholds=[0.5], min_clean=1)
        >>> curve[["tau", "epg", "share", "clean"]].round(3).to_dict("records")
        [{'tau': 0.5, 'epg': 0.333, 'share': 0.5, 'clean': 3}]

    Source: Singh et al., 2024 (ConTAM).

    Breaks when: marked examples are easier for another reason than having been seen.
    """
    check_count("min_clean", min_clean, mend="Try 50.")
    table, metric, groups = _checked({"scores": scores}, per_item_metric, strata)
    _check_resampling(resamples, confidence, seed)
    score = table["scores"]
    taus = _thresholds(score) if thresholds is None else np.array(thresholds, dtype=np.float64)
    if taus.ndim != 1 or not np.isfinite(taus).all():
        raise BadArgument("thresholds", thresholds, "it must be a list of numbers", "Try [0.5].")
    gains = np.concatenate(
        [
            _gain(weights, metric, groups, _below(score, metric, taus))
            for weights in _resampled(len(metric), resamples, seed)
        ]
    )
    clean = (score[:, None] < taus).sum(axis=0)
    gains[:, clean < min_clean] = np.nan
    columns = {"tau": taus, "share": 1 - clean / len(score), "clean": clean}
    return _frame(columns, gains, confidence)[["tau", "epg", "share", "clean", "ci_low", "ci_high"]]


def epg_at_share(
    scores: Mapping[str, ArrayLike],
    per_item_metric: ArrayLike,
    *,
    share: float = 0.3,
    min_clean: int = 50,
    strata: ArrayLike | None = None,
    resamples: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Contamination scores compared fairly: each marks the same share of the items.

        EPG(s) = mean metric of all - mean metric of the 1 - share that score s marks last

    Items that tie at the boundary are marked in part, each alike. With strata the share is marked
    in every stratum. The first score is the baseline of the paired difference.

    Args:
        scores: name -> (item,); an item that any of them cannot judge (NaN) is left out.
        per_item_metric: (item,) of one model.
        share: of the items marked, 0 to 1 (open).
        min_clean: items that must stay unmarked.
        strata: (item,) number of the group each item is compared in.
        resamples: of the bootstrap over items.
        confidence: of the intervals.
        seed: of the bootstrap.

    Returns:
        One row per score: `score`, `epg`, `ci_low`, `ci_high`, and its `difference` to the first
        with `difference_low`, `difference_high` over the same resamples.

    Raises:
        BadArgument: as `epg_curve`, and a share that leaves fewer than `min_clean` items.
        BadData: no item has all scores.

    Example:
        >>> names = {"token_match": [0.9, 0.8, 0.1, 0.0], "longest_run": [0.0, 0.8, 0.9, 0.1]}
        >>> frame = epg_at_share(names, [0, 1, 1, 0], share=0.5, min_clean=1)
        >>> frame[["score", "epg", "difference"]].values.tolist()
        [['token_match', 0.0, 0.0], ['longest_run', 0.5, 0.5]]

    Source: Singh et al., 2024 (ConTAM).

    Breaks when: fewer items are contaminated than the share marks; the rest of the mark is noise.
    """
    check_number("share", share, above=0, at_most=0.999, mend="Try 0.3.")
    check_count("min_clean", min_clean, mend="Try 50.")
    if not isinstance(scores, Mapping) or not scores:
        wanted = "it must be a dictionary of name -> scores"
        raise BadArgument("scores", scores, wanted, "Try {'longest_run': frame['longest_run']}.")
    table, metric, groups = _checked(scores, per_item_metric, strata)
    _check_resampling(resamples, confidence, seed)
    if (left := (1 - share) * len(metric)) < min_clean:
        wanted = f"it must leave at least {min_clean} unmarked items, and leaves {left:.0f}"
        raise BadArgument("share", share, wanted, "Mark fewer, or lower min_clean=.")
    takers = [_lowest(score, metric, 1 - share) for score in table.values()]
    drawn = _resampled(len(metric), resamples, seed)
    gains = np.concatenate(
        [
            np.concatenate([_gain(weights, metric, groups, take) for take in takers], axis=1)
            for weights in drawn
        ]
    )
    frame = _frame({"score": list(table)}, gains, confidence)
    against = _frame({"score": list(table)}, gains - gains[:, :1], confidence)
    frame["difference"] = against["epg"]
    frame["difference_low"], frame["difference_high"] = against["ci_low"], against["ci_high"]
    return frame


def length_bins(lengths: ArrayLike, *, bins: int = 5) -> Ints:
    """Strata of like length: the quantile each item falls into, equal lengths always together.

    Args:
        lengths: (item,) e.g. the column `tokens` of `contamination_scores`.
        bins: at most so many, usually 3 to 10.

    Raises:
        BadArgument: a length that is not finite, a count below 1.

    Example:
        >>> length_bins([5, 5, 6, 80, 90], bins=2).tolist()
        [0, 0, 0, 1, 1]

    Breaks when: nearly all lengths are equal; they then share one bin.
    """
    check_count("bins", bins, mend="Try 5.")
    values = np.asarray(lengths, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        raise BadArgument("lengths", values, "it must be a list of numbers", "Count the tokens.")
    if not len(values):
        return np.empty(0, dtype=np.int64)
    edges = np.unique(np.quantile(values, np.arange(1, bins) / bins))
    return np.unique(np.searchsorted(edges, values, side="left"), return_inverse=True)[1].astype(
        np.int64
    )


def _checked(
    scores: Mapping[str, ArrayLike], metric: ArrayLike, strata: ArrayLike | None
) -> tuple[dict[str, Values], Values, Ints]:
    """Items that have every score: scores by name, metric, stratum counted from 0."""
    values = np.asarray(metric, dtype=np.float64)
    if values.ndim != 1 or not np.isfinite(values).all():
        wanted = "it must be a list of finite numbers, one per item"
        raise BadArgument("per_item_metric", metric, wanted, "Leave the others out.")
    table = {name: np.asarray(score, dtype=np.float64) for name, score in scores.items()}
    for name, score in table.items():
        if np.isinf(score).any():
            wanted = "it must be finite, or NaN where a text could not be judged"
            raise BadArgument(name, float("inf"), wanted, "Leave the others out.")
    groups = np.zeros(len(values), np.int64) if strata is None else np.asarray(strata)
    for name, column in {**table, "strata": groups}.items():
        if column.shape != values.shape:
            wanted = f"it must have one value for each of {len(values)} items"
            raise BadArgument(name, column.shape, wanted, "Align both by item.")
    kept = np.ones(len(values), np.bool_)
    for column in table.values():
        kept &= ~np.isnan(column)
    if not kept.any():
        problem = "no item has a score: all are NaN"
        raise BadData("the contamination scores", [problem], "Texts shorter than n: lower n.")
    numbers = np.unique(groups[kept], return_inverse=True)[1].astype(np.int64)
    return {name: column[kept] for name, column in table.items()}, values[kept], numbers


def _check_resampling(resamples: int, confidence: float, seed: int) -> None:
    check_count("resamples", resamples, at_least=100, mend="Try 1000.")
    check_number("confidence", confidence, above=0, at_most=0.9999, mend="Try 0.95.")
    check_count("seed", seed, at_least=0, mend="Try 0.")


def _thresholds(scores: Values) -> Values:
    different = np.unique(scores[scores > 0])
    if len(different) > 100:
        different = np.unique(np.quantile(different, np.linspace(0, 1, 100), method="nearest"))
    return different


def _resampled(count: int, resamples: int, seed: int) -> Iterator[Values]:
    """(some, item) times each item was drawn; the very first row is the sample itself."""
    rng = np.random.default_rng(seed)
    yield np.ones((1, count))
    step = max(1, HELD // count)
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        drawn = rng.integers(count, size=(some, count)) + np.arange(some)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=some * count).reshape(some, count)
        yield weights.astype(np.float64)


def _gain(weights: Values, metric: Values, groups: Ints, take: Taker) -> Values:
    """(some, column) mean of all minus the strata's means of the unmarked, weighted by size."""
    clean: Values | float = 0.0
    for group in range(int(groups.max()) + 1):
        rows = np.flatnonzero(groups == group)
        mass = weights[:, rows].sum(axis=1, keepdims=True)
        # A stratum that a resample missed weighs nothing there.
        clean = clean + np.where(mass > 0, mass * take(rows, weights[:, rows]), 0.0)
    gain: Values = ((weights @ metric)[:, None] - clean) / weights.sum(axis=1, keepdims=True)
    return gain


def _sums(order: Ints, weights: Values, metric: Values) -> tuple[Values, Values]:
    """Running sums of weights and of the weighted metric, from nothing on."""
    ordered = weights[:, order]
    nothing = np.zeros((len(weights), 1))
    masses = np.concatenate([nothing, np.cumsum(ordered, axis=1)], axis=1)
    totals = np.concatenate([nothing, np.cumsum(ordered * metric[order], axis=1)], axis=1)
    return masses, totals


def _below(score: Values, metric: Values, taus: Values) -> Taker:
    """Unmarked are the items below each threshold."""

    def take(rows: Ints, weights: Values) -> Values:
        order = np.argsort(score[rows], kind="stable")
        masses, totals = _sums(order, weights, metric[rows])
        place = np.searchsorted(score[rows][order], taus, side="left")
        none = masses[:, place] == 0
        return np.where(none, np.nan, totals[:, place] / np.where(none, 1.0, masses[:, place]))

    return take


def _lowest(score: Values, metric: Values, portion: float) -> Taker:
    """Unmarked is this portion, lowest scores first; of a tie at its end, a part of each item."""

    def take(rows: Ints, weights: Values) -> Values:
        order = np.argsort(score[rows], kind="stable")
        ordered = score[rows][order]
        ends = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1, len(ordered)]
        masses, totals = (part[:, ends] for part in _sums(order, weights, metric[rows]))
        wanted = portion * masses[:, -1]
        found = [
            np.interp(*row) / max(row[0], 1e-12) for row in zip(wanted, masses, totals, strict=True)
        ]
        return np.array(found)[:, None]

    return take


def _frame(
    columns: Mapping[str, Values | Ints | list[str]], gains: Values, confidence: float
) -> pd.DataFrame:
    """The first row of `gains` is the figure, the others its resamples."""
    import pandas as pd

    ends = np.full((2, gains.shape[1]), np.nan)
    known = np.isfinite(gains[0])
    if known.any():
        tail = (1 - confidence) / 2
        ends[:, known] = np.nanquantile(gains[1:, known], [tail, 1 - tail], axis=0)
    return pd.DataFrame({**columns, "epg": gains[0], "ci_low": ends[0], "ci_high": ends[1]})
