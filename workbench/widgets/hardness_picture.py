"""The pictures of a hardness explorer as matplotlib draws them, for its static twin."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from workbench.widgets.bands import Density
from workbench.widgets.matrix import colour, letter
from workbench.widgets.theme import COLOURS, GREY
from workbench.widgets.twin import cut

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("//", "\\\\", "--", "||", "xx")
STYLES = ("-", "--", ":", "-.")


def drawing(
    grid: Density,
    facts: pd.DataFrame,
    names: Sequence[str],
    margins: Sequence[float],
    moved: pd.DataFrame | None = None,
) -> Figure:
    """Density with margin lines, stacked bars per band, and lines over checkpoints.

    Args:
        grid: the density.
        facts: one row per band, with a column per name.
        names: "kept", then who drops; stacked in this order.
        margins: of the lines.
        moved: what `bands.movement` gives; None = no third panel.

    Returns:
        A figure of two or three panels.
    """
    from matplotlib.figure import Figure

    count = 2 if moved is None else 3
    figure = Figure(figsize=(5 * count, 4), layout="constrained")
    panels = figure.subplots(1, count)
    _density(panels[0], grid, margins)
    _stacks(panels[1], facts, names)
    if moved is not None:
        _lines(panels[2], moved)
    return figure


def _density(axes: Axes, grid: Density, margins: Sequence[float]) -> None:
    counts = np.ma.masked_equal(grid.counts.T, 0)
    axes.pcolormesh(grid.x, grid.y, np.sqrt(counts), cmap="Blues", vmin=-1)
    for place, margin in enumerate(margins):
        ends = grid.x[[0, -1]]
        axes.plot(
            ends, ends - margin, "k", lw=1, ls=STYLES[place % 4], label=f"positive - {margin:g}"
        )
    axes.set_xlim(grid.x[0], grid.x[-1])
    axes.set_ylim(grid.y[0], grid.y[-1])
    axes.set_xlabel("score of the labelled positive")
    axes.set_ylabel("score of the candidate")
    if len(margins):
        axes.legend(fontsize=7)


def _stacks(axes: Axes, facts: pd.DataFrame, names: Sequence[str]) -> None:
    below = np.zeros(len(facts))
    for code, name in enumerate(names):
        high = facts[name].to_numpy()
        if not high.any():
            continue
        axes.bar(
            np.arange(len(facts)),
            high,
            bottom=below,
            color=colour(code) if code else GREY,
            hatch=HATCHES[(code - 1) % len(HATCHES)] if code else None,
            edgecolor="white",
            label=cut(f"{letter(code)} {name}".strip(), 40),
        )
        below = below + high
    axes.set_xticks(np.arange(len(facts)), facts.index, rotation=40, ha="right", fontsize=7)
    axes.set_ylabel("candidates")
    axes.set_xlabel("share of the positive's score")
    if below.any():
        axes.legend(fontsize=7)


def _lines(axes: Axes, moved: pd.DataFrame) -> None:
    places = np.arange(len(moved))
    shown = [name for name in moved.columns if name == "mean" or name.startswith("q")]
    for place, name in enumerate(shown):
        shade, style = COLOURS[place % 7], STYLES[place % 4]
        axes.plot(places, moved[name], color=shade, ls=style, marker="o", ms=3, label=name)
    labels = [cut(str(name), 20) for name in moved.index]
    axes.set_xticks(places, labels, rotation=40, ha="right", fontsize=7)
    axes.set_ylabel("share of the positive's score")
    axes.legend(fontsize=7)
