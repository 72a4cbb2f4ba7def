"""A write-ahead log that was left behind, by a process that was killed or that lost its database file.

SQLite takes any ``-wal`` beside a database for its own. Beside a file that has taken the place of
another it is not: read into that, it makes a malformed database out of a good one. So the inodes of
both are noted while the database is open, and compared at the next start.
"""

import contextlib
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from ..errors import DatabaseError

log = logging.getLogger(__name__)

_WAL_HEADER = 32  # bytes; a log with more holds something
_ROLLBACK_MODE = b"\1\1"  # bytes 18 and 19 of a header, as backups have them


class Note(msgspec.Struct, frozen=True):
    """The inodes of a database and of its log; ``kept``: size and mtime (ns) of a database that was
    moved, removed or replaced while it was open."""

    database: int
    log: int
    kept: tuple[int, int] | None = None


def note(path: Path, seen: Note) -> None:
    """Keep a note beside the database, unless it is there. A folder that takes none is suffered."""
    if _noted(path) == seen:
        return
    target = _place(path)
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    with contextlib.suppress(OSError):
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(msgspec.json.encode(seen))
            beside.replace(target)
        finally:
            beside.unlink(missing_ok=True)


def forget(path: Path) -> None:
    """Remove the note."""
    _place(path).unlink(missing_ok=True)


def exchanged(path: Path) -> bool:
    """Whether the database that was noted last is another file than the one that is there, if any."""
    noted = _noted(path)
    if noted is None:
        return False
    try:
        return path.stat().st_ino != noted.database
    except OSError:
        return True


def set_aside(path: Path) -> Path | None:
    """Move a log away that does not belong to the database at ``path``; returns where to. Call it
    before the database is opened, where no process has it open. Raises DatabaseError where there is a
    log and no database: SQLite would remove what is in it."""
    wal = Path(f"{path}-wal")
    if not wal.is_file() or wal.stat().st_size <= _WAL_HEADER:
        return None
    if not path.exists() or not path.stat().st_size:
        raise DatabaseError(
            f"The database {path} is missing, but its write-ahead log {wal.name} is there. Put the "
            "database back, or put a backup in its place (flask restore-db FILE). To begin with an "
            f"empty database, remove {wal.name} and {path.name}-shm."
        )
    if not _foreign(path, wal):
        return None
    return move_away(path)


def move_away(path: Path) -> Path:
    """Give the log of a database another name."""
    wal = Path(f"{path}-wal")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = wal.with_name(f"{wal.name}.replaced-{stamp}")
    wal.replace(aside)
    Path(f"{path}-shm").unlink(missing_ok=True)
    log.warning(
        "the write-ahead log beside %s belongs to a former database file: it is kept as %s",
        path,
        aside,
    )
    return aside


def _foreign(path: Path, wal: Path) -> bool:
    with path.open("rb") as file:
        if file.read(20)[18:20] == _ROLLBACK_MODE:
            return True  # ours are in the mode of the log as long as there is a log
    noted = _noted(path)
    if noted is None or wal.stat().st_ino != noted.log:
        return False  # both have come here together
    state = path.stat()
    if state.st_ino != noted.database:
        return True
    return noted.kept is not None and noted.kept != (state.st_size, state.st_mtime_ns)


def _noted(path: Path) -> Note | None:
    try:
        return msgspec.json.decode(_place(path).read_bytes(), type=Note)
    except (OSError, msgspec.MsgspecError):
        return None


def _place(path: Path) -> Path:
    return path.with_suffix(".identity")
