"""Mining: for each query, candidates that look like answers and are not labelled as such."""

from workbench.mine.bm25 import BM25, bm25, bm25_top_k
from workbench.mine.dense import Dense, dense
from workbench.mine.exact import top_k
from workbench.mine.filter import apply_rules, dropped_against, report
from workbench.mine.partners import with_partners

__all__ = [
    "BM25",
    "Dense",
    "apply_rules",
    "bm25",
    "bm25_top_k",
    "dense",
    "dropped_against",
    "report",
    "top_k",
    "with_partners",
]
