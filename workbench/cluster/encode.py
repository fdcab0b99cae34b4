"""Encoding texts on a cluster: shards of Parquet rows in, one memory map of vectors out."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench import files
from workbench.cluster.connect import Job, run_shards, shared, write_array
from workbench.encode import Encoder
from workbench.encode.tokens import check_texts
from workbench.errors import BadArgument, BadData, check_choice, check_count
from workbench.types import Collection, Floats, Ids, Vectors

if TYPE_CHECKING:
    from distributed import Client

TEXTS = 4096
"""Texts per task: as many as an `Encoder` with a cache encodes at once."""


def encode(
    encoder: Encoder,
    texts: Sequence[str] | Path,
    *,
    client: Client,
    folder: str | Path,
    side: str = "doc",
    ids: Sequence[str] | Ids | None = None,
    shard: int = TEXTS,
) -> Vectors:
    """Encode texts on a cluster, as `Encoder.encode` does in one process.

    The workers load the encoder from the folder, onto the same kind of device as it has here, and
    refuse to work if what they loaded is not the same encoder. The vectors differ from those of
    one process in the last bits at most, where batches were padded differently.

    Args:
        encoder: saved into the folder once.
        texts: a list, or the path of a Parquet file, or of a folder of them, with columns "id" and
            "text"; those are never read here as a whole.
        client: from `connect`.
        folder: that this process and all workers see under one name. Vectors stay there, to be
            found by the next call for the same texts and encoder; the rest may be deleted.
        side: "query" or "doc": which prompt goes before each text.
        ids: one per text of a list; None numbers them from "0".
        shard: texts per task, 1,000 to 100,000.

    Returns:
        Vectors in the order of the texts, files in the order of their names; a memory map.

    Raises:
        BadArgument: no texts, ids of another length, a client or folder that does not serve, before
            any work; a text that cannot be encoded.
        BadData: Parquet files without these columns or without rows, an id that is missing or comes
            twice; workers that load another encoder.

    Example:
        >>> import tempfile
        >>> from distributed import Client
        >>> from workbench.encode import scratch
        >>> encoder = scratch(["def add(a, b)"], vocab_size=50, dim=8)
        >>> with Client(processes=False, dashboard_address=":0") as client:  # or connect()
        ...     found = encode(encoder, ["add", "b"], client=client, folder=tempfile.mkdtemp())
        >>> found.values.shape
        (2, 8)

    Breaks when: equal texts stand in different tasks of a file: each is encoded, and their vectors
    may differ in the last bit.
    """
    check_choice("side", side, ("query", "doc"))
    check_count("shard", shard, mend=f"Try {TEXTS}.")
    if isinstance(texts, Path):
        if ids is not None:
            raise BadArgument("ids", ids, 'files bring theirs in column "id"', "Leave them out.")
        paths = _parquet(texts)
        names = _ids_in(paths)
        root = shared(client, folder)
        values = _vectors_of(encoder, paths, side, client=client, root=root, shard=shard)
    else:
        listed = check_texts(texts)
        names = _named(len(listed), ids)
        root = shared(client, folder)
        unique = list(dict.fromkeys(listed))
        path = root / "texts" / f"{files.fingerprint(unique)}.parquet"
        _write_texts(path, unique, rows=shard)
        values = _vectors_of(encoder, [path], side, client=client, root=root, shard=shard)
        if len(unique) < len(listed):
            place = {text: position for position, text in enumerate(unique)}
            values = values[[place[text] for text in listed]]
    return Vectors(
        values=values,
        ids=names,
        encoder=encoder.fingerprint(side),
        prompt=encoder.prompts[side],
        age=encoder.age,
    )


def encode_collection(
    encoder: Encoder, collection: Collection, *, client: Client, folder: str | Path
) -> tuple[Vectors, Vectors]:
    """Vectors of all queries and of all documents, as `workbench.encode.encode_collection` gives.

    Args:
        encoder: with its prompts for either side.
        collection: any.
        client: from `connect`.
        folder: see `encode`.

    Returns:
        (query vectors, document vectors).

    Raises:
        BadArgument: a client or folder that does not serve.
    """
    queries = encode(
        encoder,
        collection.query_texts,
        side="query",
        ids=collection.query_ids,
        client=client,
        folder=folder,
    )
    docs = encode(
        encoder,
        collection.doc_texts,
        side="doc",
        ids=collection.doc_ids,
        client=client,
        folder=folder,
    )
    return queries, docs


def _named(count: int, ids: Sequence[str] | Ids | None) -> Ids:
    names = np.array([str(n) for n in range(count)] if ids is None else ids, dtype=object)
    if len(names) != count:
        wanted = f"there are {count:,} texts"
        raise BadArgument("ids", f"{len(names):,} ids", wanted, "Give one id per text.")
    return names


def _parquet(source: Path) -> list[Path]:
    """The Parquet files at a path, by name.

    Raises:
        BadArgument: there are none.
        BadData: one lacks a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    found = sorted(source.glob("*.parquet")) if source.is_dir() else [source]
    if not found or not found[0].is_file():
        wanted = "there is no Parquet file"
        raise BadArgument("texts", str(source), wanted, "Name a file, or a folder of *.parquet.")
    problems = []
    for path in found:
        try:
            names = pq.read_schema(path).names
        except (pa.ArrowInvalid, OSError) as error:
            problems.append(f"{path.name}: {error}")
            continue
        lacking = [name for name in ("id", "text") if name not in names]
        problems += [f"{path.name}: no column {name!r}" for name in lacking]
    if problems:
        raise BadData(str(source), problems, "Write id and text of every document.")
    return found


