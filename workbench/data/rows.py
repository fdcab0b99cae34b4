"""Rows of (query, positive[, negatives, score]): from Python, pandas, files, Hugging Face."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data import sets
from workbench.data.check import Problems, grade_of, id_problem, kind, nearest, text_problem
from workbench.data.duplicates import exact_duplicates
from workbench.errors import BadArgument, check_choice
from workbench.files import fingerprint
from workbench.types import Collection

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = (
    "query", "positive", "negative", "negatives", "score", "query_id", "positive_id", "source",
)  # fmt: skip
_numbered = re.compile(r"negative_\d+$")
_mend = "Mend these rows, or leave them out, and read again."
Where = Callable[[int], str]
Row = Mapping[str, Any]


@dataclass(kw_only=True)
class _Found:
    """What the rows said so far, by ids."""

    problems: Problems
    query_texts: dict[str, str] = field(default_factory=dict)
    doc_texts: dict[str, str] = field(default_factory=dict)
    query_sources: dict[str, str] = field(default_factory=dict)
    doc_sources: dict[str, str] = field(default_factory=dict)
    doc_of_text: dict[str, str] = field(default_factory=dict)
    positives: dict[str, dict[str, float]] = field(default_factory=dict)
    negatives: dict[str, dict[str, str]] = field(default_factory=dict)


def from_rows(
    rows: Iterable[Any], *, name: str = "rows", columns: Mapping[str, str] | None = None
) -> Collection:
    """A collection out of rows of `query`, `positive` and, where there are any, negatives.

    Documents are told apart by their exact text (outer white space aside), queries too: the same
    query in several rows has several positives. Negatives (`negative`, `negative_1`, ..., or a
    list in `negatives`) are stored as judged not relevant (grade 0). `score` is the grade of the
    positive, > 0 and 1 by default. `query_id` and `positive_id` name the texts; without them an
    id is a hash of the text. `source` says where a row comes from.

    Args:
        rows: one mapping per row.
        name: of the collection, and the source of rows that name none.
        columns: our name -> the name in your rows, e.g. `{"query": "anchor"}`.

    Raises:
        BadArgument: `columns` maps a name that is none of ours.
        BadData: everything wrong with the rows, by row.

    Example:
        >>> rows = [{"query": "add", "positive": "a + b", "negative": "a - b"}]
        >>> from_rows(rows).frame()[["grade", "query", "doc"]].values.tolist()
        [[1.0, 'add', 'a + b'], [0.0, 'add', 'a - b']]
    """
    if isinstance(rows, str | Mapping):
        raise BadArgument("rows", rows, "it must be a list of rows", "Wrap it in [...].")
    return collected(list(rows), name=name, columns=columns, where=lambda place: f"row {place + 1}")


def from_frame(
    frame: pd.DataFrame, *, name: str = "frame", columns: Mapping[str, str] | None = None
) -> Collection:
    """`from_rows` of a pandas frame: one pair per row, the same columns.

    Raises:
        BadArgument: no frame, or `columns` maps a name that is none of ours.
        BadData: everything wrong with the rows, by their label in the frame's index.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise BadArgument("frame", frame, "it must be a pandas frame", "Use from_rows.")
    twice = [str(column) for column in frame.columns[frame.columns.duplicated()]]
    problems = Problems(name, "Rename one of them.")
    for column in twice:
        problems.add("", f"column {column!r} stands more than once")
    problems.done()
    plain = frame.astype(object).where(frame.notna(), None)
    labels = [repr(label) for label in frame.index.tolist()]
    rows = [
        {str(column): value for column, value in row.items()} for row in plain.to_dict("records")
    ]
    return collected(rows, name=name, columns=columns, where=lambda place: f"row {labels[place]}")


def collected(
    rows: Sequence[Any],
    *,
    name: str,
    columns: Mapping[str, str] | None,
    where: Where,
    problems: Problems | None = None,
) -> Collection:
    """What every reader of rows ends in: check all, then build.

    Args:
        rows: one mapping per row.
        name: of the collection.
        columns: our name -> the name in the rows.
        where: says where a row stands, for messages.
        problems: what the caller already found.
    """
    found = _Found(problems=problems or Problems(name, _mend))
    ignored = _check_columns(rows, columns or {}, found.problems)
    if ignored is not None:
        from tqdm.auto import tqdm

        ours = {theirs: ours for ours, theirs in (columns or {}).items()}
        bar = tqdm(rows, desc=f"checking {name}", unit="row", disable=None, delay=2, leave=False)
        for place, row in enumerate(bar):
            if not isinstance(row, Mapping):
                found.problems.add(where(place), f"it is {kind(row)}, not a mapping of columns")
                continue
            renamed = {ours.get(str(key), str(key)): value for key, value in row.items()}
            _read_row(renamed, where(place), found)
        _settle_negatives(found)
    if not rows and not found.problems.found:
        found.problems.add("", "there are no rows")
    found.problems.done()
    return _assembled(found, name, ignored or [])


