"""Verdicts in the formats that other tools read: Parquet, TREC qrels, BEIR's tsv.

Parquet keeps every row. The two formats of qrels hold one grade per pair, 1 for positive and 0 for
negative: of each judge the newest label counts, unsure and skip are left out, and judges who
disagree must first be brought to a consensus.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from workbench.data.beir import QRELS, judgment_lines
from workbench.data.check import Problems, existing_file, grade_of, id_problem, lines_of, nearest
from workbench.errors import BadArgument, BadData
from workbench.files import atomic_file
from workbench.types import LABELS, Verdicts, check_verdicts

_columns = ("query_id", "doc_id", "label", "judge")
_mend = "Mend these lines, or leave them out, and read again."


def to_parquet(path: str | Path, verdicts: Verdicts) -> Path:
    """Write every row, in order, as four text columns: query_id, doc_id, label, judge.

    Args:
        path: of the file; one that is there is replaced at once.
        verdicts: any.

    Raises:
        BadArgument: the path is a folder, or these are no verdicts.

    Example:
        >>> import tempfile
        >>> said = Verdicts.of([("q", "d", "unsure")], judge="me")
        >>> from_parquet(to_parquet(f"{tempfile.mkdtemp()}/said.parquet", said)).newest()
        {('q', 'd'): 'unsure'}
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = _writable(path, verdicts)
    values = (verdicts.query_ids, verdicts.doc_ids, verdicts.labels, verdicts.judges)
    table = {
        name: pa.array(column.tolist(), type=pa.large_string())
        for name, column in zip(_columns, values, strict=True)
    }
    with atomic_file(target) as temporary:
        pq.write_table(pa.table(table), temporary)
    return target


