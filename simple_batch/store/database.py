"""Opens the database: connections, migrations, retries while it is unreachable.

One database is open per process. Connections are explicit: all database work runs inside
``connected()``. The outermost block of a page, a command or a greenlet takes a connection from the pool
and returns it.
"""

import contextlib
import logging
import os
import re
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import peewee
from playhouse.migrations import Runner

from ..core.errors import DatabaseError, DatabaseMoved
from . import backends, locks, stale_wal, wal_index
from .busy_retry import BUSY_TIMEOUT_MS
from .locks import locked
from .models import database

log = logging.getLogger(__name__)

MIGRATIONS = Path(__file__).parent / "migrations"
CHECKED_BYTES = 256 * 1024 * 1024  # a database up to this size is read through before it is served
PRAGMAS = {
    "page_size": 8192,  # of a new database: a request and its answer fill half of one
    "journal_mode": "wal",
    "synchronous": "normal",
    "foreign_keys": 1,
    "busy_timeout": BUSY_TIMEOUT_MS,
    "temp_store": "memory",
    "cache_size": -4_000,  # KB, of each connection; the system's cache does the rest
}
AGAIN_AFTER_S = 1.0
_LOOKS, _LOOK_AGAIN_S = 5, 0.2
UNFINISHED = "unfinished copy"  # among the migrations: no version opens what has it (store/transfer/endpoints.py)
_MIGRATING = 0x51B0  # advisory lock while the tables are brought up to date


def open_database(url: str, connections: int = 20, unfinished: bool = False) -> list[str]:
    """Open the database at ``url`` and migrate it. A server gets at most ``connections`` connections. The
    target of a running copy (services/database_copy.py) opens only with ``unfinished``.

    Returns the names of the migrations applied now. Raises DatabaseError with
    the place and the remedy where it cannot be opened, is no database, or was
    written by a newer version of the program.
    """
    if is_server(url):
        return _open_server(url, connections, unfinished)
    path = sqlite_path(url)
    try:
        _look_at_place(path)
        if path.exists() and path.stat().st_size:
            _look_at_header(path)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.initialize(
            backends.Sqlite(
                str(path),
                pragmas=PRAGMAS,
                lock_type="IMMEDIATE",
                autoconnect=False,
                max_connections=None,
                stale_timeout=300,
                check_same_thread=False,
            )
        )
        with locked(path.with_suffix(".migrate-lock")):
            stale_wal.set_aside(path)
            _make(path)
            with connected():
                applied = _migrate(url, unfinished)
                database.obj.identify()
                return applied
    except (peewee.DatabaseError, sqlite3.Error, OSError) as error:
        if _DAMAGED.search(str(error)):
            raise _damaged(path, str(error)) from error
        raise DatabaseError(
            f"The database {path} cannot be opened: {error}. Check that the folder is writable and "
            "the file is a Simple Batch database, or set SIMPLE_BATCH_DATABASE_URL to another one."
        ) from error


def check_database() -> None:
    """Read the open database through, up to CHECKED_BYTES. Raises DatabaseError where it is damaged;
    the file is left as it is and copied."""
    if database.server:
        return  # which looks after its own files
    path = Path(database.obj.database)
    if path.stat().st_size > CHECKED_BYTES:
        return
    try:
        with connected():
            found = database.execute_sql("PRAGMA quick_check(1)").fetchone()[0]
    except (peewee.DatabaseError, sqlite3.Error) as error:
        found = str(error)
    if found != "ok":
        damage = _damaged(path, " ".join(found.split()))  # before closing writes the log back
        close_database()
        raise damage


RUNNER_LOCK = ".runner-lock"  # ends the name of the lock that the runner of a database holds


def _look_at_place(path: Path) -> None:
    if path.is_dir():
        raise DatabaseError(
            f"The database {path} is a folder: move it away, or set SIMPLE_BATCH_DATABASE_URL to a file."
        )
    if path.exists() and not path.is_file():
        raise DatabaseError(
            f"The database {path} is no file but a device, pipe or socket: remove it, or set "
            "SIMPLE_BATCH_DATABASE_URL to a file."
        )
    if path.is_symlink() and not path.exists():
        raise DatabaseError(
            f"The database {path} is a link to {path.readlink()}, which is not there: bring that back, "
            "or remove the link."
        )
    if _taken_away(path):
        raise DatabaseError(
            f"The database {path} or its write-ahead log was moved, removed, replaced or "
            "written to while another process uses it. Put it back, or stop that process first (then: flask restore-db FILE)."
        )


