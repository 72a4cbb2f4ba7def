"""A lock on the database server: held by a connection of its own, freed by the server when that ends.

What ``filelock`` is beside a SQLite file. The lock is of a database and of the schema whose tables
are used there.
"""

import msgspec
import psycopg

from . import backends
from .models import database

_TRY = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
_UNSEAT = """
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


def acquire(url: str, number: int) -> psycopg.Connection | None:
    """Take the lock; returns the connection that holds it, or None where another has it. Raises
    psycopg.Error where the server cannot be reached."""
    parameters = backends.connection_parameters(url)
    connection = psycopg.connect(**parameters, autocommit=True)
    try:
        if connection.execute(_TRY, (number,)).fetchone()[0]:
            connection.execute(_NOTICE)
            return connection
    except BaseException:
        connection.close()
        raise
    connection.close()
    return None


def sign(connection: psycopg.Connection, name: str) -> None:
    """Have others know who holds the lock."""
    connection.execute("SELECT set_config('application_name', %s, false)", (name,))


def unseat(number: int, names: list[str]) -> bool:
    """End the connection that holds the lock, if it is signed with one of these names: the lock is
    then free. Asked through the open database."""
    rows = database.execute_sql(_UNSEAT, (number, msgspec.json.encode(names).decode())).fetchall()
    return bool(rows)


def held(connection: psycopg.Connection) -> bool:
    """Whether the connection is alive, and the lock with it."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True
