"""WB113: a model that finds documents for queries, but not queries for documents."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from workbench.audit.checks._base import Finding, NotAsked, check_share, finding
from workbench.audit.checks._given import Given
from workbench.errors import check_count
from workbench.registry import register
from workbench.types import Collection, Vectors

ALPHA = 0.01
"""A gap that chance makes more often than this is none."""


def drawn(
    collection: Collection, vectors: tuple[Vectors, Vectors], n: int, seed: int
) -> tuple[Collection, tuple[Vectors, Vectors]]:
    """At most n queries drawn at random, the documents judged for them, and their vectors.

    Args:
        collection: any.
        vectors: of it.
        n: queries.
        seed: of the draw.
    """
    from workbench.data import sample

    if len(collection.queries) <= n:
        return collection, vectors
    small = sample(collection, n, seed=seed)
    sides = []
    for side, ids, kept in zip(
        vectors,
        (collection.query_ids, collection.doc_ids),
        (small.query_ids, small.doc_ids),
        strict=True,
    ):
        place = {name: number for number, name in enumerate(ids.tolist())}
        rows = np.array([place[name] for name in kept.tolist()], dtype=np.int64)
        values = np.asarray(side.values[rows], dtype=np.float32)
        sides.append(Vectors(values=values, ids=kept, encoder=side.encoder))
    return small, (sides[0], sides[1])


@register("check", "WB113")
@dataclass(frozen=True, kw_only=True)
class OneDirection:
    """Labelled pairs that the vectors at hand find in one direction and not in the other.

    InfoNCE over documents alone cannot see what is added to all scores of one query. The count is
    the pairs by which one direction finds more than the other among its first k
    (`audit.direction_audit`); it must also be beyond chance (exact McNemar p <= .01).

    Args:
        k: length of the lists; 10.
        most: share of pairs tolerated; 0.1. all-MiniLM-L6-v2 finds .6 to 7.5 % more pairs
            forwards on clinc150, cranfield and Python functions.
        sample: queries that are looked at, drawn at random; 5,000 take seconds.
        seed: of the draw.

    Raises:
        BadArgument: an option out of range.

    Example:
        >>> OneDirection(k=1).code
        'WB113'

    Source: Berglund et al., 2023, for the question.
    Breaks when: nobody ever searches queries by document: then it is no fault.
    """

    code: ClassVar[str] = "WB113"
    title: ClassVar[str] = "one-directional blindness"
    severity: ClassVar[str] = "note"
    mend: ClassVar[str] = (
        "Train with a symmetric loss (queries against documents and documents against queries)."
    )
    k: int = 10
    most: float = 0.1
    sample: int = 5000
    seed: int = 0

    def __post_init__(self) -> None:
        check_count("k", self.k, mend="Try 10.")
        check_count("sample", self.sample, at_least=2, mend="Try 5000.")
        check_count("seed", self.seed, at_least=0, mend="Try 0.")
        check_share("most", self.most)

    def __call__(self, given: Given) -> Finding:
        """Look."""
        from workbench.audit.directions import direction_audit

        if len(given.collection.pairs) < 2:
            raise NotAsked("needs guide or vectors, and two labelled pairs")
        small, sides = drawn(given.collection, given.at_hand, self.sample, self.seed)
        audit = direction_audit(small, sides, k=(self.k,), seed=self.seed)
        row = audit.frame().iloc[0]
        says = f"of {len(audit.pairs):,} pairs {100 * row.forward:.3g} % are found from query to "
        says += f"document among the first {self.k}, {100 * row.backward:.3g} % from document to "
        says += f"query (p = {row.p_value:.2g}); hubs among documents {audit.hubness[0]:.2f}, "
        says += f"among queries {audit.hubness[1]:.2f} (skewness)"
        forward, backward = audit.forward[:, 0], audit.backward[:, 0]
        one_way = forward & ~backward if row.gap > 0 else backward & ~forward
        shown = Given(collection=small).pairs_shown(
            audit.pairs[one_way, 0],
            audit.pairs[one_way, 1],
            ["query finds document only" if row.gap > 0 else "document finds query only"]
            * int(one_way.sum()),
        )
        return finding(
            self,
            count=abs(int(row.only_forward) - int(row.only_backward)),
            whole=len(audit.pairs),
            says=says,
            most=self.most if row.p_value <= ALPHA else 1.0,
            examples=shown,
        )