def _taken_away(path: Path) -> bool:
    """Whether a process still uses files that were moved or removed. This is normal for a moment while a
    process ends or restores a backup, so the check is repeated."""
    for look in range(_LOOKS):
        time.sleep(_LOOK_AGAIN_S if look else 0)
        if not stale_wal.taken_away(path) or not _run_elsewhere(path):
            return False
    return True


def _run_elsewhere(path: Path) -> bool:
    lock = path.with_suffix(RUNNER_LOCK)
    if not lock.exists():
        return False
    held = locks.acquire(lock)
    if held is not None:
        locks.release(held)
    return held is None


def _make(path: Path) -> None:
    """An empty file for its owner alone; SQLite gives its log the same mode."""
    if path.exists():
        return
    if stale_wal.exchanged(path):
        log.warning("the database %s is gone: an empty one is made", path)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))


def _look_at_header(path: Path) -> None:
    """SQLite makes a new database of a file that is too short to be one, or ends in its middle."""
    with path.open("rb") as file:
        if not file.read(16) == b"SQLite format 3\0":
            raise _damaged(path, "it does not begin as a database does")


_DAMAGED = re.compile("malformed|not a database|corrupt|invalid page|disk image")


def _damaged(path: Path, reason: str) -> DatabaseError:
    """The error for a damaged file. The file is never written to: it is copied, and the user decides."""
    copy = path.with_name(f"{path.name}.damaged")
    kept = f"a copy is at {copy}"
    if not copy.exists():
        try:
            for suffix in ("-wal", ""):
                if (whole := wal_index.beside(path, suffix)).exists():
                    shutil.copy2(whole, f"{copy}{suffix}")
        except OSError as error:
            copy.unlink(missing_ok=True)
            kept = f"it could not be copied ({error.strerror})"
    return DatabaseError(
        f"The database {path} is damaged or is none: {reason}. It was left as it is; {kept}. Put a "
        "backup in its place (flask restore-db FILE), or save what can be saved (sqlite3 "
        f"{path.name} .recover): see docs/deployment.md. SIMPLE_BATCH_DATABASE_URL names another database."
    )


def _open_server(url: str, connections: int, unfinished: bool) -> list[str]:
    try:
        database.initialize(backends.server_backend().postgres(url, connections))
        with connected():
            _suits()
            database.execute_sql("SELECT pg_advisory_lock(?)", (_MIGRATING,))
            try:
                applied = _migrate(url, unfinished)
                database.obj.text_index = _has_trigrams()
            finally:
                database.execute_sql("SELECT pg_advisory_unlock(?)", (_MIGRATING,))
            return applied
    except (peewee.PeeweeException, ValueError) as error:
        complaint = " ".join(str(error).split())
        raise DatabaseError(
            f"The database {redacted_url(url)} cannot be opened: {complaint}. Check that the server runs, "
            "that the database and its user exist and may be reached from here, or set "
            "SIMPLE_BATCH_DATABASE_URL to another one."
        ) from None


def _suits() -> None:
    version, encoding = database.execute_sql(
        "SELECT current_setting('server_version_num'), current_setting('server_encoding')"
    ).fetchone()
    if int(version) < 140_000:
        raise ValueError(f"PostgreSQL 14 or newer is needed, this is {int(version) // 10_000}")
    if encoding != "UTF8":
        raise ValueError(f"it holds texts in {encoding}: create it with ENCODING 'UTF8'")


