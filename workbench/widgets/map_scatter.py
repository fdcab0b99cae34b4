"""A map drawn by jupyter-scatter: up to half a million points, a selection as positions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from workbench.types import Floats, Ints
from workbench.widgets.map_colour import Colouring
from workbench.widgets.map_picture import HEIGHT, LINES, Events, Label
from workbench.widgets.map_points import Links

INKS = {False: ("#1a1a1a", "#ffffff"), True: ("#ececec", "#161616")}
WIDTHS = {"positive": 4, "suspected": 3, "negative": 1}


class ScatterMap:
    """Points on a WebGL canvas; queries are larger than documents. Lines differ in width too.

    Args:
        xy: (n, 2) float32, queries first.
        queries: how many are queries.
        colours: of the points.
        events: what it tells.
    """

    def __init__(self, xy: Floats, queries: int, colours: Colouring, events: Events) -> None:
        import pandas as pd
        from jscatter import Scatter

        self._xy, self._queries, self._events = np.asarray(xy), queries, events
        self._told: Ints = np.zeros(0, dtype=np.int64)
        kinds = np.array(["query", "doc"])[(np.arange(len(xy)) >= queries).astype(int)]
        frame = pd.DataFrame(
            {"x": self._xy[:, 0], "y": self._xy[:, 1],
             "kind": pd.Categorical(kinds, categories=["query", "doc"])}
        )  # fmt: skip
        small = float(np.clip(600 / np.sqrt(len(xy)), 1, 5))
        self._scatter = Scatter(
            data=frame, x="x", y="y", height=HEIGHT, background_color="#7f7f7f00", axes=False,
            size_by="kind", size_map={"query": small + 3, "doc": small}, opacity=0.8,
            opacity_unselected=0.15, tooltip=False, reticle=False, legend=False,
            color_selected=LINES["suspected"], transition_points=False,
        )  # fmt: skip
        self._scatter.options(
            regl_scatterplot_options={"pointSizeSelected": 0, "pointOutlineWidth": 0}
        )
        self.colour(colours)
        self._labels: Sequence[Label] = ()
        self._dark = False
        self.widget: Any = self._scatter.widget
        self.widget.label_tile_size = HEIGHT
        self.widget.observe(self._selected, "selection")
        self.widget.observe(self._hovering, "hovering")

    def colour(self, colours: Colouring) -> None:
        """Colour all points by small numbers, one per name."""
        import pandas as pd

        count = range(len(colours.colours))
        values = pd.Categorical.from_codes(colours.codes.tolist(), categories=pd.Index(count))
        palette = dict(zip(count, colours.colours, strict=True))
        self._scatter.color(by=values, map=palette)

    def choose(self, points: Ints | None) -> None:
        """Leave some points in colour and make the others grey; None = all in colour."""
        some = np.zeros(0, dtype=np.int64) if points is None else np.asarray(points)
        self._told = some
        self._scatter.selection(some)

    def link(self, links: Links | None) -> None:
        """Draw lines from a point to what belongs to it, or none."""
        from jscatter.annotations import Line

        lines = []
        for name, width in WIDTHS.items() if links is not None else ():
            assert links is not None
            start = tuple(self._xy[links.point].tolist())
            lines += [
                Line([start, tuple(self._xy[one].tolist())], LINES[name], width)
                for one, _ in links.groups[name]
            ]
        self._scatter.annotations(lines)

    def label(self, labels: Sequence[Label]) -> None:
        """Write words onto the picture, in place of those before."""
        import pandas as pd
        from jscatter.label_placement import LabelPlacement, to_js

        self._labels = labels
        ink, ground = INKS[self._dark]
        if not labels:
            self.widget.label_placement = self.widget.labels = None
            return
        words, x, y = zip(*labels, strict=True)
        own = [f"{one} ({at})" if one in words[:at] else one for at, one in enumerate(words)]
        frame = pd.DataFrame({"words": own, "x": x, "y": y})
        made = LabelPlacement(
            data=frame, x="x", y="y", by="words", size=13, color=ink, tile_size=HEIGHT
        )
        made.compute()
        self.widget.label_shadow_color = ground
        self.widget.label_placement = made
        self.widget.labels = to_js(made.get_labels_from_tiles(self.widget.label_tiles))

    def dress(self, *, dark: bool) -> None:
        """Follow the page's theme: the ground is the page's, the words are written anew."""
        if dark != self._dark:
            self._dark = dark
            self.label(self._labels)

    def ring(self, point: int | None) -> None:
        """Mark one point, or none."""
        if self.widget.hovering != point:
            self.widget.hovering = point

    def _selected(self, change: Any) -> None:
        found = np.sort(np.asarray(change["new"], dtype=np.int64).reshape(-1))
        if np.array_equal(found, np.sort(self._told)):
            return
        self._told = found
        if len(found) == 1:
            self._events.clicked(int(found[0]))
        else:
            self._events.chosen(found if len(found) else None)

    def _hovering(self, change: Any) -> None:
        self._events.over(None if change["new"] is None else int(change["new"]))
