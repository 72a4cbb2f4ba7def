"""Detects a stale write-ahead log, left by a process that was killed or that lost its database file.

SQLite applies any ``-wal`` file beside a database. If the database file was replaced, the log belongs to
the former file and would corrupt the new one. So the inodes of both and the state of the file are noted
while the database is open, and compared at the next start.
"""

import contextlib
import logging
import os
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import msgspec

from ..core.errors import DatabaseError
from . import wal_index

log = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Note(msgspec.Struct, frozen=True):
    """The inodes of a database, of its log and of the log's index (None: they were closed and removed).
    ``state``: what the database held then, and ``boot`` the boot of the machine: a power cut may keep
    a file and lose the index of its log. ``kept``: size and mtime (ns) of a database that was moved,
    removed or replaced while it was open."""

    database: int
    log: int | None = None
    index: int | None = None
    kept: tuple[int, int] | None = None
    state: wal_index.State | None = None
    boot: str = ""


@cache
def boot() -> str:
    """Which boot of the machine this is; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def note(path: Path, seen: Note) -> None:
    """Keep a note beside the database, unless it is there. A folder that cannot be written is ignored."""
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


def closed(path: Path, database: int) -> None:
    """Note that the database was closed, where it was by the last process that had it open."""
    if not wal_index.beside(path, "-wal").exists() and _inode(path) == database:
        note(path, Note(database))


def exchanged(path: Path) -> bool:
    """Whether the database that was noted last is another file than the one that is there, if any."""
    noted = _noted(path)
    return noted is not None and _inode(path) != noted.database


def taken_away(path: Path) -> bool:
    """Whether a process that still has the database open, as was noted last, has lost it: the file, its
    log or the index are others, or another program has written to them."""
    noted = _noted(path)
    if noted is None:
        return False
    if noted.kept is not None or _inode(path) != noted.database:
        return True
    found = [_inode(wal_index.beside(path, end)) for end in wal_index.ENDS]
    return noted.log is not None and found != [noted.log, noted.index]


def set_aside(path: Path) -> Path | None:
    """Move a log away that does not belong to the database at ``path``; returns where to. Call it
    before the database is opened, where no process has it open. Raises DatabaseError where there is a
    log and no database: SQLite would remove what is in it."""
    wal = wal_index.beside(path, "-wal")
    if not wal.is_file() or wal.stat().st_size <= wal_index.LOG_HEADER:
        return None
    if not path.exists() or not path.stat().st_size:
        raise DatabaseError(
            f"The database {path} is missing, but its write-ahead log {wal} is there. Put the "
            "database back, or put a backup in its place (flask restore-db FILE). To begin with an "
            f"empty database, remove {wal.name} and {wal.name.removesuffix('-wal')}-shm."
        )
    if not _foreign(path, wal):
        return None
    return move_away(path)


def move_away(path: Path) -> Path:
    """Give the log of a database another name."""
    wal = wal_index.beside(path, "-wal")
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    aside = wal.with_name(f"{wal.name}.replaced-{stamp}")
    wal.replace(aside)
    wal_index.beside(path, "-shm").unlink(missing_ok=True)
    log.warning(
        "the write-ahead log beside %s belongs to a former database file: it is kept as %s",
        path,
        aside,
    )
    return aside


def _foreign(path: Path, wal: Path) -> bool:
    with path.open("rb") as file:
        header = file.read(wal_index.HEADER)
    if wal_index.mode(header) == wal_index.ROLLBACK_MODE:
        return True  # ours are in the mode of the log as long as there is a log
    noted = _noted(path)
    if noted is None or _inode(wal) != noted.log:
        return False  # both have come here together
    state = path.stat()
    if state.st_ino != noted.database:
        return True
    if noted.kept is not None:
        return noted.kept != (state.st_size, state.st_mtime_ns)
    if noted.state is None or not noted.boot or noted.boot != boot():
        return False
    if _progress(path) != noted.state.progress:
        return False  # a checkpoint may have written since
    return noted.state.differs(state.st_size, header)


def _progress(path: Path) -> wal_index.Progress | None:
    try:
        with wal_index.beside(path, "-shm").open("rb") as file:
            return wal_index.progress(file.read(wal_index.INDEX))
    except OSError:
        return None


def _noted(path: Path) -> Note | None:
    place = _place(path)
    try:
        return msgspec.json.decode(place.read_bytes(), type=Note) if place.is_file() else None
    except (OSError, msgspec.MsgspecError):
        return None


def _inode(path: Path) -> int | None:
    try:
        return path.stat().st_ino
    except OSError:
        return None


def _place(path: Path) -> Path:
    return wal_index.beside(path, "").with_suffix(".identity")
