"""WB102: the same pair labelled twice, or one question asked twice with different answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Example, Finding, check_share, finding, of
from workbench.audit.checks._given import Bools, Given
from workbench.registry import register
from workbench.types import Ints


def repeated_pairs(queries: Ints, docs: Ints) -> Bools:
    """(pair,) true for a pair whose (query group, document group) an earlier pair has.

    Args:
        queries: (pair,) group of each query.
        docs: (pair,) group of each document.

    Example:
        >>> repeated_pairs(np.array([0, 0, 1]), np.array([5, 5, 5])).tolist()
        [False, True, False]
    """
    _, first = np.unique(np.stack([queries, docs]), axis=1, return_index=True)
    again = np.ones(len(queries), dtype=np.bool_)
    again[first] = False
    return again


def split_answers(rows: Ints, queries: Ints, docs: Ints) -> Bools:
    """(pair,) true where another query of the same group lacks this document group.

    Args:
        rows: (pair,) which query.
        queries: (pair,) its group.
        docs: (pair,) group of the document.

    Example:
        >>> split_answers(np.array([0, 1]), np.array([7, 7]), np.array([2, 3])).tolist()
        [True, True]
    """
    members = np.unique(np.stack([queries, rows]), axis=1)[0]
    sizes = np.bincount(members, minlength=int(queries.max(initial=0)) + 1)
    triples = np.unique(np.stack([queries, docs, rows]), axis=1)
    cells, counts = np.unique(triples[:2], axis=1, return_counts=True)
    wide = int(docs.max(initial=0)) + 1
    having = counts[np.searchsorted(cells[0] * wide + cells[1], queries * wide + docs)]
    lacking: Bools = having < sizes[queries]
    return lacking


@register("check", "WB102")
@dataclass(frozen=True, kw_only=True)
class DuplicatePositives:
    """Labelled pairs that repeat another, or queries of equal text that do not share answers.

    A repeated pair counts twice in every epoch. Of one text asked under two ids with different
    answers, each answer is a false negative of the other.

    Args:
        most: share of labelled pairs tolerated; 0.01, below which neither weight nor gradient of
            a batch changes visibly.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> DuplicatePositives().severity
        'warning'

    Breaks when: the collection's groups are not filled in, so that only equal texts are seen
    (`data.with_groups` finds near duplicates).
    """

    code: ClassVar[str] = "WB102"
    title: ClassVar[str] = "duplicate positives"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Run data.with_groups and data.collapse, and merge queries of equal text into one with "
        "several positives."
    )
    most: float = 0.01

    def __post_init__(self) -> None:
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        pairs = given.collection.pairs
        if not len(pairs):
            return finding(self, count=0, whole=0, says="there is no labelled pair")
        queries, docs = given.query_groups[pairs[:, 0]], given.doc_groups[pairs[:, 1]]
        again = repeated_pairs(queries, docs)
        split = split_answers(pairs[:, 0], queries, docs)
        count = int((again | split).sum())
        says = f"{of(int(again.sum()), len(pairs), 'labelled pairs')} repeat another; "
        says += f"{of(int(split.sum()), len(pairs), 'pairs')} answer a query whose text, asked "
        says += "under another id, lacks that answer"
        repeats = _with_notes(given, pairs[again], "repeats an earlier pair")
        lacking = _with_notes(given, pairs[split], "not an answer of the same text elsewhere")
        return finding(
            self, count=count, whole=len(pairs), says=says, most=self.most,
            examples=[*repeats[:5], *lacking[:5]],
        )  # fmt: skip


def _with_notes(given: Given, pairs: Ints, note: str) -> list[Example]:
    return given.pairs_shown(pairs[:, 0], pairs[:, 1], [note] * len(pairs))
