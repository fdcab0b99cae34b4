"""Batch samplers: which rows are contrasted with each other."""

from workbench.sample.base import Sampler
from workbench.sample.clusters import Clusters
from workbench.sample.conflict_free import ConflictFree
from workbench.sample.curriculum import Curriculum, hardness_bands
from workbench.sample.drawing import margin_bins
from workbench.sample.hard_replay import HardReplay
from workbench.sample.homogeneous import Homogeneous
from workbench.sample.nearest import nearby
from workbench.sample.neighbours import Neighbours
from workbench.sample.per_class import PerClass
from workbench.sample.plan import Plan
from workbench.sample.shuffled import Shuffled
from workbench.sample.topics import Topics

__all__ = [
    "Clusters",
    "ConflictFree",
    "Curriculum",
    "HardReplay",
    "Homogeneous",
    "Neighbours",
    "PerClass",
    "Plan",
    "Sampler",
    "Shuffled",
    "Topics",
    "hardness_bands",
    "margin_bins",
    "nearby",
]
