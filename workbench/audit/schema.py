"""The database behind the judgment store: its address, its tables, their version.

Two tables. `judgments` holds one row per judgment, undo or redo, and rows are only ever added.
`judgments_schema` holds one row per version that the tables have had.

Version 1 had no `shown` and no text hashes; it is brought up to date by adding the columns.
"""

from __future__ import annotations

import json
import os
import sqlite3
import weakref
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.data.check import text_problem
from workbench.errors import BadArgument, BadData, check_choice

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, FromClause, MetaData, Select, Table
    from sqlalchemy.engine import URL

VERSION = 2
LONGEST_NAME, LONGEST_NOTE, LONGEST_SHOWN = 200, 10_000, 100_000  # characters
_drivers = ("sqlite", "sqlite+pysqlite", "postgresql", "postgresql+psycopg")
_patience = 60  # seconds to wait while another writer holds the database
_lock = 7_401_955_318  # any number that no other program locks in the same PostgreSQL database
_steps = {
    1: [f"ALTER TABLE judgments ADD COLUMN {name} TEXT" for name in
        ("query_hash", "doc_hash", "shown")],
}  # fmt: skip
_mends = {
    "readonly": "Copy it to a folder that you can write in.",
    "unable to open": "Copy it to a folder that you can write in.",
    "locked": "Another program holds it; close that one.",
    "malformed": "Restore a copy of it.",
    "not a database": "Name another file.",
}


@cache
def metadata() -> MetaData:
    """The two tables as SQLAlchemy knows them."""
    from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, Table, Text

    number = BigInteger().with_variant(Integer(), "sqlite")
    tables = MetaData()
    rows = Table(
        "judgments",
        tables,
        Column("id", number, primary_key=True),
        Column("at", Text, nullable=False),
        Column("kind", Text, nullable=False),
        Column("target", number),
        *(
            Column(name, Text, nullable=False)
            for name in ("judge", "collection", "query_id", "doc_id", "label", "note")
        ),
        *(Column(name, Text) for name in ("query_hash", "doc_hash", "shown")),
    )
    Index("judgments_of_judge", rows.c.judge, rows.c.collection, rows.c.id)
    Index("judgments_target", rows.c.target)
    Table(
        "judgments_schema",
        tables,
        Column("version", Integer, primary_key=True, autoincrement=False),
        Column("at", Text, nullable=False),
    )
    return tables


def judgments() -> Table:
    """The table of judgments."""
    return metadata().tables["judgments"]


def undoable(judge: str, collection: str) -> Select[Any]:
    """Selects this judge's newest judgment whose last undo or redo, if any, is no undo."""
    from sqlalchemy import func, select

    rows, later = judgments(), judgments().alias()
    last = select(later.c.kind).where(later.c.target == rows.c.id)
    state = func.coalesce(last.order_by(later.c.id.desc()).limit(1).scalar_subquery(), "")
    stands = _of(rows, judge, collection, "judgment") & (state != "undo")
    return select(rows).where(stands).order_by(rows.c.id.desc()).limit(1)


def redoable(judge: str, collection: str) -> Select[Any]:
    """Selects what this judge's newest undo took back, if no judgment or redo came after it."""
    from sqlalchemy import func, select

    rows, undo, later = judgments(), judgments().alias(), judgments().alias()
    judged = _of(later, judge, collection, "judgment")
    newest = select(func.coalesce(func.max(later.c.id), 0)).where(judged).scalar_subquery()
    again = select(later.c.id).where((later.c.target == undo.c.target) & (later.c.id > undo.c.id))
    still = _of(undo, judge, collection, "undo") & (undo.c.id > newest) & ~again.exists()
    target = select(undo.c.target).where(still).order_by(undo.c.id.desc()).limit(1)
    return select(rows).where(rows.c.id == target.scalar_subquery())


def _of(rows: FromClause, judge: str, collection: str, kind: str) -> ColumnElement[bool]:
    from sqlalchemy import and_

    return and_(rows.c.judge == judge, rows.c.collection == collection, rows.c.kind == kind)


def now() -> str:
    """The time in UTC, to the microsecond, as it is stored.

    Example:
        >>> now()[-6:]
        '+00:00'
    """
    return datetime.now(UTC).isoformat(timespec="microseconds")


