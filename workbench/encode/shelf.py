"""An append-only file of vectors that two writers and `kill -9` cannot spoil.

`vectors.f32` holds rows; `index.bin` holds one record per row: the hash of the text and a checksum
of the vector. Rows are written and synced first, their records after, so a record without its row
cannot exist; what a killed writer left behind the last whole record is cut off by the next one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from filelock import FileLock
from xxhash import xxh3_64_intdigest, xxh3_128_digest

from workbench.types import Floats, Ints

_record = np.dtype([("key", "u1", (16,)), ("check", "<u8")])


def text_key(text: str) -> bytes:
    """The 16 bytes under which a text is found."""
    return xxh3_128_digest(text.encode("utf-8", "surrogatepass"))


def _overwrite_tail(path: Path, *, keep: int, data: bytes) -> None:
    path.touch()
    with path.open("r+b") as file:
        file.truncate(keep)
        file.seek(keep)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


class Shelf:
    """The vectors of one encoder.

    Args:
        folder: where the two files are; made when the first vector is written.
        dim: width of a vector.
    """

    def __init__(self, folder: Path, *, dim: int) -> None:
        self.folder = folder
        self.dim = dim
        self._vectors = folder / "vectors.f32"
        self._index = folder / "index.bin"
        self._row: dict[bytes, int] = {}
        self._checks: list[int] = []

    def __len__(self) -> int:
        return len(self._checks)

    def _refresh(self) -> None:
        """Read the records that were added since the last look."""
        size = self._index.stat().st_size // _record.itemsize if self._index.exists() else 0
        if size < len(self._checks):
            self._row, self._checks = {}, []
        if size == len(self._checks):
            return
        with self._index.open("rb") as file:
            file.seek(len(self._checks) * _record.itemsize)
            raw = file.read((size - len(self._checks)) * _record.itemsize)
        records = np.frombuffer(raw[: len(raw) // _record.itemsize * _record.itemsize], _record)
        first = len(self._checks)
        for place, key in enumerate(records["key"]):
            self._row[key.tobytes()] = first + place
        self._checks += records["check"].tolist()

    def _map(self) -> Floats:
        size = self._vectors.stat().st_size // (4 * self.dim) if self._vectors.exists() else 0
        if size == 0:
            return np.empty((0, self.dim), dtype=np.float32)
        return np.memmap(self._vectors, dtype="<f4", mode="r", shape=(size, self.dim))

    def find(self, keys: Sequence[bytes]) -> Ints:
        """Row of each key; -1 where there is none, -2 where its checksum says it is damaged."""
        self._refresh()
        stored = self._map()
        rows = np.array([self._row.get(key, -1) for key in keys], dtype=np.int64)
        for place, row in enumerate(rows):
            if row >= len(stored) or (row >= 0 and self._is_damaged(stored, int(row))):
                rows[place] = -2
        return rows

    def _is_damaged(self, stored: Floats, row: int) -> bool:
        return xxh3_64_intdigest(stored[row].tobytes()) != self._checks[row]

    def read(self, rows: Ints) -> Floats:
        """Vectors of rows; neighbours in the file come back as a view of the memory map."""
        stored = self._map()
        if len(rows) and (np.diff(rows) == 1).all():
            return stored[int(rows[0]) : int(rows[-1]) + 1]
        return stored[rows]

    def append(self, keys: Sequence[bytes], values: Floats) -> None:
        """Add vectors that are not yet there, or there but damaged; safe beside other writers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "lock"):
            fresh = np.flatnonzero(self.find(keys) < 0).tolist()
            rows = np.ascontiguousarray(values[fresh], dtype="<f4")
            records = np.zeros(len(fresh), dtype=_record)
            for place, (position, row) in enumerate(zip(fresh, rows, strict=True)):
                records["key"][place] = np.frombuffer(keys[position], dtype=np.uint8)
                records["check"][place] = xxh3_64_intdigest(row.tobytes())
            done = len(self)
            _overwrite_tail(self._vectors, keep=done * 4 * self.dim, data=rows.tobytes())
            _overwrite_tail(self._index, keep=done * _record.itemsize, data=records.tobytes())
            self._refresh()
