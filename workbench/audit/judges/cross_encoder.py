"""A judge that reads both texts together and compares the score with a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from workbench.audit.judges.asking import Opinion, Question, check_name, check_questions
from workbench.errors import BadArgument, check_number
from workbench.mine.rescore import PairScorer, check_scorer


@dataclass(frozen=True, eq=False, kw_only=True)
class CrossEncoderJudge:
    """What a cross-encoder scores at a threshold or above is a positive.

        label = score >= threshold,  unresolved where the score is no number

    Args:
        scorer: `encode.CrossEncoder`, or anything with its method `scores`.
        threshold: in the scorer's units: logits (0 is even odds) or, with output="sigmoid", 0..1.
            Choose it on judged pairs; a reranker's 0 is rarely the right one.
        name: as verdicts will say.

    Raises:
        BadArgument: not a scorer, a threshold that is no number, or no name.

    Example:
        >>> class Longest:
        ...     def scores(self, queries, docs): return np.array([len(doc) for doc in docs])
        >>> judge = CrossEncoderJudge(scorer=Longest(), threshold=3)
        >>> judge([Question(query_id="q", doc_id="d", query="add", doc="a + b")])[0].label
        True

    Breaks when: the scorer was trained on the labels it is to judge, or scores of different
    queries do not compare, so that no single threshold serves.
    """

    scorer: PairScorer
    threshold: float
    name: str = "cross-encoder"

    def __post_init__(self) -> None:
        check_name(self.name)
        check_number("threshold", self.threshold, mend="Choose it on judged pairs.")
        check_scorer("scorer", self.scorer)

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion per question, in their order.

        Raises:
            BadArgument: not a list of questions, or the scorer answers another number of scores.
        """
        check_questions(questions)
        if not questions:
            return []
        told = self.scorer.scores([one.query for one in questions], [one.doc for one in questions])
        scores = np.asarray(told, dtype=np.float64)
        if scores.shape != (len(questions),):
            wanted = f"{len(questions):,} pairs need as many scores"
            raise BadArgument("scorer", scores.shape, wanted, "Return one per pair.")
        return [
            self._say(one, score) for one, score in zip(questions, scores.tolist(), strict=True)
        ]

    def _say(self, asked: Question, score: float) -> Opinion:
        there = bool(np.isfinite(score))
        return Opinion(
            query_id=asked.query_id,
            doc_id=asked.doc_id,
            label=score >= self.threshold if there else None,
            score=score if there else None,
            judge=self.name,
            note=f"score {score:.4g}, threshold {self.threshold:.4g}",
        )
