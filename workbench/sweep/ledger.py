"""What a sweep has done, in one SQLite file beside its runs: nothing finished is done twice."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench import files
from workbench.errors import BadData
from workbench.report import LEDGER

FILE = LEDGER
VERSION = 1
STATUSES = ("waiting", "running", "done", "failed", "pruned", "stopped")
_TABLE = """
CREATE TABLE IF NOT EXISTS runs (
    key TEXT PRIMARY KEY,
    run TEXT NOT NULL UNIQUE,
    parameters TEXT NOT NULL,
    status TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    started REAL,
    seconds REAL,
    error TEXT NOT NULL DEFAULT '',
    notebook TEXT NOT NULL,
    versions TEXT NOT NULL DEFAULT '{}',
    fingerprints TEXT NOT NULL DEFAULT '{}'
) STRICT
"""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One row of the ledger.

    Args:
        key: of notebook and parameters.
        run: name of its folder.
        parameters: all of them, defaults included.
        status: waiting, running, done, failed, pruned or stopped.
        attempts: times it was started.
        seconds: of the last attempt; None while it has none.
        error: why it failed, in a line.
        versions: of Python, libraries and code: the run's own, or of the machine that started it.
        fingerprints: of data, encoders and candidates, as the run reported them.
        notebook: fingerprint of the code that was run.
        started: when the last attempt was, seconds since 1970; 0 while there is none.
    """

    key: str
    run: str
    parameters: dict[str, Any]
    status: str
    attempts: int
    seconds: float | None
    error: str
    versions: dict[str, str]
    fingerprints: dict[str, str]
    notebook: str
    started: float


def key_of(notebook: str, parameters: Mapping[str, object]) -> str:
    """What makes two runs the same: the notebook's code and every parameter.

    Args:
        notebook: fingerprint of its code cells.
        parameters: all of them.
    """
    return files.fingerprint(notebook, dict(sorted(parameters.items())))


class Ledger:
    """The runs of one sweep's folder.

    One process writes, which the sweep's lock sees to; others may read meanwhile.

    Args:
        folder: of the sweep.
        read_only: change nothing, make nothing; of somebody else's sweep, say.

    Raises:
        BadData: a damaged file, or one of a newer workbench.

    Example:
        >>> import tempfile
        >>> book = Ledger(Path(tempfile.mkdtemp()))
        >>> _ = book.enter("k1", run="a", parameters={"seed": 0}, notebook="n")
        >>> book.start("k1", {"torch": "2.13.0"}); book.end("k1", "done", seconds=2.0)
        >>> [(one.run, one.status, one.attempts) for one in book.entries()]
        [('a', 'done', 1)]
    """

    def __init__(self, folder: Path, *, read_only: bool = False) -> None:
        self.path, self._read_only = folder / FILE, read_only
        if not read_only:
            folder.mkdir(parents=True, exist_ok=True)
        mend = "Move it away; finished runs are then found by their folders no more."
        try:
            with self._open() as database:
                (version,) = database.execute("PRAGMA user_version").fetchone()
                if version > VERSION:
                    told = f"it is of version {version}, this workbench writes {VERSION}"
                    raise BadData(str(self.path), [told], "Use the newer workbench.")
                if read_only:
                    database.execute("SELECT count(*) FROM runs").fetchone()
                    return
                database.execute(_TABLE)
                database.execute(f"PRAGMA user_version = {VERSION}")
        except sqlite3.DatabaseError as error:
            raise BadData(str(self.path), [f"no ledger: {error}"], mend) from error

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        how = "?mode=ro" if self._read_only else ""
        database = sqlite3.connect(f"{self.path.resolve().as_uri()}{how}", timeout=30, uri=True)
        try:
            with database:
                yield database
        finally:
            database.close()

    def enter(self, key: str, *, run: str, parameters: Mapping[str, Any], notebook: str) -> bool:
        """Note a run that is to be done; False if it is there already."""
        row = (key, run, json.dumps(dict(parameters), sort_keys=True), "waiting", notebook)
        with self._open() as database:
            done = database.execute(
                "INSERT OR IGNORE INTO runs (key, run, parameters, status, notebook) "
                "VALUES (?, ?, ?, ?, ?)",
                row,
            )
            return bool(done.rowcount)

    def start(self, key: str, versions: Mapping[str, str]) -> None:
        """A kernel is about to start, where these versions are installed."""
        with self._open() as database:
            database.execute(
                "UPDATE runs SET status = 'running', attempts = attempts + 1, started = ?, "
                "seconds = NULL, error = '', versions = ? WHERE key = ?",
                (time.time(), json.dumps(dict(versions)), key),
            )

    def end(
        self,
        key: str,
        status: str,
        *,
        seconds: float | None,
        error: str = "",
        result: Mapping[str, Any] | None = None,
    ) -> None:
        """How it went; a result's own versions, of another machine say, count."""
        told = result or {}
        versions = json.dumps(told["versions"]) if told.get("versions") else None
        with self._open() as database:
            database.execute(
                "UPDATE runs SET status = ?, seconds = ?, error = ?, "
                "versions = coalesce(?, versions), fingerprints = ? WHERE key = ?",
                (
                    status,
                    seconds,
                    error,
                    versions,
                    json.dumps(told.get("fingerprints", {})),
                    key,
                ),
            )

    def recover(self) -> list[str]:
        """Runs that a killed sweep left "running": they are waiting again. Their folders' names."""
        with self._open() as database:
            found = database.execute(
                "UPDATE runs SET status = 'waiting', error = 'the sweep was killed meanwhile' "
                "WHERE status = 'running' RETURNING run"
            ).fetchall()
        return [run for (run,) in found]

    def entries(self) -> list[Entry]:
        """All runs, in the order they were entered."""
        with self._open() as database:
            rows = database.execute(
                "SELECT key, run, parameters, status, attempts, seconds, error, versions, "
                "fingerprints, notebook, started FROM runs ORDER BY rowid"
            ).fetchall()
        return [
            Entry(
                key=row[0],
                run=row[1],
                parameters=json.loads(row[2]),
                status=row[3],
                attempts=row[4],
                seconds=row[5],
                error=row[6],
                versions=json.loads(row[7]),
                fingerprints=json.loads(row[8]),
                notebook=row[9],
                started=row[10] or 0.0,
            )
            for row in rows
        ]
