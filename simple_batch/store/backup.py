"""Backup and restore of a SQLite database, also while it is in use.

A backup is a consistent snapshot (SQLite's backup API). One read transaction over all steps blocks no
writers and keeps their changes out of the copy. The copy is written beside its target under a temporary
name, checked and then renamed: it is complete or does not exist.
"""

import contextlib
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from gevent.monkey import get_original

from ..core.errors import Conflict, DatabaseError, InvalidInput
from . import stale_wal, wal_index
from .database import MIGRATIONS, close_database, open_database, sqlite_url
from .locks import locked

STEP_PAGES = 256  # 2 MB with our pages
REST_S = 0.005  # between two steps, so that other work on the same disk and lock gets a turn
ROOM = 16 * 1024 * 1024  # bytes that must be left on a disk after a copy
_PARTIAL = ".partial"
_sleep = get_original("time", "sleep")  # copies are made in threads, outside gevent's loop


class Stopped(Exception):
    """The caller cancelled the copy."""


def copy(source: Path, target: Path, wanted: Callable[[], bool] = lambda: True) -> int:
    """Copy the database ``source`` to the new file ``target``; returns its bytes. Blocks: in a
    server call it in a thread. It is given up once ``wanted()`` is false.

    Raises InvalidInput where the target exists or its folder does not, DatabaseError where there
    is no room, the source cannot be read or the copy is damaged, Stopped.
    """
    if target.exists():
        raise InvalidInput(f"{target} exists already: choose another name.")
    if not target.parent.is_dir():
        raise InvalidInput(f"There is no folder {target.parent}.")
    with _making(target) as partial:
        try:
            with contextlib.closing(_reading(source)) as reading:
                _need_room(target.parent, _bytes(reading))
                with contextlib.closing(sqlite3.connect(partial)) as writing:
                    reading.backup(writing, pages=STEP_PAGES, progress=_resting(wanted))
                    writing.execute("PRAGMA journal_mode=delete")  # one file, whole by itself
                    _check(writing, source)
        except (sqlite3.Error, OSError) as error:
            raise DatabaseError(f"{source} cannot be copied to {target}: {error}.") from error
        return partial.stat().st_size


@contextlib.contextmanager
def _making(target: Path) -> Iterator[Path]:
    """A file beside the target that gets its name at the end of the block, or is removed."""
    handle, name = tempfile.mkstemp(_PARTIAL, f".{target.name}.", target.parent)
    os.close(handle)
    partial = Path(name)
    try:
        yield partial
        sync(partial)
        partial.replace(target)
        sync(target.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        Path(f"{partial}-journal").unlink(missing_ok=True)
        raise


def _resting(wanted: Callable[[], bool]) -> Callable[[int, int, int], None]:
    def rest(_status: int, _left: int, _total: int) -> None:
        if not wanted():
            raise Stopped
        _sleep(REST_S)

    return rest


def _reading(path: Path) -> sqlite3.Connection:
    """A connection that only reads, inside a transaction: it sees one moment from here on."""
    if not path.is_file():
        raise InvalidInput(f"There is no file {path}.")
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.isolation_level = None
    connection.execute("BEGIN")
    connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    return connection


def _bytes(connection: sqlite3.Connection) -> int:
    pages, size = (connection.execute(f"PRAGMA {it}").fetchone()[0] for it in _SIZE)
    return pages * size


_SIZE = ("page_count", "page_size")


def _need_room(folder: Path, wanted: int) -> None:
    free = shutil.disk_usage(folder).free
    if free < wanted + ROOM:
        raise DatabaseError(
            f"{wanted:,} bytes are needed in {folder}, and {free:,} are free: make room, or choose "
            "another folder."
        )


def _check(connection: sqlite3.Connection, source: Path) -> None:
    found = [row[0] for row in connection.execute("PRAGMA integrity_check(3)")]
    if found != ["ok"]:
        raise DatabaseError(f"{source} is damaged: {'; '.join(found)[:300]}")


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk."""
    if os.name == "nt":
        return  # neither a folder nor a file opened for reading can be synced there
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def stamp() -> str:
    """Now, in UTC, as it stands in file names."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")


def forget_partial(folder: Path, older_than_s: float = 86_400) -> None:
    """Remove the partial files of killed copies."""
    before = datetime.now(UTC).timestamp() - older_than_s
    for path in folder.glob(f".*{_PARTIAL}*"):
        if path.stat().st_mtime < before:
            path.unlink(missing_ok=True)


# --- restoring --------------------------------------------------------------------------------


