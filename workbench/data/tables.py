"""Pairs in files (Parquet, CSV, JSON Lines) and in Hugging Face `datasets`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.data.check import LONGEST, Problems, existing_file, lines_of, objects_of
from workbench.data.rows import collected
from workbench.errors import BadArgument
from workbench.files import atomic_file
from workbench.types import Collection

if TYPE_CHECKING:
    from datasets import Dataset

_mend = "Mend these rows, or leave them out, and read again."
_formats = (".parquet", ".csv", ".tsv", ".jsonl")


def read_pairs(
    path: str | Path, *, name: str | None = None, columns: Mapping[str, str] | None = None
) -> Collection:
    """Read rows of (query, positive[, negatives, score]) from one file; see `from_rows`.

    Args:
        path: `.parquet`, `.csv` (commas), `.tsv` (tabs) or `.jsonl`; the last three in UTF-8.
            A `.csv` or `.tsv` holds negatives in `negative_1`, `negative_2`, ...
        name: of the collection; the file's name by default.
        columns: our name -> the name in the file.

    Raises:
        BadArgument: no such file, or a format we do not read.
        BadData: everything wrong inside, with file and line.
    """
    file = existing_file("path", path, "Check the spelling.")
    problems = Problems(str(path), _mend)
    suffix = _format(file)
    if suffix == ".parquet":
        numbered = _parquet_rows(file, problems)
    elif suffix == ".jsonl":
        numbered = list(objects_of(file, problems))
    else:
        numbered = _delimited_rows(file, problems)
    unit = "row" if suffix == ".parquet" else "line"
    return collected(
        [row for _, row in numbered],
        name=file.stem if name is None else name,
        columns=columns,
        where=lambda place: f"{file.name} {unit} {numbered[place][0]}",
        problems=problems,
    )


def write_pairs(collection: Collection, path: str | Path) -> Path:
    """Write one row per positive pair, with the negatives of its query beside it, atomically.

    `read_pairs` gives back queries, positives, grades and judged negatives. Not kept: documents
    nobody judged, queries without a positive, ids of documents that are nobody's positive, and
    near-duplicate groups; `Collection.save` keeps all of it.

    Args:
        collection: any.
        path: `.parquet`, `.csv`, `.tsv` or `.jsonl`; replaced if it is there.

    Raises:
        BadArgument: a format we do not write.
    """
    file = Path(path)
    suffix = _format(file)
    rows = _rows_of(collection, wide=suffix in (".csv", ".tsv"))
    with atomic_file(file) as temporary:
        if suffix == ".parquet":
            import pyarrow as pa
            import pyarrow.parquet as pq

            pq.write_table(pa.Table.from_pylist(rows), temporary)
        elif suffix == ".jsonl":
            with temporary.open("w", encoding="utf-8", newline="\n") as out:
                out.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        else:
            header = list(dict.fromkeys(key for row in rows for key in row))
            with temporary.open("w", encoding="utf-8", newline="") as out:
                writer = csv.DictWriter(out, header, delimiter=_delimiter(suffix), restval="")
                writer.writeheader()
                writer.writerows(rows)
    return file


def read_dataset(
    source: str | Path | Dataset,
    *,
    split: str = "train",
    config: str | None = None,
    name: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> Collection:
    """Read rows of (query, positive[, negatives, score]) from Hugging Face `datasets`.

    No code of the data set is ever executed.

    Args:
        source: a `Dataset`, a `DatasetDict`, a folder (saved by `save_to_disk`, or of data files),
            or a name on the hub.
        split: which part.
        config: which configuration, where there are several.
        name: of the collection.
        columns: our name -> the name in the data set, e.g. `{"query": "anchor"}`.

    Raises:
        BadArgument: it cannot be found or read, or has no such split.
        BadData: everything wrong with the rows, by row.
    """
    label = name or (str(source) if isinstance(source, str | Path) else "dataset")
    found = _opened(source, config) if isinstance(source, str | Path) else source
    if isinstance(found, Mapping):
        if split not in found:
            shown = ", ".join(found) or "none"
            raise BadArgument("split", split, f"the splits there are: {shown}", "Choose one.")
        found = found[split]
    if not hasattr(found, "column_names"):
        raise BadArgument("source", found, "it must be a Dataset, a folder or a name", "Load it.")
    return collected(
        list(found), name=label, columns=columns, where=lambda place: f"row {place + 1}"
    )


def _opened(source: str | Path, config: str | None) -> Any:
    import datasets

    folder = Path(source)
    try:
        if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
            return datasets.load_from_disk(str(folder))
        return datasets.load_dataset(str(source), config)
    # The library raises a dozen kinds, its own and its network's, for the user's one mistake.
    except Exception as error:
        wanted = f"it must be a folder, or a name on the hub ({type(error).__name__}: {error})"
        mend = "Check the spelling and, for the hub, the network."
        raise BadArgument("source", str(source), wanted, mend) from error


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _formats:
        wanted = f"it must end in one of {', '.join(_formats)}"
        raise BadArgument("path", str(path), wanted, "Convert it, or rename it.")
    return suffix


def _delimiter(suffix: str) -> str:
    return "\t" if suffix == ".tsv" else ","


def _parquet_rows(path: Path, problems: Problems) -> list[tuple[int, dict[str, Any]]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows = pq.read_table(path).to_pylist()
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        problems.add(path.name, f"not readable as Parquet, half-written? ({error})")
        problems.done()
    return list(enumerate(rows, start=1))


def _delimited_rows(path: Path, problems: Problems) -> list[tuple[int, dict[str, Any]]]:
    """Rows of a CSV file; an empty cell is a missing one."""
    rows: list[tuple[int, dict[str, Any]]] = []
    read: list[int] = []  # lines of the file that make up the row being parsed
    # The parser's own limit is process-wide and lower than ours.
    limit = csv.field_size_limit(4 * LONGEST)
    try:
        lines = _noting(lines_of(path, problems, ends=b"\n"), read)
        reader = csv.reader(lines, delimiter=_delimiter(path.suffix.lower()), strict=True)
        header = next(reader, [])
        read.clear()
        for values in reader:
            first = read[0]
            read.clear()
            where = f"{path.name} line {first}"
            if values and len(values) != len(header):
                problems.add(where, f"{len(values)} columns; the header has {len(header)}")
            elif values:
                cells = zip(header, values, strict=True)
                rows.append((first, {key: value or None for key, value in cells}))
    except csv.Error as error:
        problems.add(f"{path.name} line {read[0]}", f"not CSV ({error})")
    finally:
        csv.field_size_limit(limit)
    return rows


def _noting(lines: Iterator[tuple[int, str]], read: list[int]) -> Iterator[str]:
    for number, line in lines:
        read.append(number)
        yield line + "\n"


def _rows_of(collection: Collection, *, wide: bool) -> list[dict[str, Any]]:
    query_texts, doc_texts = collection.query_texts, collection.doc_texts
    sources = collection.queries["source"][:]
    matrix = collection.qrels
    rows = []
    for query, doc in collection.pairs.tolist():
        start, end = matrix.indptr[query], matrix.indptr[query + 1]
        judged = zip(matrix.indices[start:end], matrix.data[start:end], strict=True)
        negatives = [doc_texts[place] for place, grade in judged if grade <= 0]
        row = {
            "query_id": collection.query_ids[query],
            "query": query_texts[query],
            "positive_id": collection.doc_ids[doc],
            "positive": doc_texts[doc],
            "score": float(matrix[query, doc]),
            "source": sources[query],
        }
        if wide:
            row |= {f"negative_{rank}": text for rank, text in enumerate(negatives, start=1)}
        else:
            row["negatives"] = negatives
        rows.append(row)
    return rows
