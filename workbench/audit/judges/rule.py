"""A judge that says what rules have dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from workbench.audit.judges.asking import Opinion, Question, check_name, check_questions
from workbench.errors import BadArgument
from workbench.types import Candidates


@dataclass(frozen=True, eq=False, kw_only=True)
class RuleJudge:
    """What rules dropped from a mined list is a positive, what they kept is none.

        label = weight <= 0,  score = 1 - weight,  unresolved where the list has no such candidate

    Args:
        candidates: as `mine.apply_rules` or `mine.WhatIf` returns them.
        name: which rules, as verdicts will say.

    Raises:
        BadArgument: no mined list, or no name.

    Example:
        >>> from workbench.audit.judges import questions
        >>> from workbench.data import from_rows
        >>> from workbench.mine import apply_rules, bm25
        >>> from workbench.rules import RankWindow
        >>> made = from_rows([{"query": f"go {n}", "positive": f"go {n} on"} for n in range(3)])
        >>> found = apply_rules(bm25(made), [RankWindow(first=2)])
        >>> asked = questions(made, np.array([[0, doc] for doc in found.docs[0, :2]]))
        >>> [one.label for one in RuleJudge(candidates=found)(asked)]
        [True, False]

    Breaks when: a rule drops for another reason than being a positive (a window of ranks, say), or
    the list it looked at was mined by the model under audit.
    """

    candidates: Candidates
    name: str = "rules"

    def __post_init__(self) -> None:
        check_name(self.name)
        found: object = self.candidates
        if not isinstance(found, Candidates):
            wanted = "it must be Candidates"
            raise BadArgument("candidates", type(found).__name__, wanted, "Call mine.apply_rules.")

    @cached_property
    def _places(self) -> tuple[dict[str, int], dict[str, int]]:
        ids = (self.candidates.query_ids, self.candidates.doc_ids)
        first, second = ({one: place for place, one in enumerate(side.tolist())} for side in ids)
        return first, second

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion per question, in their order.

        Raises:
            BadArgument: not a list of questions.
        """
        check_questions(questions)
        queries, docs = self._places
        rows = np.array([queries.get(one.query_id, -1) for one in questions], dtype=np.int64)
        wanted = np.array([docs.get(one.doc_id, -1) for one in questions], dtype=np.int64)
        known = (rows >= 0) & (wanted >= 0)
        hit = (self.candidates.docs[rows] == wanted[:, None]) & known[:, None]
        weight = np.where(hit, self.candidates.weight[rows], np.inf).min(axis=1, initial=np.inf)
        return [self._say(one, float(value)) for one, value in zip(questions, weight, strict=True)]

    def _say(self, asked: Question, weight: float) -> Opinion:
        there = np.isfinite(weight)
        return Opinion(
            query_id=asked.query_id,
            doc_id=asked.doc_id,
            label=weight <= 0 if there else None,
            score=1 - weight if there else None,
            judge=self.name,
            note=f"weight {weight:.3g}" if there else "not in the mined list",
        )

    def __repr__(self) -> str:
        return f"RuleJudge({self.name!r}, {self.candidates!r})"
