"""PostgreSQL, with what the store needs beyond Peewee. Loaded by ``backends.server_backend``."""

import contextlib
import os
import re
import select
import socket
from types import SimpleNamespace

import gevent
import psycopg
from gevent import monkey
from gevent.util import wrap_errors
from peewee import __exception_wrapper__
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase
from psycopg.adapt import AdaptersMap, Loader
from psycopg.pq import TransactionStatus
from psycopg.types.string import StrDumperUnknown

from . import dialect
from .backends import storable

# Retryable classes and codes of SQLSTATE: the connection or the server is gone, or the transaction
# conflicted with another one.
_PASSING = ("08", "40", "53", "57P01", "57P02", "57P03")

_PORTS = re.compile(r"[\d,]*")
# gevent's would let others work before it answers; Windows has none
_poll = monkey.get_original("select", "poll") if hasattr(select, "poll") else None
_WORTH_A_COPY = 4  # rows
_CANCEL_S = 2.0
_LEAVE_S = 0.5  # for queries that are broken off at the end

# Without these a network that is cut is noticed after minutes; the URL may say otherwise.
_CONNECTION = {
    "application_name": "simple-batch",
    "connect_timeout": 5,  # s
    "keepalives_idle": 10,  # s
    "keepalives_interval": 5,  # s
    "keepalives_count": 3,
    "tcp_user_timeout": 20_000,  # ms
    "client_encoding": "UTF8",
}
# After ten runs a prepared statement gets a plan that is made without its values: the range of a step would
# not count, and each step could read the whole job.
_UNPREPARED = {"prepare_threshold": None}


class Postgres(PooledPostgresqlDatabase):
    """A server. ``hold`` and LOCKING keep transactions on the same job apart, since here they run
    side by side: while one waits for the server other greenlets work."""

    server = True
    text_index = False  # whether the server has trigrams; looked at when it is opened

    def fault(self, cached: bool = False) -> str | None:
        """None: the server manages its files."""

    as_opened = staticmethod(contextlib.nullcontext)

    def rollback(self):
        if not self._cut_short():
            super().rollback()

    def _is_closed(self, conn):
        # an idle connection receives nothing from its server until the server closes it: only then
        # test it with a query
        idle = conn.pgconn.transaction_status == TransactionStatus.IDLE
        if idle and not conn.closed and _silent(conn.pgconn.socket):
            return False
        return super()._is_closed(conn)

    def _execute_cursor(self, sql, params, **cursor_options):
        if sql.startswith("ROLLBACK TO") and self._cut_short():
            return None
        sql, order = dialect.for_postgres(sql)
        if order is not None:
            params = [params[place] for place in order]
        return super()._execute_cursor(sql, params, **cursor_options)

    def executemany(self, sql: str, rows: list[tuple]) -> None:
        if not rows:
            return
        copy = dialect.as_copy(sql)
        with __exception_wrapper__:
            if copy is None or len(rows) < _WORTH_A_COPY:
                self._run_many(dialect.for_postgres(sql)[0], rows)
                return
            with self.cursor().copy(copy) as into:
                for row in rows:
                    into.write_row(row)

    def _run_many(self, sql: str, rows: list[tuple]) -> None:
        """A greenlet that is killed here, or whose time is over, waits until the statements are cancelled.
        Else psycopg would leave its pipeline with an error in place of what ended the greenlet. That
        looks like a server that is away, so the greenlet would try again for ever."""
        cursor = self.cursor()
        if not monkey.is_module_patched("socket"):
            cursor.executemany(sql, rows)
            return
        running = gevent.spawn(wrap_errors((Exception,), lambda: cursor.executemany(sql, rows)))
        try:
            failure = running.get()
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                cursor.connection.cancel_safe(timeout=_CANCEL_S)
            running.join(_CANCEL_S)
            if not running.ready():
                _shut_down(cursor.connection)
                running.join()
            raise
        if failure is not None:
            raise failure

    def close_all(self) -> None:
        """Break off the queries of other greenlets first: libev aborts the process when a socket is closed
        while a greenlet begins to wait for it."""
        own = None if self.is_closed() else self.connection()
        for used in list(self._in_use.values()):
            if used.connection is not own:
                _shut_down(used.connection)
        if monkey.is_module_patched("socket"):
            with gevent.Timeout(_LEAVE_S, False):  # type: ignore[arg-type]  # says nothing
                while any(used.connection is not own for used in self._in_use.values()):
                    gevent.sleep(0.001)
        super().close_all()

    def without_checkpoint(self):
        """Do nothing: the server runs its checkpoints in the background."""
        return contextlib.nullcontext()

    def checkpoint(self) -> None:
        """Do nothing: the server runs its checkpoints in the background."""

    def _cut_short(self) -> bool:
        """Whether the connection broke, or its greenlet was killed while it waited for the server. The
        connection is then unusable, and the server rolls back. A query on it would hide the cause."""
        connection = self.connection()
        status = connection.pgconn.transaction_status
        if status == TransactionStatus.ACTIVE:
            with contextlib.suppress(psycopg.Error):
                connection.cancel_safe(timeout=_CANCEL_S)
            connection.close()
        return connection.closed or status == TransactionStatus.UNKNOWN

    def passing(self, error: Exception) -> bool:
        """Whether the error is transient and the work can be retried a little later: the server is gone,
        or it aborted the transaction in favor of another one."""
        if isinstance(error, MaxConnectionsExceeded):
            return True
        cause = getattr(error, "orig", error)  # what Peewee has wrapped
        if not isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError):
            return False
        return cause.sqlstate is None or cause.sqlstate.startswith(_PASSING)


