"""Reads the index of SQLite's write-ahead log, without SQLite, for the state of the log and the database.

In this mode only checkpoints write to the database file, and they say so in the index
(https://www.sqlite.org/walformat.html, 2.1: nBackfill, nBackfillAttempted, the salts). A file that
changes while these stay the same was written to by another program. The log holds at least the frames
that the index counts (mxFrame), and begins with the salts that are in the index.
"""

import os
import struct
import sys
from pathlib import Path

import msgspec

HEADER = 100  # bytes of the database
INDEX = 132  # bytes of the index's head, up to nBackfillAttempted
MAGIC = b"SQLite format 3\0"
WAL_MODE, ROLLBACK_MODE = b"\2\2", b"\1\1"  # bytes 18 and 19 of the header
ENDS = ("-wal", "-shm")
_COPY = 48  # bytes: the index begins with two of the same
_PAGE_AND_FRAMES = struct.Struct("=HI")  # of byte 14 on
_SALTS, _BACKFILL, _ATTEMPTED = slice(32, 40), slice(96, 100), slice(128, 132)
LOG_HEADER = 32  # bytes of the log
_FRAME_HEADER = 24
_LOG_SALTS = slice(16, 24)


class Progress(msgspec.Struct, frozen=True):
    """How far checkpoints have come: the salts of the log, and its frames that are in the database."""

    salts: bytes
    backfilled: int


class State(msgspec.Struct, frozen=True):
    """A database file as it was when no checkpoint was at work."""

    progress: Progress
    mtime_ns: int
    size: int
    header: bytes

    def differs(self, size: int, header: bytes) -> bool:
        """Whether the file holds something else. That it was touched does not count."""
        return (size, header) != (self.size, self.header)


def progress(index: bytes) -> Progress | None:
    """What the head of an index says; None while a checkpoint is at work, or it was cut short."""
    if len(index) < INDEX:
        return None
    done, begun = index[_BACKFILL], index[_ATTEMPTED]
    return Progress(index[_SALTS], int.from_bytes(done, sys.byteorder)) if done == begun else None


def counted(index: bytes) -> tuple[int, bytes] | None:
    """The bytes that the log has at least, and the salts it begins with; None where it is empty."""
    if len(index) < INDEX or index[:_COPY] != index[_COPY : 2 * _COPY]:
        return None  # it is being written
    page, frames = _PAGE_AND_FRAMES.unpack_from(index, 14)
    page = (page & 0xFE00) + ((page & 1) << 16)  # 65,536 is kept as 1
    return (LOG_HEADER + frames * (_FRAME_HEADER + page), index[_SALTS]) if frames else None


def begins(header: bytes, salts: bytes) -> bool:
    """Whether these are the first bytes of the log with these salts."""
    return header[_LOG_SALTS] == salts


def mode(header: bytes) -> bytes:
    """The two bytes that tell how a database is written to."""
    return header[18:20]


def beside(path: str | Path, end: str) -> Path:
    """The log (``-wal``), its index (``-shm``) or the file itself: SQLite keeps them beside the file
    that links lead to."""
    return Path(f"{os.path.realpath(path)}{end}")
