"""What a map's view asks of a picture, and what a picture tells the view."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import ipywidgets

from workbench.types import Floats, Ints
from workbench.widgets.map_colour import Colouring
from workbench.widgets.map_points import Links
from workbench.widgets.map_static import still
from workbench.widgets.theme import BLUE, GREEN, VERMILION
from workbench.widgets.twin import picture

Label = tuple[str, float, float]
"""Words and where they stand."""
LINES = {"positive": GREEN, "suspected": VERMILION, "negative": BLUE}
HEIGHT = 520


@dataclass(frozen=True, kw_only=True)
class Events:
    """What a picture tells; each is called by the kernel between cells.

    Args:
        chosen: points inside a lasso, rising; None when it was undone.
        clicked: one point.
        over: the point under the pointer, None when it left.
    """

    chosen: Callable[[Ints | None], None]
    clicked: Callable[[int], None]
    over: Callable[[int | None], None]


@runtime_checkable
class Picture(Protocol):
    """Points drawn by some library; positions count queries first.

    Args:
        widget: to be shown.
    """

    widget: ipywidgets.DOMWidget

    def colour(self, colours: Colouring) -> None:
        """Colour all points."""

    def choose(self, points: Ints | None) -> None:
        """Leave some points in colour and make the others grey; None = all in colour."""

    def link(self, links: Links | None) -> None:
        """Draw lines from a point to what belongs to it, or none."""

    def label(self, labels: Sequence[Label]) -> None:
        """Write words onto the picture, in place of those before."""

    def ring(self, point: int | None) -> None:
        """Mark one point, or none."""

    def dress(self, *, dark: bool) -> None:
        """Follow the page's theme."""


class Still:
    """A map without WebGL: a drawn image, made anew when something changes.

    Args:
        xy: (n, 2) coordinates, queries first.
        queries: how many are queries.
        colours: of the points.
    """

    def __init__(self, xy: Floats, queries: int, colours: Colouring) -> None:
        self._xy, self._queries, self._colours = xy, queries, colours
        self._labels: Sequence[Label] = ()
        self._chosen: Ints | None = None
        self.widget = ipywidgets.HTML()
        self._draw()

    def colour(self, colours: Colouring) -> None:
        """Colour all points."""
        self._colours = colours
        self._draw()

    def choose(self, points: Ints | None) -> None:
        """Leave some points in colour; None = all."""
        self._chosen = points
        self._draw()

    def link(self, links: Links | None) -> None:
        """Leave a point and what belongs to it in colour."""
        if links is not None and len(links):
            import numpy as np

            some = [links.point, *(one for group in links.groups.values() for one, _ in group)]
            self.choose(np.array(sorted(set(some))))

    def label(self, labels: Sequence[Label]) -> None:
        """Write words onto the picture."""
        self._labels = labels
        self._draw()

    def ring(self, point: int | None) -> None:
        """Nothing: a still picture does not follow the pointer."""

    def dress(self, *, dark: bool) -> None:
        """Nothing: an image stays light, as its twin in the file is."""

    def _draw(self) -> None:
        drawn = still(
            self._xy, self._queries, self._colours, labels=self._labels, chosen=self._chosen
        )
        shown = len(self._xy) if self._chosen is None else len(self._chosen)
        alt = f"A map of {len(self._xy):,} points, {shown:,} in colour by {self._colours.name}"
        self.widget.value = picture(drawn, alt)
