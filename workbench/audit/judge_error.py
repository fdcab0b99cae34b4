"""How wrong a judge is, what its errors do to a list it flagged, and how to take them out again.

    flag rate = prevalence x sensitivity + (1 - prevalence) x (1 - specificity)

Everything here follows from that one line, except `prediction_powered`, which needs no error rates
but a random part of the pool judged by people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.audit.judges.asking import Opinion, check_opinions
from workbench.errors import BadArgument, check_number
from workbench.types import Floats, Verdicts, check_verdicts

Doubles = NDArray[np.float64]
LEAST_BETTER = 0.05
"""Sensitivity + specificity - 1 below which a judge says too little to be corrected."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A number and its interval.

    Args:
        value: the estimate; NaN where there is nothing to estimate it from.
        low: lower end of the interval.
        high: upper end.
        count: rows it rests on.
    """

    value: float
    low: float
    high: float
    count: int

    def __repr__(self) -> str:
        return f"Estimate({self.value:.3f} in [{self.low:.3f}, {self.high:.3f}], n {self.count:,})"


@dataclass(frozen=True, kw_only=True)
class JudgeError:
    """A judge against people.

    Args:
        sensitivity: share of people's positives that the judge calls positive.
        specificity: share of people's negatives that the judge calls negative.
        unresolved: pairs that people labelled and the judge did not.
    """

    sensitivity: Estimate
    specificity: Estimate
    unresolved: int


def _check_share(argument: str, value: object) -> None:
    check_number(argument, value, at_least=0, at_most=1, mend="It is a share, 0..1.")


def _check_level(level: object) -> None:
    check_number("level", level, above=0, mend="Try 0.95.")
    if not float(level) < 1:  # type: ignore[arg-type]
        raise BadArgument("level", level, "it must be < 1", "Try 0.95.")


def audited_precision(prevalence: float, sensitivity: float, specificity: float) -> float:
    """The share of what a judge flags that is really positive.

        precision = p se / (p se + (1 - p)(1 - sp))

    With the share of right first answers for `prevalence`, it is also the accuracy ceiling of
    trying until a checker of that completeness and soundness accepts, however often one tries.

    Args:
        prevalence: share of positives in what is judged, 0..1; of mined negatives 0.01..0.3.
        sensitivity: share of positives flagged (completeness).
        specificity: share of negatives not flagged (soundness).

    Returns:
        0..1; NaN where nothing is flagged at all.

    Raises:
        BadArgument: a share outside 0..1.

    Example:
        >>> [round(audited_precision(0.05, 0.9, sp), 2) for sp in (0.90, 0.98)]
        [0.32, 0.7]

    Source: Stroebl, Kapoor and Narayanan 2024, "Inference Scaling fLaws"; Bayes' rule.

    Breaks when: the error rates were measured on easier pairs than those that are judged.
    """
    _check_share("prevalence", prevalence)
    _check_share("sensitivity", sensitivity)
    _check_share("specificity", specificity)
    right = prevalence * sensitivity
    flagged = right + (1 - prevalence) * (1 - specificity)
    return right / flagged if flagged > 0 else float("nan")


def rogan_gladen(flag_rate: float, sensitivity: float, specificity: float) -> float:
    """The prevalence behind a judge's flag rate.

        prevalence = (q + sp - 1) / (se + sp - 1)

    Args:
        flag_rate: share flagged of all that was judged.
        sensitivity: share of positives flagged.
        specificity: share of negatives not flagged.

    Returns:
        Unbiased and not clipped: it may fall outside 0..1 by chance; clip it only to show it.

    Raises:
        BadArgument: a share outside 0..1, or a judge hardly better than chance.

    Example:
        >>> share = rogan_gladen(0.14, 0.9, 0.95)
        >>> round(share, 4), round(audited_precision(share, 0.9, 0.95), 4)
        (0.1059, 0.6807)

    Source: Rogan and Gladen 1978, "Estimating prevalence from the results of a screening test".

    Breaks when: the error rates differ between the judged sample and the rest of the pool.
    """
    _check_share("flag_rate", flag_rate)
    _check_share("sensitivity", sensitivity)
    _check_share("specificity", specificity)
    better = sensitivity + specificity - 1
    if better < LEAST_BETTER:
        wanted = f"sensitivity + specificity must be > {1 + LEAST_BETTER:g} to be corrected for"
        mend = "Its flags say next to nothing; take another judge."
        raise BadArgument("sensitivity", sensitivity, f"{wanted} (it is {better + 1:.3g})", mend)
    return (flag_rate + specificity - 1) / better


def prediction_powered(
    judge_all: Doubles | Floats | NDArray[np.bool_],
    judge_labelled: Doubles | Floats | NDArray[np.bool_],
    human_labelled: Doubles | Floats | NDArray[np.bool_],
    *,
    weight: float | None = 1.0,
    level: float = 0.95,
) -> Estimate:
    """The share of positives, from a judge on all rows and people on a random part of them.

        p = w mean(judge) + mean over the part of (human - w judge)
        variance = var(human - w judge) (1/n - 1/N) + var(human) / N

    Needs no error rates and is right for any judge, however wrong. Preferred to `rogan_gladen` when
    the part is a random draw of the same pool.

    Args:
        judge_all: (N,) the judge on every row of the pool, yes or no, or a score in 0..1.
        judge_labelled: (n,) the judge on the rows that people labelled; those are also in
            `judge_all`.
        human_labelled: (n,) what people said of them, yes or no.
        weight: w, how much the judge counts: 1 as in the paper, 0 = people alone, None = what makes
            the variance smallest on the part, so that a poor judge does no harm.
        level: of the interval.

    Returns:
        Not clipped. The interval is for the share in the population of which the pool is a draw;
        one disagreement each way is added to the variance, so that a part without any still has
        one of some width.

    Raises:
        BadArgument: shapes that differ, an empty part, a value outside 0..1, more labelled rows
            than rows.

    Example:
        >>> judge, human = np.arange(400) % 8 == 0, np.arange(100) % 16 == 0
        >>> prediction_powered(judge, judge[:100], human)
        Estimate(0.065 in [0.012, 0.118], n 100)

    Source: Angelopoulos, Bates, Fannjiang, Jordan and Zrnic 2023, "Prediction-powered inference";
    weight=None follows Angelopoulos, Duchi and Zrnic 2023, "PPI++".

    Breaks when: the labelled rows are not a random draw: the flagged ones, say, or what people
    happened to open. At weight 1 a judge whose flags are mostly wrong makes the interval wider than
    that of people alone.
    """
    _check_level(level)
    everything = _shares("judge_all", judge_all)
    judge = _shares("judge_labelled", judge_labelled)
    human = _shares("human_labelled", human_labelled)
    if judge.shape != human.shape:
        wanted = f"it must be {human.shape} as human_labelled is"
        raise BadArgument("judge_labelled", judge.shape, wanted, "Align them.")
    if len(human) > len(everything):
        wanted = f"it must have at least the {len(human):,} labelled rows"
        raise BadArgument("judge_all", len(everything), wanted, "Pass all rows that were judged.")
    if weight is not None:
        _check_share("weight", weight)
    n, pool = len(human), len(everything)
    if weight is None:
        together = np.cov(human, judge, bias=True)
        weight = float(np.clip(together[0, 1] / max(float(together[1, 1]), 1e-12), 0, 1))
    apart = human - weight * judge
    value = float(weight * everything.mean() + apart.mean())
    spread = (float(((apart - apart.mean()) ** 2).sum()) + 2) / (n + 2)
    share = (float(human.sum()) + 1) / (n + 2)
    variance = spread * (1 / n - 1 / pool) + share * (1 - share) / pool
    half = _normal(level) * variance**0.5
    return Estimate(value=value, low=value - half, high=value + half, count=n)


def _shares(argument: str, values: Any) -> Doubles:
    given = np.asarray(values)
    if given.ndim != 1 or given.dtype.kind not in "bifu":
        raise BadArgument(argument, given.shape, "it must be a list of numbers", "Pass (n,) 0/1.")
    numbers = given.astype(np.float64)
    if not len(numbers):
        raise BadArgument(argument, 0, "it must not be empty", "Judge some rows first.")
    bad = numbers[~((numbers >= 0) & (numbers <= 1))]
    if len(bad):
        wanted = "every value must be in 0..1"
        raise BadArgument(argument, float(bad[0]), wanted, "Leave unresolved rows out.")
    return numbers


def _normal(level: float) -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf(0.5 + level / 2)


def measured(opinions: Sequence[Opinion], verdicts: Verdicts, *, level: float = 0.95) -> JudgeError:
    """A judge's sensitivity and specificity on the pairs that people judged too.

    Args:
        opinions: of one judge; of a pair's several the last counts. Unresolved ones count as
            neither.
        verdicts: of people, taken for the truth; the newest of a pair counts, unsure and skipped
            ones do not.
        level: of the Wilson intervals.

    Returns:
        Both rates; NaN in [0, 1] where people found no positive, or no negative.

    Raises:
        BadArgument: other things than opinions and verdicts, opinions of several judges, or no
            pair that both judged.

    Example:
        >>> people = Verdicts.of([("q", "a", "positive"), ("q", "b", "negative")], judge="ann")
        >>> said = [Opinion(query_id="q", doc_id=doc, label=True, judge="guide") for doc in "ab"]
        >>> error = measured(said, people)
        >>> error.sensitivity.value, error.specificity.value
        (1.0, 0.0)

    Breaks when: people judged a selection (only what was flagged): label at random, or the
    sensitivity is flattered; or people err themselves.
    """
    _check_level(level)
    check_opinions(opinions)
    check_verdicts("verdicts", verdicts)
    names = dict.fromkeys(one.judge for one in opinions)
    if len(names) > 1:
        wanted = "they must be of one judge"
        raise BadArgument("opinions", list(names), wanted, "Measure one after the other.")
    truth = {pair: label for pair, label in verdicts.newest().items() if label in _TRUTH}
    said = {(one.query_id, one.doc_id): one.label for one in opinions}
    both = [(label, _TRUTH[truth[pair]]) for pair, label in said.items() if pair in truth]
    if not both:
        wanted = "no pair of theirs was judged positive or negative by people"
        raise BadArgument("opinions", len(said), wanted, "Judge some of the same pairs.")
    told = [(label, right) for label, right in both if label is not None]
    rates = []
    for side in (True, False):
        hits = [label == right for label, right in told if right is side]
        rates.append(_wilson(sum(hits), len(hits), level))
    return JudgeError(sensitivity=rates[0], specificity=rates[1], unresolved=len(both) - len(told))


_TRUTH = {"positive": True, "negative": False}


def _wilson(hits: int, count: int, level: float) -> Estimate:
    """A share with its Wilson interval; all of 0..1 when there is nothing to count."""
    if not count:
        return Estimate(value=float("nan"), low=0.0, high=1.0, count=0)
    from scipy.stats import binomtest

    ends = binomtest(hits, count).proportion_ci(level, method="wilson")
    return Estimate(value=hits / count, low=float(ends.low), high=float(ends.high), count=count)
