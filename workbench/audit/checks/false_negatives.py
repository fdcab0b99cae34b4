"""WB101: candidates that answer the query, though nobody labelled them so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.audit.checks._base import Finding, check_share, finding, of
from workbench.audit.checks._given import Bools, Given
from workbench.errors import check_number
from workbench.registry import register


@register("check", "WB101")
@dataclass(frozen=True, kw_only=True)
class FalseNegatives:
    """Kept candidates that are most likely positives.

    With a suspicion the count is the sum of its probabilities, judged ones being 1 or 0. Without
    one a candidate counts where max over the query's labelled positives p of guide(p, candidate) >
    threshold, the rule `PositiveNeighbour`. What is labelled or judged positive counts as 1, what
    is judged negative as 0.

    Args:
        threshold: cosine above which a candidate says the same as a positive. With 30 % of the
            labels hidden, 0.85 flags 3 % of what is mined from clinc150 at precision .96 (recall
            .27) and .9 % of cranfield's at .32 (.08); with all labels there, .2 % of clinc150's.
            So the count is a lower bound; `suspicion` gives an estimate.
        most: share of kept candidates tolerated. 0.005 is a fifth of what lists mined from Python
            functions hold (2.4 %), and 25 times what random documents do (.02 %).

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> FalseNegatives(threshold=0.8).code
        'WB101'

    Breaks when: documents share a template that the guide takes for likeness, or a query's only
    positive is an odd one; look at the examples.
    """

    code: ClassVar[str] = "WB101"
    title: ClassVar[str] = "false negatives"
    severity: ClassVar[str] = "error"
    mend: ClassVar[str] = (
        "Drop them with a rule (PositiveNeighbour, KnownPositive) in the miner and in the loss, or "
        "judge the most suspicious and use Judged."
    )
    threshold: float = 0.85
    most: float = 0.005

    def __post_init__(self) -> None:
        check_number("threshold", self.threshold, at_least=-1, at_most=1, mend="Try 0.85.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        kept = given.kept
        if given.suspicion is None:
            given.need(given.guide or given.vectors, "suspicion, or guide or vectors")
            near = given.fact("neighbour", given.looking)
            chance = (near > self.threshold).astype(np.float64)
            shown, what = near, "cosine to a labelled positive"
        else:
            chance = np.nan_to_num(given.suspicion.decided().astype(np.float64))
            shown, what = chance, "probability"
        known = given.fact("known").astype(np.bool_)
        said = _said(given)
        chance = np.where(said < 0, 0.0, np.where(known | (said > 0), 1.0, chance)) * kept
        count, whole = round(float(chance.sum())), int(kept.sum())
        sure = int((kept & (known | (said > 0))).sum())
        word = "at least" if given.suspicion is None else "about"
        says = f"{word} {of(count, whole, 'kept candidates')} are positives that nobody labelled"
        says += f"; {sure:,} of them for certain, by labels, duplicates or verdicts"
        says += self._first(given, kept, chance)
        flagged = chance > (0.5 if given.suspicion is None else 0.0)
        order = np.where(
            known | (said > 0), 2.0, np.nan_to_num(np.asarray(shown, np.float64), nan=-2)
        )
        examples = given.cells_shown(flagged, order, what)
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)

    def _first(self, given: Given, kept: Bools, chance: NDArray[np.float64]) -> str:
        first = kept & (given.listed.ranks == 1)
        if not first.any():
            return ""
        return f"; {100 * float(chance[first].mean()):.2g} % of those at rank 1"


def _said(given: Given) -> NDArray[np.int8]:
    """(query, rank) 1 judged positive, -1 judged negative, 0 nothing said."""
    if given.verdicts is None:
        return np.zeros(given.listed.docs.shape, dtype=np.int8)
    return given.fact("verdict").astype(np.int8)
