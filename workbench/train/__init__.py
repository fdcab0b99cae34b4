"""Train: one visible loop over batches; what is contrasted is an expression, not a class."""

from workbench.train.candidates import Bank, Hard, InBatch, Mixed, Queue, Shared
from workbench.train.contrast import Contrast
from workbench.train.control import Background, Control, background
from workbench.train.doctor import Diagnosis, check_loss
from workbench.train.explain import Explanation, explain
from workbench.train.facts import Columns, Embedded, Knowledge
from workbench.train.fit import fit
from workbench.train.history import History
from workbench.train.loop import Run
from workbench.train.recipe import Recipe
from workbench.train.refresh import Refresh
from workbench.train.rows import Account
from workbench.train.step import NonFiniteLoss

__all__ = [
    "Account",
    "Background",
    "Bank",
    "Columns",
    "Contrast",
    "Control",
    "Diagnosis",
    "Embedded",
    "Explanation",
    "Hard",
    "History",
    "InBatch",
    "Knowledge",
    "Mixed",
    "NonFiniteLoss",
    "Queue",
    "Recipe",
    "Refresh",
    "Run",
    "Shared",
    "background",
    "check_loss",
    "explain",
    "fit",
]
