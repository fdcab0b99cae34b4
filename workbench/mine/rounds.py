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

    Only negatives of weight > 0 count. Both rounds may hold different numbers per query.

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
    count = len(first.query_ids)
    before, old = _cells(first, first.weight > 0)
    after, fresh = _cells(second, second.weight > 0)
    found, _ = _cells(second, np.ones_like(second.docs, dtype=np.bool_))
    both, at_old, at_fresh = np.intersect1d(before, after, assume_unique=True, return_indices=True)
    lost = np.setdiff1d(before, after, assume_unique=True)
    still = np.isin(lost, found)
    wide = len(first.doc_ids)

    def per_query(cells: Ints) -> Ints:
        return np.bincount(cells // wide, minlength=count).astype(np.int64)

    kept = per_query(both)
    shift = np.bincount(both // wide, weights=fresh[at_fresh] - old[at_old], minlength=count)
    mean = np.where(kept > 0, shift / np.maximum(kept, 1), np.nan)
    return Rounds(
        query_ids=first.query_ids,
        kept=kept,
        new=per_query(np.setdiff1d(after, before, assume_unique=True)),
        ruled_out=per_query(lost[still]),
        gone=per_query(lost[~still]),
        score_shift=mean.astype(np.float32),
    )


def _cells(one: Candidates, wanted: NDArray[np.bool_]) -> tuple[Ints, NDArray[np.float64]]:
    rows, columns = np.nonzero((one.docs >= 0) & wanted)
    cells, at = np.unique(rows * len(one.doc_ids) + one.docs[rows, columns], return_index=True)
    return cells, one.scores[rows, columns][at].astype(np.float64)
