"""Reads that may take seconds in a large database, beside the event loop."""

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from peewee import SqliteDatabase

from .models import database


def rows(sql: str, values: Sequence[object]) -> list[tuple]:
    """What a SELECT finds of what is committed. SQLite reads in a thread, on a separate connection; a
    greenlet waits for a server without that."""
    opened = database.obj
    if not isinstance(opened, SqliteDatabase):
        return database.execute_sql(sql, values).fetchall()
    from gevent import get_hub  # here: most commands need none

    return get_hub().threadpool.apply(_read, (Path(opened.database), sql, tuple(values)))


def _read(path: Path, sql: str, values: tuple[object, ...]) -> list[tuple]:
    uri = f"{path.absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(uri, uri=True)) as connection:
        return connection.execute(sql, values).fetchall()
