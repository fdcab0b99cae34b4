"""Losses: pure functions of scores, positive column and weight. One file each, one value a row."""

from workbench.losses._base import RowLoss, SoftmaxLoss
from workbench.losses.adore import Adore, adore, reciprocal_ranks
from workbench.losses.adversarial import Adversarial, adversarial, ar2_rewards, ranker_loss
from workbench.losses.cosent import CoSENT, cosent
from workbench.losses.coupled import Coupled, CoupledLoss, coupled_pairwise
from workbench.losses.decoupled import Decoupled, decoupled
from workbench.losses.dual_margin_mse import DualMarginMSE, dual_margin_mse
from workbench.losses.gate_and_correct import GateAndCorrect, gate_and_correct
from workbench.losses.hardness_weighted import HardnessWeighted, hardness_weighted
from workbench.losses.info_nce import InfoNCE, info_nce
from workbench.losses.kl_distill import KLDistill, kl_distill
from workbench.losses.leave_one_out_knn import LeaveOneOutKNN, leave_one_out_knn, nearest
from workbench.losses.list_distill import ListDistill, list_distill
from workbench.losses.margin_mse import MarginMSE, margin_mse
from workbench.losses.matryoshka import Matryoshka, matryoshka, prefixes
from workbench.losses.noisy_negative import NoisyNegative, noisy_negative
from workbench.losses.norm_ratio import NormRatio, directional_score, norm_ratio
from workbench.losses.positive_unlabelled import PositiveUnlabelled, positive_unlabelled
from workbench.losses.sigmoid import Sigmoid, sigmoid
from workbench.losses.star import Star, star
from workbench.losses.supervised_contrastive import SupervisedContrastive, supervised_contrastive
from workbench.losses.supremix import SupReMix, supremix
from workbench.losses.triplet import Triplet, triplet

__all__ = [
    "Adore",
    "Adversarial",
    "CoSENT",
    "Coupled",
    "CoupledLoss",
    "Decoupled",
    "DualMarginMSE",
    "GateAndCorrect",
    "HardnessWeighted",
    "InfoNCE",
    "KLDistill",
    "LeaveOneOutKNN",
    "ListDistill",
    "MarginMSE",
    "Matryoshka",
    "NoisyNegative",
    "NormRatio",
    "PositiveUnlabelled",
    "RowLoss",
    "Sigmoid",
    "SoftmaxLoss",
    "Star",
    "SupReMix",
    "SupervisedContrastive",
    "Triplet",
    "adore",
    "adversarial",
    "ar2_rewards",
    "cosent",
    "coupled_pairwise",
    "decoupled",
    "directional_score",
    "dual_margin_mse",
    "gate_and_correct",
    "hardness_weighted",
    "info_nce",
    "kl_distill",
    "leave_one_out_knn",
    "list_distill",
    "margin_mse",
    "matryoshka",
    "nearest",
    "noisy_negative",
    "norm_ratio",
    "positive_unlabelled",
    "prefixes",
    "ranker_loss",
    "reciprocal_ranks",
    "sigmoid",
    "star",
    "supervised_contrastive",
    "supremix",
    "triplet",
]
