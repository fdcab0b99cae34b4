"""A map as a still picture: for papermill, GitHub, and browsers without WebGL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from workbench.types import Floats, Ints
from workbench.widgets.cluster_labels import ClusterLabels
from workbench.widgets.map_colour import Colouring
from workbench.widgets.map_points import Points
from workbench.widgets.theme import GREY
from workbench.widgets.twin import Twin, cut, page, picture, table, words

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PIXELS = (760, 520)
CAUTION = "Gaps between groups mean nothing; neighbours are looked up in the vectors."


def still(
    xy: Floats,
    queries: int,
    colours: Colouring,
    *,
    labels: Sequence[tuple[str, float, float]] = (),
    chosen: Ints | None = None,
) -> Figure:
    """A picture of any number of points: each paints a few pixels, the rarest colour last.

    Args:
        xy: (n, 2) coordinates, queries first.
        queries: how many are queries; they are larger, and diamonds.
        colours: of the points.
        labels: words and where they stand.
        chosen: points that keep their colour; the others are grey. None = all.

    Example:
        >>> from workbench.widgets.map_colour import named
        >>> drawn = still(np.eye(2, dtype=np.float32), 1, named("source", ["a", "b"]))
        >>> len(drawn.axes)
        1
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(PIXELS[0] / 90, PIXELS[1] / 90), dpi=90)
    axes = figure.add_axes((0, 0, 1, 1))
    left, right, bottom, top = extent(xy)
    axes.imshow(
        painted(xy, queries, colours, chosen), extent=(left, right, bottom, top), aspect="auto"
    )
    axes.set_axis_off()
    for name, x, y in labels:
        box = {"boxstyle": "round,pad=0.15", "fc": "white", "ec": "none", "alpha": 0.75}
        axes.text(x, y, name, ha="center", va="center", fontsize=8, bbox=box, parse_math=False)
    keys = [
        Line2D([], [], marker="s", linestyle="", color=one["colour"], label=_key(one))
        for one in colours.legend()[:12]
    ]
    axes.legend(handles=keys, title=colours.name, fontsize=7, title_fontsize=8, loc="upper left",
                bbox_to_anchor=(1, 1), frameon=False)  # fmt: skip
    return figure


def twin_of(
    points: Points,
    colours: Colouring,
    *,
    title: str,
    labels: Sequence[tuple[str, float, float]],
    clusters: ClusterLabels | None,
    chosen: Ints | None,
) -> Twin:
    """What a map leaves in the notebook's file: a picture, its clusters, counts and first ids.

    Args:
        points: of the map.
        colours: of the points.
        title: what it says, for those who cannot see it.
        labels: words and where they stand.
        clusters: to be listed, or None.
        chosen: selected points, or None.
    """
    drawn = still(
        np.asarray(points.layout.xy), points.queries, colours, labels=labels, chosen=chosen
    )
    parts = [picture(drawn, title)]
    if clusters is not None:
        parts.append(table(clusters.frame()[["size", "words"]], "Clusters of the picture"))
    some = [] if chosen is None else points.ids[chosen].tolist()
    made = points.layout.recipe
    digest = {
        "queries": points.queries,
        "documents": len(points) - points.queries,
        "selected": len(some),
        "ids": [cut(str(one), 60) for one in some[:20]],
        "colour": colours.name,
        "legend": [
            {"name": cut(one["name"], 60), "count": one["count"]} for one in colours.legend()
        ],
        "layout": {key: made.get(key) for key in ("how", "n_neighbors", "epochs", "seed")},
    }
    return Twin(html=page("Embedding map", *parts, words(CAUTION)), digest=digest)


def extent(xy: Floats) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of a picture, with a margin of 3 %."""
    low, high = xy.min(axis=0).astype(float), xy.max(axis=0).astype(float)
    margin = np.maximum((high - low) * 0.03, 1e-6)
    (left, bottom), (right, top) = low - margin, high + margin
    return float(left), float(right), float(bottom), float(top)


def painted(
    xy: Floats, queries: int, colours: Colouring, chosen: Ints | None = None
) -> NDArray[np.uint8]:
    """(height, width, 3) pixels, white where nothing stands, row 0 on top.

    Args:
        xy: (n, 2) coordinates, queries first.
        queries: how many are queries.
        colours: of the points.
        chosen: points in colour, the others grey; None = all.
    """
    wide, high = PIXELS
    left, right, bottom, top = extent(xy)
    palette = np.array([_rgb(one) for one in (*colours.colours, GREY)], dtype=np.uint8)
    codes = colours.codes.astype(np.int64)
    if chosen is not None:
        codes = np.full(len(xy), len(colours.colours))
        codes[chosen] = colours.codes[chosen]
    counts = np.bincount(codes, minlength=len(palette))
    counts[len(colours.colours)] = len(xy) + 1  # context below everything
    x = ((xy[:, 0] - left) / (right - left) * (wide - 1)).round().astype(np.int64)
    y = ((top - xy[:, 1]) / (top - bottom) * (high - 1)).round().astype(np.int64)
    image = np.full((high, wide, 3), 255, dtype=np.uint8)
    query = np.arange(len(xy)) < queries
    order = np.lexsort((-counts[codes], query))
    reach = 1 if len(xy) > 20_000 else 2
    for kind, shape in ((False, _disc(reach)), (True, _diamond(reach + 2))):
        own = order[query[order] == kind]
        for down, over in shape:
            rows, columns = np.clip(y[own] + down, 0, high - 1), np.clip(x[own] + over, 0, wide - 1)
            image[rows, columns] = palette[codes[own]]
    return image


def _disc(reach: int) -> list[tuple[int, int]]:
    span = range(-reach, reach + 1)
    return [(y, x) for y in span for x in span if x * x + y * y <= reach * reach]


def _diamond(reach: int) -> list[tuple[int, int]]:
    span = range(-reach, reach + 1)
    return [(y, x) for y in span for x in span if abs(x) + abs(y) <= reach]


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _key(one: dict[str, object]) -> str:
    return f"{str(one['name'])[:40]} ({one['count']:,})".replace("$", r"\$")
