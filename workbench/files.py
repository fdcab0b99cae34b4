"""Writing that survives `kill -9`, reading that notices half-written files, and fingerprints.

Everything the workbench keeps is a folder: Parquet for tables, `.npy` for arrays, JSON for the
recipe. Never pickle.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from workbench.errors import BadArgument, BadData

Record = TypeVar("Record")
RECIPE = "recipe.json"


def fingerprint(*parts: object) -> str:
    """A 16-digit hash of values, arrays and nested lists; equal content, equal fingerprint.

    Example:
        >>> fingerprint("a", 1) == fingerprint("a", 1), fingerprint("a", 1) == fingerprint("a1")
        (True, False)
    """
    digest = hashlib.blake2b(digest_size=8)

    def add(part: object) -> None:
        if isinstance(part, np.ndarray):
            if part.dtype == object:
                add([str(item) for item in part])
            else:
                digest.update(f"array {part.dtype.str} {part.shape} ".encode())
                digest.update(np.ascontiguousarray(part).data)
        elif isinstance(part, bytes):
            digest.update(b"bytes %d " % len(part))
            digest.update(part)
        elif isinstance(part, list | tuple):
            digest.update(b"list %d " % len(part))
            for item in part:
                add(item)
        elif isinstance(part, dict):
            add([[str(key), part[key]] for key in sorted(part, key=str)])
        else:
            text = f"{type(part).__name__} {part}".encode("utf-8", "surrogatepass")
            digest.update(b"%d " % len(text))
            digest.update(text)

    add(parts)
    return digest.hexdigest()


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary name beside `path`; on success it takes the place of `path` at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    temporary.chmod(0o644)
    try:
        yield temporary
        with temporary.open("rb") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield a temporary folder; on success it becomes `path`, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    try:
        yield temporary
        temporary.chmod(0o755)
        if path.exists():
            retired = Path(
                tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
            )
            path.replace(retired / "old")
            temporary.replace(path)
            shutil.rmtree(retired, ignore_errors=True)
        else:
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: Path, value: object) -> None:
    """Write JSON atomically, sorted and indented, refusing NaN."""
    with atomic_file(path) as temporary:
        text = json.dumps(value, indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read JSON; a missing or half-written file is an error that names it."""
    if not path.is_file():
        raise BadArgument("path", str(path), "there is no such file", "Check the spelling.")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise BadData(str(path), [f"not JSON: {error}"], "Delete it and make it again.") from error


def check_replaceable(target: Path, ours: Callable[[str], bool]) -> None:
    """Refuse to put a folder in the place of one that holds anything but our own files.

    Args:
        target: what would be replaced.
        ours: is a file or folder of this name one that we would write again?

    Raises:
        BadArgument: it holds something else.
    """
    if not target.exists():
        return
    names = sorted(path.name for path in target.iterdir()) if target.is_dir() else [target.name]
    foreign = [name for name in names if not target.is_dir() or not ours(name)]
    if foreign:
        wanted = f"it holds something else ({foreign[0]})"
        raise BadArgument("folder", str(target), wanted, "Name a new folder.")


def save_record(record: Any, folder: str | Path) -> Path:
    """Save a dataclass of arrays, tables and plain values as one folder, atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from scipy import sparse

    target = Path(folder)
    fields = {field.name for field in dataclasses.fields(record)}
    check_replaceable(target, lambda name: name == RECIPE or name.split(".")[0] in fields)
    plain: dict[str, object] = {"record": type(record).__name__}
    with atomic_folder(target) as temporary:
        for field in dataclasses.fields(record):
            value = getattr(record, field.name)
            if isinstance(value, np.ndarray) and value.dtype == object:
                column = pa.array(value.tolist(), type=pa.large_string())
                pq.write_table(pa.table({field.name: column}), temporary / f"{field.name}.parquet")
            elif isinstance(value, np.ndarray):
                np.save(temporary / f"{field.name}.npy", value, allow_pickle=False)
            elif isinstance(value, sparse.csr_array):
                sparse.save_npz(temporary / f"{field.name}.npz", value)
            elif hasattr(value, "to_parquet"):
                table = value.with_format("arrow")[:]
                pq.write_table(table, temporary / f"{field.name}.table.parquet")
            else:
                plain[field.name] = value
        write_json(temporary / RECIPE, plain)
    return target


def load_record(kind: type[Record], folder: str | Path) -> Record:
    """Load what `save_record` wrote; arrays come back memory-mapped, tables Arrow-backed.

    Raises:
        BadArgument: no such folder, or it holds another kind of record.
        BadData: something in it is missing or damaged.
    """
    source = Path(folder)
    if not source.is_dir():
        raise BadArgument("folder", str(source), "there is no such folder", "Save one first.")
    plain = read_json(source / RECIPE)
    if plain.pop("record", None) != kind.__name__:
        raise BadArgument(
            "folder", str(source), f"it must hold a {kind.__name__}", "Load it with its own class."
        )
    values: dict[str, Any] = dict(plain)
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in values:
            continue
        try:
            values[field.name] = _load_field(source / field.name)
        except (ValueError, OSError, EOFError, KeyError) as error:
            problem = f"{field.name} is missing or damaged: {error}"
            raise BadData(str(source), [problem], "Delete it and make it again.") from error
    return kind(**values)


def _load_field(path: Path) -> Any:
    import pyarrow.parquet as pq
    from scipy import sparse

    if (array := path.with_suffix(".npy")).exists():
        return np.load(array, mmap_mode="r", allow_pickle=False)
    if (strings := path.with_suffix(".parquet")).exists():
        return np.array(pq.read_table(strings).column(0).to_pylist(), dtype=object)
    if (matrix := path.with_suffix(".npz")).exists():
        return sparse.csr_array(sparse.load_npz(matrix))
    from datasets import Dataset

    return Dataset(pq.read_table(path.with_suffix(".table.parquet"), memory_map=True))
