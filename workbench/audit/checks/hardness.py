"""WB106 and WB107: negatives too easy to teach anything, and negatives above the positive."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.audit.checks._base import Finding, NotAsked, check_share, finding, of
from workbench.audit.checks._given import Given
from workbench.errors import check_number
from workbench.mine.hardness import share_of_positive_score
from workbench.registry import register
from workbench.types import Floats


def _shares(given: Given) -> tuple[Floats, Floats, str]:
    """Share of the positive's score (NaN for what is not kept), the scores, and whose these are."""
    if given.has_guide:
        scores = given.fact("guide", given.at_hand)
        shares = (scores / _mean_positive(given)[:, None]).astype(np.float32)
        whose = "the mean labelled positive, by cosine"
    else:
        scores = given.listed.scores
        shares = share_of_positive_score(given.listed)
        whose = f"the weakest labelled positive, by the score of {given.listed.miner}"
    shares = np.where(given.kept, shares, np.float32(np.nan))
    if given.kept.any() and not np.isfinite(shares).any():
        raise NotAsked("needs vectors or guide, or candidates with scores, and labelled positives")
    return shares, scores, whose


def _mean_positive(given: Given) -> NDArray[np.float64]:
    """(query,) mean cosine of its labelled positives, NaN without one or where it is not > 0."""
    owners = given.collection.pairs[:, 0]
    counts = np.bincount(owners, minlength=len(given.query_texts))
    sums = np.bincount(owners, weights=given.pair_cosines(given.at_hand), minlength=len(counts))
    return np.where((counts > 0) & (sums > 0), sums / np.maximum(counts, 1), np.nan)


@register("check", "WB106")
@dataclass(frozen=True, kw_only=True)
class TooEasy:
    """Kept candidates that score so far below the labelled positive that they teach nothing.

        too easy: s(query, candidate) < share * s(query, positive)

    s is the cosine of the vectors at hand and the positive the mean of the labelled ones; without
    vectors s is the miner's score and the positive the weakest.

    Args:
        share: of the positive's score. At a positive of cosine .7 and a temperature of .05, half
            of it is 7 temperatures below: such a negative weighs 1/1000 of the positive in the
            softmax.
        most: share of kept candidates tolerated; 0.5, since a list without any easy negative is
            one of near-positives.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> TooEasy(share=0.3).code
        'WB106'

    Breaks when: scores are no similarities (BM25 sums depend on the query's length), or a model
    calls all texts alike, so that nothing ever lies far below.
    """

    code: ClassVar[str] = "WB106"
    title: ClassVar[str] = "too-easy negatives"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Mine with the encoder at hand instead of at random, take the top of the list, or mine "
        "again: the encoder has outgrown these."
    )
    share: float = 0.5
    most: float = 0.5

    def __post_init__(self) -> None:
        check_number("share", self.share, above=0, at_most=1, mend="Try 0.5.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        shares, scores, whose = _shares(given)
        easy = shares < self.share
        count, whole = int(easy.sum()), int(np.isfinite(shares).sum())
        says = f"{of(count, whole, 'kept candidates')} score below {100 * self.share:g} % of "
        says += whose
        return finding(
            self, count=count, whole=whole, says=says, most=self.most,
            examples=given.cells_shown(easy, scores, "score", lowest=True),
        )  # fmt: skip


@register("check", "WB107")
@dataclass(frozen=True, kw_only=True)
class TooHard:
    """Kept candidates that score as high as the labelled positive or higher.

        too hard: s(query, candidate) >= share * s(query, positive)

    s and the positive as in `TooEasy`.

    Args:
        share: of the positive's score; 1 is the positive itself, NV-Retriever drops above 0.95.
        most: share of kept candidates tolerated; 0.1. In lists mined from Python functions 24 %
            lie above, and only 4 % of those are false: that many hide what is false among them.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> TooHard(share=0.95).code
        'WB107'

    Breaks when: the encoder is weak, so that many true negatives lie above the positive; they are
    what it should learn from.
    """

    code: ClassVar[str] = "WB107"
    title: ClassVar[str] = "too-hard negatives"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Look at WB101 first; if they are true negatives keep them, else drop with ShareOfPositive "
        "or Margin, or skip the first ranks with RankWindow."
    )
    share: float = 1.0
    most: float = 0.1

    def __post_init__(self) -> None:
        check_number("share", self.share, above=0, at_most=2, mend="Try 1.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        shares, scores, whose = _shares(given)
        hard = shares >= self.share
        count, whole = int(hard.sum()), int(np.isfinite(shares).sum())
        says = f"{of(count, whole, 'kept candidates')} score at least {100 * self.share:g} % of "
        says += whose
        return finding(
            self, count=count, whole=whole, says=says, most=self.most,
            examples=given.cells_shown(hard, scores, "score"),
        )  # fmt: skip
