"""Coded checks: what can be wrong with what you are about to train on, one code each.

A code never changes its meaning. `audit.report` runs them all; a check may also be called alone,
on a `Given`.
"""

from workbench.audit.checks._base import KIND, SEVERITIES, Check, Example, Finding, NotAsked
from workbench.audit.checks._given import Given
from workbench.audit.checks.contradictions import Contradictions
from workbench.audit.checks.duplicate_positives import DuplicatePositives
from workbench.audit.checks.false_negatives import FalseNegatives
from workbench.audit.checks.hardness import TooEasy, TooHard
from workbench.audit.checks.hubs import Hubs
from workbench.audit.checks.imbalance import Imbalance
from workbench.audit.checks.label_noise import WrongLabels
from workbench.audit.checks.leaks import AcrossSplits, Contamination
from workbench.audit.checks.one_direction import OneDirection
from workbench.audit.checks.short_lists import ShortLists
from workbench.audit.checks.stale_vectors import StaleVectors
from workbench.audit.checks.texts import AnswerInQuery, EmptyTexts, MixedPrompts
from workbench.audit.checks.truncation import Truncation
from workbench.audit.checks.unanswerable import Unanswerable

__all__ = [
    "KIND",
    "SEVERITIES",
    "AcrossSplits",
    "AnswerInQuery",
    "Check",
    "Contamination",
    "Contradictions",
    "DuplicatePositives",
    "EmptyTexts",
    "Example",
    "FalseNegatives",
    "Finding",
    "Given",
    "Hubs",
    "Imbalance",
    "MixedPrompts",
    "NotAsked",
    "OneDirection",
    "ShortLists",
    "StaleVectors",
    "TooEasy",
    "TooHard",
    "Truncation",
    "Unanswerable",
    "WrongLabels",
]
