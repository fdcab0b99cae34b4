"""WB108: documents that are in everybody's list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Finding, check_share, finding, of
from workbench.audit.checks._given import Given
from workbench.audit.directions import skewness
from workbench.errors import check_number
from workbench.registry import register


@register("check", "WB108")
@dataclass(frozen=True, kw_only=True)
class Hubs:
    """Documents that are among the candidates of very many queries, whatever these ask.

        hub: N(doc) > max(times * mean N, everywhere * queries, 5)

    Args:
        times: so many times the mean number of lists; 10 is far outside what topics of one size
            give (a topic's documents are in the lists of that topic's queries only).
        everywhere: and in more than this share of all lists; .01.
        most: share of places taken by hubs that is tolerated; 0.05.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Hubs(times=20).code
        'WB108'

    Source: Radovanovic et al. 2010, "Hubs in Space", k-occurrences and their skewness.
    Breaks when: one topic holds most of the queries: its documents are in many lists rightly.
    """

    code: ClassVar[str] = "WB108"
    title: ClassVar[str] = "hubs"
    severity: ClassVar[str] = "note"
    mend: ClassVar[str] = (
        "Look at the hubs: drop texts without content, cap how often a document may serve, or "
        "normalise the vectors."
    )
    times: float = 10.0
    everywhere: float = 0.01
    most: float = 0.05

    def __post_init__(self) -> None:
        check_number("times", self.times, at_least=1, mend="Try 10.")
        check_share("everywhere", self.everywhere)
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        docs = given.listed.docs
        there = docs[docs >= 0]
        counts = np.bincount(there, minlength=len(given.listed.doc_ids)).astype(np.int64)
        floor = max(self.times * len(there) / max(1, len(counts)), self.everywhere * len(docs), 5.0)
        hubs = np.flatnonzero(counts > floor)
        places = int(counts[hubs].sum())
        says = f"{len(hubs):,} documents, each in more than {floor:,.0f} of {len(docs):,} lists, "
        says += f"take {of(places, len(there), 'places')}; skewness of the counts is "
        says += f"{skewness(counts):.2f}, the fullest is in {int(counts.max(initial=0)):,} lists"
        order = hubs[np.argsort(-counts[hubs], kind="stable")]
        notes = [f"in {count:,} lists" for count in counts[order].tolist()]
        return finding(
            self, count=places, whole=len(there), says=says, most=self.most,
            examples=given.docs_shown(order, notes),
        )  # fmt: skip