def _shut_down(connection: psycopg.Connection) -> None:
    """Make everything that waits for the connection fail."""
    with contextlib.suppress(OSError, psycopg.Error):
        descriptor = os.dup(connection.pgconn.socket)
        with socket.socket(fileno=descriptor) as same:
            same.shutdown(socket.SHUT_RDWR)


def _silent(descriptor: int) -> bool:
    """Whether the socket has nothing to read now; False where the system cannot tell."""
    if _poll is None:
        return False
    poll = _poll()
    poll.register(descriptor, select.POLLIN)
    return not poll.poll(0)


def connection_parameters(url: str) -> dict:
    """Connection parameters for psycopg. Raises ValueError, without the URL in it, if the URL is
    invalid."""
    try:
        given = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise ValueError("it is no URL of PostgreSQL") from None  # the complaint may quote it
    # an unescaped password is split into these, and error messages of the connection quote them
    if "@" in str(given.get("host") or "") or not _PORTS.fullmatch(str(given.get("port", ""))):
        raise ValueError("it is no URL of PostgreSQL: in a password @ is written %40, / %2F")
    return {**_CONNECTION, **given, **_UNPREPARED, "context": _ADAPTERS}


def postgres(url: str, connections: int) -> Postgres:
    """The database at the URL, not connected yet, with at most ``connections`` connections."""
    parameters = connection_parameters(url)
    name = parameters.pop("dbname", "") or parameters.get("user", "postgres")
    return Postgres(
        name,
        prefer_psycopg3=True,
        autoconnect=False,
        max_connections=connections,
        timeout=30,  # s that a greenlet waits for a connection of the pool
        stale_timeout=300,
        **parameters,
    )


class _Text(StrDumperUnknown):
    """Texts as ``storable`` makes them."""

    def dump(self, obj):
        try:
            return super().dump(obj)
        except (psycopg.DataError, UnicodeEncodeError):
            return super().dump(storable(obj))


class _Number(Loader):
    """Sums of 64-bit numbers come as NUMERIC: whole ones are int here, as on SQLite."""

    def load(self, data):
        text = bytes(data).decode()
        return float(text) if "." in text or "N" in text else int(text)


_map = AdaptersMap(psycopg.adapters)
_map.register_dumper(str, _Text)
_map.register_loader("numeric", _Number)
_ADAPTERS = SimpleNamespace(adapters=_map, connection=None)
