"""Scores whose level and spread differ from query to query, with a few hidden positives in each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workbench.errors import check_count, check_number
from workbench.types import Floats


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoreLevels:
    """What a guide says of candidates, and which of them are positives nobody labelled.

    Args:
        scores: (query, doc) guide scores.
        hidden: (query, doc) the truth.
    """

    scores: Floats
    hidden: NDArray[np.bool_]


def score_levels(
    *, queries: int = 300, docs: int = 200, gap: float = 4.2, seed: int = 0
) -> ScoreLevels:
    """Make one heap of scores per query, of its own level and width, and 1 to 6 outliers in it.

    Levels are uniform in 0.1..0.7, spreads in 0.02..0.12: what stands out for one query is ordinary
    for another, so that no threshold fits all.

    Args:
        queries: rows.
        docs: candidates per query, at least 6.
        gap: how many spreads above the level hidden positives score, half a spread more or less.
        seed: of everything.

    Returns:
        The world.

    Raises:
        BadArgument: no queries, fewer than 6 documents.

    Example:
        >>> world = score_levels()
        >>> counts = world.hidden.sum(axis=1)
        >>> int(counts.min()), int(counts.max())
        (1, 6)

    Source: methods dossier on ATSS (Zhang et al. 2020), algorithmic unit test (b).
    """
    check_count("queries", queries, mend="Try 300.")
    check_count("docs", docs, at_least=6, mend="Try 200.")
    check_number("gap", gap, mend="Try 4.2.")
    check_count("seed", seed, at_least=0, mend="Try 0.")
    rng = np.random.default_rng(seed)
    level = rng.uniform(0.1, 0.7, size=(queries, 1))
    spread = rng.uniform(0.02, 0.12, size=(queries, 1))
    counts = rng.integers(1, 7, size=(queries, 1))
    hidden = rng.random((queries, docs)).argsort(axis=1).argsort(axis=1) < counts
    height = rng.standard_normal((queries, docs))
    height = np.where(hidden, gap + height / 2, height)
    return ScoreLevels(scores=(level + spread * height).astype(np.float32), hidden=hidden)