def restore(source: Path, database: Path) -> tuple[Path | None, list[str]]:
    """Put a copy of ``source`` in the place of ``database``; returns where the former one is kept
    (None: there was none) and the migrations that were applied to the copy.

    The caller holds the lease. At every moment there is a whole database under the name. Raises
    InvalidInput where the source is no database of ours, DatabaseError where it is damaged, newer
    than the program, or there is no room, Conflict while another process has the database open.
    """
    if database.exists() and source.exists() and source.samefile(database):
        raise InvalidInput(f"{source} is the database itself.")
    place = Path(os.path.realpath(database))  # a link to it stays
    place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = place.with_name(f"{place.stem}.restoring.db")
    _forget(staged)
    try:
        copy(source, staged)
        _ours(staged, source)
        applied = open_database(sqlite_url(staged))
        close_database()
        alone(staged)
        with locked(database.with_suffix(".migrate-lock")):
            _free_of_log(database)
            kept = _exchange(staged, place)
            stale_wal.forget(database)
    finally:
        close_database()
        _forget(staged)
    return kept, applied


def _ours(path: Path, source: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}
        if not {"schema_migration", "job", "request", "result"} <= names:
            raise InvalidInput(f"{source} is no database of Simple Batch.")
        applied = {row[0] for row in connection.execute("SELECT name FROM schema_migration")}
    unknown = sorted(applied - {file.stem for file in MIGRATIONS.glob("*.py")})
    if unknown:
        raise DatabaseError(
            f"{source} has the migration {unknown[0]}, which this version does not know: it is of "
            "a newer Simple Batch. Install that version."
        )


def alone(path: Path) -> None:
    """Fold the write-ahead log into the file. Raises Conflict while another process has it open."""
    with contextlib.closing(sqlite3.connect(path, timeout=1)) as connection:
        try:
            connection.execute("PRAGMA journal_mode=delete")
        except sqlite3.OperationalError as error:
            raise _in_use(path, error) from error


def _in_use(path: Path, error: sqlite3.OperationalError) -> Exception:
    if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Conflict(f"Another process has {path} open: stop it first.")
    return error


def _exchange(staged: Path, database: Path) -> Path | None:
    if not database.exists():
        staged.replace(database)
        sync(database.parent)
        return None
    kept = _free_name(database.with_name(f"{database.stem}.replaced-{stamp()}.db"))
    # SQLite may remove the log of a damaged one as it looks at it: what is in it is kept too
    log, kept_log = Path(f"{database}-wal"), Path(f"{kept}-wal")
    if log.exists():
        shutil.copy2(log, kept_log)
    try:
        alone(database)
    except (sqlite3.DatabaseError, OSError):
        for end in ("-wal", "-shm"):  # they must not be taken for the new one's
            Path(f"{database}{end}").unlink(missing_ok=True)
    except Conflict:
        kept_log.unlink(missing_ok=True)
        raise
    else:
        kept_log.unlink(missing_ok=True)
    try:
        os.link(database, kept)  # so that the name is never without a database
    except OSError:
        database.replace(kept)
    staged.replace(database)
    sync(database.parent)
    return kept


def _free_of_log(database: Path) -> None:
    """Move away a log that does not belong to the database, or whose database is gone."""
    if database.exists() and database.stat().st_size:
        stale_wal.set_aside(database)
    elif wal_index.beside(database, "-wal").exists():
        stale_wal.move_away(database)


def _free_name(path: Path) -> Path:
    number, found = 1, path
    while found.exists():
        number += 1
        found = path.with_name(f"{path.stem}-{number}{path.suffix}")
    return found


def _forget(staged: Path) -> None:
    for path in (staged, *(Path(f"{staged}{end}") for end in ("-wal", "-shm", "-journal"))):
        path.unlink(missing_ok=True)
    staged.with_suffix(".migrate-lock").unlink(missing_ok=True)
    stale_wal.forget(staged)


def compact(database: Path) -> int:
    """Return the space of removed rows to the disk; returns the bytes freed. No other process may have
    the database open. Raises Conflict, DatabaseError where there is no room."""
    with contextlib.closing(sqlite3.connect(database, timeout=1)) as connection:
        connection.isolation_level = None
        before = _bytes(connection)
        _need_room(database.parent, before)
        try:
            connection.execute("PRAGMA journal_mode=delete")
            connection.execute("VACUUM")
        except sqlite3.OperationalError as error:
            raise _in_use(database, error) from error
    return before - database.stat().st_size
