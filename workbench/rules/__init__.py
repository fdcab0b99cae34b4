"""Rules: which candidates count as negatives, and how much. One file each; weights multiply.

The same rule acts on a (batch, batch) matrix inside a loss and on a (query, rank) list of mined
candidates.
"""

from workbench.rules._base import Rule, check_rules, combine
from workbench.rules.guide import Guide, guide
from workbench.rules.judged import Judged, judged
from workbench.rules.known_positive import KnownPositive, known_positive
from workbench.rules.positive_neighbour import PositiveNeighbour, positive_neighbour
from workbench.rules.rank_window import RankWindow, rank_window
from workbench.rules.threshold import Threshold, threshold

__all__ = [
    "Guide",
    "Judged",
    "KnownPositive",
    "PositiveNeighbour",
    "RankWindow",
    "Rule",
    "Threshold",
    "check_rules",
    "combine",
    "guide",
    "judged",
    "known_positive",
    "positive_neighbour",
    "rank_window",
    "threshold",
]
