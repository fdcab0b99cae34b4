"""What a judge is asked, what it answers, and how an answer becomes a label or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from workbench.errors import BadArgument, BadData, check_count, check_number
from workbench.types import Collection, Ids, Ints, Verdicts

if TYPE_CHECKING:
    from datasets import Dataset

_mend = "Give (n, 2) whole positions, or a list of (query id, document id)."


@dataclass(frozen=True, kw_only=True)
class Question:
    """One pair of texts to be judged: does this document answer this query?

    Args:
        query_id: of the query in its collection.
        doc_id: of the candidate.
        query: its text.
        doc: the candidate's text.
        positives: texts already labelled as answers of the query, for a judge that can compare.

    Raises:
        BadArgument: an id or a text that is no string.

    Example:
        >>> Question(query_id="q", doc_id="d", query="add two", doc="a + b").pair
        ('q', 'd')
    """

    query_id: str
    doc_id: str
    query: str
    doc: str
    positives: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("query_id", "doc_id", "query", "doc"):
            _check_string(name, getattr(self, name))
        positives: object = self.positives
        if not isinstance(positives, tuple):
            wanted = "it must be a tuple of texts"
            raise BadArgument("positives", positives, wanted, "Write (text,).")
        for text in positives:
            _check_string("positives", text)

    @property
    def pair(self) -> tuple[str, str]:
        """(query id, document id)."""
        return self.query_id, self.doc_id


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What one judge says of one pair.

    Args:
        query_id: of the query.
        doc_id: of the candidate.
        label: true = it answers the query, false = it does not, None = unresolved, which never
            becomes a label.
        score: the judge's own measure, higher = more of a positive; None where it has none.
        judge: who says so.
        note: why, in a few words.

    Raises:
        BadArgument: a label that is not True, False or None, a score that is not finite, or no
            judge.

    Example:
        >>> Opinion(query_id="q", doc_id="d", label=None, judge="me", note="not looked at").label
    """

    query_id: str
    doc_id: str
    label: bool | None
    score: float | None = None
    judge: str
    note: str = ""

    def __post_init__(self) -> None:
        for name in ("query_id", "doc_id", "note"):
            _check_string(name, getattr(self, name))
        check_name(self.judge, argument="judge")
        label: object = self.label
        if not (label is None or isinstance(label, bool)):
            wanted = "it must be True, False or None"
            raise BadArgument("label", label, wanted, "None = unresolved.")
        if self.score is not None:
            check_number("score", self.score, mend="None = no score.")


@runtime_checkable
class Judge(Protocol):
    """Anything that answers questions: a person's record, a rule, a cross-encoder, an LLM."""

    @property
    def name(self) -> str:
        """Who it is, as verdicts will say."""
        ...

    def __call__(self, questions: Sequence[Question]) -> list[Opinion]:
        """One opinion per question, in their order."""
        ...


def _check_string(argument: str, value: object) -> None:
    if not isinstance(value, str):
        raise BadArgument(argument, value, "it must be a string", "Write it in quotes.")


def check_name(name: object, *, argument: str = "name") -> None:
    """Refuse a judge without a name.

    Raises:
        BadArgument: it is no string, or empty.
    """
    if not isinstance(name, str) or not name.strip():
        raise BadArgument(argument, name, "it must be a word", "Say who judges: 'guide', say.")


def check_questions(asked: object) -> None:
    """Refuse anything but a list of questions.

    Raises:
        BadArgument: what it is instead.
    """
    if isinstance(asked, str) or not isinstance(asked, Sequence):
        raise BadArgument("questions", asked, "it must be a list of Question", "Call questions().")
    for one in asked:
        if not isinstance(one, Question):
            raise BadArgument("questions", one, "each must be a Question", "Call questions().")


def check_opinions(said: object) -> None:
    """Refuse anything but a list of opinions.

    Raises:
        BadArgument: what it is instead.
    """
    if isinstance(said, str) or not isinstance(said, Sequence):
        raise BadArgument("opinions", said, "it must be a list of Opinion", "Call a judge.")
    for one in said:
        if not isinstance(one, Opinion):
            raise BadArgument("opinions", one, "each must be an Opinion", "Call a judge.")


