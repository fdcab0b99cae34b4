"""Rules: which candidates count as negatives, and how much. One file each; weights multiply.

The same rule acts on a (batch, batch) matrix inside a loss and on a (query, rank) list of mined
candidates. Pair rules weigh whole training pairs by what they cost in earlier epochs.
"""

from workbench.rules._base import PairRule, Rule, Vouch, check_rules, combine, vouched
from workbench.rules.adaptive import Adaptive, adaptive, adaptive_threshold
from workbench.rules.bad_pair import BadPair, Population, bad_pair, discounted_mean, population
from workbench.rules.debiased import Debiased, debiased
from workbench.rules.guide import Guide, guide
from workbench.rules.judged import Judged, judged
from workbench.rules.known_positive import KnownPositive, known_positive
from workbench.rules.loss_gate import LossGate, crossing, gate_threshold, loss_gate
from workbench.rules.margin import Margin, margin
from workbench.rules.positive_neighbour import PositiveNeighbour, positive_neighbour
from workbench.rules.posterior import Posterior, posterior
from workbench.rules.propensity import Propensity, propensity
from workbench.rules.rank_window import RankWindow, rank_window
from workbench.rules.same_group import SameGroup, same_group
from workbench.rules.scored import Scored, scored
from workbench.rules.share_of_positive import ShareOfPositive, share_of_positive
from workbench.rules.threshold import Threshold, threshold

__all__ = [
    "Adaptive",
    "BadPair",
    "Debiased",
    "Guide",
    "Judged",
    "KnownPositive",
    "LossGate",
    "Margin",
    "PairRule",
    "Population",
    "PositiveNeighbour",
    "Posterior",
    "Propensity",
    "RankWindow",
    "Rule",
    "SameGroup",
    "Scored",
    "ShareOfPositive",
    "Threshold",
    "Vouch",
    "adaptive",
    "adaptive_threshold",
    "bad_pair",
    "check_rules",
    "combine",
    "crossing",
    "debiased",
    "discounted_mean",
    "gate_threshold",
    "guide",
    "judged",
    "known_positive",
    "loss_gate",
    "margin",
    "population",
    "positive_neighbour",
    "posterior",
    "propensity",
    "rank_window",
    "same_group",
    "scored",
    "share_of_positive",
    "threshold",
    "vouched",
]
