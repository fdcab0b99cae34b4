"""Which queries does anything in the corpus answer? A gate, and metrics on either side of it.

    threshold = the largest at which at most target_fnr of answerable queries score below it
    passes(q) = score(q) >= threshold

A query nothing answers gives a false positive whatever is found for it. A gate that is right 19
times in 20 on either side lets 1 in 20 of them through and costs the answerable ones 5 points.

Source: the screening of empty frames in ultrasound segmentation (several observers, negative
frames), carried over to queries; methods dossier, section 21.
Breaks when: scores of calibration and of use are of different models, prompts or corpora; few
answerable queries were known (look at the interval).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_number
from workbench.types import Collection, Scorecard

if TYPE_CHECKING:
    import pandas as pd

Bools = NDArray[np.bool_]
CONFIDENCE = 0.95


def answerable(collection: Collection) -> Bools:
    """(query,) whether a document is labelled as answering it.

    Example:
        >>> from workbench.data import from_rows
        >>> answerable(from_rows([{"query": "a", "positive": "b"}], name="demo")).tolist()
        [True]

    Breaks when: nobody looked for an answer; then "no label" is no "no".
    """
    return np.asarray((collection.qrels > 0).sum(axis=1) > 0)


@dataclass(frozen=True, kw_only=True)
class AnswerableGate:
    """A threshold on one score per query, and what it did where the truth was known.

    Args:
        threshold: a query passes at this score or above.
        answerable: how many answerable queries there were.
        unanswerable: how many others.
        refused: answerable ones that score below.
        let_through: unanswerable ones that pass.
    """

    threshold: float
    answerable: int
    unanswerable: int
    refused: int
    let_through: int

    @property
    def fnr(self) -> float:
        """Share of answerable queries refused."""
        return self.refused / self.answerable

    @property
    def fpr(self) -> float:
        """Share of unanswerable queries let through."""
        return self.let_through / self.unanswerable

    def intervals(self) -> dict[str, tuple[float, float]]:
        """Exact 95 % intervals of either share (Clopper and Pearson 1934)."""
        from scipy.stats import binomtest

        found = {}
        for name, hits, count in (
            ("fnr", self.refused, self.answerable),
            ("fpr", self.let_through, self.unanswerable),
        ):
            ends = binomtest(hits, count).proportion_ci(CONFIDENCE)
            found[name] = (float(ends.low), float(ends.high))
        return found

    def __call__(self, scores: NDArray[Any]) -> Bools:
        """(query,) which pass.

        Args:
            scores: (query,) of the same kind as those it was made from; -inf for nothing found.

        Raises:
            BadData: a score that is no number.
        """
        return _checked(scores) >= self.threshold

    def __str__(self) -> str:
        ends = self.intervals()
        return (
            f"score >= {self.threshold:.4g}: refuses {self.fnr:.1%} of {self.answerable:,} "
            f"answerable queries [{ends['fnr'][0]:.1%}, {ends['fnr'][1]:.1%}], lets "
            f"{self.fpr:.1%} of {self.unanswerable:,} others through "
            f"[{ends['fpr'][0]:.1%}, {ends['fpr'][1]:.1%}]"
        )


def _checked(scores: NDArray[Any]) -> NDArray[np.float64]:
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or not len(found):
        wanted = "it must be (query,), one score each"
        raise BadArgument("scores", found.shape, wanted, "Take each query's best candidate.")
    broken = np.flatnonzero(np.isnan(found) | (found == np.inf)).tolist()
    if broken:
        problems = [f"query {query} scores {found[query]}" for query in broken]
        raise BadData("scores", problems, "Give -inf to a query for which nothing was found.")
    return found


def _labels(name: str, labels: NDArray[Any], count: int) -> Bools:
    said = np.asarray(labels)
    if said.shape != (count,) or said.dtype != np.bool_:
        wanted = f"it must be {count} booleans, one per query"
        raise BadArgument(name, said, wanted, "Use answerable(collection).")
    return said


def answerable_gate(
    scores: NDArray[Any], labels: NDArray[Any], *, target_fnr: float = 0.05
) -> AnswerableGate:
    """Choose the threshold that refuses as much as it may.

    Args:
        scores: (query,) how well the best candidate fits: its cosine, a cross-encoder's score, a
            judge's probability; -inf where nothing was found.
        labels: (query,) whether something answers it, see `answerable`. Use queries that the model
            was not trained on.
        target_fnr: share of answerable queries that may be refused; usual 0.01 to 0.1.

    Returns:
        An `AnswerableGate`; it is called with the scores of other queries. On the queries at hand
        its fnr is at most the target, on others its interval says.

    Raises:
        BadArgument: shapes that do not fit, a target outside [0, 1).
        BadData: scores that are no numbers; no query of either kind.

    Example:
        >>> gate = answerable_gate(np.array([0.9, 0.8, 0.7, 0.3, 0.2]), np.arange(5) < 3)
        >>> gate.threshold, gate.fnr, gate.fpr, gate(np.array([0.75, 0.5])).tolist()
        (0.7, 0.0, 0.0, [True, False])

    Source: see the module.
    Breaks when: see the module.
    """
    check_number("target_fnr", target_fnr, at_least=0, mend="Try 0.05.")
    if target_fnr >= 1:
        wanted = "it must be < 1, or nothing would ever pass"
        raise BadArgument("target_fnr", target_fnr, wanted, "Try 0.05.")
    found = _checked(scores)
    said = _labels("labels", labels, len(found))
    counts = {"answerable": int(said.sum()), "unanswerable": int((~said).sum())}
    lacking = [f"no {name} query" for name, count in counts.items() if not count]
    if lacking:
        raise BadData("labels", lacking, "A gate is learned from queries of both kinds.")
    good = np.sort(found[said])
    threshold = float(good[int(np.floor(target_fnr * len(good) + 1e-9))])
    passed = found >= threshold
    return AnswerableGate(
        threshold=threshold,
        answerable=counts["answerable"],
        unanswerable=counts["unanswerable"],
        refused=int((said & ~passed).sum()),
        let_through=int((~said & passed).sum()),
    )


def split_by_answerable(
    card: Scorecard, labels: NDArray[Any], *, passed: NDArray[Any] | None = None
) -> pd.DataFrame:
    """A scorecard's means over answerable and unanswerable queries, with and without a gate.

    Without a gate a query nothing answers counts as scored, 0 in every ranking metric, so the mean
    over all says mostly how many such queries there are. With one, a refused query counts 1 if
    nothing answers it and 0 otherwise, and one let through without an answer counts 0.

    Args:
        card: per-query metrics in [0, 1].
        labels: (query,) whether something answers it.
        passed: (query,) what a gate said; None = no gate.

    Returns:
        One row for all, answerable and unanswerable: queries, passed, and a column per metric (NaN
        for no query).

    Raises:
        BadArgument: not one boolean per query.

    Example:
        >>> card = Scorecard(name="a", query_ids=np.array(["q", "r", "s"], dtype=object),
        ...                  values={"RR@10": np.array([1.0, 0.5, 0.0])})
        >>> gated = split_by_answerable(card, np.array([True, True, False]),
        ...                             passed=np.array([True, False, False]))
        >>> gated["RR@10"].round(2).tolist()
        [0.67, 0.5, 1.0]

    Breaks when: a metric is not in [0, 1], where 1 for a right refusal is out of scale.
    """
    import pandas as pd

    count = len(card.query_ids)
    said = _labels("labels", labels, count)
    through = np.ones(count, dtype=np.bool_) if passed is None else _labels("passed", passed, count)
    sides = {"all": np.ones(count, dtype=np.bool_), "answerable": said, "unanswerable": ~said}
    table: dict[str, list[float]] = {
        "queries": [int(side.sum()) for side in sides.values()],
        "passed": [int((side & through).sum()) for side in sides.values()],
    }
    for name, values in card.values.items():
        kept = values
        if passed is not None:
            kept = np.where(through, np.where(said, values, 0.0), np.where(said, 0.0, 1.0))
        table[name] = [
            float(kept[side].mean()) if side.any() else float("nan") for side in sides.values()
        ]
    return pd.DataFrame(table, index=pd.Index([*sides], name="side"))
