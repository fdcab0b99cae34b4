"""BEIR folders: `corpus.jsonl`, `queries.jsonl`, `qrels/<split>.tsv`, in and out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workbench.data import sets
from workbench.data.check import (
    Problems,
    existing_file,
    grade_of,
    id_problem,
    lines_of,
    nearest,
    objects_of,
    text_problem,
)
from workbench.data.duplicates import exact_duplicates
from workbench.errors import BadArgument
from workbench.files import atomic_folder
from workbench.types import Collection

QRELS = ("query-id", "corpus-id", "score")
_mend = "Mend these lines, or leave them out, and read again."


@dataclass(kw_only=True)
class _Side:
    """One of the two JSON Lines files, as far as it could be read."""

    path: Path
    ids: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    lines: dict[str, int] = field(default_factory=dict)
    empty: list[str] = field(default_factory=list)
    metadata: set[str] = field(default_factory=set)


def read_beir(
    folder: str | Path,
    *,
    split: str = "test",
    qrels: str | Path | None = None,
    name: str | None = None,
    source_field: str | None = None,
) -> Collection:
    """Read a BEIR folder: the queries judged in one split, and the whole corpus.

    A document's text is its title, a space and its text. An empty *document* is kept (judged sets
    hold some, and leaving it out would change every recall) and listed in `recipe["empty_docs"]`;
    an empty *query* is a problem, because nothing can be searched with it.

    Args:
        folder: holds `corpus.jsonl`, `queries.jsonl` and `qrels/`.
        split: which `qrels/<split>.tsv`.
        qrels: a file of judgments to read instead, e.g. one with positives hidden on purpose.
        name: of the collection; the folder's name by default.
        source_field: key of `metadata` that says where a row comes from; without it every row's
            source is the collection's name.

    Returns:
        A collection whose groups are the exact duplicates.

    Raises:
        BadArgument: no such folder, file, split or metadata key.
        BadData: everything wrong inside, with file and line.

    Source: Thakur et al., 2021 (the layout).
    """
    root = Path(folder)
    if not root.is_dir():
        raise BadArgument("folder", str(folder), "there is no such folder", "Check the spelling.")
    sides = [
        _Side(path=existing_file("folder", root / file, "A BEIR folder holds it."))
        for file in ("queries.jsonl", "corpus.jsonl")
    ]
    judged = _qrels_file(root, split, qrels)
    label = root.resolve().name if name is None else name
    problems = Problems(str(folder), _mend)
    for side, blank in zip(sides, (False, True), strict=True):
        _read_side(side, problems, source_field=source_field, blank=blank)
    cells = _read_qrels(judged, problems, *sides)
    if not cells and not problems.found:
        problems.add(judged.name, "it holds no judgment")
    problems.done()
    if source_field is not None and not any(source_field in side.metadata for side in sides):
        keys = sorted(sides[0].metadata | sides[1].metadata)
        raise BadArgument(
            "source_field", source_field, "it must be a key of `metadata`", nearest("", keys) + "."
        )
    return _assembled(sides, cells, label, {"read_beir": {"split": split, "qrels": judged.name}})


def write_beir(collection: Collection, folder: str | Path, *, split: str = "test") -> Path:
    """Write a collection as a new BEIR folder, atomically.

    Each row's source goes to `metadata["source"]`. Near-duplicate groups have no place in the
    format; `Collection.save` keeps them.

    Args:
        collection: any.
        folder: must not exist yet, or be empty.
        split: the qrels file is `qrels/<split>.tsv`.

    Raises:
        BadArgument: the folder holds something.
    """
    target = Path(folder)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise BadArgument("folder", str(folder), "it must be new or empty", "Name another folder.")
    with atomic_folder(target) as temporary:
        for file, side in (
            ("queries.jsonl", collection.queries),
            ("corpus.jsonl", collection.corpus),
        ):
            with (temporary / file).open("w", encoding="utf-8", newline="\n") as out:
                for row in side:
                    shown: dict[str, object] = {"_id": row["id"], "text": row["text"]}
                    if file == "corpus.jsonl":
                        shown["title"] = ""
                    shown["metadata"] = {"source": row["source"]}
                    out.write(json.dumps(shown, ensure_ascii=False) + "\n")
        (temporary / "qrels").mkdir()
        matrix = collection.qrels.tocoo()
        places = zip(*matrix.coords, matrix.data, strict=True)
        with (temporary / "qrels" / f"{split}.tsv").open(
            "w", encoding="utf-8", newline="\n"
        ) as out:
            out.write("\t".join(QRELS) + "\n")
            for query, doc, grade in places:
                shown_ids = f"{collection.query_ids[query]}\t{collection.doc_ids[doc]}"
                out.write(f"{shown_ids}\t{float(grade):.9g}\n")
    return target


def _qrels_file(root: Path, split: str, qrels: str | Path | None) -> Path:
    if qrels is not None:
        return existing_file("qrels", qrels, "Give the path of a .tsv file of judgments.")
    path = root / "qrels" / f"{split}.tsv"
    if not path.is_file():
        present = sorted(found.stem for found in (root / "qrels").glob("*.tsv"))
        shown = ", ".join(present) or "none"
        raise BadArgument("split", split, f"the splits there are: {shown}", "Choose one of them.")
    return path


def _read_side(side: _Side, problems: Problems, *, source_field: str | None, blank: bool) -> None:
    kinds: dict[type, int] = {}
    for number, row in objects_of(side.path, problems):
        where = f"{side.path.name} line {number}"
        if "_id" not in row:
            problems.add(where, f"`_id` is missing: {nearest('_id', list(row))}")
            continue
        if bad := id_problem(row["_id"], "_id"):
            problems.add(where, bad)
            continue
        if kinds.setdefault(type(row["_id"]), number) == number and len(kinds) > 1:
            problems.add(where, f"mixed types: `_id` {row['_id']!r} is another type than before")
        label = str(row["_id"])
        if label in side.lines:
            seen = side.lines[label]
            problems.add(where, f"`_id` {label!r} stands more than once (first on line {seen})")
            continue
        side.lines[label] = number
        text = _text_of(row, where, problems, blank=blank)
        if not text:
            side.empty.append(label)
        side.ids.append(label)
        side.texts.append(text)
        side.sources.append(_source_of(row, side, where, problems, source_field))
    if any(side.sources):  # some rows have it, so all must
        for label, source in zip(side.ids, side.sources, strict=True):
            if not source:
                where = f"{side.path.name} line {side.lines[label]}"
                problems.add(where, f"metadata has no {source_field!r}")


def _text_of(row: dict[str, Any], where: str, problems: Problems, *, blank: bool) -> str:
    if "text" not in row:
        problems.add(where, f"`text` is missing: {nearest('text', list(row))}")
        return ""
    title = row.get("title") or ""
    for value, key, allowed in ((title, "title", True), (row["text"], "text", blank)):
        if bad := text_problem(value, key, blank=allowed):
            problems.add(where, bad)
            return ""
    return f"{title} {row['text']}".strip()


def _source_of(
    row: dict[str, Any], side: _Side, where: str, problems: Problems, source_field: str | None
) -> str | None:
    metadata = row.get("metadata")
    if source_field is None:
        return None
    if not isinstance(metadata, dict):
        return None
    side.metadata.update(metadata)
    value = metadata.get(source_field)
    if value is None:
        return None
    if bad := text_problem(value, f"metadata.{source_field}"):
        problems.add(where, bad)
    return str(value)


def judgment_lines(path: Path, problems: Problems) -> Iterator[tuple[str, str, str, str]]:
    """(place, query id, document id, score) of every line of a qrels table, the header checked.

    Args:
        path: a tsv file with a header: query-id, corpus-id, score.
        problems: where a missing header and short lines are noted.
    """
    order: list[int] = []
    for number, line in lines_of(path, problems):
        where = f"{path.name} line {number}"
        values = [value.strip() for value in line.split("\t")]
        if not order:
            missing = [column for column in QRELS if column not in values]
            if missing:
                wanted = "the header must be query-id, corpus-id, score, with tabs between"
                problems.add(where, f"{wanted}: no {missing[0]!r}, {nearest(missing[0], values)}")
                return
            order = [values.index(column) for column in QRELS]
        elif len(values) > max(order):
            query, doc, score = (values[place] for place in order)
            yield where, query, doc, score
        elif line.strip():
            problems.add(where, f"{len(values)} columns; the header has {max(order) + 1}")
    if not order and not problems.found:
        told = "it is empty; not even the header query-id, corpus-id, score is there"
        problems.add(path.name, told)


def _read_qrels(
    path: Path, problems: Problems, queries: _Side, corpus: _Side
) -> dict[tuple[str, str], float]:
    cells: dict[tuple[str, str], float] = {}
    for where, query, doc, score in judgment_lines(path, problems):
        _read_judgment(cells, (query, doc), score, where, problems)
        for label, side, column in ((query, queries, "query-id"), (doc, corpus, "corpus-id")):
            if label not in side.lines:
                problems.add(where, f"{column} {label!r} is not in {side.path.name}")
    return cells


def _read_judgment(
    cells: dict[tuple[str, str], float],
    pair: tuple[str, str],
    score: str,
    where: str,
    problems: Problems,
) -> None:
    grade = grade_of(score)
    if isinstance(grade, str):
        problems.add(where, grade)
    elif cells.setdefault(pair, grade) != grade:
        problems.add(where, f"{pair[0]!r} and {pair[1]!r} were already judged {cells[pair]:g}")


def _assembled(
    sides: list[_Side], cells: dict[tuple[str, str], float], name: str, recipe: dict[str, Any]
) -> Collection:
    queries, corpus = sides
    judged = {query for query, _ in cells}
    kept = [place for place, label in enumerate(queries.ids) if label in judged]
    query_ids = [queries.ids[place] for place in kept]
    query_texts = [queries.texts[place] for place in kept]
    query_place = {label: place for place, label in enumerate(query_ids)}
    doc_place = {label: place for place, label in enumerate(corpus.ids)}
    numbered = {(query_place[q], doc_place[d]): grade for (q, d), grade in cells.items()}
    return Collection(
        name=name,
        queries=sets.table(query_ids, query_texts, [queries.sources[p] or name for p in kept]),
        corpus=sets.table(corpus.ids, corpus.texts, [source or name for source in corpus.sources]),
        qrels=sets.grades(numbered, (len(query_ids), len(corpus.ids))),
        query_groups=exact_duplicates(query_texts),
        doc_groups=exact_duplicates(corpus.texts),
        recipe={**recipe, "empty_docs": corpus.empty},
    )
