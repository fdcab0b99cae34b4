"""Run the scripts in benchmarks/ and write what they printed to benchmarks/RESULTS.md.

    python .ci/bench.py [--quick] [NAME ...]

Names choose scripts; the sections of the others stay as they are.
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def machine() -> str:
    """Processor, cores and the versions that decide the figures."""
    cpu = platform.processor() or platform.machine()
    described = Path("/proc/cpuinfo")
    if described.is_file():
        lines = described.read_text(encoding="utf-8").splitlines()
        cpu = next((one.split(":")[1].strip() for one in lines if "model name" in one), cpu)
    return (
        f"{cpu}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"torch {version('torch')}, sentence-transformers {version('sentence-transformers')}"
    )


def run_one(script: Path, words: list[str]) -> str:
    """Its section of the page; the last line it prints must be one JSON object."""
    print(f"== {script.name}", flush=True)
    begin = time.perf_counter()
    command = [sys.executable, str(script), *words]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    seconds = time.perf_counter() - begin
    print(done.stdout, flush=True)
    if done.returncode != 0:
        sys.exit(f"{script.name} failed with exit code {done.returncode}.")
    *table, last = done.stdout.rstrip().splitlines() or [""]
    try:
        figures = json.loads(last)
    except json.JSONDecodeError:
        figures = None
    if not isinstance(figures, dict):
        sys.exit(f"{script.name}: its last line is not a JSON object.")
    rows = "\n".join(f"| `{name}` | {value} |" for name, value in figures.items())
    shown = " ".join(["python", f"benchmarks/{script.name}", *words])
    return (
        f"## {script.stem}\n\n`{shown}`, {seconds:.0f} s\n\n"
        f"```text\n{chr(10).join(table).strip()}\n```\n\n| figure | value |\n|---|---|\n{rows}\n"
    )


def kept(page: Path) -> dict[str, str]:
    """The sections that stand on the page, by name."""
    text = page.read_text(encoding="utf-8") if page.is_file() else ""
    parts = re.split(r"^## ", text, flags=re.M)[1:]
    return {part.split("\n", 1)[0]: f"## {part.rstrip()}\n" for part in parts}


def main() -> None:
    """Rewrite the page, whole or not at all."""
    words = [word for word in sys.argv[1:] if word.startswith("--")]
    named = [word for word in sys.argv[1:] if not word.startswith("--")]
    scripts = {path.stem: path for path in sorted((ROOT / "benchmarks").glob("*.py"))}
    if unknown := sorted(set(named) - set(scripts)):
        sys.exit(f"No benchmark is called {unknown[0]!r}; there are {', '.join(scripts)}.")
    page = ROOT / "benchmarks" / "RESULTS.md"
    sections = kept(page) if named else {}
    for name in named or scripts:
        sections[name] = run_one(scripts[name], words)
    head = (
        "# Results\n\nWritten by `make bench`. A ratio is peer over ours in one run, so larger is "
        f"better.\n\n{machine()}\n"
    )
    body = [text for name, text in sorted(sections.items()) if name in scripts]
    page.write_text("\n".join([head, *body]), encoding="utf-8")
    print("Wrote benchmarks/RESULTS.md")


if __name__ == "__main__":
    main()
