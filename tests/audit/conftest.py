"""A place for a judgment store in each database; PostgreSQL is real and started here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from glob import glob
from itertools import count
from pathlib import Path

import pytest

_numbers = count()


def _program(name: str) -> str | None:
    """A PostgreSQL server program, wherever Debian or others put it; the newest first."""
    found = sorted(glob(f"/usr/lib/postgresql/*/bin/{name}"), key=lambda path: (len(path), path))
    return shutil.which(name) or (found[-1] if found else None)


def _run(*command: str, **options) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def _install() -> None:
    """The Debian package, without the cluster that it would start by itself."""
    if os.geteuid() or not shutil.which("apt-get"):
        raise RuntimeError("there is no PostgreSQL, and only root can install it with apt-get")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    _run("apt-get", "update", "-qq", env=quiet)
    _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", "postgresql", env=quiet)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """Address of a PostgreSQL server of our own, reached by a socket in a temporary folder."""
    try:
        if not (_program("initdb") and _program("pg_ctl")):
            _install()
    except RuntimeError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path must be short
    other = {"cwd": folder}
    if os.geteuid() == 0:  # the server refuses to run as root
        shutil.chown(folder, "postgres", "postgres")
        other |= {"user": "postgres", "group": "postgres", "extra_groups": []}
    data, control = str(folder / "data"), str(_program("pg_ctl"))
    options = f"-k {folder} -c listen_addresses= -c fsync=off -c shared_buffers=16MB"
    made = ("-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync")
    try:
        _run(str(_program("initdb")), "-D", data, *made, **other)
        _run(control, "start", "-w", "-D", data, "-l", f"{folder}/log", "-o", options, **other)
        try:
            yield f"postgresql+psycopg://postgres@/postgres?host={folder}"
        finally:
            _run(control, "stop", "-m", "immediate", "-D", data, **other)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def make_place(tmp_path):
    """A function that gives a new, empty place of one kind at each call."""

    def make(kind: str, request: pytest.FixtureRequest) -> str:
        if kind == "sqlite":
            return str(tmp_path / f"store-{next(_numbers)}.sqlite")
        import psycopg

        server = request.getfixturevalue("postgres")
        name = f"test_{next(_numbers)}"
        host = server.partition("?host=")[2]
        with psycopg.connect(host=host, user="postgres", dbname="postgres") as connection:
            connection.execute(f"CREATE SCHEMA {name}")
        return f"{server}&options=-csearch_path%3D{name}"

    return make


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, make_place) -> str:
    """Where a new store can be, in each database in turn."""
    return make_place(request.param, request)


@pytest.fixture
def opened():
    """Opens stores, and closes them all at the end of the test."""
    from workbench.audit.store import JudgmentStore

    stores = []

    def open_store(where, collection, *, judge="me") -> JudgmentStore:
        stores.append(JudgmentStore(where, collection, judge=judge))
        return stores[-1]

    yield open_store
    for store in stores:
        store.close()
