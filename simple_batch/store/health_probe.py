"""Health probe of the database: reads and writes on a separate connection."""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..core import extras
from . import backends
from .database import MIGRATIONS

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = extras.Later("psycopg")

LOCK_TIMEOUT_S = 1.0  # a lock that lasts longer counts as held by another process


class Found(msgspec.Struct, frozen=True):
    """The faults found, as texts; None if there is none."""

    read: str | None = None
    write: str | None = None
    migrations: str | None = None


def probe(path: Path) -> Found:
    """Read the jobs, then write a marker without meaning. Blocks up to LOCK_TIMEOUT_S: call it in a
    thread."""
    try:
        # rw, not rwc: do not create a missing file
        uri = f"{path.absolute().as_uri()}?mode=rw"
        with contextlib.closing(
            sqlite3.connect(uri, uri=True, timeout=LOCK_TIMEOUT_S)
        ) as connection:
            connection.isolation_level = None
            connection.execute("SELECT id FROM job LIMIT 1").fetchone()
            return Found(write=_written(connection), migrations=_behind(connection))
    except sqlite3.Error as error:
        return Found(read=str(error), write="not tried")


def probe_server(url: str) -> Found:
    """The same on a server, which a greenlet can wait for."""
    try:
        parameters = backends.server_backend().connection_parameters(url)
        with psycopg.connect(**parameters, autocommit=True) as connection:
            connection.execute("SELECT id FROM job LIMIT 1").fetchone()
            write = None
            try:
                connection.execute("UPDATE schema_migration SET name = name WHERE id = 1")
            except psycopg.Error as error:
                write = str(error)
            return Found(write=write, migrations=_behind(connection))
    except psycopg.Error as error:
        return Found(read=str(error), write="not tried")


def _written(connection: sqlite3.Connection) -> str | None:
    try:
        connection.execute("BEGIN IMMEDIATE")
        mark = connection.execute("PRAGMA user_version").fetchone()[0]
        connection.execute(f"PRAGMA user_version = {(mark + 1) % 1000}")
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        return str(error)
    return None


def _behind(connection: "sqlite3.Connection | psycopg.Connection") -> str | None:
    applied = {row[0] for row in connection.execute("SELECT name FROM schema_migration")}
    known = {file.stem for file in MIGRATIONS.glob("*.py")}
    if applied - known:
        return f"{min(applied - known)} was made by a newer version"
    return f"{min(known - applied)} is not applied" if known - applied else None
