"""A lock on the database server: held by a connection of its own, freed by the server when that ends.

What ``filelock`` is beside a SQLite file. The lock is of a database and of the schema whose tables
are used there.
"""

import psycopg

from . import backends

_TRY = "SELECT pg_try_advisory_lock(%s, hashtext(current_schema()))"
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


def held(connection: psycopg.Connection) -> bool:
    """Whether the connection is alive, and the lock with it."""
    try:
        connection.execute("SELECT 1")
    except psycopg.Error:
        connection.close()
        return False
    return True
