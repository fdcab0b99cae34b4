"""Which negatives are false, how sure that is, and what judgments teach."""

from __future__ import annotations

from workbench.audit.agreement import Agreement, agreement, ballots, consensus
from workbench.audit.answerable import (
    AnswerableGate,
    answerable,
    answerable_gate,
    split_by_answerable,
)
from workbench.audit.closing import before_after, relabelled, trusted
from workbench.audit.contamination import collection_contamination, contamination_scores
from workbench.audit.directions import DirectionAudit, direction_audit
from workbench.audit.draw import Count, Draw, draw, false_negatives
from workbench.audit.epg import epg_at_share, epg_curve, length_bins
from workbench.audit.evidence import Evidence, evidence
from workbench.audit.exchange import (
    from_beir,
    from_parquet,
    from_trec,
    to_beir,
    to_parquet,
    to_trec,
)
from workbench.audit.hide import Hidden, hide
from workbench.audit.judge_error import (
    Estimate,
    JudgeError,
    audited_precision,
    measured,
    prediction_powered,
    rogan_gladen,
)
from workbench.audit.judges import (
    CrossEncoderJudge,
    Endpoint,
    HumanJudge,
    Judge,
    LLMJudge,
    Opinion,
    Question,
    RuleJudge,
    best_k,
    questions,
    resample_value,
    to_verdicts,
)
from workbench.audit.label_noise import LabelNoise, label_issues, label_noise, out_of_fold
from workbench.audit.loss_noise import LossNoise, loss_noise
from workbench.audit.margin import JudgedSample, choose_margin, compare_rules, margin_curve
from workbench.audit.overlap import Leaks, leaks, near_copies, near_vectors
from workbench.audit.pair_noise import pair_features, pair_label_issues, pool
from workbench.audit.passages import Monotonicity, check_monotone, check_passages
from workbench.audit.rank_stability import RankStability, changed, rank_stability
from workbench.audit.rephrased import Rephrased, find_rephrased
from workbench.audit.report import Report, report
from workbench.audit.store import Judgment, JudgmentStore
from workbench.audit.suspicion import Suspicion, suspicion
from workbench.audit.words import shared_answers

__all__ = [
    "Agreement",
    "AnswerableGate",
    "Count",
    "CrossEncoderJudge",
    "DirectionAudit",
    "Draw",
    "Endpoint",
    "Estimate",
    "Evidence",
    "Hidden",
    "HumanJudge",
    "Judge",
    "JudgeError",
    "JudgedSample",
    "Judgment",
    "JudgmentStore",
    "LLMJudge",
    "LabelNoise",
    "Leaks",
    "LossNoise",
    "Monotonicity",
    "Opinion",
    "Question",
    "RankStability",
    "Rephrased",
    "Report",
    "RuleJudge",
    "Suspicion",
    "agreement",
    "answerable",
    "answerable_gate",
    "audited_precision",
    "ballots",
    "before_after",
    "best_k",
    "changed",
    "check_monotone",
    "check_passages",
    "choose_margin",
    "collection_contamination",
    "compare_rules",
    "consensus",
    "contamination_scores",
    "direction_audit",
    "draw",
    "epg_at_share",
    "epg_curve",
    "evidence",
    "false_negatives",
    "find_rephrased",
    "from_beir",
    "from_parquet",
    "from_trec",
    "hide",
    "label_issues",
    "label_noise",
    "leaks",
    "length_bins",
    "loss_noise",
    "margin_curve",
    "measured",
    "near_copies",
    "near_vectors",
    "out_of_fold",
    "pair_features",
    "pair_label_issues",
    "pool",
    "prediction_powered",
    "questions",
    "rank_stability",
    "relabelled",
    "report",
    "resample_value",
    "rogan_gladen",
    "shared_answers",
    "split_by_answerable",
    "suspicion",
    "to_beir",
    "to_parquet",
    "to_trec",
    "to_verdicts",
    "trusted",
]
