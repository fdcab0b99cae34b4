"""What the comparison board shows of many runs: its table, and the form that stays in the file."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.widgets.theme import BLUE, GREY, VERMILION
from workbench.widgets.twin import Twin, cut, page, picture, table, words
from workbench.widgets.versus import Reader, Versus

if TYPE_CHECKING:
    import pandas as pd

ASIDE = ("problem", "per_query", "folder")
"""Columns of `report.runs` that are no column of the board's table."""


def table_of(frame: pd.DataFrame, *, metric: str | None, baseline: str | None) -> pd.DataFrame:
    """The runs with what each gains over a baseline, in the mean, as a column more.

    Args:
        frame: of `report.runs`.
        metric: which mean.
        baseline: name of a run; None = no such column.

    Example:
        >>> import pandas as pd
        >>> runs = pd.DataFrame({"metrics.RR@10": [0.5, 0.75]}, index=["a", "b"])
        >>> table_of(runs, metric="RR@10", baseline="a").iloc[:, -1].tolist()
        [0.0, 0.25]
    """
    column = f"metrics.{metric}"
    if metric is None or baseline is None or column not in frame.columns:
        return frame
    place = list(frame.columns).index(column) + 1
    gain = frame[column].astype(float) - frame[column].astype(float)[baseline]
    left, right = frame.iloc[:, :place], frame.iloc[:, place:]
    return left.assign(**{f"{metric} - {baseline}": gain}).join(right)


def varied(frame: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, Any]]:
    """The columns worth a look: what differs between runs, and apart what is the same in all.

    The status and the means over queries are always worth a look.

    Args:
        frame: of `report.runs` or `table_of`.

    Returns:
        The frame without columns of one value and without empty ones; those values by column.

    Example:
        >>> import pandas as pd
        >>> runs = pd.DataFrame({"status": ["ok", "ok"], "parameters.seed": [1, 1]})
        >>> varied(runs)[1]
        {'parameters.seed': 1.0}
    """
    good = frame[frame["status"] == "ok"] if "status" in frame else frame
    same: dict[str, Any] = {}
    keep = []
    for name in frame.columns:
        values = good[name]
        if name == "status" or name in ASIDE or str(name).startswith("metrics."):
            keep.append(name)
        elif values.isna().all():  # also where no run is whole
            continue
        elif len(good) < 2 or values.isna().any() or values.map(repr).nunique() > 1:
            keep.append(name)
        else:
            same[str(name)] = _sent(values.iloc[0])
    return frame[keep], same


def told_of(
    frame: pd.DataFrame, *, choosable: Container[str], damage: Mapping[str, str]
) -> dict[str, Any]:
    """The table as plain JSON.

    Args:
        frame: of `table_of`.
        choosable: runs that can be compared query by query.
        damage: run -> why its values per query cannot be read.

    Returns:
        `columns` (`key`, `label`, is it a `number`, is it an `axis` of the parallel coordinates),
        `rows` (`run`, `problem`, `choosable`, `cells` by key), `same` in words.
    """
    shown, same = varied(frame)
    columns = [
        {
            "key": str(name),
            "label": _plain(str(name)),
            "number": bool(shown[name].map(_is_number).any()),
            "axis": str(name).startswith(("parameters.", "metrics.")),
        }
        for name in shown.columns
        if name not in ASIDE
    ]
    rows = [
        {
            "run": str(name),
            "problem": str(row["problem"] or "") or damage.get(str(name), ""),
            "choosable": str(name) in choosable,
            "cells": {str(key): _sent(value) for key, value in row.items() if key not in ASIDE},
        }
        for name, row in shown.iterrows()
    ]
    return {"columns": columns, "rows": rows, "same": _said(same)}


def twin(frame: pd.DataFrame, pair: Versus | None, *, says: str, reader: Reader) -> Twin:
    """The table, the win/loss picture, the ten queries that lost most, and a digest.

    Args:
        frame: of `table_of`.
        pair: the two runs compared, or None.
        says: the title.
        reader: knows the texts.
    """
    import pandas as pd

    shown, same = varied(frame)
    short = shown.drop(columns=[n for n in ("folder", "per_query") if n in shown.columns])
    short = short.rename(columns=_plain).reset_index()
    made = [table(short, "runs")]
    digest: dict[str, Any] = {
        "view": "board",
        "runs": len(frame),
        "names": [str(name) for name in frame.index[:50]],
    }
    if same:
        made.append(words(f"The same in all: {_said(same)}."))
    if pair is not None:
        found = pair.comparison
        digest |= {"comparison": asdict(found), "worse": pair.worse[:10]}
        lost = [(n, reader.query(str(name)) or "") for n, name in enumerate(pair.query_ids[:10])]
        lost = [(n, text) for n, text in lost if pair.difference[n] < 0]
        ten = pd.DataFrame(
            {
                "query": [str(pair.query_ids[n]) for n, _ in lost],
                "text": [text for _, text in lost],
                f"{found.metric} of {found.a}": [float(pair.a[n]) for n, _ in lost],
                f"{found.metric} of {found.b}": [float(pair.b[n]) for n, _ in lost],
            }
        )
        made += [words(str(found)), picture(_figure(pair), str(found)), table(ten, "lost most")]
    return Twin(html=page(says, *made), digest=digest)


def _plain(name: str) -> str:
    return name.removeprefix("parameters.").removeprefix("metrics.")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _sent(value: Any) -> Any:
    """A cell as JSON holds it."""
    if value is None or isinstance(value, bool | str):
        return cut(value, 80) if isinstance(value, str) else value
    return float(value) if _is_number(value) and np.isfinite(value) else None


def _said(same: Mapping[str, Any]) -> str:
    values = {name: f"{one:g}" if _is_number(one) else str(one) for name, one in same.items()}
    return ", ".join(f"{_plain(name)} {value}" for name, value in values.items())


def _figure(pair: Versus) -> Any:
    from matplotlib.figure import Figure

    found, y = pair.comparison, pair.difference
    x = np.arange(len(y))
    figure = Figure(figsize=(7, 2.6), layout="constrained")
    axis = figure.add_subplot()
    axis.fill_between(x, y, where=y < 0, color=VERMILION, hatch="//", step="mid", label="worse")
    axis.fill_between(x, y, where=y > 0, color=BLUE, step="mid", label="better")
    axis.axhspan(found.low, found.high, color=GREY, alpha=0.3, label="mean, interval")
    axis.axhline(found.mean, color="#444444", linewidth=1)
    axis.set(xlabel="queries, most lost first", ylabel=f"{found.metric}, difference")
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
    return figure
