"""WB117: labels that other labels, or judgments, contradict."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Finding, NotAsked, check_share, finding
from workbench.audit.checks._given import Given
from workbench.registry import register
from workbench.types import Ints


def against_labels(given: Given) -> tuple[Ints, int]:
    """(cell, 2) pairs labelled one way and judged the other, and how many were both.

    Args:
        given: a collection and verdicts.
    """
    assert given.verdicts is not None
    queries = {name: place for place, name in enumerate(given.collection.query_ids.tolist())}
    docs = {name: place for place, name in enumerate(given.collection.doc_ids.tolist())}
    said = [
        (queries[query], docs[doc], 1 if label == "positive" else -1)
        for (query, doc), label in given.verdicts.newest().items()
        if label in ("positive", "negative") and query in queries and doc in docs
    ]
    judged = np.array(said, dtype=np.int64).reshape(-1, 3)
    matrix = given.collection.qrels.tocoo()
    wide = matrix.shape[1]
    cells = matrix.coords[0].astype(np.int64) * wide + matrix.coords[1]
    order = np.argsort(cells)
    wanted = judged[:, 0] * wide + judged[:, 1]
    place = np.minimum(np.searchsorted(cells[order], wanted), max(len(cells) - 1, 0))
    labelled = cells[order][place] == wanted if len(cells) else np.zeros(len(judged), bool)
    grades = matrix.data[order][place] if len(cells) else np.zeros(len(judged))
    apart = labelled & ((grades > 0) != (judged[:, 2] > 0))
    return judged[apart, :2], int(labelled.sum())


def within_groups(given: Given) -> tuple[Ints, int]:
    """(cell, 2) pairs judged not relevant whose text is a positive of the same query text."""
    matrix = given.collection.qrels.tocoo()
    queries = given.query_groups[matrix.coords[0]]
    docs = given.doc_groups[matrix.coords[1]]
    keys = queries * (int(given.doc_groups.max(initial=0)) + 1) + docs
    positive = matrix.data > 0
    apart = ~positive & np.isin(keys, keys[positive])
    cells = np.stack([matrix.coords[0][apart], matrix.coords[1][apart]], axis=1)
    return cells.astype(np.int64), int((~positive).sum())


@register("check", "WB117")
@dataclass(frozen=True, kw_only=True)
class Contradictions:
    """Pairs labelled positive and judged negative (or the reverse), or labelled both ways.

    The newest verdict of a pair counts. Labelled both ways is a pair of texts: a document judged
    not relevant to a query, and a positive of it under another id.

    Args:
        most: share of labels that could be compared which is tolerated; 0, none.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> Contradictions(most=0.05).code
        'WB117'

    Breaks when: judges answer another question than annotators did.
    """

    code: ClassVar[str] = "WB117"
    title: ClassVar[str] = "contradicted labels"
    severity: ClassVar[str] = "warning"
    mend: ClassVar[str] = (
        "Judge each of them once more, then correct the label or let rules.Judged drop it."
    )
    most: float = 0.0

    def __post_init__(self) -> None:
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        apart, compared = np.empty((0, 2), dtype=np.int64), 0
        if given.verdicts is not None:
            apart, compared = against_labels(given)
        both, negatives = within_groups(given)
        if given.verdicts is None and not negatives:
            raise NotAsked("needs verdicts, or judged negatives in the collection")
        count, whole = len(apart) + len(both), compared + negatives
        says = (
            f"{len(apart):,} of {compared:,} labels that were judged again were judged the other "
        )
        says += f"way; {len(both):,} of {negatives:,} judged negatives are positives of the same "
        says += "query under another id"
        cells = np.concatenate([apart, both])
        notes = ["judged the other way"] * len(apart) + ["labelled both ways"] * len(both)
        examples = given.pairs_shown(cells[:, 0], cells[:, 1], notes)
        return finding(self, count=count, whole=whole, says=says, most=self.most, examples=examples)
