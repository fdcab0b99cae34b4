"""`python -m workbench run notebooks/00_tour.ipynb -p loss=info_nce`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from workbench.errors import BadArgument, BadData


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="execute a notebook into a folder of its own")
    run.add_argument("notebook", type=Path)
    run.add_argument(
        "-p",
        "--parameter",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="set a parameter the notebook declares; may be repeated",
    )
    run.add_argument("--runs", type=Path, help="folder of all runs (default: the project's runs/)")
    run.add_argument("--name", help="name of the run (default: the notebook's)")
    return parser


def _pairs(words: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise BadArgument("parameter", word, "it must be name=value", "Try -p seed=1.")
        if name in pairs:
            raise BadArgument("parameter", name, "it is given twice", "Give it once.")
        pairs[name] = value
    return pairs


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Returns:
        0 done, 1 the notebook failed, 2 refused before anything ran, 130 stopped.
    """
    asked = _parser().parse_args(words)
    from workbench.report import project_folder
    from workbench.sweep import RunFailed, run_notebook

    try:
        done = run_notebook(
            asked.notebook,
            parameters=_pairs(asked.parameter),
            runs=asked.runs or project_folder() / "runs",
            name=asked.name,
        )
    except (BadArgument, BadData) as error:
        print(f"Refused: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"\nFailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. The kernel is shut down; the notebook so far is kept.", file=sys.stderr)
        return 130
    print(f"\n{done.table()}\n\nOpen {done.page}\n(also as runs/latest)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
