"""A judge that repeats what people said, and says nothing of the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from workbench.audit.judges.asking import Opinion, Question, check_name, check_questions
from workbench.errors import BadArgument, check_choice
from workbench.types import Verdicts


@runtime_checkable
class Records(Protocol):
    """What keeps judgments: `audit.JudgmentStore`, or anything with this method."""

    def verdicts(self, judge: str | None = None) -> Verdicts:
        """What this judge said (None = everybody), oldest first."""
        ...


@dataclass(frozen=True, eq=False, kw_only=True)
class HumanJudge:
    """The newest judgment of each pair; unsure, skipped and never judged ones stay unresolved.

    Args:
        said: verdicts, or a store, which is asked anew at every call.
        judge: only this person's; None = everybody's, the newest wins.
        name: as verdicts will say.

    Raises:
        BadArgument: neither verdicts nor a store, no name, or nobody called `judge` among the
            verdicts (a store says so when it is asked).

    Example:
        >>> judge = HumanJudge(said=Verdicts.of([("q", "d", "positive")], judge="ann"))
        >>> asked = [Question(query_id="q", doc_id=doc, query="", doc="") for doc in ("d", "e")]
        >>> [one.label for one in judge(asked)]
        [True, None]

    Breaks when: ids have changed since the judgments were made; the store mends that by content,
    verdicts alone cannot.
    """

    said: Verdicts | Records
    judge: str | None = None
    name: str = "human"

    def __post_init__(self) -> None:
        check_name(self.name)
        said: object = self.said
        if isinstance(said, type) or not isinstance(said, Verdicts | Records):
            wanted = "it must be Verdicts or a JudgmentStore"
            raise BadArgument("said", type(said).__name__, wanted, "Write Verdicts.of(...).")
        if self.judge is not None and isinstance(said, Verdicts) and len(said.judges):
            check_choice("judge", self.judge, sorted({*said.judges.tolist()}))

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion per question, in their order.

        Raises:
            BadArgument: not a list of questions.
        """
        check_questions(questions)
        newest = self._newest()
        return [self._say(one, newest.get(one.pair)) for one in questions]

    def _newest(self) -> dict[tuple[str, str], str]:
        if not isinstance(self.said, Verdicts):
            return self.said.verdicts(self.judge).newest()
        if self.judge is None:
            return self.said.newest()
        mine = self.said.judges == self.judge
        said = Verdicts(
            query_ids=self.said.query_ids[mine],
            doc_ids=self.said.doc_ids[mine],
            labels=self.said.labels[mine],
            judges=self.said.judges[mine],
        )
        return said.newest()

    def _say(self, asked: Question, label: str | None) -> Opinion:
        return Opinion(
            query_id=asked.query_id,
            doc_id=asked.doc_id,
            label={"positive": True, "negative": False}.get(label or ""),
            judge=self.name,
            note=label or "never judged",
        )
