"""How hard mined candidates are: their scores beside that of the labelled positive."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from workbench.errors import check_choice, check_count
from workbench.types import Candidates, Floats

if TYPE_CHECKING:
    import pandas as pd

BY = ("share", "score")


def share_of_positive_score(candidates: Candidates) -> Floats:
    """How near each candidate scores to the query's weakest labelled positive; 1 = equal.

        share_ij = 1 - (s_ip - s_ij) / |s_ip|        (= s_ij / s_ip for a positive score)

    Args:
        candidates: mined.

    Returns:
        (query, rank), NaN where a candidate, its score or the positive's is missing.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "open file", "positive": "open(file)"},
        ...         {"query": "shut", "positive": "file.shut()"}]
        >>> share_of_positive_score(bm25(from_rows(rows, name="demo"), k=1)).round(2)
        array([[0.21],
               [ nan]], dtype=float32)

    Breaks when: the positive's score is near 0, of which any share is huge.
    """
    positive = candidates.positive_scores[:, None]
    known = (candidates.docs >= 0) & np.isfinite(candidates.scores) & np.isfinite(positive)
    known &= positive != 0
    scores = np.where(known, candidates.scores, np.float32(0))
    base = np.where(known, positive, np.float32(1))
    share = 1 - (base - scores) / np.abs(base)
    return np.where(known, share, np.float32(np.nan)).astype(np.float32)


def hardness(candidates: Candidates, *, by: str = "share", bins: int = 20) -> pd.DataFrame:
    """The histogram of how hard candidates are, found and kept.

    Args:
        candidates: mined; weights count.
        by: "share" of the labelled positive's score (1 = as high as the positive), or the "score"
            itself.
        bins: how many, of equal width.

    Returns:
        One row per bin, easiest first: `low` and `high` edge, how many were `found` there, how
        many are `kept` (weight > 0). What has no such number (no labelled positive, a miner
        without scores) stands in a last row with NaN edges, so that columns add up to all.

    Raises:
        BadArgument: an unknown word, or bins < 1.

    Example:
        >>> from workbench.mine import bm25
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> hardness(bm25(from_rows(rows, name="demo")), bins=1)[["found", "kept"]].values.tolist()
        [[6, 6], [0, 0]]
    """
    import pandas as pd

    check_choice("by", by, BY)
    check_count("bins", bins, mend="Try 20.")
    values = share_of_positive_score(candidates) if by == "share" else candidates.scores
    there = candidates.docs >= 0
    kept = there & (candidates.weight > 0)
    known = there & np.isfinite(values)
    low, high = (float(values[known].min()), float(values[known].max())) if known.any() else (0, 1)
    edges = np.histogram_bin_edges([], bins=bins, range=(low, high))
    counts = [np.histogram(values[known & some], bins=edges)[0] for some in (there, kept)]
    unknown = [int((some & ~known).sum()) for some in (there, kept)]
    nan = float("nan")
    return pd.DataFrame(
        {
            "low": [*edges[:-1].tolist(), nan],
            "high": [*edges[1:].tolist(), nan],
            "found": [*counts[0].tolist(), unknown[0]],
            "kept": [*counts[1].tolist(), unknown[1]],
        }
    )
