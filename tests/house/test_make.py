"""The commands a newcomer types, as far as they go without installing anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A checkout whose `.venv` looks installed, so that make runs our recipes and nothing else."""
    for name in ("Makefile", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    return tmp_path


def make(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "--no-print-directory", "-C", str(folder), *words]
    plain = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    return subprocess.run(command, capture_output=True, text=True, env=plain, check=False)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
    path.chmod(0o755)


def test_help_names_every_target(clone):
    done = make(clone, "help")
    assert done.returncode == 0
    for target in ("run", "test", "quick", "lab", "bench", "lock", "clean"):
        assert f"make {target} " in done.stdout


def test_an_old_python_is_refused_in_words(clone):
    script(clone / "old", "exit 1")
    done = make(clone, ".venv/.installed", "PYTHON=./old")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed, and './old' is none." in done.stdout
    assert not (clone / ".venv/.installed").exists()


def test_an_interrupted_installation_is_done_again(clone):
    python = clone / ".venv/bin/python"
    script(python, '[ "$3" = "--version" ] && exit 0; echo "$@" >> asked; exit 1')
    assert make(clone, ".venv/.installed", f"PYTHON={sys.executable}").returncode != 0
    assert not (clone / ".venv/.installed").exists()
    script(python, 'echo "$@" >> asked')
    assert make(clone, ".venv/.installed", f"PYTHON={sys.executable}").returncode == 0
    assert (clone / ".venv/.installed").exists()
    asked = (clone / "asked").read_text(encoding="utf-8")
    assert asked.count("install -qq") == 2
    assert "up to date" in make(clone, ".venv/.installed").stdout


def test_run_hands_each_parameter_on(clone):
    script(clone / ".venv/bin/python", 'echo "$@"')
    (clone / ".venv/.installed").touch()
    done = make(clone, "run", "NOTEBOOK=notebooks/a b.ipynb", "PARAMS=loss=info_nce seed=1")
    assert done.stdout.strip() == (
        "-m workbench run notebooks/a b.ipynb -p loss=info_nce -p seed=1"
    )


def test_a_failing_check_names_the_command_to_repeat(clone):
    for name, text in {"ruff": "exit 0", "lint-imports": "exit 3", "python": "exit 0"}.items():
        script(clone / ".venv/bin" / name, text)
    (clone / ".venv/.installed").touch()
    done = make(clone, "test")
    assert done.returncode != 0
    assert "FAILED. Repeat with:\n  .venv/bin/lint-imports --no-cache" in done.stdout
    assert "mypy" not in done.stdout


def test_ci_runs_make_test_and_nothing_else():
    path = ROOT / ".ci/run"
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
    assert os.access(path, os.X_OK)
    assert lines[0] == "set -euo pipefail"
    assert lines[-1] == "exec make test"


@pytest.mark.slow
def test_bench_writes_what_each_script_printed(clone):
    (clone / ".ci").mkdir()
    (clone / ".ci/bench.py").write_bytes((ROOT / ".ci/bench.py").read_bytes())
    (clone / "benchmarks").mkdir()
    fake = "import sys\nprint('a table', sys.argv[1:])\nprint('{\"ratio\": 2.5}')\n"
    (clone / "benchmarks/one.py").write_text(fake, encoding="utf-8")
    command = [sys.executable, str(clone / ".ci/bench.py"), "--quick"]
    subprocess.run(command, check=True, capture_output=True)
    page = (clone / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    assert "`python benchmarks/one.py --quick`" in page
    assert "a table ['--quick']" in page
    assert "| `ratio` | 2.5 |" in page

    (clone / "benchmarks/two.py").write_text("print('no figures')", encoding="utf-8")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode != 0
    assert "two.py: its last line is not a JSON object" in done.stderr
    kept = (clone / "benchmarks/RESULTS.md").read_text(encoding="utf-8")
    assert kept == page, "a failed benchmark must not replace the page"