def address(where: str | Path) -> URL:
    """A path or a database address, checked before anything is opened.

    Args:
        where: a path, `sqlite:///path` or `postgresql://user:password@host/database`.

    Raises:
        BadArgument: no file can be there, another kind of database, or an address that does not
            parse; a password is never shown.

    Example:
        >>> address("data/judgments.sqlite").database, address("postgresql://host/team").host
        ('data/judgments.sqlite', 'host')
    """
    from sqlalchemy.engine import URL, make_url
    from sqlalchemy.exc import ArgumentError

    if isinstance(where, str) and ("://" in where or where.partition(":")[0] in _drivers):
        shown = where.rsplit("@", 1)[-1].partition("?")[0]
        try:
            url = make_url(where)
        except (ArgumentError, ValueError):
            wanted = "it must be driver://user:password@host/database"
            raise BadArgument("where", shown, wanted, "Or give a path.") from None
        check_choice("where", url.drivername, _drivers)
        if url.get_backend_name() != "sqlite":
            return url
        if url.query:
            wanted = "an address of SQLite takes no options"
            raise BadArgument("where", shown, wanted, "Give the path alone.")
        where = url.database or ""
    place: object = where
    if not isinstance(place, str | Path):
        wanted = "it must be a path or an address"
        raise BadArgument("where", place, wanted, "Try 'data/judgments.sqlite'.")
    if str(where) in ("", ":memory:") or Path(where).is_dir():
        wanted = "it must be a file, so that judgments outlive the kernel"
        raise BadArgument("where", str(where), wanted, "Try 'data/judgments.sqlite'.")
    return URL.create("sqlite", database=str(where))


def shown_address(url: URL) -> str:
    """An address without its password, and without options, where one may stand as well.

    Example:
        >>> shown_address(address("postgresql://me:secret@host/team?password=secret"))
        'postgresql://me:***@host/team'
    """
    return url.set(query={}).render_as_string(hide_password=True)


def check_text(argument: str, value: object, *, most: int, blank: bool = True) -> None:
    """Refuse what a text column cannot hold: no string, half a character, NUL, or too long.

    Args:
        argument: what the user calls it.
        value: anything.
        most: characters.
        blank: may it be empty or have outer white space?

    Example:
        >>> check_text("judge", "", most=200, blank=False)
        Traceback (most recent call last):
        workbench.errors.BadArgument: `judge` is '', but it is empty. Mend it.
    """
    problem = text_problem(value, argument, blank=blank)
    if problem is None and not blank and str(value) != str(value).strip():
        problem = "has outer white space"
    if problem is None and len(str(value)) > most:
        problem = f"has {len(str(value)):,} characters, at most {most:,} are kept"
    if problem is None and "\0" in str(value):
        problem = "holds a NUL character, which databases do not keep"
    if problem is not None:
        wanted = "it " + problem.removeprefix(f"`{argument}` ")
        raise BadArgument(argument, value, wanted, "Mend it.")


def shown_text(shown: Mapping[str, object]) -> str:
    """What the screen showed, as JSON.

    Example:
        >>> shown_text({"score": np.float32(0.5), "rule": "margin"})
        '{"score": 0.5, "rule": "margin"}'
    """
    if not isinstance(shown, Mapping):
        raise BadArgument("shown", shown, "it must be a dictionary", "Try {'score': 0.5}.")

    def plain(value: object) -> object:
        if isinstance(value, np.generic):
            return value.item()
        raise TypeError(f"{type(value).__name__} is nothing that JSON holds")

    try:
        text = json.dumps(dict(shown), allow_nan=False, default=plain)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadArgument("shown", shown, f"JSON cannot hold it: {error}", "Leave it out.") from (
            error
        )
    check_text("shown", text, most=LONGEST_SHOWN)
    return text


def shown_of(text: str | None) -> dict[str, Any] | None:
    """What `shown_text` wrote."""
    return None if text is None else dict(json.loads(text))


