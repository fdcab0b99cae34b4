"""A map drawn by plotly: for some thousand points, with labels and lines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.types import Floats, Ints
from workbench.widgets.map_colour import Colouring
from workbench.widgets.map_picture import HEIGHT, LINES, Label
from workbench.widgets.map_points import Links
from workbench.widgets.map_static import extent
from workbench.widgets.theme import GREY, style

DOCS, QUERIES = 0, 1
DASHES = {"positive": "solid", "suspected": "dot", "negative": "dash"}
CONTEXT = {"marker": {"color": GREY, "opacity": 0.15}}


class PlotlyMap:
    """Two traces of points (documents are discs, queries diamonds), three of lines and a ring.

    What is done on it is told by `static/map.js`: the figure's own callbacks keep the last event
    only, so that a hover would swallow a lasso.

    Args:
        xy: (n, 2) float32, queries first.
        queries: how many are queries.
        colours: of the points.
    """

    def __init__(self, xy: Floats, queries: int, colours: Colouring) -> None:
        from plotly.graph_objects import FigureWidget, Scatter, Scattergl

        self._xy, self._queries = np.asarray(xy), queries
        size = float(np.clip(220 / np.sqrt(len(xy)), 2.5, 8))
        dots = [
            Scattergl(
                name=name, x=some[:, 0], y=some[:, 1], mode="markers", hoverinfo="none",
                marker={"symbol": symbol, "size": wide, "opacity": 0.8},
                selected={"marker": {"opacity": 1}}, unselected=CONTEXT, showlegend=False,
            )
            for name, some, symbol, wide in (
                ("documents", self._xy[queries:], "circle", size),
                ("queries", self._xy[:queries], "diamond", size + 2.5),
            )
        ]  # fmt: skip
        lines = [
            Scatter(
                name=name, x=[], y=[], mode="lines", hoverinfo="skip", showlegend=False,
                line={"color": colour, "width": 2, "dash": DASHES[name]},
            )
            for name, colour in LINES.items()
        ]  # fmt: skip
        ring = Scatter(
            name="ring", x=[], y=[], mode="markers", hoverinfo="skip", showlegend=False,
            marker={"symbol": "circle-open", "size": 16, "color": LINES["suspected"],
                    "line": {"width": 3}},
        )  # fmt: skip
        figure = FigureWidget([*dots, *lines, ring])
        style(figure)
        left, right, bottom, top = extent(self._xy)
        bare = {"showgrid": False, "showticklabels": False, "automargin": False}
        figure.update_layout(
            height=HEIGHT, margin={"l": 4, "r": 4, "t": 28, "b": 4}, dragmode="lasso",
            uirevision="map", hovermode="closest", xaxis={**bare, "range": [left, right]},
            yaxis={**bare, "range": [bottom, top]},
        )  # fmt: skip
        shown = {"scrollZoom": True, "displaylogo": False, "responsive": True}
        figure._config = {**figure._config, **shown}
        self.widget: Any = figure
        self.colour(colours)

    def colour(self, colours: Colouring) -> None:
        """Colour all points: one small number each, and a scale in steps."""
        count = len(colours.colours)
        steps = [
            [place / count, colour]
            for at, colour in enumerate(colours.colours)
            for place in (at, at + 1)
        ]
        codes = colours.codes.astype(np.uint16 if count > 255 else np.uint8)
        with self.widget.batch_update():
            for place, some in ((DOCS, codes[self._queries :]), (QUERIES, codes[: self._queries])):
                self.widget.data[place].marker.update(
                    color=some, colorscale=steps, cmin=-0.5, cmax=count - 0.5, showscale=False
                )

    def choose(self, points: Ints | None) -> None:
        """Leave some points in colour and make the others grey; None = all in colour."""
        parts: dict[int, Any] = {DOCS: None, QUERIES: None}
        if points is not None:
            some = np.asarray(points)
            parts = {
                DOCS: (some[some >= self._queries] - self._queries).tolist(),
                QUERIES: some[some < self._queries].tolist(),
            }
        with self.widget.batch_update():
            for place, own in parts.items():
                self.widget.data[place].selectedpoints = own

    def link(self, links: Links | None) -> None:
        """Draw lines from a point to what belongs to it, or none."""
        with self.widget.batch_update():
            for trace in self.widget.data[2:5]:
                others = [] if links is None else [one for one, _ in links.groups[trace.name]]
                corners = np.full((len(others), 3, 2), np.nan, dtype=np.float32)
                if links is not None:
                    corners[:, 0], corners[:, 1] = self._xy[links.point], self._xy[others]
                flat = corners.reshape(-1, 2)
                trace.update(x=flat[:, 0], y=flat[:, 1])

    def label(self, labels: Sequence[Label]) -> None:
        """Write words onto the picture, in place of those before."""
        self.widget.layout.annotations = [
            {"text": _plain(words), "x": x, "y": y, "showarrow": False, "font": {"size": 12}}
            for words, x, y in labels
        ]

    def ring(self, point: int | None) -> None:
        """Mark one point, or none."""
        some = self._xy[[] if point is None else [point]]
        self.widget.data[5].update(x=some[:, 0], y=some[:, 1])

    def dress(self, *, dark: bool) -> None:
        """Nothing: styles do it."""


def _plain(words: str) -> str:
    """Words as plotly shows them literally: it reads `<` as markup."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
