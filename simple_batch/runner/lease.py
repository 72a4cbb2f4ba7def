"""Lease of the only runner of a database: a lock on a file beside it, or on its server."""

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from ..core import extras
from ..core.errors import DatabaseError
from ..store import locks
from ..store.database import RUNNER_LOCK, is_server, sqlite_path

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = extras.Later("psycopg")

log = logging.getLogger(__name__)

_NUMBER = 0x51B1  # of the advisory lock


class Lease:
    """The right to run the jobs of a database. The system frees it when the process dies."""

    def __init__(self, database: Path):
        self._path = database.with_suffix(RUNNER_LOCK)
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lease if it is free; True where this object holds it now. Raises DatabaseError
        where the lock's file cannot be used."""
        if self._descriptor is None:
            try:
                self._descriptor = locks.acquire(self._path)
            except OSError as error:
                raise DatabaseError(
                    f"The lock file {self._path} cannot be used: {error.strerror}. It has to be a file "
                    "that this user can write to: remove what is there, while no process runs the jobs."
                ) from error
        return self.held

    def keep(self) -> bool:
        """Returns False if another process has the lease that this one held. A live process loses it
        only if the lock's file was removed or replaced."""
        if self._descriptor is None or locks.leads_to(self._path, self._descriptor):
            return True
        try:
            again = locks.acquire(self._path)
        except OSError:
            return True  # the whole folder is away: no other process can have it
        if again is None:
            self.release()
            return False
        self.release()
        self._descriptor = again
        return True

    def set_holder(self, name: str) -> None:
        """Publish the holder of the lease, if other processes may revoke it."""

    def release(self) -> None:
        if self._descriptor is not None:
            locks.release(self._descriptor)
            self._descriptor = None

    def held_elsewhere(self) -> bool:
        """True where another process runs this database's jobs at this moment."""
        if self.held:
            return False
        if not self.acquire():
            return True
        self.release()
        return False


class ServerLease(Lease):
    """The same on a server, which frees it when the connection ends: also when the server is
    restarted or the network is cut. Then the first process to ask gets it."""

    def __init__(self, url: str):
        self._url = url
        self._connection: psycopg.Connection | None = None
        self._lost = False  # held once, and the server is away

    @property
    def held(self) -> bool:
        return self._connection is not None or self._lost

    def acquire(self) -> bool:
        if self._connection is None:
            try:
                self._connection = locks.acquire_on_server(self._url, _NUMBER)
            except psycopg.Error as error:
                log.warning("the database server cannot be asked for the lease: %s", error)
        return self._connection is not None

    def keep(self) -> bool:
        """Returns False if another process has taken the lease that this one held. While the server is
        away no process can take it. The jobs here go on, and their results wait to be recorded."""
        if self._connection is not None and not locks.still_held(self._connection):
            log.warning("the connection that held the lease is gone")
            self._connection, self._lost = None, True
        if self._lost:
            try:
                self._connection = locks.acquire_on_server(self._url, _NUMBER)
            except psycopg.Error:
                return True
            self._lost = False
        return self._connection is not None

    def release(self) -> None:
        self._lost = False
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def set_holder(self, name: str) -> None:
        with contextlib.suppress(psycopg.Error):
            if self._connection is not None:
                locks.set_holder(self._connection, name)

    def held_elsewhere(self) -> bool:
        if self.held:
            return False
        try:
            connection = locks.acquire_on_server(self._url, _NUMBER)
        except psycopg.Error:
            return False  # no process runs jobs on a server that is away
        if connection is not None:
            connection.close()
        return connection is None


def revoke(names: list[str]) -> bool:
    """Revoke the lease of a process that holds it under one of these names and hangs: its connection
    is alive, so the server does not free the lease. Returns True if it was revoked."""
    return locks.revoke(_NUMBER, names)


def lease_of(url: str) -> Lease:
    """The lease of the database at a URL."""
    return ServerLease(url) if is_server(url) else Lease(sqlite_path(url))
