"""SQLite, with what the store needs beyond Peewee, and the way to PostgreSQL (postgres_backend.py), whose
driver is loaded only where a server is used."""

import contextlib
import re
import sqlite3
from contextvars import ContextVar
from pathlib import Path

from peewee import SqliteDatabase, __exception_wrapper__

from ..core import extras
from ..core.errors import DatabaseMoved
from .busy_retry import RetryingDatabase
from .file_identity import Identity

_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")  # PostgreSQL's texts hold none of these
_CHECKPOINT_PAGES = 1_000  # SQLite's own default


def open_only(path: str | Path) -> dict:
    """Arguments of ``sqlite3.connect`` that open a file and never make one."""
    return {"database": f"{Path(path).absolute().as_uri()}?mode=rw", "uri": True}


_as_opened: ContextVar[bool] = ContextVar("as_opened", default=False)


class _File(SqliteDatabase):
    """One that has to be there: a file that was removed is not made again, empty."""

    def _connect(self):
        connection = sqlite3.connect(
            **open_only(self.database),
            timeout=self._timeout,
            isolation_level=None,
            **self.connect_params,
        )
        try:
            self._add_conn_hooks(connection)
        except BaseException:
            connection.close()
            raise
        return connection


class Sqlite(RetryingDatabase, _File):
    """A file. One transaction writes at a time. None is begun or committed, and no connection taken,
    while the file is not the one that was opened: DatabaseMoved is raised."""

    server = False
    text_index = True
    _identity: Identity | None = None

    def identify(self) -> None:
        """Remember which file it is: from now on it is looked at. Raises OSError where it is exchanged
        meanwhile."""
        connection = sqlite3.connect(**open_only(self.database), check_same_thread=False)
        connection.isolation_level = None
        self._identity = Identity(Path(self.database), connection)

    def fault(self, cached: bool = False) -> str | None:
        """The fault of the file (moved, removed, replaced) as a text; None if there is none."""
        return None if self._identity is None else self._identity.fault(cached)

    def close_all(self) -> None:
        super().close_all()
        if self._identity is not None:
            self._identity.close()
            self._identity = None

    @contextlib.contextmanager
    def as_opened(self):
        """In the block connections that are open already may read, wherever their file is now."""
        token = _as_opened.set(True)
        try:
            yield
        finally:
            _as_opened.reset(token)

    def begin(self, lock_type=None):
        self._look()
        return super().begin(lock_type)

    def commit(self):
        self._look()
        super().commit()
        self.fault()  # how the file is after a checkpoint of ours

    def execute_sql(self, sql, params=None):
        if self.in_transaction():
            return super().execute_sql(sql, params)
        reads = sql.startswith("SELECT")
        if not (reads and _as_opened.get()):
            self._look(cached=reads)
        found = super().execute_sql(sql, params)
        if not reads:
            self.fault()
        return found

    def _connect(self):
        if not (_as_opened.get() and self._connections):
            self._look()
        return super()._connect()

    def _is_stale(self, timestamp):
        # an open connection is worth more than a fresh one while the file is away
        return not _as_opened.get() and super()._is_stale(timestamp)

    def _look(self, cached: bool = False) -> None:
        fault = self.fault(cached)
        if fault is not None:
            raise DatabaseMoved(fault)

    def executemany(self, sql: str, rows: list[tuple]) -> None:
        with __exception_wrapper__:
            self.connection().executemany(sql, rows)

    def passing(self, error: Exception) -> bool:
        """Whether the error is transient: the work can be retried a little later."""
        return isinstance(error, DatabaseMoved) or _moved(error)

    @contextlib.contextmanager
    def without_checkpoint(self):
        """What is committed in here stays in the write-ahead log: a commit that carries it over into
        the database waits for the disk, and the loop with it."""
        self.connection().execute("PRAGMA wal_autocheckpoint = 0")
        try:
            yield
        finally:
            self.connection().execute(f"PRAGMA wal_autocheckpoint = {_CHECKPOINT_PAGES}")

    def checkpoint(self) -> None:
        """Carry the write-ahead log over into the database, in a thread: the loop goes on. Raises
        nothing: where the file was moved, the next commit says so."""
        if self.fault() is not None:
            return
        import gevent  # here: a command that only reads needs none
        from gevent import monkey

        if monkey.is_module_patched("threading"):
            gevent.get_hub().threadpool.apply(_checkpoint, (self.database,))
        else:
            _checkpoint(self.database)
        self.fault()  # how the file is after it


def _moved(error: Exception) -> bool:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", None)
    return code == sqlite3.SQLITE_READONLY_DBMOVED


def _checkpoint(path: str) -> None:
    """Raises nothing: the next commit does what could not be done now."""
    with (
        contextlib.suppress(sqlite3.Error),
        contextlib.closing(sqlite3.connect(**open_only(path))) as own,
    ):
        own.execute("PRAGMA wal_checkpoint(PASSIVE)")


def server_backend():
    """The module of PostgreSQL. Raises MissingPackage where its driver is not installed."""
    extras.load("psycopg")
    from . import postgres_backend

    return postgres_backend


def storable(text: str) -> str:
    """The text as PostgreSQL stores it: U+FFFD stands for NUL and for halves of surrogate pairs."""
    return _UNSTORABLE.sub("\N{REPLACEMENT CHARACTER}", text)


def is_storable(text: str) -> bool:
    return _UNSTORABLE.search(text) is None
