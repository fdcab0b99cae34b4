"""Train: one visible loop over batches; what is contrasted is an expression, not a class."""

from workbench.train.contrast import Contrast, Hard, InBatch
from workbench.train.facts import Embedded, Knowledge
from workbench.train.history import History
from workbench.train.loop import Run, fit
from workbench.train.recipe import Recipe
from workbench.train.step import NonFiniteLoss

__all__ = [
    "Contrast",
    "Embedded",
    "Hard",
    "History",
    "InBatch",
    "Knowledge",
    "NonFiniteLoss",
    "Recipe",
    "Run",
    "fit",
]