def questions(
    collection: Collection,
    pairs: NDArray[Any] | Sequence[Sequence[str]],
    *,
    most_positives: int = 3,
) -> list[Question]:
    """The texts of some pairs, with what is already labelled as an answer of each query.

    Args:
        collection: where texts and labelled positives stand.
        pairs: (n, 2) positions (query, document), or a list of (query id, document id).
        most_positives: labelled positives shown with each question, 0..5 usual; the candidate
            itself and texts equal to it are never among them.

    Returns:
        One question per pair, in their order.

    Raises:
        BadArgument: pairs of another shape, a position out of range, an unknown id.
        BadData: ids that stand twice in the collection, when pairs are given by ids.

    Example:
        >>> from workbench.data import from_rows
        >>> rows = [{"query": "add", "positive": "a + b"}, {"query": "sub", "positive": "a - b"}]
        >>> one = questions(from_rows(rows, name="demo"), np.array([[0, 1]]))[0]
        >>> one.query, one.doc, one.positives
        ('add', 'a - b', ('a + b',))

    Breaks when: the labelled positives are themselves wrong; a judge then compares with them.
    """
    check_count("most_positives", most_positives, at_least=0, mend="Try 3.")
    places = _places(collection, pairs)
    shown = _labelled(collection, places, most_positives)
    queries = _texts(collection.queries, places[:, 0])
    docs = _texts(collection.corpus, np.concatenate([places[:, 1], *shown]))
    made = []
    for (query, doc), others in zip(places.tolist(), shown, strict=True):
        texts = dict.fromkeys(docs[other] for other in others.tolist())
        texts.pop(docs[doc], None)
        made.append(
            Question(
                query_id=collection.query_ids[query],
                doc_id=collection.doc_ids[doc],
                query=queries[query],
                doc=docs[doc],
                positives=tuple(texts)[:most_positives],
            )
        )
    return made


def _places(collection: Collection, pairs: Any) -> Ints:
    """(n, 2) positions of pairs given as positions or ids."""
    counts = (len(collection.query_ids), len(collection.doc_ids))
    if isinstance(pairs, np.ndarray) and np.issubdtype(pairs.dtype, np.integer):
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise BadArgument("pairs", pairs.shape, "its shape must be (n, 2)", _mend)
        for side, count in enumerate(counts):
            bad = pairs[(pairs[:, side] < 0) | (pairs[:, side] >= count)]
            if len(bad):
                wanted = f"the {('query', 'document')[side]} must be in 0..{count - 1}"
                raise BadArgument("pairs", bad[0].tolist(), wanted, _mend)
        return pairs.astype(np.int64)
    rows = pairs.tolist() if isinstance(pairs, np.ndarray) else pairs
    if isinstance(rows, str) or not isinstance(rows, Sequence):
        raise BadArgument("pairs", type(rows).__name__, "it must be a list of pairs", _mend)
    for row in rows:
        whole = isinstance(row, tuple | list) and len(row) == 2
        if not whole or not all(isinstance(part, str) for part in row):
            raise BadArgument("pairs", row, "each must be (query id, document id)", _mend)
    sides = [_by_id(collection.query_ids, "queries"), _by_id(collection.doc_ids, "corpus")]
    try:
        found = [[sides[0][row[0]], sides[1][row[1]]] for row in rows]
    except KeyError as error:
        wanted = f"the collection {collection.name!r} has no such id"
        raise BadArgument(
            "pairs", error.args[0], wanted, "Pass the collection of these ids."
        ) from None
    return np.array(found, dtype=np.int64).reshape(-1, 2)


def _by_id(ids: Ids, what: str) -> dict[str, int]:
    places = {name: place for place, name in enumerate(ids.tolist())}
    if len(places) < len(ids):
        values, counts = np.unique(ids.astype(str), return_counts=True)
        twice = [f"id {name!r} stands twice" for name in values[counts > 1].tolist()]
        raise BadData(what, twice, "Pass positions, or give each row an id of its own.")
    return places


def _labelled(collection: Collection, places: Ints, most: int) -> list[Ints]:
    """Positions of a few positives of every pair's query, spare ones for texts left out."""
    pairs = collection.pairs
    first = np.searchsorted(pairs[:, 0], places[:, 0], side="left")
    last = np.searchsorted(pairs[:, 0], places[:, 0], side="right")
    if not most:
        last = first
    last = np.minimum(last, first + 4 * most + 1)
    return [pairs[start:end, 1] for start, end in zip(first.tolist(), last.tolist(), strict=True)]


def _texts(table: Dataset, places: Ints) -> dict[int, str]:
    """Position -> text, of these rows only."""
    rows = np.unique(places)
    if not len(rows):
        return {}
    return dict(zip(rows.tolist(), table.select(rows)["text"][:], strict=True))


def to_verdicts(opinions: Sequence[Opinion]) -> Verdicts:
    """Labels of what was resolved; an unresolved opinion becomes none.

        True -> "positive",  False -> "negative",  None -> no row

    Args:
        opinions: of any judges, oldest first.

    Returns:
        One verdict per opinion with a label, in their order.

    Raises:
        BadArgument: something that is no Opinion.

    Example:
        >>> said = [Opinion(query_id="q", doc_id=doc, label=label, judge="guide")
        ...         for doc, label in (("d1", True), ("d2", None), ("d3", False))]
        >>> to_verdicts(said).newest()
        {('q', 'd1'): 'positive', ('q', 'd3'): 'negative'}
    """
    check_opinions(opinions)
    kept = [one for one in opinions if one.label is not None]

    def column(values: list[str]) -> Ids:
        return np.array(values, dtype=object)

    return Verdicts(
        query_ids=column([one.query_id for one in kept]),
        doc_ids=column([one.doc_id for one in kept]),
        labels=column(["positive" if one.label else "negative" for one in kept]),
        judges=column([one.judge for one in kept]),
    )
