"""Judges: who says whether a candidate answers a query, all by one protocol.

A person's record, a rule, a cross-encoder and a language model answer the same questions with the
same opinions; `audit.measured` measures one against another.
"""

from __future__ import annotations

from workbench.audit.judges.asking import Judge, Opinion, Question, questions, to_verdicts
from workbench.audit.judges.cross_encoder import CrossEncoderJudge
from workbench.audit.judges.endpoint import Endpoint
from workbench.audit.judges.human import HumanJudge
from workbench.audit.judges.llm import Cost, LLMJudge
from workbench.audit.judges.prompt import ANSWERS, SAME
from workbench.audit.judges.rule import RuleJudge
from workbench.audit.judges.tries import best_k, resample_value
from workbench.audit.judges.voting import Answer, Ballot, Tally, judge_batch, vote

__all__ = [
    "ANSWERS",
    "SAME",
    "Answer",
    "Ballot",
    "Cost",
    "CrossEncoderJudge",
    "Endpoint",
    "HumanJudge",
    "Judge",
    "LLMJudge",
    "Opinion",
    "Question",
    "RuleJudge",
    "Tally",
    "best_k",
    "judge_batch",
    "questions",
    "resample_value",
    "to_verdicts",
    "vote",
]
