"""The view of a map: a picture, its controls, and what Python can do with either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import ipywidgets
import numpy as np
import traitlets

from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.types import Ints
from workbench.widgets.assets import Core, css, esm
from workbench.widgets.cluster_labels import ClusterLabels, cluster_labels, placed
from workbench.widgets.map_colour import Colouring, clustered, colouring, possible
from workbench.widgets.map_picture import Events, Label, Picture, Still
from workbench.widgets.map_plotly import PlotlyMap
from workbench.widgets.map_points import Points
from workbench.widgets.map_scatter import ScatterMap
from workbench.widgets.map_static import extent, twin_of
from workbench.widgets.twin import Twin, cut
from workbench.widgets.view import View

BACKENDS = ("plotly", "scatter", "static")
CLUSTERS, MOST = 12, 60
MARKS = {
    "plotly": "◆ query  ● document. Drag a lasso, scroll to zoom.",
    "scatter": "Larger dots are queries. Choose the lasso on the left, scroll to zoom.",
    "static": "A still picture: this browser has no WebGL. ◆ query  ● document.",
}


@runtime_checkable
class Inspecting(Protocol):
    """A view that can be narrowed to some texts, as the false-negative inspector."""

    def only(
        self, *, query_ids: Sequence[str] | None = None, doc_ids: Sequence[str] | None = None
    ) -> None:
        """Show only these; None = all."""


class MapCore(Core):
    """The controls beside a map."""

    _esm = esm("map.js")
    _css = css("map.css")

    status = traitlets.Unicode().tag(sync=True)
    over = traitlets.Unicode().tag(sync=True)
    marks = traitlets.Unicode().tag(sync=True)
    legend = traitlets.List().tag(sync=True)
    detail = traitlets.Dict().tag(sync=True)
    choices = traitlets.List().tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    clusters = traitlets.Int().tag(sync=True)
    asked = traitlets.Int().tag(sync=True)


class EmbeddingMap(View):
    """A map in the notebook. Make one with `map`.

    Its traits can be observed: `ids`, `query_ids`, `doc_ids` are what is selected, `shown` is the
    id of the point that was clicked, `hovered` the point under the pointer, `colour` what the
    colours mean.

    Args:
        points: what is on it.
        colour: see `map`.
        backend: "plotly", "scatter" or "static".
        clusters: labels wanted, 0 for none.
        inspector: narrowed to what is selected, or None.
    """

    ids = traitlets.List()
    query_ids = traitlets.List()
    doc_ids = traitlets.List()
    shown = traitlets.Unicode()
    hovered = traitlets.Int(None, allow_none=True)
    colour = traitlets.Unicode()

    def __init__(
        self,
        points: Points,
        *,
        colour: object,
        backend: str,
        clusters: int = CLUSTERS,
        inspector: Inspecting | None = None,
    ) -> None:
        self.points, self.backend, self.inspector = points, backend, inspector
        self._count = clusters
        self._made: dict[int, ClusterLabels] = {}
        self._selected: Ints | None = None
        self._found: Ints | None = None
        self.colours = self._coloured(colour)
        self.core = MapCore(marks=MARKS[backend], clusters=clusters, asked=points.queries)
        self._listen()
        self.picture: Picture = self._drawn(backend)
        self._frame = ipywidgets.Box([self.picture.widget])
        self._frame.add_class("wb-map-picture")
        side = ipywidgets.Box([self.core])
        side.add_class("wb-map-panel")
        body = ipywidgets.Box(
            [self._frame, side], layout={"display": "flex", "flex_flow": "row wrap"}
        )
        body.add_class("wb-map")
        super().__init__([body], says=self._says, twin=self._still)
        self._tell_colours(colour)
        self._tell()

    def clusters(self, count: int | None = None) -> ClusterLabels:
        """The picture's clusters and their words.

        Args:
            count: how many; None = as many as are shown, or 12.

        Raises:
            BadArgument: a count out of range.
        """
        wanted = min(count or self._count or CLUSTERS, len(self.points))
        if wanted not in self._made:
            texts = _Texts(self.points)
            self._made[wanted] = cluster_labels(self.points.layout.xy, texts, clusters=wanted)
        return self._made[wanted]

    def search(self, words: str) -> Ints:
        """Highlight the points whose text holds some words; the others become grey context.

        Args:
            words: looked for as they stand, upper and lower case alike; "" ends the search.

        Returns:
            The points found, queries first.

        Raises:
            BadArgument: the map has no texts.
        """
        if not words.strip():
            self._found = None
            self.picture.choose(self._selected)
            self._tell()
            return np.zeros(0, dtype=np.int64)
        self._found = self.points.matches(words)
        self.picture.choose(self._found)
        self._tell()
        return self._found

    def select(
        self, *, query_ids: Sequence[str] | None = None, doc_ids: Sequence[str] | None = None
    ) -> None:
        """Select some texts, as a lasso does; without arguments select nothing.

        Raises:
            BadData: ids that the map does not have.
        """
        parts = []
        for kind, ids in (("query", query_ids or ()), ("doc", doc_ids or ())):
            found = self.points.at(kind, list(ids))
            lost = [str(one) for one, at in zip(ids, found, strict=True) if at < 0]
            if lost:
                lines = [f"no {kind} has the id {one!r}" for one in lost]
                raise BadData("the selection", lines, "Select from view.points.ids.")
            parts.append(found)
        some = np.concatenate(parts)
        self._choose(some if len(some) else None)

    def select_matches(self) -> None:
        """Select what the last search found.

        Raises:
            BadArgument: nothing was searched for.
        """
        if self._found is None:
            raise BadArgument("words", "", "nothing was searched for", "Search first.")
        self._choose(self._found)

    def show(self, name: str, *, kind: str | None = None) -> None:
        """Show a point's text and draw lines to what belongs to it, as a click does.

        Args:
            name: its id.
            kind: "query" or "doc", where both have the id; None = the query first.

        Raises:
            BadArgument: no such id.
        """
        found = self.points.find(str(name))
        if kind is not None:
            check_choice("kind", kind, ("query", "doc"))
            found = self.points.at(kind, [str(name)])
        if not len(found) or found[0] < 0:
            raise BadArgument("name", name, "the map has no such id", "Search for its text.")
        self._show(int(found[0]))

    def recolour(self, by: object) -> None:
        """Colour the points anew, in place.

        Args:
            by: see `map`.

        Raises:
            BadArgument: see `map`.
        """
        self.colours = self._coloured(by)
        self.picture.colour(self.colours)
        self._tell_colours(by)

    def relabel(self, count: int) -> None:
        """Cut the picture into more or fewer labelled clusters.

        Args:
            count: 0 takes the labels away.

        Raises:
            BadArgument: not a whole number, or more than 60.
        """
        check_count("count", count, at_least=0, mend="Try 12.")
        if count > MOST:
            raise BadArgument(
                "count", count, f"it must be <= {MOST}", "Select a part and look closer."
            )
        self._count = count
        self.core.clusters = count
        self.picture.label(self.labels())
        if self.colour == "cluster":
            self.recolour("cluster")

    def clear(self) -> None:
        """Undo search, selection and lines."""
        self._found = None
        self.picture.link(None)
        self.shown, self.core.detail = "", {}
        self._choose(None)

    def labels(self) -> list[Label]:
        """Words and where they stand, without touching each other at full view."""
        if not self._count:
            return []
        made = self.clusters()
        names = [name for name, some in zip(made.names, made.words, strict=True) if some]
        centres = made.centres[[bool(some) for some in made.words]]
        fit = placed(centres, names, extent=extent(self.points.layout.xy))
        return [(names[at], x, y) for at, x, y in fit]

    def _drawn(self, backend: str) -> Picture:
        xy, queries = np.asarray(self.points.layout.xy), self.points.queries
        events = Events(chosen=self._lassoed, clicked=self._show, over=self._over)
        made: Picture
        if backend == "plotly":
            made = PlotlyMap(xy, queries, self.colours)
        elif backend == "scatter":
            made = ScatterMap(xy, queries, self.colours, events)
        else:
            made = Still(xy, queries, self.colours)
        made.label(self.labels())
        return made

    def _coloured(self, by: object) -> Colouring:
        if isinstance(by, str) and by == "cluster":
            made = self.clusters()
            return clustered(made.numbers, made.names)
        return colouring(self.points, by)

    def _tell_colours(self, by: object) -> None:
        self.colour = by if isinstance(by, str) else "given"
        known = possible(self.points)
        self.core.choices = known if self.colour in known else [self.colour, *known]
        self.core.colour = self.colour
        self.core.legend = self.colours.legend()

    def _choose(self, points: Ints | None) -> None:
        self.picture.choose(points)
        self._lassoed(points)

    def _lassoed(self, points: Ints | None) -> None:
        self._selected = points
        some = np.zeros(0, dtype=np.int64) if points is None else points
        ids = self.points.ids[some]
        asked = some < self.points.queries
        with self.hold_trait_notifications():
            self.query_ids, self.doc_ids = ids[asked].tolist(), ids[~asked].tolist()
            self.ids = ids.tolist()
        self._tell()
        if self.inspector is not None:
            self._narrow(points)

    def _narrow(self, points: Ints | None) -> None:
        assert self.inspector is not None
        try:
            self.inspector.only(
                query_ids=self.query_ids or None, doc_ids=self.doc_ids or None
            ) if points is not None else self.inspector.only()
        except (BadArgument, BadData) as error:
            self.core.status = f"{self.core.status}. The inspector shows all: {error}"
            self.inspector.only()

    def _show(self, point: int) -> None:
        links = self.points.links(point)
        self.picture.link(links)
        self.picture.ring(point)
        rows = {
            name: [
                {"point": one, "id": str(self.points.ids[one]), "score": _plain(score),
                 "text": cut(self.points.text(one))}
                for one, score in some
            ]
            for name, some in links.groups.items()
        }  # fmt: skip
        kind, name = self.points.kind(point), str(self.points.ids[point])
        text = self.points.text(point)[:20_000]
        self.core.detail = {"kind": kind, "id": name, "text": text, "links": rows}
        self.shown = name

    def _over(self, point: int | None) -> None:
        self.hovered = point
        said = ""
        if point is not None:
            said = f"{self.points.kind(point)} {self.points.ids[point]}: {self.points.text(point)}"
        self.core.over = cut(said, 100)

    def _tell(self) -> None:
        said = []
        if self._found is not None:
            said.append(f"{len(self._found):,} match")
        chosen = f"{len(self.query_ids):,} queries and {len(self.doc_ids):,} documents selected"
        said.append(chosen if self._selected is not None else "nothing selected")
        self.core.status = ", ".join(said)

    def _listen(self) -> None:
        def answer(kind: str, act: Any, *names: str) -> None:
            def handle(message: dict[str, Any]) -> dict[str, Any]:
                act(*(message.get(name) for name in names))
                return {}

            self.core.answer(kind, handle)

        answer("search", lambda words: self.search(str(words or "")), "words")
        answer("matches", self.select_matches)
        answer("find", self.show, "name")
        answer("show", lambda point: self._show(int(point)), "point")
        answer("lasso", self._picked, "points")
        answer("over", self._over, "point")
        answer("group", self._group, "code")
        answer("clear", self.clear)
        answer("colour", self.recolour, "name")
        answer("clusters", self.relabel, "count")
        answer("page", self._page, "webgl", "dark")

    def _picked(self, points: list[int] | None) -> None:
        self._choose(None if points is None else np.unique(np.array(points, dtype=np.int64)))

    def _group(self, code: Any) -> None:
        self._choose(np.flatnonzero(self.colours.codes == int(code)))

    def _page(self, webgl: Any, dark: Any) -> None:
        """The page says what it can do and how it looks."""
        if not webgl and self.backend != "static":
            self.backend = "static"
            self.core.marks = MARKS["static"]
            self.picture = self._drawn("static")
            self._frame.children = (self.picture.widget,)
        self.picture.dress(dark=bool(dark))

    def _says(self) -> str:
        counts = (
            f"{self.points.queries:,} queries, {len(self.points) - self.points.queries:,} documents"
        )
        return f"EmbeddingMap({counts}, by {self.colour}, {len(self.ids):,} selected)"

    def _still(self) -> Twin:
        return twin_of(
            self.points,
            self.colours,
            title=self._says(),
            labels=self.labels(),
            clusters=self.clusters() if self._count else None,
            chosen=self._selected,
        )


class _Texts(Sequence[str]):
    """Texts of all points, read one by one."""

    def __init__(self, points: Points) -> None:
        self._points = points

    def __len__(self) -> int:
        return len(self._points)

    def __getitem__(self, at: Any) -> Any:
        return self._points.text(at)


def _plain(score: float) -> float | None:
    return float(score) if np.isfinite(score) else None
