"""Does the better model stay the better one once the test set's labels are mended?

    D(p) = (1 - p) mean_right(b - a) + p mean_wrong(b - a)

Over queries whose labels were right and those whose labels were wrong; p is how common wrong
labels are. A test set with more of the wrong ones is what dropping right ones at random gives, so
the curve needs no new models. Scored on given and on corrected labels there are two such lines;
where their signs differ the given labels pick the worse model.

Source: Northcutt, Athalye, Mueller 2021, "Pervasive Label Errors in Test Sets": on corrected
ImageNet ResNet-18 passes ResNet-50 if wrong labels become 6 % more common.
Breaks when: only what one of the models got wrong was looked at again, which favours it; few
labels were wrong (look at the interval).

`relabelled` puts judgments in the place of labels, `changed` says which queries they changed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count, check_number
from workbench.types import Collection

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
Bools = NDArray[np.bool_]
HELD = 4_000_000
"""Numbers held at once while resampling: 32 MB."""


def changed(given: Collection, corrected: Collection) -> Bools:
    """(query,) whether any grade above 0 differs.

    Raises:
        BadArgument: the two are about other queries or documents.

    Example:
        >>> from workbench.audit import relabelled
        >>> from workbench.data import from_rows
        >>> from workbench.types import Verdicts
        >>> demo = from_rows([{"query": q, "positive": q + "!"} for q in "ab"], name="demo")
        >>> said = Verdicts.of([(demo.query_ids[1], demo.doc_ids[1], "negative")], judge="me")
        >>> changed(demo, relabelled(demo, said)).tolist()
        [False, True]
    """
    if given.qrels.shape != corrected.qrels.shape:
        wanted = f"it must be of {given.qrels.shape} queries and documents"
        raise BadArgument("corrected", corrected.qrels.shape, wanted, "Use relabelled(...).")
    difference = given.qrels.maximum(0) - corrected.qrels.maximum(0)
    return np.asarray(abs(difference).sum(axis=1) > 0)


@dataclass(frozen=True, eq=False, kw_only=True)
class RankStability:
    """Whether models keep their order, as `rank_stability` finds it.

    Args:
        names: of the models.
        queries: how many were scored.
        wrong: how many of them had wrong labels.
        given: (model,) mean on given labels.
        corrected: (model,) mean on corrected labels.
        tau: Kendall's, between the two orders of the models; 1 the same, -1 reversed.
        pairs: a row per pair: a, b, differences b - a on given and corrected labels with their
            intervals, `flips` (the signs differ), `sure` (and both intervals exclude 0), and
            `misled_from`: the share of wrong labels from which given and corrected labels prefer
            different models, NaN for never.
        curve: a row per pair and prevalence: both differences with their intervals.
    """

    names: tuple[str, ...]
    queries: int
    wrong: int
    given: Doubles
    corrected: Doubles
    tau: float
    pairs: pd.DataFrame
    curve: pd.DataFrame

    def frame(self) -> pd.DataFrame:
        """One row per pair of models."""
        return self.pairs.copy()

    def __repr__(self) -> str:
        flips = f"{int(self.pairs.flips.sum())} of {len(self.pairs)} pairs flip"
        share = f"{self.wrong:,} of {self.queries:,} labels wrong"
        return f"RankStability({', '.join(self.names)}: {flips}, {share}, tau {self.tau:.2f})"


def _table(name: str, values: Mapping[str, Any]) -> tuple[tuple[str, ...], Doubles]:
    if not isinstance(values, Mapping) or len(values) < 2:
        wanted = "it must map the names of two models or more to their values per query"
        mend = "Write {card.name: card.values['nDCG@10'] for card in cards}."
        raise BadArgument(name, values, wanted, mend)
    columns = {str(model): np.asarray(column) for model, column in values.items()}
    shapes = {model: column.shape for model, column in columns.items()}
    if len({*shapes.values()}) > 1 or len(next(iter(shapes.values()))) != 1:
        wanted = "all must be (query,) of one length"
        raise BadArgument(name, shapes, wanted, "Score all models on the same queries.")
    table = np.stack([column.astype(np.float64) for column in columns.values()])
    problems = [
        f"{model}: query {int(np.flatnonzero(~np.isfinite(row))[0])} is not finite"
        for model, row in zip(columns, table, strict=True)
        if not np.isfinite(row).all()
    ]
    if problems:
        raise BadData(name, problems, "Leave queries without a value out of both.")
    return tuple(columns), table


def _resampled(values: Doubles, resamples: int, rng: np.random.Generator) -> Doubles:
    """(resample, row of values) means over queries drawn with replacement."""
    count = values.shape[1]
    step = max(1, HELD // count)
    parts = []
    for start in range(0, resamples, step):
        some = min(step, resamples - start)
        drawn = rng.multinomial(count, np.full(count, 1 / count), size=some)
        parts.append(drawn @ values.T / count)
    return np.concatenate(parts)


def _interval(values: Doubles, confidence: float) -> list[float]:
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    return [float(end) for end in np.quantile(values, ends)]


def _misled_from(right: float, wrong: tuple[float, float]) -> float:
    """The smallest share at which the signs of two lines from `right` to `wrong` differ."""
    zeros = [right / (right - end) if right * end < 0 else np.inf for end in wrong]
    if right == 0:  # from the first wrong label on
        return 0.0 if wrong[0] * wrong[1] < 0 else float("nan")
    return float("nan") if zeros[0] == zeros[1] else float(min(zeros))


def rank_stability(
    given: Mapping[str, Any],
    corrected: Mapping[str, Any],
    *,
    wrong: NDArray[Any] | None = None,
    prevalence: Sequence[float] | NDArray[Any] | None = None,
    resamples: int = 10_000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RankStability:
    """Compare models on given and on corrected labels, and as wrong labels become more common.

    Args:
        given: model -> (query,) metric on given labels, e.g. nDCG@10, or right/wrong of a class.
        corrected: the same models and queries, on corrected labels.
        wrong: (query,) whose labels were wrong, see `changed`; None = where a value differs.
        prevalence: shares of wrong labels to draw the curve at; None = 31 from 0 to twice what
            there is, at least to 0.3.
        resamples: of queries, for the intervals; usual 10,000.
        confidence: of the intervals.
        seed: of the resampling.

    Returns:
        A `RankStability`. Intervals resample queries with all their values together; those of the
        curve resample right and wrong queries apart.

    Raises:
        BadArgument: fewer than two models, other models or lengths, impossible options.
        BadData: values that are not finite; fewer than two right or two wrong queries; a right
            query whose value changed.

    Example:
        >>> said = {"a": [1, 1, 1, 0, 0, 0], "b": [1, 1, 0, 1, 1, 0]}
        >>> true = {"a": [1, 1, 1, 1, 1, 0], "b": [1, 1, 0, 0, 0, 0]}
        >>> found = rank_stability(said, true)
        >>> found, round(float(found.frame().misled_from[0]), 2)
        (RankStability(a, b: 1 of 1 pairs flip, 2 of 6 labels wrong, tau -1.00), 0.2)

    Source: see the module.
    Breaks when: see the module; the wrong queries are unlike those still to be found.
    """
    from scipy.stats import kendalltau

    names, before = _table("given", given)
    others, after = _table("corrected", corrected)
    if sorted(names) != sorted(others) or before.shape != after.shape:
        wanted = f"it must hold {', '.join(names)} on {before.shape[1]} queries"
        raise BadArgument("corrected", list(others), wanted, "Score the same models again.")
    after = after[[others.index(name) for name in names]]
    bad = _wrong(wrong, before, after)
    check_count("resamples", resamples, at_least=100, mend="Try 10,000.")
    check_number("confidence", confidence, above=0, at_most=0.9999, mend="Try 0.95.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    shares = _shares(prevalence, float(bad.mean()))
    rng = np.random.default_rng(seed)
    both = np.concatenate([before, after])
    drawn = _resampled(both, resamples, rng)
    parts = [(both[:, ~bad].mean(axis=1), _resampled(both[:, ~bad], resamples, rng)),
             (both[:, bad].mean(axis=1), _resampled(both[:, bad], resamples, rng))]  # fmt: skip
    means = before.mean(axis=1), after.mean(axis=1)
    pairs, curve = _compared(names, both, drawn, parts, shares, confidence)
    tau = kendalltau(*means).statistic
    return RankStability(
        names=names,
        queries=len(bad),
        wrong=int(bad.sum()),
        given=means[0],
        corrected=means[1],
        tau=float(tau),
        pairs=pairs,
        curve=curve,
    )


def _wrong(wrong: NDArray[Any] | None, before: Doubles, after: Doubles) -> Bools:
    bad = (before != after).any(axis=0) if wrong is None else np.asarray(wrong)
    if bad.shape != before.shape[1:] or bad.dtype != np.bool_:
        wanted = f"it must be {before.shape[1]} booleans, one per query"
        raise BadArgument("wrong", bad, wanted, "Use changed(given, corrected).")
    counts = {"right": int((~bad).sum()), "wrong": int(bad.sum())}
    few = [f"{count} with {name} labels" for name, count in counts.items() if count < 2]
    if few:
        raise BadData("the queries", few, "Judge more of them; two of either kind are the least.")
    moved = np.flatnonzero((np.abs(before - after) > 1e-9).any(axis=0) & ~bad).tolist()
    if moved:
        problems = [
            f"query {query} scores otherwise, though its labels were right" for query in moved
        ]
        raise BadData("corrected", problems, "Say wrong=changed(given, corrected), or None.")
    return bad


def _shares(prevalence: Sequence[float] | NDArray[Any] | None, present: float) -> Doubles:
    if prevalence is None:
        return np.linspace(0, min(1.0, max(0.3, 2 * present)), 31)
    shares = np.asarray(prevalence, dtype=np.float64)
    if shares.ndim != 1 or not len(shares) or not ((shares >= 0) & (shares <= 1)).all():
        wanted = "it must be a list of shares in [0, 1]"
        raise BadArgument("prevalence", prevalence, wanted, "Try np.linspace(0, 0.3, 31).")
    return shares


def _compared(
    names: tuple[str, ...],
    both: Doubles,
    drawn: Doubles,
    parts: list[tuple[Doubles, Doubles]],
    shares: Doubles,
    confidence: float,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of pairs and of the curve; rows of `both` are given, then corrected."""
    import pandas as pd

    pairs: list[dict[str, Any]] = []
    curve: list[dict[str, Any]] = []
    for a, b in combinations(range(len(names)), 2):
        row: dict[str, Any] = {"a": names[a], "b": names[b]}
        points: list[dict[str, Any]] = [{**row, "prevalence": share} for share in shares.tolist()]
        signs, sure, ends = [], [], []
        for name, start in (("given", 0), ("corrected", len(names))):
            one, two = a + start, b + start
            difference = float((both[two] - both[one]).mean())
            low, high = _interval(drawn[:, two] - drawn[:, one], confidence)
            row |= {name: difference, f"{name}_low": low, f"{name}_high": high}
            signs.append(np.sign(difference))
            sure.append(low > 0 or high < 0)
            (right, lots), (wrong, more) = [
                (mean[two] - mean[one], samples[:, two] - samples[:, one])
                for mean, samples in parts
            ]
            ends.append((float(right), float(wrong)))
            for point in points:
                p = point["prevalence"]
                low, high = _interval((1 - p) * lots + p * more, confidence)
                point |= {
                    name: float((1 - p) * right + p * wrong),
                    f"{name}_low": low,
                    f"{name}_high": high,
                }
        flips = bool(signs[0] * signs[1] < 0)
        row |= {"flips": flips, "sure": flips and all(sure)}
        row["misled_from"] = _misled_from(ends[1][0], (ends[0][1], ends[1][1]))
        pairs.append(row)
        curve += points
    return pd.DataFrame(pairs), pd.DataFrame(curve)
