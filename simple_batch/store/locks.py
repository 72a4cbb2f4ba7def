"""Locks held by one process: on a file beside a SQLite database, or on the PostgreSQL server. Both are
freed when the process dies.

No heartbeat and no time-out: a process that stalls keeps its lock, one that
is killed loses it at once.
"""

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from ..core import extras
from . import backends
from .models import database

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = extras.Later("psycopg")

if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


# Not by the library filelock, which creates missing folders and takes 30 ms of every start.
def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def acquire(path: Path) -> int | None:
    """Take the lock; returns the descriptor that holds it, or None where another process has it.
    Raises OSError where the file cannot be made."""
    descriptor = _opened(path)
    try:
        _lock(descriptor, wait=False)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether the path still names the file whose lock is held: the lock of a file that was
    removed or replaced does not keep other processes out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def release(descriptor: int) -> None:
    """Release the lock."""
    os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock for the block, waiting for it."""
    descriptor = _opened(path)
    try:
        _lock(descriptor, wait=True)
        yield
    finally:
        release(descriptor)


_TRY = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
_REVOKE = """
SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = CAST(? AS OID) AND l.objsubid = 2
  AND l.objid = CAST(CAST(hashtext(current_schema()) AS BIGINT) & 4294967295 AS OID)
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND a.application_name IN (SELECT value FROM json_array_elements_text(CAST(? AS JSON)))
"""
# The server, too, is to notice a network that is cut (on a Unix socket it knows anyway).
_NOTICE = (
    "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
)


def acquire_on_server(url: str, number: int) -> "psycopg.Connection | None":
    """Take the lock; returns the connection that holds it, or None where another has it. Raises
    psycopg.Error where the server cannot be reached."""
    parameters = backends.server_backend().connection_parameters(url)
    connection = psycopg.connect(**parameters, autocommit=True)
    try:
        row = connection.execute(_TRY, (number,)).fetchone()
        if row is not None and row[0]:
            connection.execute(_NOTICE)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def set_holder(connection: "psycopg.Connection", name: str) -> None:
    """Store the name of the lock's holder with its connection."""
    connection.execute("SELECT set_config('application_name', %s, false)", (name,))


def revoke(number: int, names: list[str]) -> bool:
    """End the connection that holds the lock, if it has one of these names: the lock is then
    free. Asked through the open database."""
    rows = database.execute_sql(_REVOKE, (number, msgspec.json.encode(names).decode())).fetchall()
    return bool(rows)


def still_held(connection: "psycopg.Connection") -> bool:
    """Whether the connection is alive, and the lock with it."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True
