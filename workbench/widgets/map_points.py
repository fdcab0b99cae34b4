"""What a map knows of its points: their texts, what is searched in them, and what belongs to them.

Nothing here reads the picture: neighbours are those of the vectors, or of a mined list.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import BadArgument, BadData, check_count
from workbench.types import Candidates, Collection, Ids, Ints, LossStore, Vectors
from workbench.widgets.layout import Layout, blank, sides_of

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

    from workbench.audit.suspicion import Suspicion

GROUPS = ("positive", "suspected", "negative")
SUSPECT = 0.5
Link = tuple[int, float]
"""A point, and the score of the pair in the vectors or the mined list; NaN where nobody knows."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Links:
    """What belongs to one point.

    Args:
        point: position on the map.
        groups: "positive", "suspected" and "negative" -> the others, best score first.
    """

    point: int
    groups: Mapping[str, list[Link]]

    def __len__(self) -> int:
        return sum(len(some) for some in self.groups.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Points:
    """Everything a map can say about its points, queries first.

    Args:
        layout: where they stand.
        sides: [query vectors,] document vectors.
        collection: their texts and labels, or None.
        candidates: a mined list of these queries and documents, or None.
        suspicion: how likely its candidates are false negatives, or None.
        losses: of the collection's training pairs, row by row, or None.
        splits: name -> collection, to say where a point belongs.
        before: an earlier layout, to say how far points moved.

    Raises:
        BadArgument: vectors and the layout are of different points, losses of other pairs.
        BadData: ids that the collection does not know.
    """

    layout: Layout
    sides: list[Vectors]
    collection: Collection | None = None
    candidates: Candidates | None = None
    suspicion: Suspicion | None = None
    losses: LossStore | None = None
    splits: Mapping[str, Collection] = field(default_factory=dict)
    before: Layout | None = None

    def __post_init__(self) -> None:
        ids = np.concatenate([side.ids for side in self.sides])
        if len(ids) != len(self.layout.ids) or not (ids == self.layout.ids).all():
            wanted = "it must hold the points of vectors, queries first"
            raise BadArgument("layout", self.layout, wanted, "Call layout with these vectors.")
        if self.collection is not None:
            lost = self.ids[np.flatnonzero(self.rows < 0)]
            if len(lost):
                problems = [f"{one!r} is not in it" for one in lost[:20].tolist()]
                mend = "Pass the collection that these vectors are of."
                raise BadData(f"collection {self.collection.name!r}", problems, mend)
            pairs = len(self.collection.pairs)
            if self.losses is not None and len(self.losses) != pairs:
                wanted = f"it must have a row per pair of the collection, {pairs:,}"
                raise BadArgument("losses", self.losses, wanted, "Pass the run's own store.")

    def __len__(self) -> int:
        return len(self.layout.ids)

    @property
    def ids(self) -> Ids:
        """(n,) ids, queries first."""
        return self.layout.ids

    @cached_property
    def queries(self) -> int:
        """How many points are queries; they are the first."""
        return len(self.ids) - len(self.sides[-1].ids)

    @cached_property
    def rows(self) -> Ints:
        """(n,) position of each point in the collection's queries or corpus, -1 if unknown."""
        if self.collection is None:
            return np.arange(len(self))
        both = (self.collection.query_ids, self.collection.doc_ids)
        parts = zip(both, (self.ids[: self.queries], self.ids[self.queries :]), strict=True)
        return np.concatenate([_index(known).get_indexer(_index(own)) for known, own in parts])

    @cached_property
    def _places(self) -> tuple[pd.Index[Any], pd.Index[Any]]:
        return _index(self.ids[: self.queries]), _index(self.ids[self.queries :])

    def at(self, kind: str, ids: Any) -> Ints:
        """Points of some ids of one kind, -1 where the map has none.

        Args:
            kind: "query" or "doc".
            ids: (m,) ids.
        """
        found = self._places[kind == "doc"].get_indexer(_index(np.asarray(ids, dtype=object)))
        offset = self.queries if kind == "doc" else 0
        return np.where(found < 0, -1, found + offset).astype(np.int64)

    def find(self, name: str) -> Ints:
        """The points that go by an id: a query, a document, both or none."""
        both = np.concatenate([self.at(kind, [name]) for kind in ("query", "doc")])
        return both[both >= 0]

    def kind(self, point: int) -> str:
        """What a point is: "query" or "doc"."""
        return "query" if point < self.queries else "doc"

    @cached_property
    def _texts(self) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
        assert self.collection is not None
        sides = (self.collection.queries, self.collection.corpus)
        first, second = (side.with_format("arrow")[:]["text"] for side in sides)
        return first, second

    def text(self, point: int) -> str:
        """A point's text, read when it is asked for; empty without a collection."""
        if self.collection is None:
            return ""
        return str(self._texts[point >= self.queries][int(self.rows[point])].as_py())

    def texts(self, points: Ints) -> list[str]:
        """Texts of some points."""
        return [self.text(point) for point in points.tolist()]

    def matches(self, words: str) -> Ints:
        """Points whose text holds some words as they stand, upper and lower case alike.

        Raises:
            BadArgument: nothing is searched for, or there are no texts.
        """
        import pyarrow.compute as pc

        if not isinstance(words, str) or not words.strip():
            raise BadArgument("words", words, "it must be some text", "Type what to look for.")
        if self.collection is None:
            mend = "Pass collection= to the map."
            raise BadArgument("words", words, "the map has no texts to search", mend)
        halves = (self.rows[: self.queries], self.rows[self.queries :])
        hits = [
            pc.match_substring(column, words.strip(), ignore_case=True).to_numpy()[own]
            for column, own in zip(self._texts, halves, strict=True)
        ]
        return np.flatnonzero(np.concatenate(hits))

    def links(self, point: int, *, most: int = 10) -> Links:
        """What belongs to a point: labelled, suspected and mined or nearest.

        Of a query: its labelled documents; its hardest negatives, of the mined list or else the
        documents nearest in the vectors; among them those suspected to be positives, that is of a
        probability of at least 0.5, or without probabilities those scored above its weakest
        positive. Of a document: the queries for which it is any of these.

        Args:
            point: position on the map.
            most: of suspected and of negatives, each.

        Raises:
            BadArgument: no such point.
        """
        check_count("most", most, mend="Try 10.")
        if not 0 <= point < len(self):
            wanted = f"points are 0..{len(self) - 1}"
            raise BadArgument("point", point, wanted, "Give a position on the map.")
        positive = self._labelled(point)
        if point >= self.queries:
            others = self._listed_for(point)
        elif (row := self._row(point)) >= 0:
            others = self._mined(row, point)
        else:
            others = self._nearest(point, positive, most)
        points, scores, suspect = others
        away = ~np.isin(points, positive) & (points >= 0)
        groups = {"positive": [(int(one), self._score(point, int(one))) for one in positive]}
        for name, flag in (("suspected", suspect), ("negative", ~suspect)):
            own = np.flatnonzero(away & flag)
            own = own[np.argsort(-scores[own], kind="stable")][:most]
            groups[name] = [(int(points[at]), float(scores[at])) for at in own.tolist()]
        return Links(point=point, groups=groups)

    def _row(self, point: int) -> int:
        """Its row of the mined list, -1 if it has none."""
        if self.candidates is None:
            return -1
        return int(self._asked.get_indexer(_index(self.ids[[point]]))[0])

    @cached_property
    def _asked(self) -> pd.Index[Any]:
        assert self.candidates is not None
        return _index(self.candidates.query_ids)

    @cached_property
    def listed(self) -> Ints:
        """(mined document,) the point of each document that the list's positions mean."""
        assert self.candidates is not None
        return self.at("doc", self.candidates.doc_ids)

    def _suspect(self, rows: Any, columns: Any) -> np.ndarray:
        mined = self.candidates
        assert mined is not None
        if self.suspicion is not None:
            return np.asarray(self.suspicion.decided()[rows, columns] >= SUSPECT)
        return np.asarray(mined.scores[rows, columns] >= mined.positive_scores[rows])

    def _mined(self, row: int, point: int) -> tuple[Ints, np.ndarray, np.ndarray]:
        mined = self.candidates
        assert mined is not None
        columns = np.flatnonzero(mined.docs[row] >= 0)
        points = self.listed[mined.docs[row, columns]]
        scores = np.asarray(mined.scores[row, columns], dtype=np.float64)
        return points, scores, self._suspect(row, columns)

    def _listed_for(self, point: int) -> tuple[Ints, np.ndarray, np.ndarray]:
        none = np.zeros(0, dtype=np.int64)
        if self.candidates is None:
            return none, np.zeros(0), np.zeros(0, dtype=np.bool_)
        place = np.flatnonzero(self.listed == point)
        rows, columns = np.nonzero(
            np.isin(self.candidates.docs, place) & (self.candidates.docs >= 0)
        )
        points = self.at("query", self.candidates.query_ids[rows])
        scores = np.asarray(self.candidates.scores[rows, columns], dtype=np.float64)
        return points, scores, self._suspect(rows, columns)

    def _nearest(
        self, point: int, positive: Ints, most: int
    ) -> tuple[Ints, np.ndarray, np.ndarray]:
        query, docs = self.sides[0].values[point], self.sides[-1].values
        scores = np.asarray(docs @ query, dtype=np.float64)
        scores[positive - self.queries] = -np.inf
        weakest = min((self._score(point, int(one)) for one in positive), default=np.inf)
        own = np.argsort(-scores, kind="stable")[: 2 * most]
        own = own[np.isfinite(scores[own])]
        return own + self.queries, scores[own], scores[own] >= weakest

    def _score(self, one: int, other: int) -> float:
        query, doc = min(one, other), max(one, other) - self.queries
        return float(self.sides[0].values[query] @ self.sides[-1].values[doc])

    def _labelled(self, point: int) -> Ints:
        if self.collection is None or not self.queries:
            return np.zeros(0, dtype=np.int64)
        column = int(point < self.queries)
        pairs = self.collection.pairs
        rows = pairs[pairs[:, 1 - column] == self.rows[point], column]
        ids = (self.collection.query_ids, self.collection.doc_ids)[column][rows]
        found = self.at("doc" if column else "query", ids)
        return found[found >= 0]


def points_of(vectors: object, layout: Layout, **known: Any) -> Points:
    """The points of a map; a layout of more texts, or in another order, is cut to these.

    Args:
        vectors: of documents, or (query vectors, document vectors).
        layout: of these texts.
        known: the other fields of `Points`.

    Raises:
        BadArgument: a text without coordinates.
    """
    sides = sides_of(vectors)
    own = blank(sides)
    places = layout.keys().get_indexer(own.keys())
    if (places < 0).any():
        lost = own.ids[np.flatnonzero(places < 0)[0]]
        wanted = f"it has no coordinates of {lost!r}"
        raise BadArgument("layout", layout, wanted, "Call layout with these vectors.")
    made = replace(own, xy=np.asarray(layout.xy)[places], recipe=layout.recipe)
    return Points(layout=made, sides=sides, **known)


def _index(ids: Ids) -> pd.Index[Any]:
    import pandas as pd

    return pd.Index(ids, dtype=object)