def _ids_in(paths: list[Path]) -> Ids:
    """One id per row of the files.

    Raises:
        BadData: no rows, a row without an id, an id twice.
    """
    import pyarrow.parquet as pq

    names: list[str] = []
    seen: set[str] = set()
    problems = []
    for path in paths:
        for place, name in enumerate(pq.read_table(path, columns=["id"]).column("id").to_pylist()):
            if name is None:
                problems.append(f"{path.name}: row {place} has no id")
            elif str(name) in seen:
                problems.append(f"{path.name}: row {place} has id {str(name)!r} again")
            seen.add(str(name))
            names.append(str(name))
    if not names:
        problems.append(f"{', '.join(path.name for path in paths[:5])}: no rows")
    if problems:
        raise BadData("texts", problems, "Give every row an id of its own.")
    return np.array(names, dtype=object)


def _write_texts(path: Path, texts: list[str], *, rows: int) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if path.exists():
        return
    numbers = [str(number) for number in range(len(texts))]
    with files.atomic_file(path) as temporary:
        table = pa.table({"id": numbers, "text": pa.array(texts, type=pa.large_string())})
        pq.write_table(table, temporary, row_group_size=rows)


def _content(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()


def _vectors_of(
    encoder: Encoder, paths: list[Path], side: str, *, client: Client, root: Path, shard: int
) -> Floats:
    """(text, dim) vectors of all rows of the files, a memory map in the folder."""
    import pyarrow.parquet as pq

    expected = encoder.fingerprint(side)
    mark = files.fingerprint(expected, [_content(path) for path in paths], shard)
    target, parts = root / "vectors" / f"{mark}.npy", root / "parts" / mark
    if not target.exists():
        sides = [encoder.fingerprint(one) for one in ("query", "doc")]
        home = root / "encoders" / files.fingerprint(sides)
        if not home.exists():
            encoder.save(home)
        kind = type(getattr(encoder.body, "model", encoder.body))
        remote = kind.__module__.startswith("transformers_modules")  # it runs here already
        loaded = (str(home), encoder.device.type, remote, side, expected)
        jobs: dict[Path, Job] = {}
        for path in paths:
            count = pq.read_metadata(path).num_rows
            for start in range(0, count, shard):
                rows = (str(path), start, min(start + shard, count))
                jobs[parts / f"{len(jobs):08d}.npy"] = (loaded, rows)
        run_shards(client, encode_shard, jobs, label="encode")
        _joined(list(jobs), target)
        shutil.rmtree(parts, ignore_errors=True)
    values: Floats = np.load(target, mmap_mode="r", allow_pickle=False)
    return values


def _joined(parts: list[Path], target: Path) -> None:
    """One array file out of many, never held in memory."""
    arrays = [np.load(part, mmap_mode="r", allow_pickle=False) for part in parts]
    shape = (sum(map(len, arrays)), arrays[0].shape[1])
    with files.atomic_file(target) as temporary:
        whole = np.lib.format.open_memmap(temporary, mode="w+", dtype=np.float32, shape=shape)
        start = 0
        for array in arrays:
            whole[start : start + len(array)] = array
            start += len(array)
        whole.flush()


# -- on a worker ---------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _loaded(home: str, device: str, remote: bool) -> Encoder:  # noqa: FBT001
    """The encoder of a folder, whose name changes with its weights."""
    return Encoder.load(home, device=device, trust_remote_code=remote)


def encode_shard(
    loaded: tuple[str, str, bool, str, str], rows: tuple[str, int, int], target: str
) -> None:
    """Encode some rows of a Parquet file into an array file; nothing where it exists.

    Args:
        loaded: the encoder's folder, device, whether it brings code; side, expected fingerprint.
        rows: file, first row, end.
        target: where the vectors go.

    Raises:
        BadData: the encoder that was loaded is not the one that was saved.
    """
    home, device, remote, side, expected = loaded
    if Path(target).exists():
        return
    texts = _rows(*rows)
    vectors = _loaded(home, device, remote).encode(texts, side=side, progress=False)
    if vectors.encoder != expected:
        problem = f"a worker loads it as {vectors.encoder}, not as {expected}"
        raise BadData(home, [problem], "Install the same versions here and there.")
    write_array(Path(target), np.ascontiguousarray(vectors.values))


def _rows(path: str, start: int, stop: int) -> list[str]:
    """Texts of some rows; only the row groups that hold them are read."""
    import pyarrow.parquet as pq

    file, first, found = pq.ParquetFile(path), 0, []
    for number in range(file.num_row_groups):
        end = first + file.metadata.row_group(number).num_rows
        if first < stop and end > start:
            column: Any = file.read_row_group(number, columns=["text"]).column("text")
            within = column.slice(max(start - first, 0), min(stop, end) - max(start, first))
            found += within.to_pylist()
        first = end
    return found
