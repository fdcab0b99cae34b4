"""Many runs beside each other: one row per folder, the damaged ones with what is wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.errors import BadArgument, BadData
from workbench.files import read_json
from workbench.report.per_query import RESULT, place_of
from workbench.report.record import lacking

if TYPE_CHECKING:
    import pandas as pd

LEDGER = "ledger.sqlite"
"""By this a sweep's folder is known."""
STATUSES = ("ok", "unfinished", "damaged")
FIGURES = ("metric", "zero_shot", "trained", "headroom_recovered", "seconds", "seed")
COLUMNS = (
    *("status", "problem", "metric", "zero_shot", "trained", "difference", "low", "high"),
    *("headroom_recovered", "seconds", "seed", "per_query", "folder"),
)


def runs(folder: str | Path | Sequence[str | Path] = "runs") -> pd.DataFrame:
    """One row per run, whether it came to an end or not.

    Args:
        folder: the folder that holds the runs (a sweep's own folder is one; sweeps inside it are
            looked into), or a list of run folders. Links such as `runs/latest` are not listed
            beside what they point at.

    Returns:
        A frame indexed by the run's name (that of its folder), in the order of names. Columns:
        `status` ("ok", "unfinished" without a `result.json`, "damaged"), `problem` (what is wrong,
        in words), `metric`, `zero_shot`, `trained`, `difference` with `low` and `high`,
        `headroom_recovered`, `seconds`, `seed`, `per_query` (is there a scorecard beside it?),
        `folder`, then `metrics.<name>` (means over queries) and `parameters.<name>`.

    Raises:
        BadArgument: there is no such folder; two folders of the list have the same name.

    Example:
        >>> runs([]).columns[:3].tolist()
        ['status', 'problem', 'metric']

    Breaks when: a run is still going on: it is "unfinished" like one that failed.
    """
    import pandas as pd

    rows = [_row(path) for path in _folders(folder)]
    names = dict.fromkeys((*COLUMNS, *(name for row in rows for name in row if name != "run")))
    ordered = [*COLUMNS, *sorted(n for n in names if n.startswith("metrics."))]
    ordered += [name for name in names if name.startswith("parameters.")]
    index = pd.Index([row["run"] for row in rows], name="run", dtype=object)
    return pd.DataFrame(rows, index=index, columns=ordered)


def _folders(given: str | Path | Sequence[str | Path]) -> list[Path]:
    if not isinstance(given, str | Path):
        listed = [Path(one) for one in given]
        for one in listed:
            _check_folder(one)
        names = [one.resolve().name for one in listed]
        for name in names:
            if names.count(name) > 1:
                wanted = "each run must have a name of its own"
                raise BadArgument("folder", name, wanted, "Name each folder once.")
        return listed
    home = Path(given)
    _check_folder(home)
    inside = [
        run
        for one in sorted(home.iterdir())
        if one.is_dir() and one.name[0] != "."
        for run in (_folders(one) if (one / LEDGER).is_file() else [one])
    ]
    own = {one.resolve() for one in inside if not one.is_symlink()}
    return [one for one in inside if not one.is_symlink() or one.resolve() not in own]


def _check_folder(path: Path) -> None:
    if not path.is_dir():
        wanted = "there is no such folder"
        raise BadArgument("folder", str(path), wanted, "Run a notebook first, or name another.")


def _row(path: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"run": path.resolve().name, "folder": str(path), "per_query": False}
    if not (path / RESULT).is_file():
        return row | {"status": "unfinished", "problem": f"it holds no {RESULT}"}
    try:
        record = read_json(path / RESULT)
    except (BadArgument, BadData, OSError) as error:
        problems = error.problems if isinstance(error, BadData) else [str(error)]
        return row | {"status": "damaged", "problem": f"{RESULT}: {problems[0]}"}
    missing = lacking(record)
    parts = {} if not isinstance(record, dict) else record
    tables = {name: parts.get(name) or {} for name in ("parameters", "metrics")}
    missing += [name for name, one in tables.items() if not isinstance(one, Mapping)]
    if missing:
        return row | {"status": "damaged", "problem": f"{RESULT} lacks {', '.join(missing)}"}
    row |= {name: parts.get(name) for name in FIGURES}
    gain = parts["difference"]
    row |= {"difference": gain["mean"], "low": gain["low"], "high": gain["high"]}
    for table, values in tables.items():
        row |= {f"{table}.{name}": _cell(value) for name, value in values.items()}
    try:
        row["per_query"] = place_of(path) is not None
        return row | {"status": "ok", "problem": ""}
    except BadData as error:
        return row | {"status": "ok", "problem": error.problems[0]}


def _cell(value: object) -> object:
    """A list or table as text: a cell that cannot be sorted or grouped is of no use."""
    plain = value is None or isinstance(value, bool | int | float | str)
    return value if plain else json.dumps(value, ensure_ascii=False, sort_keys=True)
