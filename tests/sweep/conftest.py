"""Tiny notebooks for sweeps, and what kernels are alive."""

from __future__ import annotations

import os
from pathlib import Path

import nbformat
import psutil
import pytest

SETTINGS = (
    "seed: int = 0  # of all\nmargin: float = 0.0  # of a rule\n"
    'loss: str = "info_nce"  # a registered loss'
)
REPORT = """\
from workbench.report import report
report(metric="nDCG@10", zero_shot=0.1, trained=0.25 + margin + seed / 100, seconds=1.0,
       headroom_recovered=None, difference={"mean": 0.15, "low": 0.1, "high": 0.2}, seed=seed,
       parameters={"seed": seed}, fingerprints={"data": "d1"})"""


@pytest.fixture
def tiny(tmp_path):
    """Write a notebook with these cells between its parameters and its report."""

    def write(*cells: str, name: str = "07_tiny.ipynb", report: bool = True) -> Path:
        first = nbformat.v4.new_code_cell(SETTINGS)
        first.metadata["tags"] = ["parameters"]
        made = nbformat.v4.new_notebook()
        sources = [*cells, *([REPORT] if report else [])]
        made.cells = [first, *(nbformat.v4.new_code_cell(one) for one in sources)]
        made.metadata["kernelspec"] = {
            "name": "python3",
            "display_name": "Python",
            "language": "python",
        }
        path = tmp_path / name
        nbformat.write(made, path)
        return path

    return write


@pytest.fixture
def kernels_of():
    """kernels_of(folder) -> pids of kernels that run a notebook for this folder of runs."""

    def found(folder: Path) -> set[int]:
        alive = set()
        for one in psutil.process_iter(["cmdline"]):
            if "ipykernel_launcher" not in " ".join(one.info["cmdline"] or []):
                continue
            try:
                run = one.environ().get("WORKBENCH_RUN", "")
            except psutil.Error:
                continue
            if run.startswith(f"{folder}{os.sep}") and one.status() != psutil.STATUS_ZOMBIE:
                alive.add(one.pid)
        return alive

    return found
