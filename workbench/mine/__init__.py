"""Mining: for each query, candidates that look like answers and are not labelled as such."""

from workbench.mine.bm25 import BM25, bm25, bm25_pairs, bm25_top_k
from workbench.mine.choose import choose
from workbench.mine.clusters import bisect, kmeans
from workbench.mine.dense import Dense, dense
from workbench.mine.exact import top_k
from workbench.mine.export import to_dataset, to_parquet
from workbench.mine.filter import apply_rules, dropped_against, report
from workbench.mine.hard_negatives import hard_negatives
from workbench.mine.hardness import hardness, share_of_positive_score
from workbench.mine.hybrid import Hybrid, fuse
from workbench.mine.index import choose_index, nearest
from workbench.mine.miner import Miner
from workbench.mine.partners import with_partners
from workbench.mine.random import Random, random
from workbench.mine.rescore import PairScorer, rescore
from workbench.mine.rounds import Rounds, compare_rounds
from workbench.mine.what_if import WhatIf
from workbench.mine.within_cluster import WithinCluster, within_cluster

__all__ = [
    "BM25",
    "Dense",
    "Hybrid",
    "Miner",
    "PairScorer",
    "Random",
    "Rounds",
    "WhatIf",
    "WithinCluster",
    "apply_rules",
    "bisect",
    "bm25",
    "bm25_pairs",
    "bm25_top_k",
    "choose",
    "choose_index",
    "compare_rounds",
    "dense",
    "dropped_against",
    "fuse",
    "hard_negatives",
    "hardness",
    "kmeans",
    "nearest",
    "random",
    "report",
    "rescore",
    "share_of_positive_score",
    "to_dataset",
    "to_parquet",
    "top_k",
    "with_partners",
    "within_cluster",
]
