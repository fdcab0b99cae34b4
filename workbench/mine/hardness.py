"""How hard mined candidates are: their scores beside that of the labelled positive."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, check_choice, check_count
from workbench.types import Candidates, Floats

if TYPE_CHECKING:
    import pandas as pd

BY = ("share", "score")
FINE = 600
"""Bins that the recipe of a chosen list holds."""


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


def hardness(
    candidates: Candidates, *, by: str = "share", bins: int = 20, before_choice: bool = False
) -> pd.DataFrame:
    """The histogram of how hard candidates are.

    Args:
        candidates: mined; weights count.
        by: "share" of the labelled positive's score (1 = as high as the positive), or the "score"
            itself.
        bins: how many, of equal width; before a choice at most 600.
        before_choice: show the list that `choose` or `hard_negatives` has chosen from. What is not
            chosen is no longer in the list, but its histogram, in 600 bins, is in the recipe;
            `bins` gathers those, exactly where it divides 600.

    Returns:
        One row per bin, easiest first: `low` and `high` edge, how many were `found` there, how
        many are `kept` (weight > 0), and before a choice how many of these were `chosen`. A list
        already chosen holds little that is not kept. What has no such number (no labelled
        positive, a miner without scores) stands in a last row with NaN edges, so that columns add
        up to all.

    Raises:
        BadArgument: an unknown word, bins < 1, or no choice has been made.

    Example:
        >>> from workbench.mine import bm25, choose
        >>> from workbench.data import from_rows
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(3)]
        >>> table = hardness(choose(bm25(from_rows(rows, name="demo")), 1), before_choice=True)
        >>> table[["found", "kept", "chosen"]].sum().tolist()
        [6, 6, 3]
    """
    import pandas as pd

    check_choice("by", by, BY)
    check_count("bins", bins, mend="Try 20.")
    there = candidates.docs >= 0
    kept = there & (candidates.weight > 0)
    if before_choice:
        low, high, columns = _before(candidates, by, bins, kept)
    else:
        values = share_of_positive_score(candidates) if by == "share" else candidates.scores
        low, high = _range(values, there)
        columns = {
            name: _counts(values, some, (low, high), bins)
            for name, some in (("found", there), ("kept", kept))
        }
    edges = np.histogram_bin_edges([], bins=bins, range=(low, high)).tolist()
    nan = float("nan")
    return pd.DataFrame({"low": [*edges[:-1], nan], "high": [*edges[1:], nan], **columns})


def told(candidates: Candidates) -> dict[str, Any]:
    """The histograms of a list, for the recipe of what is chosen from it: plain numbers."""
    there = candidates.docs >= 0
    kept = there & (candidates.weight > 0)
    account: dict[str, Any] = {}
    for by in BY:
        values = share_of_positive_score(candidates) if by == "share" else candidates.scores
        low, high = _range(values, there)
        found, left = (_counts(values, some, (low, high), FINE) for some in (there, kept))
        account[by] = {"low": low, "high": high, "found": found, "kept": left}
    return account


def _range(values: Floats, there: NDArray[np.bool_]) -> tuple[float, float]:
    known = values[there & np.isfinite(values)]
    return (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)


def _counts(
    values: Floats, some: NDArray[np.bool_], ends: tuple[float, float], bins: int
) -> list[int]:
    """How many fall into each bin, and last how many have no number."""
    known = some & np.isfinite(values)
    counts = np.histogram(values[known], bins=bins, range=ends)[0].tolist()
    return [*counts, int((some & ~known).sum())]


def _before(
    candidates: Candidates, by: str, bins: int, kept: NDArray[np.bool_]
) -> tuple[float, float, dict[str, list[int]]]:
    account = candidates.recipe.get("hardness")
    if account is None:
        wanted = "nothing has been chosen from it"
        raise BadArgument("candidates", candidates, wanted, "Leave before_choice away.")
    if bins > FINE:
        raise BadArgument("bins", bins, f"before a choice there are {FINE}", "Try 20.")
    one = account[by]
    values = share_of_positive_score(candidates) if by == "share" else candidates.scores
    chosen = _counts(values, kept, (one["low"], one["high"]), FINE)
    into = np.arange(FINE) * bins // FINE
    columns = {
        name: [
            *np.bincount(into, weights=fine[:-1], minlength=bins).astype(np.int64).tolist(),
            fine[-1],
        ]
        for name, fine in (("found", one["found"]), ("kept", one["kept"]), ("chosen", chosen))
    }
    return one["low"], one["high"], columns
