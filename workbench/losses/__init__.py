"""Losses: pure functions of scores, positive column and weight. One file each, one value a row."""

from workbench.losses._base import RowLoss, SoftmaxLoss
from workbench.losses.decoupled import Decoupled, decoupled
from workbench.losses.info_nce import InfoNCE, info_nce

__all__ = [
    "Decoupled",
    "InfoNCE",
    "RowLoss",
    "SoftmaxLoss",
    "decoupled",
    "info_nce",
]
