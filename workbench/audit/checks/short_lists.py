"""WB118: queries to which rules or a small corpus have left no negative."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Finding, check_share, finding, of
from workbench.audit.checks._given import Given
from workbench.errors import check_count
from workbench.registry import register


@register("check", "WB118")
@dataclass(frozen=True, kw_only=True)
class ShortLists:
    """Queries with fewer kept candidates than are wanted.

    Args:
        at_least: candidates wanted per query; 1: none at all is what is found.
        most: share of queries tolerated; 0.01.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> ShortLists(at_least=4).code
        'WB118'

    Breaks when: in-batch negatives alone are what you want for these queries.
    """

    code: ClassVar[str] = "WB118"
    title: ClassVar[str] = "queries without negatives"
    severity: ClassVar[str] = "note"
    mend: ClassVar[str] = (
        "Loosen the rule that drops most (mine.report says which), or mine deeper."
    )
    at_least: int = 1
    most: float = 0.01

    def __post_init__(self) -> None:
        check_count("at_least", self.at_least, mend="Try 1.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        counts = given.kept.sum(axis=1)
        short = np.flatnonzero(counts < self.at_least)
        says = f"{of(len(short), len(counts), 'queries')} keep fewer than {self.at_least} candidate"
        says += "" if self.at_least == 1 else "s"
        order = short[np.argsort(counts[short], kind="stable")]
        notes = [f"{count} kept" for count in counts[order].tolist()]
        return finding(
            self, count=len(short), whole=len(counts), says=says, most=self.most,
            examples=given.queries_shown(order, notes),
        )  # fmt: skip