class Database:
    """One opened store, of the newest version, with transactions that hold each other off.

    SQLite runs in WAL mode with `synchronous=FULL`: readers never wait, one writer at a time, and
    what was written is on the disk when `transaction` returns, through `kill -9` and power cut
    alike. In PostgreSQL a writer takes one advisory lock. So in both, ids grow in the order of
    writing, and whoever reads and then writes in one transaction is not overtaken in between.

    Args:
        where: as `address` takes it; folders on the way to a file are made.

    Raises:
        BadArgument: see `address`; a folder that cannot be made; psycopg is missing.
        BadData: the file is damaged or something else, a newer version wrote it, or the server
            cannot be reached. The file is left as it was.

    Example:
        >>> import tempfile
        >>> with Database(f"{tempfile.mkdtemp()}/a.sqlite").transaction(write=False) as opened:
        ...     opened.exec_driver_sql("SELECT max(version) FROM judgments_schema").scalar()
        2
    """

    def __init__(self, where: str | Path) -> None:
        url = address(where)
        self._sqlite = url.get_backend_name() == "sqlite"
        self.name = str(url.database) if self._sqlite else shown_address(url)
        if self._sqlite:
            _check_file(Path(self.name))
        self._pid = os.getpid()
        self._engine = _engine(url, sqlite=self._sqlite)
        self.close = weakref.finalize(self, _dispose, self._engine, self._pid)
        try:
            self._prepare()
        except BaseException:
            self.close()
            raise

    @contextmanager
    def transaction(self, *, write: bool) -> Iterator[Connection]:
        """One transaction, committed at the end of the block and undone by an error in it.

        Args:
            write: hold off other writers from the start.

        Raises:
            BadData: what the database complained about.
        """
        from sqlalchemy.exc import DBAPIError

        if os.getpid() != self._pid:  # a connection does not survive a fork
            self._engine.dispose(close=False)
            self._pid = os.getpid()
        try:
            with self._engine.execution_options(write=write).begin() as connection:
                if write and not self._sqlite:
                    connection.exec_driver_sql(f"SET LOCAL lock_timeout = '{_patience}s'")
                    connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_lock})")
                yield connection
        except DBAPIError as error:
            raise self._refusal(str(error.orig)) from error

    def _refusal(self, problem: str) -> BadData:
        fallback = "Check the file." if self._sqlite else "Check the address and the server."
        found = [mend for word, mend in _mends.items() if self._sqlite and word in problem]
        return BadData(self.name, [problem.strip()], found[0] if found else fallback)

    def _prepare(self) -> None:
        """Check what is there, make or migrate the tables where needed, switch to WAL."""
        with self.transaction(write=False) as connection:
            if self._sqlite:
                state = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
                if state != "ok":
                    raise BadData(self.name, [f"damaged: {state}"], "Restore a copy of it.")
            version = self._version(connection)
        if version < VERSION:
            with self.transaction(write=True) as connection:
                self._upgrade(connection, self._version(connection))
        if self._sqlite:
            # Somebody in the middle of a transaction can prevent it: then the older journal serves,
            # as safe but slower, until the store is opened the next time.
            with closing(self._engine.raw_connection()) as raw, suppress(sqlite3.OperationalError):
                raw.cursor().execute("PRAGMA journal_mode=WAL").fetchone()

    def _version(self, connection: Connection) -> int:
        """The version of the tables; 0 where there are none yet."""
        from sqlalchemy import func, inspect, select

        present = set(inspect(connection).get_table_names())
        if "judgments_schema" not in present:
            foreign = present if self._sqlite else present & {"judgments"}
            if foreign:
                problem = f"it holds a table {min(foreign)!r} of another program"
                raise BadData(self.name, [problem], "Name another place.")
            return 0
        column = metadata().tables["judgments_schema"].c.version
        version = connection.execute(select(func.max(column))).scalar()
        if version is None or "judgments" not in present:
            raise BadData(self.name, ["damaged: a table is missing"], "Restore a copy of it.")
        if version > VERSION:
            problem = f"written by a newer workbench: version {version}; this one reads {VERSION}"
            raise BadData(self.name, [problem], "Update the workbench.")
        return int(version)

    def _upgrade(self, connection: Connection, version: int) -> None:
        if version == VERSION:  # somebody else was quicker
            return
        for step in range(version or VERSION, VERSION):
            for statement in _steps[step]:
                connection.exec_driver_sql(statement)
        metadata().create_all(connection)
        for index in judgments().indexes:
            index.create(connection, checkfirst=True)
        written = metadata().tables["judgments_schema"].insert()
        connection.execute(written, {"version": VERSION, "at": now()})


def _check_file(path: Path) -> None:
    """Make the folder; refuse a file that does not begin as SQLite's do."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        wanted = f"its folder cannot be made ({error.strerror})"
        raise BadArgument("where", str(path), wanted, "Name a folder you can write in.") from error
    try:
        with path.open("rb") as file:
            start = file.read(16)
    except FileNotFoundError:
        return
    except OSError as error:
        raise BadData(str(path), [f"it cannot be read: {error.strerror}"], "Ask its owner.") from (
            error
        )
    if start and start != b"SQLite format 3\0":
        raise BadData(str(path), ["it is no SQLite database"], "Name another file.")


def _engine(url: URL, *, sqlite: bool) -> Engine:
    from sqlalchemy import create_engine, event

    if not sqlite:
        try:
            patience = {} if "connect_timeout" in url.query else {"connect_timeout": 20}
            return create_engine(
                url, isolation_level="READ COMMITTED", pool_pre_ping=True, connect_args=patience
            )
        except ModuleNotFoundError as error:
            wanted = "PostgreSQL needs the package psycopg"
            mend = "Run `pip install 'psycopg[binary]'`."
            raise BadArgument("where", shown_address(url), wanted, mend) from error
    engine = create_engine(url, connect_args={"timeout": _patience})

    def connected(connection: Any, _record: object) -> None:
        connection.isolation_level = None  # transactions begin where `begun` says, nowhere else
        connection.execute("PRAGMA synchronous=FULL")

    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", begun)
    return engine


def _dispose(engine: Engine, pid: int) -> None:
    engine.dispose(close=os.getpid() == pid)