def from_parquet(path: str | Path) -> Verdicts:
    """Read what `to_parquet` wrote, or any file with its four columns.

    Raises:
        BadArgument: no such file.
        BadData: it is no Parquet file, a column is missing or holds no text, an unknown label.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = existing_file("path", path, "Check the spelling.")
    try:
        table = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise BadData(str(path), [f"it is no whole Parquet file: {error}"], "Make it again.") from (
            error
        )
    problems = Problems(str(path), _mend)
    missing = [name for name in _columns if name not in table.column_names]
    for name in missing:
        problems.add("", f"no column {name!r}: {nearest(name, table.column_names)}")
    problems.done()
    for name in _columns:
        column = table.column(name)
        text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
        if not text and len(column):
            problems.add(name, f"its type is {column.type}; it must be string")
        elif column.null_count:
            problems.add(name, f"{column.null_count:,} values are missing")
    problems.done()
    query_ids, doc_ids, labels, judges = (
        np.array(table.column(name).to_pylist(), dtype=object) for name in _columns
    )
    for label in dict.fromkeys(labels.tolist()):
        if label not in LABELS:
            problems.add("label", f"{label!r} is none of {', '.join(LABELS)}")
    problems.done()
    return Verdicts(query_ids=query_ids, doc_ids=doc_ids, labels=labels, judges=judges)


def to_trec(path: str | Path, verdicts: Verdicts) -> Path:
    r"""Write TREC qrels: `query 0 document grade`, one line per judged pair.

    Args:
        path: of the file; one that is there is replaced at once.
        verdicts: of one judge, or of several who do not contradict each other.

    Raises:
        BadArgument: the path is a folder, or these are no verdicts.
        BadData: judges disagree on a pair, or an id holds white space, which parts the columns.

    Example:
        >>> import tempfile
        >>> said = Verdicts.of([("q", "d", "positive"), ("q", "e", "skip")], judge="me")
        >>> to_trec(f"{tempfile.mkdtemp()}/qrels", said).read_text()
        'q 0 d 1\n'
    """
    return _write(path, verdicts, start="", line="{} 0 {} {}\n", refuse=_trec_problem)


def from_trec(path: str | Path, *, judge: str = "qrels") -> Verdicts:
    """Read TREC qrels: a grade above 0 is positive, any other negative.

    Args:
        path: of the file.
        judge: who said it.

    Raises:
        BadArgument: no such file.
        BadData: everything wrong in it, by line.
    """
    problems = Problems(str(path), _mend)
    found: dict[tuple[str, str], float] = {}
    file = existing_file("path", path, "Check the spelling.")
    for number, line in lines_of(file, problems):
        where, values = f"{file.name} line {number}", line.split()
        if len(values) == 4:
            _enter(found, (values[0], values[2]), values[3], where, problems)
        elif values:
            problems.add(where, f"{len(values)} columns; query 0 document grade are 4")
    return _read(found, problems, judge)


def to_beir(path: str | Path, verdicts: Verdicts) -> Path:
    r"""Write BEIR's tsv: a header, then query-id, corpus-id and score with tabs between.

    Args:
        path: of the file, usually `qrels/train.tsv`; one that is there is replaced at once.
        verdicts: of one judge, or of several who do not contradict each other.

    Raises:
        BadArgument: the path is a folder, or these are no verdicts.
        BadData: judges disagree on a pair, or an id holds a tab, a line end or outer white space.

    Example:
        >>> import tempfile
        >>> said = Verdicts.of([("q", "d", "negative")], judge="me")
        >>> to_beir(f"{tempfile.mkdtemp()}/qrels/train.tsv", said).read_text()
        'query-id\tcorpus-id\tscore\nq\td\t0\n'

    Source: Thakur et al., 2021 (the layout).
    """
    start = "\t".join(QRELS) + "\n"
    return _write(path, verdicts, start=start, line="{}\t{}\t{}\n", refuse=id_problem)


def from_beir(path: str | Path, *, judge: str = "qrels") -> Verdicts:
    """Read BEIR's tsv: a score above 0 is positive, any other negative.

    Args:
        path: of the file.
        judge: who said it.

    Raises:
        BadArgument: no such file.
        BadData: everything wrong in it, by line.
    """
    problems = Problems(str(path), _mend)
    found: dict[tuple[str, str], float] = {}
    file = existing_file("path", path, "Check the spelling.")
    for where, query, doc, score in judgment_lines(file, problems):
        _enter(found, (query, doc), score, where, problems)
    return _read(found, problems, judge)


def _trec_problem(value: object, field: str) -> str | None:
    if str(value).split() != [value] or str(value).startswith("\ufeff"):
        return f"`{field}` {value!r} is empty or holds white space, which parts TREC's columns"
    return id_problem(value, field)


def _writable(path: str | Path, verdicts: Verdicts) -> Path:
    """The path, if a file can be there; refuses what are no verdicts."""
    if isinstance(path, Verdicts):
        raise BadArgument("path", path, "it must be a path", "The path comes first.")
    if Path(path).is_dir():
        raise BadArgument("path", str(path), "it is a folder", "Name a file in it.")
    check_verdicts("verdicts", verdicts)
    return Path(path)


def _write(
    path: str | Path,
    verdicts: Verdicts,
    *,
    start: str,
    line: str,
    refuse: Callable[[object, str], str | None],
) -> Path:
    target = _writable(path, verdicts)
    votes: dict[tuple[str, str], dict[str, str]] = {}
    values = (verdicts.query_ids, verdicts.doc_ids, verdicts.labels, verdicts.judges)
    for query, doc, label, judge in zip(*(column.tolist() for column in values), strict=True):
        votes.setdefault((query, doc), {})[judge] = label
    problems = Problems("verdicts", "Rename these ids, or bring the judges to a `consensus` first.")
    grades: dict[tuple[str, str], int] = {}
    for pair, labels in votes.items():
        said = {label for label in labels.values() if label in ("positive", "negative")}
        if len(said) > 1:
            shown = ", ".join(f"{judge} {label}" for judge, label in labels.items())
            problems.add(f"{pair[0]} {pair[1]}", f"judges disagree ({shown})")
        elif said:
            grades[pair] = int(said == {"positive"})
    for place, field in enumerate(("query_id", "doc_id")):
        for name in dict.fromkeys(pair[place] for pair in grades):
            if problem := refuse(name, field):
                problems.add("", problem)
    problems.done()
    with (
        atomic_file(target) as temporary,
        temporary.open("w", encoding="utf-8", newline="\n") as out,
    ):
        out.write(start)
        out.writelines(line.format(*pair, grade) for pair, grade in grades.items())
    return target


def _enter(
    found: dict[tuple[str, str], float],
    pair: tuple[str, str],
    score: str,
    where: str,
    problems: Problems,
) -> None:
    for value, field in zip(pair, ("query id", "document id"), strict=True):
        if bad := id_problem(value, field):
            problems.add(where, bad)
    grade = grade_of(score)
    if isinstance(grade, str):
        problems.add(where, grade)
    elif found.setdefault(pair, grade) != grade:
        problems.add(where, f"{pair[0]!r} and {pair[1]!r} were already judged {found[pair]:g}")


def _read(found: dict[tuple[str, str], float], problems: Problems, judge: str) -> Verdicts:
    problems.done()
    return Verdicts.of(
        [
            (query, doc, "positive" if grade > 0 else "negative")
            for (query, doc), grade in found.items()
        ],
        judge=judge,
    )
