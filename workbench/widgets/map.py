"""Queries and documents on one picture, and two of them: before and after training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ipywidgets
import numpy as np
import traitlets

from workbench.errors import BadArgument, check_choice, check_count
from workbench.types import Candidates, Collection, Ints, LossStore, Vectors
from workbench.widgets.layout import Layout, aligned, blank, sides_of
from workbench.widgets.layout import layout as lay_out
from workbench.widgets.map_colour import check_colour
from workbench.widgets.map_points import points_of
from workbench.widgets.map_view import BACKENDS, CLUSTERS, MOST, EmbeddingMap, Inspecting
from workbench.widgets.twin import Twin, page
from workbench.widgets.view import View

if TYPE_CHECKING:
    from workbench.audit.suspicion import Suspicion

__all__ = ["EmbeddingMap", "SideBySide", "map", "side_by_side"]

PLOTLY_MOST = 20_000


def map(
    vectors: Vectors | Sequence[Vectors],
    *,
    collection: Collection | None = None,
    colour: object = None,
    layout: Layout | None = None,
    candidates: Candidates | None = None,
    suspicion: Suspicion | None = None,
    losses: LossStore | None = None,
    splits: Mapping[str, Collection] | None = None,
    before: Layout | None = None,
    backend: str | None = None,
    labels: bool | int = True,
    inspector: Inspecting | None = None,
) -> EmbeddingMap:
    """Show queries and documents on one picture.

    Search marks texts, a lasso selects them (`view.ids` in Python, and the inspector), a click on a
    query draws lines to its labelled answers, its hardest negatives and its suspected false
    negatives. These are neighbours in the vectors or in the mined list, never on the picture.

    Args:
        vectors: of documents, or (query vectors, document vectors) of one encoder.
        collection: texts, sources and labels.
        colour: "kind", "source", "split", "cluster", "suspicion", "loss" or "moved"; or one value
            per point, words or numbers, queries first; or a mapping from id to value. None =
            "source" with a collection, else "kind".
        layout: made before with `layout`; None = made now.
        candidates: a mined list: what a click calls hardest; None = the nearest in the vectors, or
            the list of `suspicion`.
        suspicion: how likely its candidates are false negatives.
        losses: of the collection's training pairs, from a run.
        splits: name -> collection, as from `data.split`.
        before: the layout this one was started from, to colour by "moved".
        backend: "plotly" (up to 20,000 points if None), "scatter" (above), "static". A browser
            without WebGL gets the static picture.
        labels: words on clusters of the picture; a number says how many, at most 60.
        inspector: narrowed to what is selected.

    Returns:
        The view; `ids`, `query_ids` and `doc_ids` hold what is selected.

    Raises:
        BadArgument: an option, or something `colour` needs was not given.
        BadData: ids that do not fit together.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> docs = Vectors(values=rng.normal(size=(40, 8)).astype(np.float32), encoder="drawn",
        ...                ids=np.array([f"d{row}" for row in range(40)], dtype=object))
        >>> map(docs, layout=lay_out(docs, how="pca"), backend="static")
        EmbeddingMap(0 queries, 40 documents, by cluster, 0 selected)

    Breaks when: distances on it are taken for distances in the vectors.
    """
    if backend is not None:
        check_choice("backend", backend, BACKENDS)
    count = CLUSTERS if labels is True else int(labels)
    check_count("labels", count, at_least=0, mend="Try True, or 12.")
    if count > MOST:
        raise BadArgument("labels", labels, f"at most {MOST} can be read", "Try 12.")
    listed = suspicion.candidates if suspicion is not None and candidates is None else candidates
    points = points_of(
        vectors, layout if layout is not None else blank(sides_of(vectors)),
        collection=collection, candidates=listed, suspicion=suspicion, losses=losses,
        splits=splits or {}, before=before,
    )  # fmt: skip
    if colour is None:
        colour = "source" if collection is not None else "kind" if points.queries else "cluster"
    if layout is None:
        check_colour(points, colour)  # a layout takes long
        points = replace(points, layout=lay_out(vectors))
    return EmbeddingMap(
        points,
        colour=colour,
        backend=backend or ("plotly" if len(points) <= PLOTLY_MOST else "scatter"),
        clusters=count,
        inspector=inspector,
    )


class SideBySide(View):
    """Two maps whose selection, pointer and colours follow each other. See `side_by_side`.

    Args:
        before: the earlier map.
        after: the later one.
    """

    ids = traitlets.List()

    def __init__(self, before: EmbeddingMap, after: EmbeddingMap) -> None:
        self.before, self.after = before, after
        both = (before, after)
        for one, other in (both, both[::-1]):
            there = other.points.layout.keys().get_indexer(one.points.layout.keys())
            self._follow(one, other, there.astype(np.int64))
        halves = [ipywidgets.Box([one], layout={"flex": "1 1 480px"}) for one in both]
        body = ipywidgets.Box(halves, layout={"display": "flex", "flex_flow": "row wrap"})
        super().__init__([body], says=self._says, twin=self._still)

    def _follow(self, one: EmbeddingMap, other: EmbeddingMap, there: Ints) -> None:
        def chosen(_: Any) -> None:
            queries, docs = (
                np.array(ids, dtype=object)[other.points.at(kind, ids) >= 0].tolist()
                for kind, ids in (("query", one.query_ids), ("doc", one.doc_ids))
            )
            if (queries, docs) != (other.query_ids, other.doc_ids):
                other.select(query_ids=queries, doc_ids=docs)
            self.ids = one.ids

        def hovered(change: Any) -> None:
            point = -1 if change["new"] is None else int(there[change["new"]])
            other.picture.ring(None if point < 0 else point)

        def coloured(change: Any) -> None:
            if change["new"] in other.core.choices and other.colour != change["new"]:
                other.recolour(change["new"])

        one.observe(chosen, "ids")
        one.observe(hovered, "hovered")
        one.observe(coloured, "colour")

    def _says(self) -> str:
        return f"SideBySide({self.before!r}, {self.after!r})"

    def _still(self) -> Twin:
        twins = [self.before.twin(), self.after.twin()]
        html = page("Before and after", *(one.html for one in twins))
        return Twin(html=html, digest={"before": twins[0].digest, "after": twins[1].digest})


def side_by_side(
    before: Vectors | Sequence[Vectors],
    after: Vectors | Sequence[Vectors],
    *,
    collection: Collection | None = None,
    colour: object = None,
    layouts: tuple[Layout, Layout] | None = None,
    candidates: Candidates | None = None,
    suspicion: Suspicion | None = None,
    backend: str | None = None,
    labels: bool | int = True,
    inspector: Inspecting | None = None,
) -> SideBySide:
    """Two maps of the same texts, before and after training; what is selected on one is on both.

    The second layout starts from the first and is turned onto it. See `layout` for when that does
    not hold points still.

    Args:
        before: vectors of the earlier encoder, as `map` takes them.
        after: of the later one.
        collection: texts, sources and labels.
        colour: see `map`; "moved" colours the second by how far each point went.
        layouts: (before, after) made earlier; the second is turned onto the first.
        candidates: a mined list, for either.
        suspicion: see `map`.
        backend: see `map`.
        labels: see `map`.
        inspector: narrowed to what is selected on either.

    Returns:
        The view; `before` and `after` are its maps.

    Raises:
        BadArgument: an option; the two sides share fewer than three texts.
        BadData: ids that do not fit together.

    Breaks when: training changed everything: few epochs from the old places then show less movement
    than there is.
    """
    if layouts is None:
        first = lay_out(before)
        second = lay_out(after, start=first)
    else:
        first, second = layouts[0], aligned(*layouts)
    own = None if isinstance(colour, str) and colour == "moved" else colour
    maps = [
        map(
            vectors, collection=collection, colour=shade, layout=made, candidates=candidates,
            suspicion=suspicion, before=earlier, backend=backend, labels=labels,
            inspector=inspector,
        )
        for vectors, made, earlier, shade in (
            (before, first, None, own), (after, second, first, colour),
        )
    ]  # fmt: skip
    return SideBySide(*maps)
