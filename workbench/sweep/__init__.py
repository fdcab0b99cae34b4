"""Notebooks as jobs: parameters checked first, then one folder per run."""

from workbench.sweep.parameters import check_parameters, declared
from workbench.sweep.run import Run, RunFailed, run_notebook

__all__ = ["Run", "RunFailed", "check_parameters", "declared", "run_notebook"]
