"""What a notebook sends beside its files: rows while it runs, and its result as an output.

A result that is an output too reaches whoever executed the notebook, also from a kernel that shares
no disk with it. scrapbook, which did this for papermill, is no longer kept.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from workbench.errors import BadArgument

DIGEST = "application/x-workbench+json"
ROWS = "rows.jsonl"


def write_row(folder: Path, values: Mapping[str, Any]) -> None:
    """Append one line of JSON, which a reader takes only once it is whole."""
    try:
        line = json.dumps(dict(values), allow_nan=False)
    except (TypeError, ValueError) as error:
        wanted = f"it must be plain JSON without NaN: {error}"
        raise BadArgument("values", dict(values), wanted, "Convert it first.") from error
    with (folder / ROWS).open("a", encoding="utf-8") as file:
        file.write(line + "\n")


def read_rows(lines: bytes) -> list[dict[str, Any]]:
    """Rows of a file, one JSON object a line; what is none is left out.

    Example:
        >>> read_rows(bytes([123, 125]) + b" half a line")
        []
        >>> read_rows(b'{"step": 1}')
        [{'step': 1}]
    """
    found = []
    for line in lines.splitlines():
        with suppress(ValueError):
            row = json.loads(line)
            found += [row] if isinstance(row, dict) else []
    return found


def show_result(record: Mapping[str, Any]) -> None:
    """Leave the result in the cell's output, where there is a notebook at all."""
    if "ipykernel" not in sys.modules:
        return
    from IPython import get_ipython
    from IPython.display import display

    if get_ipython() is None:
        return
    gain = record["difference"]
    told = (
        f"{record['metric']}: {record['zero_shot']:.4f} to {record['trained']:.4f}, "
        f"{gain['mean']:+.4f} [{gain['low']:+.4f}, {gain['high']:+.4f}]"
    )
    display({DIGEST: {"result": dict(record)}, "text/plain": told}, raw=True)
