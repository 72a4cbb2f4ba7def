"""Retries while another process locks the database, without blocking this process.

SQLite's own busy timeout sleeps in C and blocks all greenlets of the process. It is therefore kept short,
and the retries are made here.
"""

import time
from collections.abc import Callable

import peewee
from playhouse.pool import PooledSqliteDatabase

BUSY_TIMEOUT_MS = 2  # SQLite's own
RETRY_S = 5.0
PAUSE_S = 0.02


class RetryingDatabase(PooledSqliteDatabase):
    """Retries at the begin of a transaction and for single statements. Inside a transaction no other
    process can hold the lock (write-ahead log, immediate transactions)."""

    def begin(self, lock_type=None):
        return _retry_while_locked(super().begin, lock_type)

    def execute_sql(self, sql, params=None):
        if self.in_transaction():
            return super().execute_sql(sql, params)
        return _retry_while_locked(super().execute_sql, sql, params)


def _retry_while_locked(work: Callable, *args):
    """Raises what ``work`` raises: at once, or where the database stays locked."""
    end = None
    while True:
        try:
            return work(*args)
        except peewee.OperationalError as error:
            now = time.monotonic()
            end = end or now + RETRY_S
            if "locked" not in str(error) or now > end:
                raise
        time.sleep(PAUSE_S)
