"""`python -m workbench run NOTEBOOK -p loss=info_nce`, and `sweep` with several values of each."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.errors import BadArgument, BadData


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m workbench", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    run = verbs.add_parser("run", help="execute a notebook into a folder of its own")
    sweep = verbs.add_parser("sweep", help="execute it over a grid, several kernels at a time")
    for verb, told in ((run, "NAME=VALUE"), (sweep, "NAME=VALUE,VALUE")):
        verb.add_argument("notebook", type=Path)
        verb.add_argument(
            "-p",
            "--parameter",
            action="append",
            default=[],
            metavar=told,
            help="set a parameter the notebook declares; may be repeated",
        )
        verb.add_argument("--runs", type=Path, help="folder of all runs (default: runs/)")
        verb.add_argument("--name", help="name of the run or sweep (default: the notebook's)")
        verb.add_argument("--kernel", help="a kernelspec's name (default: this Python)")
    sweep.add_argument("--seeds", type=int, help="how often each point is run")
    sweep.add_argument("--search", default="grid", help="grid, random or optuna")
    sweep.add_argument("-n", type=int, help="draws or trials of a search")
    sweep.add_argument("--metric", default="trained", help="what optuna raises")
    sweep.add_argument("--jobs", type=int, help="kernels at a time")
    sweep.add_argument("--gpus", help='which GPUs, as 0,2; "none" for cores (default: all)')
    sweep.add_argument("--per-gpu", type=int, default=1, help="kernels on one GPU")
    sweep.add_argument("--threads", type=int, help="threads of each kernel")
    sweep.add_argument("--seconds", type=float, help="limit of each run")
    sweep.add_argument("--memory", type=float, help="limit of each run in GB")
    sweep.add_argument("--dask", metavar="ADDRESS", help="run on this cluster's workers")
    sweep.add_argument("--again", action="store_true", help="repeat what is finished")
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


def _gpus(text: str | None) -> list[str] | None:
    """GPUs as the command line names them."""
    if text is None:
        return None
    return [] if text == "none" else [one.strip() for one in text.split(",") if one.strip()]


def _values(text: str) -> list[str]:
    """The values between commas that stand in no bracket: `[1,2],[3]` are two lists."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "[({") - (letter in "])}")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def _run(asked: argparse.Namespace, runs: Path) -> int:
    from workbench.sweep import run_notebook

    done = run_notebook(
        asked.notebook,
        parameters=_pairs(asked.parameter),
        runs=runs,
        name=asked.name,
        kernel=asked.kernel,
    )
    print(f"\n{done.table()}\n\nOpen {done.page}\n(also as runs/latest)")
    return 0


def _sweep(asked: argparse.Namespace, runs: Path) -> int:
    from contextlib import ExitStack

    from workbench import sweep

    with ExitStack() as stack:
        client = None
        if asked.dask is not None:
            from workbench.cluster import connect

            client = stack.enter_context(connect(asked.dask))
        found = sweep.run(
            asked.notebook,
            grid={name: _values(value) for name, value in _pairs(asked.parameter).items()},
            seeds=asked.seeds,
            search=asked.search,
            n=asked.n,
            metric=asked.metric,
            engine="local" if client is None else "dask",
            client=client,
            jobs=asked.jobs,
            gpus=_gpus(asked.gpus),
            per_gpu=asked.per_gpu,
            threads=asked.threads,
            kernel=asked.kernel,
            runs=runs,
            name=asked.name,
            again=asked.again,
            seconds=asked.seconds,
            memory=asked.memory,
        )
    table = found.table().drop(columns="run")
    print(f"\n{table.to_string(index=False, na_rep='', float_format='{:.4f}'.format)}\n")
    if found.earlier:
        print(f"{found.earlier} runs of this notebook's earlier code are left out.")
    if any(one.status == "done" for one in found.entries):
        try:
            print(f"Best again: {found.command(found.best(asked.metric), asked.notebook)}")
        except BadArgument as error:  # of the metric; the runs are there all the same
            print(error, file=sys.stderr)
    return 0 if all(one.status in ("done", "pruned") for one in found.entries) else 1


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    Returns:
        0 done, 1 a notebook failed, 2 refused before anything ran, 130 stopped.
    """
    asked = _parser().parse_args(words)
    from workbench.report import project_folder
    from workbench.sweep import RunFailed

    verb: Callable[[argparse.Namespace, Path], int] = _run if asked.verb == "run" else _sweep
    try:
        return verb(asked, asked.runs or project_folder() / "runs")
    except (BadArgument, BadData) as error:
        print(f"Refused: {error}", file=sys.stderr)
        return 2
    except RunFailed as error:
        print(f"\nFailed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nStopped. No kernel is left; what was done is kept.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
