"""Does a scorer of documents read passages, or the absence of something? A kit of small tests.

A document is a bag of passages and relevant because of one it has, so one more passage can never
make it less relevant. Three small worlds (`data.worlds.passage_bags`) offer a shortcut in training
and turn it round in a second test set: who took the shortcut scores below chance there, however
well it did on fresh bags like those it learned from.

Source: Raff and Holt 2023, "Reproducibility in Multiple Instance Learning: A Case For Algorithmic
Unit Tests"; five of five well-known models fail at least one.
Breaks when: relevance is not a matter of single passages (a document's style, its length): then
the kit condemns what is right.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.data.worlds.passage_bags import (
    Bags,
    false_frequency,
    single_concept,
    two_concepts,
)
from workbench.errors import BadArgument, BadData, check_count, check_number
from workbench.types import Floats

if TYPE_CHECKING:
    import pandas as pd

Scorer = Callable[[Floats, NDArray[np.bool_]], Any]
"""(bag, passage, dim) passages and (bag, passage) which there are -> (bag,) scores."""
TESTS = {
    "single concept": (single_concept, 0.8),
    "two concepts": (two_concepts, 0.7),
    "false frequency": (false_frequency, 0.7),
}
"""World, and the AUC a scorer must reach on its shifted bags; on two concepts a maximum over
passages cannot go far beyond .75, for it cannot ask for both."""
MOST_DROP = 0.1


@dataclass(frozen=True, eq=False, kw_only=True)
class Monotonicity:
    """What one more passage did to the scores of bags.

    Args:
        bags: how many were tried.
        falls: share of them whose score fell.
        largest_fall: the most any score fell; 0 or less where none did.
        worst: number of that bag.
    """

    bags: int
    falls: float
    largest_fall: float
    worst: int

    @property
    def monotone(self) -> bool:
        """No score fell."""
        return self.falls == 0


def _scores(score: Scorer, passages: Floats, there: NDArray[np.bool_]) -> NDArray[np.float64]:
    found = np.asarray(score(passages, there), dtype=np.float64)
    if found.shape != (len(passages),):
        wanted = f"it must return one score per bag, {(len(passages),)}"
        raise BadArgument("scorer", found.shape, wanted, "Pool over passages, then drop the axis.")
    broken = np.flatnonzero(~np.isfinite(found)).tolist()
    if broken:
        problems = [f"the score of bag {bag} is not finite" for bag in broken]
        raise BadData("what the scorer returns", problems, "Mask absent passages before pooling.")
    return found


def check_monotone(
    score: Scorer,
    *,
    passages: NDArray[Any] | None = None,
    added: NDArray[Any] | None = None,
    bags: int = 300,
    dim: int = 4,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> Monotonicity:
    """Add a passage to each bag and see whether any score falls.

    Args:
        score: of bags: (bag, passage, dim) float32, (bag, passage) which there are -> (bag,).
        passages: (bag, passage, dim) bags to try; None = drawn, 1 to 8 passages from N(0, 1).
        added: (bag, dim) the passage each gets; None = drawn near and far, from N(0, s^2) with s
            of 0.1, 1 and 10.
        bags: how many to draw.
        dim: width of a drawn passage.
        tolerance: a smaller fall is rounding.
        seed: of what is drawn.

    Returns:
        A `Monotonicity`. Max, log-sum-exp and noisy-or pooling pass; mean and attention do not.

    Raises:
        BadArgument: shapes that do not fit, a scorer that returns another shape.
        BadData: a score that is not finite.

    Example:
        >>> def best(passages, there):
        ...     return np.where(there, passages.sum(axis=2), -np.inf).max(axis=1)
        >>> def average(passages, there):
        ...     return passages.sum(axis=(1, 2)) / there.sum(axis=1)
        >>> check_monotone(best).monotone, check_monotone(average).monotone
        (True, False)

    Source: see the module.
    Breaks when: the scorer falls only on passages unlike any that were drawn; give your own.
    """
    check_count("bags", bags, mend="Try 300.")
    check_count("dim", dim, mend="Try 4.")
    check_number("tolerance", tolerance, at_least=0, mend="Try 1e-6.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    if passages is None:
        given = rng.standard_normal((bags, 8, dim)).astype(np.float32)
        there = np.arange(8) < rng.integers(1, 9, size=bags)[:, None]
        given[~there] = 0
    else:
        given = np.asarray(passages, dtype=np.float32)
        if given.ndim != 3 or not given.size:
            wanted = "it must be (bag, passage, dim)"
            raise BadArgument("passages", given.shape, wanted, "Leave it out to draw some.")
        there = np.ones(given.shape[:2], dtype=np.bool_)
    size = (len(given), given.shape[2])
    if added is None:
        more = rng.standard_normal(size) * rng.choice([0.1, 1.0, 10.0], size=(len(given), 1))
    else:
        more = np.asarray(added)
        if more.shape != size:
            wanted = f"it must be one passage per bag, {size}"
            raise BadArgument("added", more.shape, wanted, "Leave it out to draw some.")
    # Both calls see bags of one length, so that a scorer that reads the padding is no surprise.
    longer = np.concatenate([given, more[:, None].astype(np.float32)], axis=1)
    shorter = longer.copy()
    shorter[:, -1] = 0
    last = np.ones((len(given), 1), dtype=np.bool_)
    before = _scores(score, shorter, np.concatenate([there, ~last], axis=1))
    after = _scores(score, longer, np.concatenate([there, last], axis=1))
    fall = before - after
    return Monotonicity(
        bags=len(given),
        falls=float((fall > tolerance).mean()),
        largest_fall=float(fall.max()),
        worst=int(fall.argmax()),
    )


def check_passages(
    fit_scorer: Callable[[Bags], Scorer],
    *,
    bags: int = 600,
    dim: int = 4,
    seeds: Sequence[int] = (0, 1, 2),
) -> pd.DataFrame:
    """Fit a scorer in three worlds and test it on fresh bags and on bags with the shortcut turned.

    Args:
        fit_scorer: trains on `Bags` (passages, there, labels) and returns a scorer as
            `check_monotone` wants it; called once per world and seed.
        bags: in each of the three sets of a world; the dossier's 600.
        dim: width of a passage; 4.
        seeds: of the worlds.

    Returns:
        A row per world and seed: test, seed, fresh and shifted (AUC on either set), verdict:
        "passes" (shifted at least at the world's bar in `TESTS` and no more than .1 from fresh),
        "reads absence" (shifted below .5 although fresh is at the bar), or "fails".

    Raises:
        BadArgument: impossible options, a scorer that returns another shape.
        BadData: a score that is not finite.

    Example:
        >>> def nearest(train):  # relevant if some passage is near (3, 3, 3, 3)
        ...     return lambda passages, there: -np.where(
        ...         there, np.abs(passages - 3).max(axis=2), np.inf).min(axis=1)
        >>> check_passages(nearest, seeds=[0]).verdict.tolist()
        ['fails', 'passes', 'passes']

    Source: see the module.
    Breaks when: training stopped early or started badly: look at several seeds before you blame
    the pooling.
    """
    import pandas as pd
    from sklearn.metrics import roc_auc_score
    from tqdm.auto import tqdm

    check_count("bags", bags, at_least=2, mend="Try 600.")
    check_count("dim", dim, mend="Try 4.")
    if not len(seeds):
        raise BadArgument("seeds", seeds, "there must be one at least", "Try (0, 1, 2).")
    for seed in seeds:
        check_count("seeds", seed, at_least=0, mend="Try (0, 1, 2).")
    rows: list[dict[str, Any]] = []
    work = [(name, seed) for name in TESTS for seed in seeds]
    for name, seed in tqdm(work, desc="passages", unit="fit", disable=None, delay=2):
        make, bar = TESTS[name]
        # 2 seed and 2 seed + 1: no seed's fresh bags are what another seed learns from.
        score = fit_scorer(make(bags=bags, dim=dim, seed=2 * seed))
        fresh = make(bags=bags, dim=dim, seed=2 * seed + 1)
        shifted = make(bags=bags, dim=dim, seed=2 * seed, shifted=True)
        aucs = [
            float(roc_auc_score(some.labels, _scores(score, some.passages, some.there)))
            for some in (fresh, shifted)
        ]
        rows.append({"test": name, "seed": seed, "fresh": aucs[0], "shifted": aucs[1],
                     "verdict": _verdict(aucs[0], aucs[1], bar)})  # fmt: skip
    return pd.DataFrame(rows)


def _verdict(fresh: float, shifted: float, bar: float) -> str:
    if shifted >= bar and abs(fresh - shifted) <= MOST_DROP:
        return "passes"
    return "reads absence" if fresh >= bar and shifted < 0.5 else "fails"
