"""What a run leaves: `result.json`, written by the notebook's last cell."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadArgument, check_number
from workbench.files import write_json
from workbench.report.per_query import RESULT, check_kept, keep, prune
from workbench.report.sent import show_result, write_row
from workbench.types import Candidates, Scorecard

RUN_VARIABLE = "WORKBENCH_RUN"
KEYS = ("metric", "zero_shot", "trained", "difference", "headroom_recovered", "seconds")
INTERVAL = ("mean", "low", "high")
_recorded = ("workbench", "torch", "transformers", "numpy", "datasets", "faiss-cpu")


def project_folder() -> Path:
    """The nearest folder at or above the working directory that holds `pyproject.toml`.

    A notebook works in its own folder, a test or a script in the project's: both find the same
    `data/` and `runs/`. Without a `pyproject.toml` above, it is the working directory.

    Example:
        >>> project_folder().is_dir()
        True
    """
    here = Path.cwd()
    return next((one for one in (here, *here.parents) if (one / "pyproject.toml").is_file()), here)


def run_folder() -> Path:
    """Where this run writes: the folder the runner made, or `runs/by-hand` in the project.

    A kernel behind a gateway is told by KERNEL_WORKBENCH_RUN, for it is sent no other variables.

    Example:
        >>> run_folder().is_absolute()
        True
    """
    given = os.environ.get(RUN_VARIABLE) or os.environ.get(f"KERNEL_{RUN_VARIABLE}")
    folder = Path(given) if given else project_folder() / "runs" / "by-hand"
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def row(**values: object) -> None:
    """Report one row while the notebook runs: a sweep shows it, and prunes by `step` and `value`.

    Args:
        values: numbers and words by name; `step` (a whole number) and `value` (larger is better)
            are what a study looks at.

    Raises:
        BadArgument: what JSON does not hold, NaN among it.

    Example:
        >>> import os, tempfile
        >>> os.environ["WORKBENCH_RUN"] = tempfile.mkdtemp()
        >>> row(step=10, value=0.31)
        >>> (run_folder() / "rows.jsonl").read_text().strip()
        '{"step": 10, "value": 0.31}'
        >>> del os.environ["WORKBENCH_RUN"]
    """
    write_row(run_folder(), {name: _plain(value, name) for name, value in values.items()})


def versions() -> dict[str, str]:
    """Python, the libraries that decide the numbers, and the commit when there is one.

    Example:
        >>> sorted(versions())[:3]
        ['commit', 'datasets', 'faiss-cpu']
    """
    found = {"python": platform.python_version(), "commit": _commit()}
    for name in _recorded:
        try:
            found[name] = version("negatives-workbench" if name == "workbench" else name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found


def _commit() -> str:
    project = Path(__file__).resolve().parents[2]
    if not (project / ".git").exists():  # installed elsewhere: that repository is not ours
        return "none"
    asked = ["git", "-C", str(project), "describe", "--always", "--dirty", "--abbrev=12"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return "none"
    return answer.stdout.strip() or "none"


def report(
    *,
    metric: str,
    zero_shot: float,
    trained: float,
    difference: Mapping[str, float],
    headroom_recovered: float | None,
    seconds: float,
    seed: int,
    parameters: Mapping[str, object],
    fingerprints: Mapping[str, str],
    details: Mapping[str, object] | None = None,
    card: Scorecard | None = None,
    top: Candidates | None = None,
) -> Path:
    """Write `result.json` into the run's folder, whole or not at all, and leave it as an output.

    With `card` and `top` a board can show where two runs differ, query by query.

    Args:
        metric: what the figures are, e.g. "nDCG@10".
        zero_shot: the untrained encoder's mean over the test queries.
        trained: the trained encoder's mean over the same queries.
        difference: `mean`, `low` and `high` of trained - zero_shot, paired by query.
        headroom_recovered: share of (oracle - plain) that the winning rule recovered; None when
            no oracle was trained.
        seconds: wall time of the notebook.
        seed: the seed it ran with.
        parameters: the values of the notebook's parameters.
        fingerprints: of the collection, the encoders and the candidates.
        details: further figures; arrays and NumPy numbers are allowed.
        card: the trained encoder's values per query, as `evaluate.retrieval` gives them.
        top: what it ranks first for the same queries, positives included, as
            `mine.dense(test, *vectors, k=10, exclude="nothing")` gives it; ten are kept.

    Returns:
        The file written.

    Raises:
        BadArgument: a figure is missing or not finite; `top` is of other queries than `card`.
    """
    if set(difference) != set(INTERVAL):
        wanted = f"it must have the keys {', '.join(INTERVAL)}"
        raise BadArgument("difference", dict(difference), wanted, "Give the paired interval.")
    mend = "A run without a number is a failed run: let the cell fail instead."
    for name, value in {"zero_shot": zero_shot, "trained": trained, "seconds": seconds}.items():
        check_number(name, value, mend=mend)
    check_kept(card, top)
    record: dict[str, object] = {
        "metric": metric,
        "zero_shot": zero_shot,
        "trained": trained,
        "difference": difference,
        "headroom_recovered": headroom_recovered,
        "seconds": seconds,
        "seed": seed,
        "parameters": parameters,
        "fingerprints": fingerprints,
        "details": details or {},
        "versions": versions(),
    }
    if card is not None:
        record["metrics"] = card.mean()
    plain = _plain(record, "result")
    folder = run_folder()
    path = folder / RESULT
    if card is not None or top is not None:
        plain["per_query"] = keep(folder, card, top)
    write_json(path, plain)  # from here on it names the new folder, and the old ones are nobody's
    prune(folder, plain.get("per_query"))
    show_result(plain)
    return path


def lacking(record: object) -> list[str]:
    """What keeps a record from being a result: the keys that are missing or hold no number.

    Example:
        >>> lacking({"metric": "nDCG@10", "zero_shot": 0.1, "trained": None, "seconds": 1.0})
        ['trained', 'difference', 'headroom_recovered']
    """
    found = record if isinstance(record, dict) else {}
    missing = [key for key in KEYS if key not in found]
    gain = found.get("difference")
    whole = isinstance(gain, dict) and all(_is_number(gain.get(key)) for key in INTERVAL)
    wrong = [key for key in ("zero_shot", "trained", "seconds") if not _is_number(found.get(key))]
    wrong += [] if whole else ["difference"]
    share = found.get("headroom_recovered")
    wrong += [] if share is None or _is_number(share) else ["headroom_recovered"]
    return [key for key in KEYS if key in {*missing, *wrong}]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _plain(value: object, name: str) -> Any:
    """JSON's own types only, so that a NaN or an odd object is named instead of half-written."""
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not isfinite(value):
            raise BadArgument(name, value, "it must be finite", "Leave it out, or give None.")
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(one, f"{name}.{key}") for key, one in value.items()}
    if isinstance(value, Sequence):
        return [_plain(one, f"{name}[{place}]") for place, one in enumerate(value)]
    raise BadArgument(name, value, "it must be a number, text, list or dict", "Convert it first.")
