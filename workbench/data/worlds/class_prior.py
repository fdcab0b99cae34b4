"""Unlabelled candidates of which a known share is of the anchor's own class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassPrior:
    """Cosines of anchors with unlabelled candidates and with one labelled positive each.

    Args:
        scores: (anchor, candidate).
        positive_scores: (anchor,) of its labelled positive.
        same: (anchor, candidate) is the candidate of the anchor's class?
        prior: share of candidates of the anchor's class, in expectation.
    """

    scores: Floats
    positive_scores: Floats
    same: NDArray[np.bool_]
    prior: float


def class_prior(
    *,
    anchors: int = 400,
    candidates: int = 500,
    classes: int = 10,
    dim: int = 16,
    noise: float = 0.7,
    seed: int = 0,
) -> ClassPrior:
    """Make classes of equal size on a sphere; candidates are drawn without looking at labels.

    Args:
        anchors: rows, each with one labelled positive of its own class.
        candidates: columns.
        classes: how many; the prior is one over this.
        dim: width of the vectors.
        noise: length of the error beside a class centre of length 1.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: a count below 1, fewer than two classes.

    Example:
        >>> world = class_prior()
        >>> world.prior, round(float(world.same.mean()), 1)
        (0.1, 0.1)

    Source: the setting of Chuang et al. 2020, "Debiased Contrastive Learning", section 3.
    """
    check_count("anchors", anchors, mend="Try 400.")
    check_count("candidates", candidates, mend="Try 500.")
    check_count("classes", classes, at_least=2, mend="Try 10.")
    check_count("dim", dim, mend="Try 16.")
    check_number("noise", noise, at_least=0, mend="Try 0.7.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    centres = _unit(rng.standard_normal((classes, dim)))

    def seen(labels: NDArray[np.int64]) -> NDArray[np.float64]:
        error = rng.standard_normal((len(labels), dim)) / np.sqrt(dim)
        return _unit(centres[labels] + noise * error)

    mine = rng.integers(0, classes, size=anchors)
    theirs = rng.integers(0, classes, size=candidates)
    left, positives, right = seen(mine), seen(mine), seen(theirs)
    return ClassPrior(
        scores=(left @ right.T).astype(np.float32),
        positive_scores=(left * positives).sum(axis=1).astype(np.float32),
        same=mine[:, None] == theirs[None, :],
        prior=1 / classes,
    )


def _unit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths
