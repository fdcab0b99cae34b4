"""Batch samplers: which rows are contrasted with each other."""

from workbench.sample.base import Sampler
from workbench.sample.conflict_free import ConflictFree
from workbench.sample.shuffled import Shuffled

__all__ = ["ConflictFree", "Sampler", "Shuffled"]
