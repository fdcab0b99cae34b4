"""Write requirements.lock: what the project's extras need, as `.venv` holds it now."""

from __future__ import annotations

import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

EXTRAS = ("model", "lab", "audit", "sweep", "cluster", "dev")
HEADER = """\
# Pinned versions of everything the extras {extras} need. Made by `make lock` from the
# versions in .venv; used as constraints (pip install -c), so they bind whatever is installed and
# nothing more: a machine with a GPU resolves its own CUDA wheels of the same torch.
"""
# Builds for accelerators: which of them are right is the machine's affair.
_machine = re.compile(r"^(nvidia-|triton$|pytorch-triton)")


def closure(project: dict[str, object]) -> dict[str, str]:
    """Name -> version of every distribution the project's extras lead to."""
    extras = project["optional-dependencies"]
    assert isinstance(extras, dict)
    assert isinstance(project["dependencies"], list)
    waiting = [Requirement(line) for line in project["dependencies"]]
    waiting += [Requirement(line) for extra in EXTRAS for line in extras[extra]]
    pins: dict[str, str] = {}
    seen = set()
    while waiting:
        wanted = waiting.pop()
        name = canonicalize_name(wanted.name)
        if (name, frozenset(wanted.extras)) in seen:
            continue
        seen.add((name, frozenset(wanted.extras)))
        try:
            found = distribution(name)
        except PackageNotFoundError:
            sys.exit(f"{name} is not installed: run `make .venv/.installed` first.")
        if not _machine.match(name):
            pins[name] = found.version.split("+")[0]  # +cpu and +cu130 are one version
        for line in found.requires or []:
            need = Requirement(line)
            asked = [{"extra": extra} for extra in ("", *wanted.extras)]
            if need.marker is None or any(need.marker.evaluate(one) for one in asked):
                waiting.append(need)
    return pins


def main() -> None:
    """Write the file beside pyproject.toml."""
    root = Path(__file__).resolve().parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [f"{name}=={version}" for name, version in sorted(closure(project).items())]
    text = HEADER.format(extras=", ".join(EXTRAS)) + "\n".join(lines) + "\n"
    (root / "requirements.lock").write_text(text, encoding="utf-8")
    print(f"requirements.lock: {len(lines)} pins")


if __name__ == "__main__":
    main()
