"""Opening the database: pragmas, connections, migrations.

One database is open per process. Connections are explicit: whoever works on
the database does so inside ``connected()``; a page's, a command's or a
greenlet's outermost one takes a connection from the pool and gives it back.
"""

import contextlib
import logging
import re
import shutil
import sqlite3
from pathlib import Path
from urllib.parse import unquote, urlsplit

import peewee
from playhouse.migrations import Runner

from ..errors import DatabaseError
from .filelock import locked
from .models import database
from .patience import BUSY_TIMEOUT_MS, PatientDatabase

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


def open_database(url: str) -> list[str]:
    """Open the database at ``url`` and bring its tables up to date.

    Returns the names of the migrations applied now. Raises DatabaseError with
    the file and the remedy where it cannot be opened, is no database, or was
    written by a newer version of the program.
    """
    path = sqlite_path(url)
    if path.exists() and path.stat().st_size:
        _look_at_header(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        database.initialize(
            PatientDatabase(
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
        if _DAMAGED.search(str(error)):
            raise _damaged(path, str(error)) from error
        raise DatabaseError(
            f"The database {path} cannot be opened: {error}. Check that the folder is writable and "
            "the file is a Simple Batch database, or set SIMPLE_BATCH_DATABASE_URL to another one."
        ) from error


def check_database() -> None:
    """Read the open database through, up to CHECKED_BYTES. Raises DatabaseError where it is damaged;
    the file is left as it is and copied."""
    path = Path(database.obj.database)
    if path.stat().st_size > CHECKED_BYTES:
        return
    try:
        with connected():
            found = database.execute_sql("PRAGMA quick_check(1)").fetchone()[0]
    except (peewee.DatabaseError, sqlite3.Error) as error:
        found = str(error)
    if found != "ok":
        error = _damaged(path, " ".join(found.split()))  # before closing writes the log back
        close_database()
        raise error


def _look_at_header(path: Path) -> None:
    """SQLite makes a new database of a file that is too short to be one, or ends in its middle."""
    with path.open("rb") as file:
        if not file.read(16) == b"SQLite format 3\0":
            raise _damaged(path, "it does not begin as a database does")


_DAMAGED = re.compile("malformed|not a database|corrupt|invalid page|disk image")


def _damaged(path: Path, reason: str) -> DatabaseError:
    """Nothing is written to a damaged file: it is copied, and the user is to decide."""
    copy = path.with_name(f"{path.name}.damaged")
    kept = f"a copy is at {copy}"
    if not copy.exists():
        try:
            for suffix in ("-wal", ""):
                if (whole := Path(f"{path}{suffix}")).exists():
                    shutil.copy2(whole, f"{copy}{suffix}")
        except OSError as error:
            copy.unlink(missing_ok=True)
            kept = f"it could not be copied ({error.strerror})"
    return DatabaseError(
        f"The database {path} is damaged or is none: {reason}. It was left as it is; {kept}. Put a "
        "backup in its place (flask restore-db FILE), or save what can be saved (sqlite3 "
        f"{path.name} .recover): see docs/deployment.md. SIMPLE_BATCH_DATABASE_URL names another database."
    )


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
