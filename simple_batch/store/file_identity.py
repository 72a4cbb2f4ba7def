"""Whether the database's path still leads to the files that this process has open.

A file that is moved, removed or replaced stays open: SQLite would go on writing to one that
nothing leads to any more. One that is written to in place (``cp backup simple_batch.db``) stays the
same file, and the next checkpoint would mix the two. Both are noticed here before a commit.
"""

import contextlib
import ctypes
import logging
import os
import sqlite3
import time
from pathlib import Path
from typing import NamedTuple

from ..core.messages import translatable
from . import stale_wal, wal_index

log = logging.getLogger(__name__)

CHECK_EVERY_S = 0.1  # interval of the check for readers
_BINARY = getattr(os, "O_BINARY", 0)


class _File(NamedTuple):
    """A file as it was when the database was opened."""

    path: str
    inode: tuple[int, int] | None  # (device, number); None where it was not there


class Identity:
    """The files of an open database. Only this object uses ``connection``: while it is open, SQLite
    removes neither the log nor its index."""

    def __init__(self, path: Path, connection: sqlite3.Connection):
        self._path = path
        self._connection = connection
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()  # opens the log
        self._real = wal_index.beside(path, "")  # links may lead elsewhere later
        beside = [wal_index.beside(path, end) for end in wal_index.ENDS]
        # as texts: they are looked at before every commit
        self._files = [_File(str(file), _inode(file)) for file in (path, *beside)]
        self._main, self._log, self._log_index = self._files
        # Both stay open as long as the database: closing any descriptor of a file drops all locks
        # that this process has on it (POSIX), SQLite's among them.
        # Where a disk bears no log in shared memory there is no index: content is not looked at.
        indexed = os.name != "nt" and self._log_index.inode is not None
        self._descriptors = self._opened() if indexed else []
        self._seen: wal_index.State | None = None
        self._overwritten: str | None = None
        self._fault: str | None = None
        self._checked_at = 0.0
        self._settle()
        self._note(lost=False)

    def fault(self, cached: bool = False) -> str | None:
        """The fault with its remedy; None if there is none. ``cached`` accepts a check up to
        CHECK_EVERY_S old. A fault is logged when it begins and when it ends."""
        now = time.monotonic()
        if not cached or now - self._checked_at >= CHECK_EVERY_S:
            before, found = self._seen, self._found()
            self._checked_at = now
            if found != self._fault:
                self._log_fault(found)
            elif self._seen is not before:
                self._note(lost=False)
        return self._fault

    def close(self) -> None:
        """Close what is open here."""
        if self._overwritten is not None:
            return  # see _keep_open
        self._connection.close()
        for descriptor in self._descriptors:
            os.close(descriptor)
        self._descriptors = []
        if self._fault is None and self._main.inode is not None:
            _device, number = self._main.inode
            stale_wal.closed(self._real, number)

    def _opened(self) -> list[int]:
        found = []
        for path, inode in self._files:
            found.append(os.open(path, os.O_RDONLY | _BINARY))
            if inode is None or _inode_of(os.fstat(found[-1])) != inode:
                raise OSError(f"{path} was exchanged while it was opened")
        return found

    def _settle(self) -> None:
        """After a crash the index does not say whether a checkpoint is at work: have one made."""
        if self._descriptors and wal_index.progress(self._index()) is None:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        index = self._index()
        if self._written_to(index, [_state(path) for path, _inode in self._files]) is not None:
            raise OSError(f"{self._path} was written to while it was opened")

    def _found(self) -> str | None:
        """The path, then the content: a file that is back must be as it was."""
        index = self._index()  # before the files: what they hold is at least as new
        states = []
        for path, known in self._files:
            states.append(_state(path))
            found = _inode_of(states[-1])
            if found != known:
                return self._described(path, found)
        if self._overwritten is None:
            self._overwritten = self._written_to(index, states)
            if self._overwritten is not None:
                self._keep_open()
        if self._overwritten is not None:
            return translatable(
                "Another program wrote to the database file %(path)s while it was open. No calls are "
                "made and nothing is written. Stop all processes that use it, then restore a backup "
                "with “flask restore-db FILE”, or start again to go on with the file as it is now.",
                path=self._overwritten,
            )
        return None

    def _keep_open(self) -> None:
        """Until the process ends: closing the last connection would have SQLite write the log into a
        file that it does not belong to. (Python closes what nothing refers to.)"""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._connection))

    def _described(self, path: str, found: tuple | None) -> str:
        if path != str(self._path):
            return translatable(
                "The write-ahead log of the database, %(path)s, was moved, removed or replaced. No "
                "calls are made and nothing is written until the same file is back. Otherwise stop "
                "all processes that use the database, then start again.",
                path=path,
            )
        if found is None:
            return translatable(
                "The database file %(path)s was moved or removed. No calls are made and nothing is "
                "written until the same file is back. To go on with another one, stop all processes "
                "that use it, then put a backup in its place with “flask restore-db FILE”.",
                path=path,
            )
        return translatable(
            "The database file %(path)s was replaced by another file. No calls are made and nothing "
            "is written until the former file is back. To go on with the new one, stop all processes "
            "that use it, then start again; “flask restore-db FILE” restores a backup safely.",
            path=path,
        )

    def _log_fault(self, found: str | None) -> None:
        before, self._fault = self._fault, found
        if found is None:
            log.warning("the database file %s is back: work goes on", self._path)
        else:
            log.error("%s", found)
        if (before is None) != (found is None):
            self._note(lost=found is not None)

    def _note(self, lost: bool) -> None:
        """For the next start, which has to know whether a log that lies there belongs to the file."""
        main, log_file, index = (file.inode for file in self._files)
        if main is None or log_file is None or _inode(self._log.path) != log_file:
            return  # it lies elsewhere
        kept = None
        if lost:
            kept = (0, 0)  # fits no file
            if self._overwritten is None and self._descriptors:
                state = os.fstat(self._descriptors[0])
                kept = state.st_size, state.st_mtime_ns
        seen = stale_wal.Note(
            main[1],
            log_file[1],
            index and index[1],
            kept,
            None if lost else self._seen,
            stale_wal.boot(),
        )
        stale_wal.note(self._real, seen)

    # --- the content ----------------------------------------------------------------------------

    def _written_to(self, index: bytes, states: list[os.stat_result | None]) -> str | None:
        """Which of the files something else than SQLite has changed since the last look."""
        main, log_file, _index = states
        if not self._descriptors or main is None or log_file is None:
            return None
        if self._changed(index, main):
            return self._main.path
        return self._log.path if self._log_changed(index, log_file) else None

    def _changed(self, index: bytes, state: os.stat_result) -> bool:
        """The database file, by something else than a checkpoint."""
        before = wal_index.progress(index)
        last = self._seen
        if before is None or (
            last is not None
            and (before, state.st_mtime_ns, state.st_size)
            == (last.progress, last.mtime_ns, last.size)
        ):
            return False
        header = os.pread(self._descriptors[0], wal_index.HEADER, 0)
        if wal_index.progress(self._index()) != before:
            return False  # a checkpoint has come between: the next look tells
        if header[:16] != wal_index.MAGIC or wal_index.mode(header) != wal_index.WAL_MODE:
            return True
        if last is not None and before == last.progress and last.differs(state.st_size, header):
            return True
        self._seen = wal_index.State(before, state.st_mtime_ns, state.st_size, header)
        return False

    def _log_changed(self, index: bytes, state: os.stat_result) -> bool:
        """The log was cut off, or another one written over it."""
        counted = wal_index.counted(index)
        if counted is None:
            return False
        size, salts = counted
        begins = os.pread(self._descriptors[1], wal_index.LOG_HEADER, 0)
        if wal_index.begins(begins, salts) and state.st_size >= size:
            return False
        return wal_index.counted(self._index()) == counted  # else it has begun from its start

    def _index(self) -> bytes:
        return os.pread(self._descriptors[2], wal_index.INDEX, 0) if self._descriptors else b""


def _state(path: str | Path) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116  (a Path costs more)
    except OSError:
        return None


def _inode(path: str | Path) -> tuple[int, int] | None:
    return _inode_of(_state(path))


def _inode_of(state: os.stat_result | None) -> tuple[int, int] | None:
    return None if state is None else (state.st_dev, state.st_ino)
