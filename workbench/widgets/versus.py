"""Two runs query by query: who is better where, what got worse, and what each ranks first."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.errors import BadArgument
from workbench.types import Candidates, Collection, Ids, Scorecard
from workbench.widgets.thin import Values

if TYPE_CHECKING:
    import pandas as pd

    from workbench.evaluate import Comparison

DRAWS = 10_000_000
"""Numbers drawn for an interval."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Versus:
    """The difference b - a of every query, the most lost first.

    Args:
        comparison: the mean difference with its paired interval.
        query_ids: (query,).
        a: (query,) values of the first run.
        b: (query,) values of the second.
    """

    comparison: Comparison
    query_ids: Ids
    a: Values
    b: Values

    @property
    def difference(self) -> Values:
        """(query,) b - a, rising."""
        return self.b - self.a

    @property
    def worse(self) -> list[str]:
        """Queries on which b is worse than a, the worst first."""
        return [str(name) for name in self.query_ids[self.difference < 0]]

    def frame(self) -> pd.DataFrame:
        """One row per query."""
        import pandas as pd

        columns = {self.comparison.a: self.a, self.comparison.b: self.b}
        frame = pd.DataFrame(columns, index=pd.Index(self.query_ids, name="query_id"))
        return frame.assign(difference=self.difference)


def versus(a: Scorecard, b: Scorecard, *, metric: str, seed: int = 0) -> Versus:
    """Compare two runs over the same queries.

    The interval is that of `evaluate.compare`, from as many resamples as make a click wait no more
    than a few seconds: 10,000 up to 1,000 queries, 5,000 for 2,000, and 200 from 50,000 on.

    Args:
        a: the run to beat.
        b: the other.
        metric: in both.
        seed: of the resampling.

    Raises:
        BadArgument: the metric is missing; fewer than two queries.
        BadData: the runs were scored on different queries.

    Example:
        >>> ids = np.array(["p", "q", "r"], dtype=object)
        >>> cards = [Scorecard(name=name, query_ids=ids, values={"RR@10": np.array(values)})
        ...          for name, values in (("a", [1.0, 0.5, 0.0]), ("b", [1.0, 0.0, 1.0]))]
        >>> versus(*cards, metric="RR@10").worse
        ['q']

    Breaks when: b was picked as the best of many on these very queries: the interval is too good.
    """
    from workbench.evaluate.compare import aligned, compare

    resamples = min(10_000, max(200, DRAWS // max(1, len(a.query_ids))))
    comparison = compare(a, b, metric=metric, resamples=resamples, seed=seed)
    first, second = aligned([a, b], metric)
    order = np.argsort(second - first, kind="stable")
    return Versus(
        comparison=comparison,
        query_ids=a.query_ids[order],
        a=first[order],
        b=second[order],
    )


class Reader:
    """Texts and judgments of a collection, by id; without a collection it knows none.

    Example:
        >>> from workbench.data import from_rows
        >>> reader = Reader(from_rows([{"query": "add", "positive": "a + b"}], name="demo"))
        >>> name = reader.collection.query_ids[0]
        >>> reader.query(name), list(reader.grades(name).values())
        ('add', [1.0])
    """

    def __init__(self, collection: Collection | None) -> None:
        self.collection = collection

    @cached_property
    def _queries(self) -> dict[str, int]:
        ids = [] if self.collection is None else self.collection.query_ids.tolist()
        return {str(name): place for place, name in enumerate(ids)}

    @cached_property
    def _docs(self) -> dict[str, int]:
        ids = [] if self.collection is None else self.collection.doc_ids.tolist()
        return {str(name): place for place, name in enumerate(ids)}

    def query(self, name: str) -> str | None:
        """The text of a query, None if it is not known."""
        place = self._queries.get(name)
        if place is None or self.collection is None:
            return None
        return str(self.collection.queries[place]["text"])

    def doc(self, name: str) -> str | None:
        """The text of a document, None if it is not known."""
        place = self._docs.get(name)
        if place is None or self.collection is None:
            return None
        return str(self.collection.corpus[place]["text"])

    def grades(self, query: str) -> dict[str, float]:
        """Document -> grade, for all that was judged of a query."""
        place = self._queries.get(query)
        if place is None or self.collection is None:
            return {}
        row = self.collection.qrels[[place]].tocoo()
        names = self.collection.doc_ids[row.coords[1]].tolist()
        return dict(zip(map(str, names), map(float, row.data), strict=True))

    def check(self, query_ids: Ids) -> None:
        """Refuse a collection that knows none of these queries.

        Raises:
            BadArgument: it is another collection.
        """
        if self.collection is None or not len(query_ids):
            return
        if not any(str(name) in self._queries for name in query_ids.tolist()):
            wanted = "it knows none of the queries that the runs were scored on"
            raise BadArgument("collection", self.collection, wanted, "Pass the test collection.")


def top_ids(found: Candidates, query: str) -> list[tuple[str, float]]:
    """(document, score) of one query's list, best first; empty for an unknown query."""
    rows = np.flatnonzero(found.query_ids.astype(str) == query)
    if not len(rows):
        return []
    docs, scores = found.docs[rows[0]], found.scores[rows[0]]
    there = docs >= 0
    names = found.doc_ids[docs[there]].tolist()
    return list(zip(map(str, names), map(float, scores[there]), strict=True))


def side_by_side(
    query: str, a: Candidates | None, b: Candidates | None, *, reader: Reader, most: int = 600
) -> dict[str, Any]:
    """What two runs rank first for a query, with texts, labels and each document's other rank.

    Args:
        query: its id.
        a: the first run's lists, or None if it kept none.
        b: the second run's.
        reader: knows the texts.
        most: characters of a text.

    Returns:
        `text` of the query; `sides`, two lists of rows (`rank`, `doc`, `score`, `label`, `other`:
        its rank in the other list or None, `text`), or None where a run kept no lists; `missed`,
        labelled documents that stand in neither list.

    Example:
        >>> side_by_side("q", None, None, reader=Reader(None))["sides"]
        [None, None]
    """
    grades = reader.grades(query)
    lists = [None if found is None else top_ids(found, query) for found in (a, b)]
    ranks = [{doc: n + 1 for n, (doc, _) in enumerate(one or [])} for one in lists]
    sides: list[list[dict[str, Any]] | None] = []
    for place, one in enumerate(lists):
        if one is None:
            sides.append(None)
            continue
        sides.append(
            [
                {
                    "rank": number + 1,
                    "doc": doc,
                    "score": score,
                    "label": _label(grades.get(doc)),
                    "other": ranks[1 - place].get(doc),
                    "text": _short(reader.doc(doc), most),
                }
                for number, (doc, score) in enumerate(one)
            ]
        )
    missed = [
        {"doc": doc, "text": _short(reader.doc(doc), most)}
        for doc, grade in grades.items()
        if grade > 0 and not any(doc in one for one in ranks)
    ]
    return {"text": _short(reader.query(query), most), "sides": sides, "missed": missed[:10]}


def _label(grade: float | None) -> str:
    if grade is None:
        return ""
    return "labelled" if grade > 0 else "judged not relevant"


def _short(text: str | None, most: int) -> str | None:
    if text is None or len(text) <= most:
        return text
    return f"{text[:most]}... ({len(text):,} characters)"
