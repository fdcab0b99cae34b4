"""WB111: queries that nothing in the corpus answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.answerable import answerable
from workbench.audit.checks._base import Finding, check_share, finding, of
from workbench.audit.checks._given import Bools, Given, texts_shown
from workbench.errors import check_number
from workbench.registry import register
from workbench.types import Floats


def far_below(values: Floats, sigmas: float) -> Bools:
    """Which values lie far below the rest, by median and median absolute deviation.

        x < median - sigmas * 1.4826 * median(|x - median|)

    Args:
        values: (query,), NaN = unknown, which is not below.
        sigmas: distance; 3.5 leaves 1 in 4,000 of a normal distribution.

    Example:
        >>> far_below(np.array([0.7, 0.8, 0.75, 0.72, 0.1], dtype=np.float32), 3.5).tolist()
        [False, False, False, False, True]

    Source: Iglewicz and Hoaglin, 1993, modified z-score.
    """
    known = values[np.isfinite(values)]
    if not len(known):
        return np.zeros(len(values), dtype=np.bool_)
    middle = float(np.median(known))
    spread = 1.4826 * float(np.median(np.abs(known - middle)))
    below: Bools = values < middle - sigmas * max(spread, 1e-6)
    return below


@register("check", "WB111")
@dataclass(frozen=True, kw_only=True)
class Unanswerable:
    """Queries without a labelled positive, or whose best document scores far below the rest's.

    In training such a query is no anchor; in an evaluation it counts as a failure of every model.
    The best document is that of largest guide score among labelled positives and candidates.

    Args:
        sigmas: how far below, in robust standard deviations; 3.5 leaves 1 query in 4,000 of a
            normal distribution.
        most: share of queries tolerated; 0.01.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Unanswerable(sigmas=5).code
        'WB111'

    Breaks when: a query is short or in another language, so that the guide scores everything low.
    """

    code: ClassVar[str] = "WB111"
    title: ClassVar[str] = "unanswerable queries"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Label an answer, drop the query, or evaluate answerable and unanswerable queries apart."
    )
    sigmas: float = 3.5
    most: float = 0.01

    def __post_init__(self) -> None:
        check_number("sigmas", self.sigmas, above=0, mend="Try 3.5.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        lacking = ~answerable(given.collection)
        says = of(int(lacking.sum()), len(lacking), "queries") + " have no labelled positive"
        low, best = np.zeros_like(lacking), np.full(len(lacking), np.nan, dtype=np.float32)
        if given.has_guide:
            best = self._best(given)
            low = far_below(best, self.sigmas) & ~lacking
            says += f"; {int(low.sum()):,} more have a best document that scores far below the rest"
        else:
            says += "; scores were not looked at: needs guide or vectors"
        count, whole = int((lacking | low).sum()), len(lacking)
        places = np.r_[np.flatnonzero(low)[np.argsort(best[low])][:5], np.flatnonzero(lacking)]
        notes = [
            "no labelled positive" if lacking[place] else f"best document {best[place]:.3f}"
            for place in places.tolist()
        ]
        examples = given.queries_shown(places, notes)
        if given.evaluation is not None:
            other = np.flatnonzero(~answerable(given.evaluation))
            says += (
                f"; of the evaluation, {of(len(other), len(given.evaluation.queries), 'queries')}"
            )
            says += " have no labelled positive"
            count, whole = count + len(other), whole + len(given.evaluation.queries)
            texts = given.evaluation.query_texts
            notes = ["of the evaluation"] * len(other)
            examples = examples[:5] + texts_shown(given.evaluation.query_ids, texts, other, notes)
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)

    def _best(self, given: Given) -> Floats:
        best = np.full(len(given.query_texts), -np.inf, dtype=np.float32)
        np.maximum.at(best, given.collection.pairs[:, 0], given.pair_cosines(given.looking))
        if given.found is not None:
            cosines = np.nan_to_num(given.fact("guide", given.looking), nan=-np.inf)
            best = np.maximum(best, cosines.max(axis=1, initial=-np.inf))
        return np.where(np.isfinite(best), best, np.float32(np.nan))
