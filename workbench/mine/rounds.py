"""Two rounds of mining side by side: what the second kept, added and lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.mine.facts import check_ids
from workbench.types import Candidates, Floats, Ids, Ints

if TYPE_CHECKING:
    import pandas as pd

Doubles = NDArray[np.float64]
ROWS = 4096
"""Queries compared at once."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Rounds:
    """What changed from one round of mining to the next, query by query.

    first = kept + ruled_out + gone,   second = kept + new

    Args:
        query_ids: (query,).
        kept: (query,) negatives of both rounds.
        new: (query,) negatives of the second round only.
        ruled_out: (query,) of the first, still found by the second but dropped by its rules.
        gone: (query,) of the first, no more in the second's list: not found, or not chosen.
        score_shift: (query,) mean of second less first score over what was kept; NaN without any.
    """

    query_ids: Ids
    kept: Ints
    new: Ints
    ruled_out: Ints
    gone: Ints
    score_shift: Floats

    @property
    def overlap(self) -> float:
        """Share of all negatives of either round that both hold (Jaccard); NaN without any."""
        either = int((self.kept + self.new + self.ruled_out + self.gone).sum())
        return int(self.kept.sum()) / either if either else float("nan")

    @property
    def staleness(self) -> float:
        """Share of the first round's negatives that the second would not give; NaN without any.

        So much of what is trained on is no longer what the encoder finds hard: mine again.
        """
        lost = int((self.ruled_out + self.gone).sum())
        first = lost + int(self.kept.sum())
        return lost / first if first else float("nan")

    def total(self) -> dict[str, float]:
        """All queries together: counts, `overlap`, `staleness`, `score_shift` per kept negative."""
        counts = {
            name: int(getattr(self, name).sum()) for name in ("kept", "new", "ruled_out", "gone")
        }
        weighted = np.nan_to_num(self.score_shift.astype(np.float64)) * self.kept
        known = self.kept[~np.isnan(self.score_shift)].sum()
        return {
            "first": counts["kept"] + counts["ruled_out"] + counts["gone"],
            "second": counts["kept"] + counts["new"],
            **counts,
            "overlap": self.overlap,
            "staleness": self.staleness,
            "score_shift": float(weighted.sum() / known) if known else float("nan"),
        }

    def frame(self) -> pd.DataFrame:
        """One row per query."""
        import pandas as pd

        names = ("kept", "new", "ruled_out", "gone", "score_shift")
        index = pd.Index(self.query_ids, name="query_id")
        return pd.DataFrame({name: getattr(self, name) for name in names}, index=index)

    def __repr__(self) -> str:
        total = self.total()
        return (
            f"Rounds({total['kept']:,} kept, {total['new']:,} new, {total['ruled_out']:,} ruled "
            f"out, {total['gone']:,} gone, staleness {self.staleness:.2f})"
        )


def compare_rounds(first: Candidates, second: Candidates) -> Rounds:
    """Compare what two rounds of mining would train on.

    Only negatives of weight > 0 count. Both rounds may hold different numbers per query, a list no
    document twice for one. Memory grows with 4,096 queries, not with all.

    Args:
        first: the earlier round.
        second: the later round, over the same queries and documents.

    Returns:
        The comparison; `.total()` for all, `.frame()` per query.

    Raises:
        BadData: queries or documents differ.

    Example:
        >>> from workbench.data import from_rows
        >>> from workbench.mine import bm25, choose
        >>> rows = [{"query": f"word {n}", "positive": f"word {n} said"} for n in range(4)]
        >>> found = bm25(from_rows(rows, name="demo"))
        >>> compare_rounds(choose(found, 2), choose(found, 2, window=(1, None)))
        Rounds(4 kept, 4 new, 0 ruled out, 4 gone, staleness 0.50)

    Breaks when: the rounds chose at random with different seeds: chance then looks like change.
    """
    mend = "Mine one collection twice."
    check_ids("the second round's queries", first.query_ids, second.query_ids, mend)
    check_ids("the second round's documents", first.doc_ids, second.doc_ids, mend)
    counts = np.zeros((4, len(first.query_ids)), dtype=np.int64)
    shift = np.full(len(first.query_ids), np.nan)
    for start in range(0, len(shift), ROWS):
        rows = slice(start, start + ROWS)
        counts[:, rows], shift[rows] = _block(first, second, rows)
    kept, new, ruled_out, gone = counts
    return Rounds(
        query_ids=first.query_ids,
        kept=kept,
        new=new,
        ruled_out=ruled_out,
        gone=gone,
        score_shift=shift.astype(np.float32),
    )


def _block(first: Candidates, second: Candidates, rows: slice) -> tuple[Ints, Doubles]:
    """(4, query) kept, new, ruled out, gone; and (query,) mean shift; of some queries.

    Both lists of a query stand in one row, sorted by document: what both hold stands side by side,
    the first round's before the second's.
    """
    nobody = len(first.doc_ids)
    weight = [first.weight[rows], second.weight[rows]]
    old = np.where((first.docs[rows] >= 0) & (weight[0] > 0), first.docs[rows], nobody)
    found = np.where(second.docs[rows] >= 0, second.docs[rows], nobody)
    docs = np.concatenate([old, found], axis=1)
    order = np.argsort(docs, axis=1, kind="stable")
    docs = np.take_along_axis(docs, order, axis=1)
    later = order >= old.shape[1]
    chosen = np.concatenate([old < nobody, (found < nobody) & (weight[1] > 0)], axis=1)
    chosen = np.take_along_axis(chosen, order, axis=1)
    both = (docs[:, 1:] == docs[:, :-1]) & (docs[:, 1:] < nobody) & later[:, 1:] & ~later[:, :-1]
    still = both & chosen[:, 1:]
    kept, ruled_out = still.sum(axis=1), (both & ~chosen[:, 1:]).sum(axis=1)
    gone = (chosen & ~later).sum(axis=1) - kept - ruled_out
    counts = np.stack([kept, (chosen & later).sum(axis=1) - kept, ruled_out, gone])
    scores = np.concatenate([first.scores[rows], second.scores[rows]], axis=1)
    row, column = np.nonzero(still)
    change = scores[row, order[row, column + 1]].astype(np.float64)
    change -= scores[row, order[row, column]]
    total = np.bincount(row, weights=change, minlength=len(docs))
    return counts, np.where(kept > 0, total / np.maximum(kept, 1), np.nan)
