"""Colours of a map: what each point counts as, with a name for every colour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_choice
from workbench.types import Ints
from workbench.widgets.layout import moved
from workbench.widgets.map_points import Points
from workbench.widgets.theme import BLUE, COLOURS, GREY, VERMILION

RAMP = ("#35456c", "#575d6d", "#7d7c78", "#a69d75", "#d3c164", "#fee838")
"""Six steps of cividis, which reads the same to colour-blind eyes, dark to bright."""
CHANCES = (0.05, 0.2, 0.5, 0.8)
CHOICES = ("kind", "source", "split", "cluster", "suspicion", "loss", "moved")
UNKNOWN, OTHERS = "unknown", "others"


@dataclass(frozen=True, eq=False, kw_only=True)
class Colouring:
    """One colour per point, chosen among a few that have names.

    Args:
        name: what the colours mean.
        codes: (n,) which of the names each point has.
        names: in words.
        colours: hex, one per name; clusters repeat them and are told apart by their labels.

    Raises:
        BadArgument: a code without a name.
    """

    name: str
    codes: NDArray[np.int16]
    names: tuple[str, ...]
    colours: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(self.colours) or not len(self.names):
            raise BadArgument("names", self.names, "each needs one colour", "Align them.")
        if len(self.codes) and not 0 <= self.codes.min() <= self.codes.max() < len(self.names):
            wanted = f"codes must be 0..{len(self.names) - 1}"
            raise BadArgument("codes", int(self.codes.max()), wanted, "Name each code.")

    def legend(self) -> list[dict[str, Any]]:
        """Name, colour and number of points of each colour in use."""
        counts = np.bincount(self.codes, minlength=len(self.names)).tolist()
        rows = zip(self.names, self.colours, counts, strict=True)
        return [
            {"code": code, "name": name, "colour": colour, "count": count}
            for code, (name, colour, count) in enumerate(rows)
            if count
        ]


def named(name: str, values: Sequence[object] | NDArray[Any]) -> Colouring:
    """Colours of words: the seven most frequent have their own, the rest share grey.

    Args:
        name: what they mean.
        values: one per point; None is unknown.

    Example:
        >>> made = named("source", ["wiki", "code", "wiki", None])
        >>> made.names, made.codes.tolist()
        (('wiki', 'code', 'unknown'), [0, 1, 0, 2])
    """
    import pandas as pd

    codes, found = pd.factorize(np.asarray(values, dtype=object), use_na_sentinel=True)
    count = np.bincount(codes[codes >= 0], minlength=len(found))
    order = np.argsort(-count, kind="stable")
    own = order[: len(COLOURS) - 1]
    rank = np.full(len(found) + 1, len(own), dtype=np.int16)
    rank[own] = np.arange(len(own))
    names, colours = [str(found[at]) for at in own], list(COLOURS[: len(own)])
    if len(order) > len(own):
        names, colours = [*names, OTHERS], [*colours, GREY]
    if (codes < 0).any():
        rank[-1] = len(names)
        names, colours = [*names, UNKNOWN], [*colours, GREY]
    return Colouring(name=name, codes=rank[codes], names=tuple(names), colours=tuple(colours))


def measured(
    name: str, values: NDArray[np.floating], *, edges: Sequence[float] | None = None
) -> Colouring:
    """Colours of numbers: up to six steps from dark to bright, equally full unless cut by hand.

    Args:
        name: what they mean.
        values: one per point; NaN is unknown.
        edges: at most five cuts, rising; None = quantiles.

    Example:
        >>> made = measured("loss", np.array([0.0, 1.0, 2.0, np.nan]), edges=[1.0])
        >>> made.names, made.codes.tolist()
        (('below 1', '1 and above', 'unknown'), [0, 1, 1, 2])
    """
    known = np.isfinite(values)
    if edges is None:
        steps = np.linspace(0, 1, len(RAMP) + 1)[1:-1]
        cuts = np.unique(np.quantile(values[known], steps)) if known.any() else np.zeros(0)
        cuts = cuts[cuts > values[known].min()] if known.any() else cuts
    else:
        cuts = np.asarray(edges, dtype=np.float64)
    codes = np.searchsorted(cuts, np.where(known, values, 0), side="right").astype(np.int16)
    shown = [f"{cut:.3g}" for cut in cuts]
    names = [f"{low} to {high}" for low, high in pairwise(shown)]
    names = [f"below {shown[0]}", *names, f"{shown[-1]} and above"] if shown else ["all alike"]
    at = np.linspace(0, len(RAMP) - 1, len(names)).round().astype(int)
    colours = [RAMP[place] for place in at]
    if not known.all():
        codes[~known] = len(names)
        names, colours = [*names, UNKNOWN], [*colours, GREY]
    return Colouring(name=name, codes=codes, names=tuple(names), colours=tuple(colours))


def clustered(numbers: Ints, names: Sequence[str]) -> Colouring:
    """Colours of clusters, which go round: neighbours are told apart by their labels.

    Args:
        numbers: (n,) cluster of each point.
        names: of each cluster.
    """
    colours = tuple(COLOURS[at % (len(COLOURS) - 1)] for at in range(len(names)))
    codes = numbers.astype(np.int16)
    return Colouring(name="cluster", codes=codes, names=tuple(names), colours=colours)


def colouring(points: Points, by: object) -> Colouring:
    """Colours by something the map knows, or by values given.

    Args:
        points: of the map.
        by: "kind", "source", "split", "suspicion", "loss", "moved"; one value per point, words or
            numbers; or a mapping from id to value. "cluster" is the view's own.

    Raises:
        BadArgument: an unknown word, something the map was not given, another number of values.
        BadData: a mapping that knows none of the ids.
    """
    if isinstance(by, Mapping):
        values = [by.get(one) for one in points.ids.tolist()]
        if all(one is None for one in values):
            mend = "Its keys must be ids of queries or documents."
            raise BadData("colour", ["it names none of the points"], mend)
        return _given(values)
    if not isinstance(by, str):
        array = np.asarray(by)
        if array.shape != (len(points),):
            wanted = f"it must have one value per point, queries first: {len(points):,}"
            raise BadArgument("colour", array.shape, wanted, "Align it with layout.ids.")
        return _given(array.tolist())
    check_choice("colour", by, [one for one in CHOICES if one != "cluster"])
    return _KNOWN[by](points)


def check_colour(points: Points, by: object) -> None:
    """Refuse a colour that the map cannot have, before its layout is made.

    Raises:
        BadArgument: see `colouring`.
        BadData: see `colouring`.
    """
    later = ("cluster",) if points.before is None else ("cluster", "moved")
    if not (isinstance(by, str) and by in later):
        colouring(points, by)


def possible(points: Points) -> list[str]:
    """What a map can be coloured by, given what it knows."""
    there = {
        "kind": points.queries > 0,
        "source": points.collection is not None,
        "split": bool(points.splits),
        "cluster": True,
        "suspicion": points.suspicion is not None,
        "loss": points.losses is not None and points.collection is not None,
        "moved": points.before is not None,
    }
    return [name for name in CHOICES if there[name]]


def _given(values: list[Any]) -> Colouring:
    kinds = {type(one) for one in values if one is not None}
    if kinds and all(issubclass(kind, int | float) and kind is not bool for kind in kinds):
        numbers = np.array([np.nan if one is None else one for one in values], dtype=np.float64)
        return measured("given", numbers)
    return named("given", [None if one is None else str(one) for one in values])


def _kind(points: Points) -> Colouring:
    codes = (np.arange(len(points)) >= points.queries).astype(np.int16)
    names = ("queries", "documents")
    return Colouring(name="kind", codes=codes, names=names, colours=(VERMILION, BLUE))


def _source(points: Points) -> Colouring:
    whole = _need(points.collection, "source", "collection")
    both = [np.array(side["source"][:], dtype=object) for side in (whole.queries, whole.corpus)]
    rows = points.rows
    parts = (both[0][rows[: points.queries]], both[1][rows[points.queries :]])
    return named("source", np.concatenate(parts))


def _split(points: Points) -> Colouring:
    _need(points.splits or None, "split", "splits")
    values = np.full(len(points), None, dtype=object)
    for name, side in points.splits.items():
        for kind, ids in (("query", side.query_ids), ("doc", side.doc_ids)):
            found = points.at(kind, ids)
            values[found[found >= 0]] = name
    return named("split", values)


def _suspicion(points: Points) -> Colouring:
    said = _need(points.suspicion, "suspicion", "suspicion")
    value = np.full(len(points), -np.inf)
    there = said.candidates.docs >= 0
    chance = np.nan_to_num(said.decided(), nan=-np.inf)
    rows, columns = np.nonzero(there)
    docs = points.at("doc", said.candidates.doc_ids)[said.candidates.docs[rows, columns]]
    asked = points.at("query", said.candidates.query_ids)[rows]
    for at in (docs, asked):
        np.maximum.at(value, at[at >= 0], chance[rows, columns][at >= 0])
    value[np.isneginf(value)] = np.nan
    return measured("suspicion", value, edges=CHANCES)


def _loss(points: Points) -> Colouring:
    store = _need(points.losses, "loss", "losses")
    whole = _need(points.collection, "loss", "collection")
    mean = store.mean()
    known = np.isfinite(mean)
    total, count = np.zeros(len(points)), np.zeros(len(points))
    ids = (whole.query_ids, whole.doc_ids)
    for column, kind in enumerate(("query", "doc")):
        at = points.at(kind, ids[column])[whole.pairs[:, column]]
        own = known & (at >= 0)
        total += np.bincount(at[own], weights=mean[own], minlength=len(points))
        count += np.bincount(at[own], minlength=len(points))
    return measured("loss", np.where(count > 0, total / np.maximum(count, 1), np.nan))


def _moved(points: Points) -> Colouring:
    before = _need(points.before, "moved", "before")
    return measured("moved", moved(before, points.layout))


def _need(value: Any, by: str, argument: str) -> Any:
    if value is None:
        wanted = f"the map was not given {argument}"
        raise BadArgument("colour", by, wanted, f"Pass {argument}= to the map.")
    return value


_KNOWN = {
    "kind": _kind,
    "source": _source,
    "split": _split,
    "suspicion": _suspicion,
    "loss": _loss,
    "moved": _moved,
}