def _has_trigrams() -> bool:
    """Whether texts can be indexed; without, a search looks through the rows."""
    try:
        with database.atomic():
            database.execute_sql("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    except peewee.DatabaseError as error:
        log.warning("large jobs are searched row by row, PostgreSQL has no pg_trgm: %s", error)
        return False
    return True


def close_database() -> None:
    """Close every connection of the pool (used when the program or a test ends)."""
    if database.obj is not None:
        database.close_all()


def is_server(url: str) -> bool:
    """Whether the URL names a PostgreSQL server (``postgresql://user:password@host:port/name``)."""
    return url.startswith(("postgresql:", "postgres:"))


def redacted_url(url: str) -> str:
    """The URL as it may be shown: without the password and without the part after the name."""
    head, mark, place = url.partition("://")
    if not mark:
        return "(no URL)"  # it may hold a password anywhere
    user, at, place = place.rpartition("@")
    place = place.partition("?")[0]
    return f"{head}://{user.partition(':')[0]}{at}{place}"


def folder_of(url: str, instance: Path) -> Path:
    """Whose disk must have room: the folder of the file, or the instance's beside a server."""
    return instance if is_server(url) else sqlite_path(url).parent


def sqlite_path(url: str) -> Path:
    """The file named by a ``sqlite:///`` URL (three slashes: relative, four: absolute)."""
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or not parts.path.strip("/"):
        raise DatabaseError(
            f"DATABASE_URL {redacted_url(url)!r}: only sqlite:///path and "
            "postgresql://user:password@host:port/name are understood."
        )
    if "?" in url or "#" in url:
        raise DatabaseError("DATABASE_URL: in a path ? is written %3F, # is written %23.")
    path = unquote(parts.path)[1:]
    return Path(path).absolute()


def sqlite_url(path: Path) -> str:
    """The URL that names a file."""
    return f"sqlite:///{quote(path.as_posix())}"


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


@contextlib.contextmanager
def as_opened():
    """Hold a connection for reading, even while the database file is moved: for what must be answered
    then. Raises DatabaseMoved where none is open."""
    with database.obj.as_opened(), connected():
        yield


def snapshot():
    """A context that runs several queries in one transaction on a server. On SQLite a transaction would
    only block others."""
    return database.atomic() if database.server else contextlib.nullcontext()


def fault(cached: bool = False) -> str | None:
    """The fault of the open database's file as a text with the remedy: moved, removed, replaced, written
    to by another program. None if there is no fault, and for a server. ``cached`` accepts a check up to
    0.1 s old."""
    return None if database.obj is None else database.obj.fault(cached)


def is_transient(error: Exception) -> bool:
    """Whether the database is only temporarily unavailable (its server restarts, the network is cut, its
    file was moved and may come back): the work can be retried."""
    return database.obj is not None and database.passing(error)


def is_locked(error: Exception) -> bool:
    """Whether another process held the SQLite file for longer than this one waits."""
    return isinstance(error, peewee.OperationalError) and "locked" in str(error)


def is_unavailable(error: Exception) -> bool:
    """Whether a user only has to try again soon: the database was away, or another process held it."""
    return is_transient(error) or is_locked(error)


def log_failure(log: logging.Logger, what: str) -> None:
    """Log the current exception: in one line if the database was only unreachable, not at all if its file
    was moved, which is logged once (identity.py)."""
    error = sys.exception()
    if isinstance(error, DatabaseMoved):
        log.debug("%s: %s", what, error)
    elif isinstance(error, Exception) and is_transient(error):
        log.warning("%s: the database is away: %s", what, error)
    else:
        log.exception(what)


def retry_while_unavailable(work: Callable, *args):
    """Call ``work(*args)`` inside a connection, and retry each second while the database is unreachable.
    The work must be idempotent."""
    logged = False
    while True:
        try:
            with connected():
                return work(*args)
        except Exception as error:
            if not is_transient(error):
                raise
            if not logged and not isinstance(error, DatabaseMoved):
                log.warning("the database cannot be reached, trying again each second: %s", error)
                logged = True
        time.sleep(AGAIN_AFTER_S)


def _migrate(url: str, unfinished: bool) -> list[str]:
    runner = Runner(database.obj, str(MIGRATIONS))
    unknown = [item.name for item in runner.status() if item.path is None]
    if UNFINISHED in unknown:
        if not unfinished:
            raise DatabaseError(
                f"The database {redacted_url(url)} holds a copy that was not finished: set "
                "SIMPLE_BATCH_DATABASE_URL to the one it is of, and run flask copy-db again."
            )
        unknown.remove(UNFINISHED)
    if unknown:
        raise DatabaseError(
            f"The database has the migration {unknown[0]}, which this version does not know: "
            "it was used by a newer Simple Batch. Install that version, or use another database."
        )
    applied = runner.up()
    for name in applied:
        log.info("database migrated: %s", name)
    return applied
