"""WB105: labelled pairs that a guide likes no better than chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from workbench.audit.checks._base import Finding, NotAsked, check_share, finding, of
from workbench.audit.checks._given import STEP, Given
from workbench.errors import check_count
from workbench.mine.facts import Unit
from workbench.registry import register

Doubles = NDArray[np.float64]


def chance_levels(given: Given, *, sample: int, seed: int) -> Doubles:
    """(pair,) share of random documents that the guide likes at least as well as the labelled one.

    Of a label that is right it is near 0; of one put there at random it is anywhere in [0, 1].

    Args:
        given: a collection, and guide or vectors.
        sample: documents drawn, the same for every pair; all if there are fewer.
        seed: of the draw.
    """
    count = len(given.doc_texts)
    drawn = np.random.default_rng(seed).choice(count, min(sample, count), replace=False)
    queries, docs = (Unit(side) for side in given.looking)
    others = docs(np.sort(drawn)).T
    pairs = given.collection.pairs
    levels = np.empty(len(pairs))
    own = given.pair_cosines(given.looking)
    for start in range(0, len(pairs), STEP):
        some = slice(start, start + STEP)
        cosines = queries(pairs[some, 0]) @ others
        # The labelled document itself, when drawn, scores as it does: it must not count.
        above = cosines > own[some, None] + 1e-6
        levels[some] = above.mean(axis=1)
    return levels


def wrong_labels(levels: Doubles, *, beyond: float = 0.5) -> float:
    """How many labels are wrong, when a wrong one is no better than a random document.

        wrong = #(level > beyond) / (1 - beyond)

    Levels of wrong labels are even over [0, 1], those of right ones near 0: what lies beyond is
    half of the wrong ones.

    Args:
        levels: (pair,) from `chance_levels`.
        beyond: where right labels have ended; 0.5 is usual.

    Returns:
        Expected count, at most all.

    Example:
        >>> wrong_labels(np.array([0.0, 0.01, 0.3, 0.9]))
        2.0

    Source: Storey, 2002, the estimate of the share of true null hypotheses.
    Breaks when: wrong labels are near misses, which lie near 0 too: it is a lower bound then.
    """
    return min(float((levels > beyond).sum()) / (1 - beyond), float(len(levels)))


@register("check", "WB105")
@dataclass(frozen=True, kw_only=True)
class WrongLabels:
    """Labelled pairs whose document a guide ranks among random ones.

    The count is an estimate, twice the pairs that lie below the median of random documents (see
    `wrong_labels`). Without guide and vectors it is how many the losses of training give away
    (`audit.loss_noise`).

    Args:
        sample: random documents each pair is compared with; 256 place a pair within 3 points.
        most: share of labelled pairs tolerated; 0.02: single losses of a softmax shrug off a few
            wrong labels in a hundred.
        seed: of the draw.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> WrongLabels(sample=64).code
        'WB105'

    Breaks when: the guide is weak on these texts: it ranks right labels among random ones too.
    """

    code: ClassVar[str] = "WB105"
    title: ClassVar[str] = "label noise"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Look at the examples, then rank all pairs with audit.pair_label_issues and judge the "
        "worst, or train with LossGate or BadPair."
    )
    sample: int = 256
    most: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("sample", self.sample, at_least=10, mend="Try 256.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        pairs = given.collection.pairs
        seen = given.losses is not None and given.losses.epochs > 0
        if not given.has_guide and not seen:
            raise NotAsked("needs guide or vectors, or losses")
        if not len(pairs):
            raise NotAsked("needs labelled pairs")
        wrong = _by_losses(given) if seen else np.zeros(len(pairs))
        lost = round(float(wrong.sum()))
        if not given.has_guide:
            says = f"about {of(lost, len(pairs), 'labelled pairs')} cost what wrong ones cost"
            return self._says(given, lost, says, wrong, "probability of a wrong label, by its loss")
        levels = chance_levels(given, sample=self.sample, seed=self.seed)
        count = round(wrong_labels(levels))
        says = f"about {of(count, len(pairs), 'labelled pairs')} are no better than random ones; "
        says += f"{int((levels > 0.5).sum()):,} lie below the median of "
        says += f"{min(self.sample, len(given.doc_texts)):,} random documents"
        says += f"; by their losses, {of(lost, len(pairs), 'would be')} wrong" if seen else ""
        return self._says(given, count, says, levels, "share of random documents that score higher")

    def _says(self, given: Given, count: int, says: str, by: Doubles, what: str) -> Finding:
        order = np.argsort(-by, kind="stable")
        worst = order[by[order] > 0.5]
        pairs = given.collection.pairs
        notes = [f"{what} {value:.2f}" for value in by[worst].tolist()]
        return finding(
            self,
            count=count,
            whole=len(pairs),
            says=says,
            most=self.most,
            examples=given.pairs_shown(pairs[worst, 0], pairs[worst, 1], notes),
        )


def _by_losses(given: Given) -> Doubles:
    """(pair,) probability of a wrong label by what the pair cost, 0 where losses say nothing."""
    from workbench.audit.loss_noise import loss_noise

    assert given.losses is not None
    return np.nan_to_num(loss_noise(given.losses).probability)