def _check_columns(
    rows: Sequence[Any], columns: Mapping[str, str], problems: Problems
) -> list[str] | None:
    """The columns nobody reads; None where a needed one is missing."""
    for ours in columns:
        if not _numbered.match(ours):
            check_choice("columns", ours, COLUMNS)
    theirs = {theirs: ours for ours, theirs in columns.items()}
    present: dict[str, None] = {}
    for row in rows:
        if isinstance(row, Mapping):
            present.update(dict.fromkeys(str(key) for key in row))
    known = [theirs.get(key, key) for key in present]
    missing = [ours for ours in ("query", "positive") if rows and ours not in known]
    for ours in missing:
        wanted = columns.get(ours, ours)
        hint = f"no column {wanted!r}: {nearest(wanted, list(present))}"
        problems.add("", f"{hint} Pass columns={{{ours!r}: ...}} if it has another name")
    unread = [key for key in known if key not in COLUMNS and not _numbered.match(key)]
    for key in unread:
        if near := get_close_matches(key, COLUMNS, n=1, cutoff=0.85):
            problems.add("", f"column {key!r} would not be read; did you mean {near[0]!r}?")
    return None if missing else unread


def _read_row(row: Row, where: str, found: _Found) -> None:
    problems = found.problems
    before = len(problems.found)
    for key in ("query", "positive", "source"):
        if (key != "source" or row.get(key) is not None) and (
            bad := text_problem(row.get(key), key)
        ):
            problems.add(where, bad)
    for key in ("query_id", "positive_id"):
        if row.get(key) is not None and (bad := id_problem(row[key], key)):
            problems.add(where, bad)
    grade = grade_of(1.0 if row.get("score") is None else row["score"])
    if isinstance(grade, str):
        problems.add(where, grade)
    elif grade <= 0:
        problems.add(where, f"score is {grade:g}; a positive's must be > 0 (or is it a negative?)")
    negatives = _negatives(row, where, problems)
    if len(problems.found) == before and isinstance(grade, float):
        _note(row, grade, negatives, where, found)


def _note(row: Row, grade: float, negatives: list[str], where: str, found: _Found) -> None:
    """Enter a row that is sound in itself; it may still contradict an earlier one."""
    query, positive = row["query"].strip(), row["positive"].strip()
    query_id = str(row["query_id"]) if row.get("query_id") is not None else _hashed("q", query)
    if row.get("positive_id") is not None:
        doc_id = str(row["positive_id"])
        found.doc_of_text.setdefault(positive, doc_id)
    else:
        doc_id = found.doc_of_text.get(positive, _hashed("d", positive))
    for label, text, texts in (
        (query_id, query, found.query_texts),
        (doc_id, positive, found.doc_texts),
    ):
        if texts.setdefault(label, text) != text:
            found.problems.add(where, f"id {label!r} already stands for another text")
    if row.get("source") is not None:
        found.query_sources.setdefault(query_id, row["source"])
        found.doc_sources.setdefault(doc_id, row["source"])
    known = found.positives.setdefault(query_id, {}).setdefault(doc_id, grade)
    if known != grade:
        found.problems.add(where, f"this pair already has score {known:g}")
    mine = found.negatives.setdefault(query_id, {})
    for text in negatives:
        mine.setdefault(text, where)


def _hashed(side: str, text: str) -> str:
    return f"{side}-{fingerprint(text)}"


def _negatives(row: Row, where: str, problems: Problems) -> list[str]:
    """Every negative text of one row."""
    texts = []
    for key, value in row.items():
        if value is None or (isinstance(value, float) and value != value):
            continue
        if key == "negatives":
            if not isinstance(value, list | tuple | np.ndarray):
                problems.add(where, f"`negatives` is {kind(value)}; it must be a list of strings")
                continue
            members = [(f"negatives[{place}]", text) for place, text in enumerate(value)]
        elif key == "negative" or _numbered.match(key):
            members = [(key, value)]
        else:
            continue
        for label, text in members:
            if bad := text_problem(text, label):
                problems.add(where, bad)
            else:
                texts.append(text.strip())
    return texts


def _settle_negatives(found: _Found) -> None:
    """Give every negative its document, once all positives are known."""
    for query_id, negatives in found.negatives.items():
        positives = {found.doc_texts[label] for label in found.positives[query_id]}
        for text, where in negatives.items():
            doc_id = found.doc_of_text.get(text, _hashed("d", text))
            if text in positives:
                problem = f"negative {text[:60]!r} is also a positive of the same query"
                found.problems.add(where, problem)
            elif found.doc_texts.setdefault(doc_id, text) != text:
                found.problems.add(where, f"id {doc_id!r} already stands for another text")


def _assembled(found: _Found, name: str, ignored: list[str]) -> Collection:
    """Number the documents query by query, positives first: writing and reading keep the order."""
    docs: dict[str, int] = {}
    cells: dict[tuple[int, int], float] = {}
    for place, (query_id, positives) in enumerate(found.positives.items()):
        for doc_id, grade in positives.items():
            cells[place, docs.setdefault(doc_id, len(docs))] = grade
        for text in found.negatives[query_id]:
            doc_id = found.doc_of_text.get(text, _hashed("d", text))
            cells[place, docs.setdefault(doc_id, len(docs))] = 0.0
    query_texts = [found.query_texts[label] for label in found.positives]
    doc_texts = [found.doc_texts[label] for label in docs]
    query_sources = [found.query_sources.get(label, name) for label in found.positives]
    doc_sources = [found.doc_sources.get(label, name) for label in docs]
    return Collection(
        name=name,
        queries=sets.table(list(found.positives), query_texts, query_sources),
        corpus=sets.table(list(docs), doc_texts, doc_sources),
        qrels=sets.grades(cells, (len(query_texts), len(docs))),
        query_groups=exact_duplicates(query_texts),
        doc_groups=exact_duplicates(doc_texts),
        recipe={"columns_not_read": ignored} if ignored else {},
    )
