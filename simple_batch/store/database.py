"""Opening the database: pragmas, connections, migrations.

One database is open per process. Connections are explicit: whoever works on
the database does so inside ``connected()``; a page's, a command's or a
greenlet's outermost one takes a connection from the pool and gives it back.
"""

import contextlib
import logging
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

import peewee
from playhouse.migrations import Runner
from playhouse.pool import PooledSqliteDatabase

from ..errors import DatabaseError
from .filelock import locked
from .models import database

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
PRAGMAS = {
    "page_size": 8192,  # of a new database: a request and its answer fill half of one
    "journal_mode": "wal",
    "synchronous": "normal",
    "foreign_keys": 1,
    "busy_timeout": 5000,
    "temp_store": "memory",
    "cache_size": -4_000,  # KB, of each connection; the system's cache does the rest
}


def open_database(url: str) -> list[str]:
    """Open the database at ``url`` and bring its tables up to date.

    Returns the names of the migrations applied now. Raises DatabaseError with
    the file and the remedy where it cannot be opened, is no database, or was
    written by a newer version of the program.
    """
    path = sqlite_path(url)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database.initialize(
            PooledSqliteDatabase(
                str(path),
                pragmas=PRAGMAS,
                lock_type="IMMEDIATE",
                autoconnect=False,
                max_connections=None,
                stale_timeout=300,
                check_same_thread=False,
            )
        )
        with locked(path.with_suffix(".migrate-lock")), connected():
            return _migrate()
    except (peewee.DatabaseError, sqlite3.Error, OSError) as error:
        raise DatabaseError(
            f"The database {path} cannot be opened: {error}. Check that the folder is writable and "
            "the file is a Simple Batch database, or set SIMPLE_BATCH_DATABASE_URL to another one."
        ) from error


def close_database() -> None:
    """Close every connection of the pool (used when the program or a test ends)."""
    if database.obj is not None:
        database.close_all()


def sqlite_path(url: str) -> Path:
    """The file named by a ``sqlite:///`` URL (three slashes: relative, four: absolute)."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or not parts.path.strip("/"):
        raise DatabaseError(f"DATABASE_URL {url!r}: only sqlite:///path is understood.")
    path = unquote(parts.path)[1:]
    return Path(path).absolute()


@contextlib.contextmanager
def connected():
    """Hold a connection for the block; nested blocks share the outermost one's."""
    if not database.is_closed():
        yield
        return
    database.connect()
    try:
        yield
    finally:
        database.close()


def _migrate() -> list[str]:
    runner = Runner(database.obj, str(MIGRATIONS))
    unknown = [item.name for item in runner.status() if item.path is None]
    if unknown:
        raise DatabaseError(
            f"The database has the migration {unknown[0]}, which this version does not know: "
            "it was used by a newer Simple Batch. Install that version, or use another database."
        )
    applied = runner.up()
    for name in applied:
        log.info("database migrated: %s", name)
    return applied
