"""Evaluation: ranking metrics per query, and whether one run beats another beyond chance."""

from workbench.evaluate.compare import Comparison, compare
from workbench.evaluate.headroom import Headroom, share_of_headroom
from workbench.evaluate.metrics import METRICS, ranking
from workbench.evaluate.search import bm25, retrieval
from workbench.evaluate.summary import holm, pooled, summary

__all__ = [
    "METRICS",
    "Comparison",
    "Headroom",
    "bm25",
    "compare",
    "holm",
    "pooled",
    "ranking",
    "retrieval",
    "share_of_headroom",
    "summary",
]
