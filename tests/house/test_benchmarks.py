"""The benchmarks run, and their last line holds the figures that are quoted."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# widgets.py opens a browser and compiles UMAP for a minute: tests/browser presses the same keys.
KEYS = {
    "headroom.py": {"gist", "known_positive", "best", "best_low"},
    "losses.py": {
        "gist_time_ratio",
        "gist_memory_ratio",
        "streamed_over_dense_time",
        "streamed_over_dense_memory",
    },
    "mining.py": {"mining_time_ratio", "mining_memory_ratio", "ann_speedup", "ann_recall"},
    "samplers.py": {"sampler_ratio", "growth_exponent"},
    "suspicion.py": {
        "ap_0",
        "ap_50",
        "ap_200",
        "best_single_ap",
        "coverage",
        "headroom_0",
        "headroom_200",
    },
    "sweep.py": {"overhead", "speedup"},
    "training.py": {"step_ratio"},
}


@pytest.mark.slow
@pytest.mark.parametrize("script", sorted(KEYS))
def test_quick_ends_with_its_figures(script):
    command = [sys.executable, "-W", "ignore", f"benchmarks/{script}", "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    figures = json.loads(done.stdout.strip().splitlines()[-1])
    assert KEYS[script] <= set(figures)
    assert all(math.isfinite(value) for value in figures.values())
    if script not in (
        "headroom.py",
        "samplers.py",
        "suspicion.py",
    ):  # a share below 0, or of 0, is a finding
        assert all(value > 0 for value in figures.values())


@pytest.mark.slow
def test_every_script_takes_quick():
    scripts = sorted((ROOT / "benchmarks").glob("*.py"))
    assert {path.name for path in scripts} >= {
        "encode.py",
        "headroom.py",
        "hidden.py",
        "losses.py",
        "mining.py",
        "samplers.py",
        "suspicion.py",
        "training.py",
    }
    assert all('"--quick"' in path.read_text(encoding="utf-8") for path in scripts)
