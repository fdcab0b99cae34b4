"""Notebooks as jobs: parameters checked first, then one folder per run."""

from workbench.sweep.notebook import Run, RunFailed, run_notebook
from workbench.sweep.parameters import check_parameters, declared
from workbench.sweep.plan import Between
from workbench.sweep.publish import publish
from workbench.sweep.result import Sweep
from workbench.sweep.sweeping import run

__all__ = [
    "Between",
    "Run",
    "RunFailed",
    "Sweep",
    "check_parameters",
    "declared",
    "publish",
    "run",
    "run_notebook",
]
