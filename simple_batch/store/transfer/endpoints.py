"""The two databases of a copy (copy.py): how rows are read from either in the order of their keys,
and how they are written. One row at a time is in memory.

Each endpoint has a separate connection, beside the program's. Values are read as PostgreSQL returns them:
booleans, bytes, floats. Between ``reading`` and ``close`` an endpoint is a consistent snapshot without writers.
"""

import contextlib
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

import peewee

from ...core import extras
from ...core.errors import Conflict, DatabaseError
from .. import backends
from ..database import UNFINISHED, is_server, redacted_url, sqlite_path
from ..models import ALL

if TYPE_CHECKING:
    import psycopg
else:
    psycopg = extras.Later("psycopg")

# State of the text indexes and sort keys, which are rebuilt, and rows that only live workers have.
_NOT_COPIED = frozenset(
    {"text_index", "grid_column", "grid_key", "worker", "page", "lane", "spend_block"}
)
_LOCK_TIMEOUT_S = 5
_INDEX_MEMORY = "256MB"  # of the server's memory, while indexes are made
_REFERENCES = """
SELECT conrelid::regclass, quote_ident(conname), pg_get_constraintdef(oid) FROM pg_constraint
WHERE contype = 'f' AND connamespace = current_schema()::regnamespace ORDER BY conname
"""
_INDEXES = """
SELECT indexrelid::regclass, pg_get_indexdef(indexrelid) FROM pg_index
JOIN pg_class ON pg_class.oid = indexrelid
WHERE relnamespace = current_schema()::regnamespace AND relkind = 'i'
AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conindid = indexrelid AND contype IN ('p', 'u', 'x'))
ORDER BY relname
"""


class Table(NamedTuple):
    """What is copied of a table. ``key`` and the others name columns."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    booleans: frozenset[str]
    blobs: frozenset[str]
    texts: frozenset[str]
    numbered: bool  # by the database itself, as ``id``


def tables() -> list[Table]:
    """All tables except those of _NOT_COPIED; referenced tables come first."""
    return [
        _table(model)
        for model in peewee.sort_models(ALL)
        if model._meta.table_name not in _NOT_COPIED
    ]


def _table(model) -> Table:
    fields = model._meta.sorted_fields

    def of(*kinds) -> frozenset[str]:
        return frozenset(field.column_name for field in fields if isinstance(field, kinds))

    keys = model._meta.get_primary_keys()
    return Table(
        model._meta.table_name,
        tuple(field.column_name for field in fields),
        tuple(field.column_name for field in keys),
        of(peewee.BooleanField),
        of(peewee.BlobField),
        of(peewee.TextField, peewee.CharField),
        isinstance(keys[0], peewee.AutoField),
    )


def connect(url: str) -> "Endpoint":
    """The database at a URL, connected. Raises DatabaseError where it cannot be reached."""
    with database_errors(url):
        return ServerEndpoint(url) if is_server(url) else FileEndpoint(url)


def password_of(url: str) -> str:
    """Of a server's URL; empty where it has none. Raises ValueError, without the URL in it."""
    return backends.server_backend().connection_parameters(url).get("password", "")


@contextlib.contextmanager
def database_errors(url: str):
    """Raise errors of the database at the URL as a DatabaseError without rows or passwords."""
    try:
        yield
    except (psycopg.Error, sqlite3.Error, OSError, ValueError) as error:
        reason = error.diag.message_primary if isinstance(error, psycopg.Error) else None
        reason = reason or (str(error).strip().splitlines() or ["?"])[0]
        raise DatabaseError(
            f"The database {redacted_url(url)} cannot be read or written: {reason}. Run the command again when "
            "that is mended: it starts again by itself."
        ) from None


class Endpoint(ABC):
    """A database that rows are copied from or to."""

    _connection: "sqlite3.Connection | psycopg.Connection"

    def __init__(self, url: str):
        self.url = url

    @abstractmethod
    def reading(self, tables: list[Table]) -> None:
        """Begin to read: no other program writes until ``close``. Raises Conflict where one does now."""

    @abstractmethod
    def rows(self, table: Table) -> Iterator[tuple]:
        """All rows in the order of their keys; texts are compared by code point."""

    @abstractmethod
    def filling(self, tables: list[Table]) -> AbstractContextManager:
        """One transaction in which everything is written to empty tables."""

    @abstractmethod
    def write(self, table: Table, rows: Iterable[tuple]) -> None:
        """Insert the rows."""

    @abstractmethod
    def last_number(self, table: Table) -> int:
        """The highest id that was ever given, as far as it is known."""

    @abstractmethod
    def number_after(self, table: Table, last: int) -> None:
        """Give no id up to ``last`` again, where this kind of table knows of that."""

    @abstractmethod
    def _names(self) -> set[str]:
        """Names of the tables that there are."""

    def settle(self) -> None:
        """After the rows: what makes the database quick."""
        self._run("ANALYZE")

    def filled(self) -> str | None:
        """The name of one of our tables that has rows."""
        there = self._names()
        for table in tables():
            if table.name in there and self._first(f'SELECT 1 FROM "{table.name}" LIMIT 1'):
                return table.name
        return None

    @property
    def unfinished(self) -> bool:
        """Whether a copy into this one was begun and not checked to its end."""
        query = f"SELECT 1 FROM schema_migration WHERE name = '{UNFINISHED}'"
        return "schema_migration" in self._names() and self._first(query) is not None

    def mark(self) -> None:
        """Prevent this database from being opened until the copy is checked."""
        if not self.unfinished:
            self._run(
                "INSERT INTO schema_migration (name, applied) "
                f"VALUES ('{UNFINISHED}', CURRENT_TIMESTAMP)"
            )

    def unmark(self) -> None:
        self._run(f"DELETE FROM schema_migration WHERE name = '{UNFINISHED}'")

    def indexed(self) -> list[int]:
        """Ids of the jobs whose text has an index."""
        return [job_id for (job_id,) in self._run("SELECT job_id FROM text_index").fetchall()]

    def count(self, table: Table) -> int:
        return self._value(f'SELECT count(*) FROM "{table.name}"')

    def _first(self, query: str) -> tuple | None:
        return self._run(query).fetchone()

    def _value(self, query: str) -> Any:
        """The first column of the first row; None where there is no row."""
        row = self._first(query)
        return None if row is None else row[0]

    def _run(self, query: str) -> "sqlite3.Cursor | psycopg.Cursor":
        return self._connection.execute(query)

    def close(self) -> None:
        self._connection.close()


class FileEndpoint(Endpoint):
    """A SQLite file."""

    _connection: sqlite3.Connection

    def __init__(self, url: str):
        super().__init__(url)
        path = sqlite_path(url)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._connection = sqlite3.connect(path, timeout=_LOCK_TIMEOUT_S, isolation_level=None)
        # bytes that are no UTF-8 become halves of surrogate pairs, and are reported as those are
        self._connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        self._connection.create_function("storable", 1, _storable, deterministic=True)

    def reading(self, _tables: list[Table]) -> None:
        self._run("BEGIN IMMEDIATE")

    def rows(self, table: Table) -> Iterator[tuple]:
        columns = ", ".join(
            f'CAST("{name}" AS BLOB)' if name in table.blobs else f'"{name}"'
            for name in table.columns
        )
        order = ", ".join(
            f'storable("{name}")' if name in table.texts else f'"{name}"' for name in table.key
        )
        found = self._run(f'SELECT {columns} FROM "{table.name}" ORDER BY {order}')
        return _with_booleans(found, table) if table.booleans else found

    @contextlib.contextmanager
    def filling(self, tables: list[Table]):
        self._run("BEGIN IMMEDIATE")
        try:
            for table in reversed(tables):
                self._run(f'DELETE FROM "{table.name}"')
            for name in ("grid_key", "grid_column", "text_index"):
                self._run(f"DELETE FROM {name}")
            yield
            self._run("COMMIT")
        except BaseException:
            if self._connection.in_transaction:  # a full disk ends it by itself
                self._run("ROLLBACK")
            raise

    def write(self, table: Table, rows: Iterable[tuple]) -> None:
        names = ", ".join(f'"{name}"' for name in table.columns)
        marks = ", ".join("?" * len(table.columns))
        self._connection.executemany(f'INSERT INTO "{table.name}" ({names}) VALUES ({marks})', rows)

    def last_number(self, table: Table) -> int:
        kept = self._value(f"SELECT max(seq) FROM sqlite_sequence WHERE name = '{table.name}'")
        highest = self._value(f'SELECT max("id") FROM "{table.name}"')
        return max(kept or 0, highest or 0)

    def number_after(self, table: Table, last: int) -> None:
        sql = self._value(f"SELECT sql FROM sqlite_master WHERE name = '{table.name}'")
        if "AUTOINCREMENT" in sql:
            self._run(f"DELETE FROM sqlite_sequence WHERE name = '{table.name}'")
            self._run(f"INSERT INTO sqlite_sequence (name, seq) VALUES ('{table.name}', {last})")

    def _names(self) -> set[str]:
        return {name for (name,) in self._run("SELECT name FROM sqlite_master")}


def _storable(value):
    return backends.storable(value) if isinstance(value, str) else value


def _with_booleans(rows: Iterable[tuple], table: Table) -> Iterator[tuple]:
    kinds = [name in table.booleans for name in table.columns]
    for row in rows:
        yield tuple(
            bool(value) if boolean and value is not None else value
            for value, boolean in zip(row, kinds, strict=True)
        )


class ServerEndpoint(Endpoint):
    """A PostgreSQL database."""

    _connection: "psycopg.Connection"

    def __init__(self, url: str):
        super().__init__(url)
        self._connection = psycopg.connect(
            **backends.server_backend().connection_parameters(url), autocommit=True
        )

    def reading(self, tables: list[Table]) -> None:
        names = ", ".join(f'"{table.name}"' for table in tables)
        self._run(f"SET lock_timeout = '{_LOCK_TIMEOUT_S}s'")
        self._run("BEGIN ISOLATION LEVEL REPEATABLE READ")
        try:
            self._run(f"LOCK TABLE {names} IN SHARE MODE")
        except psycopg.errors.LockNotAvailable:
            raise Conflict(
                f"Another program writes to the database {redacted_url(self.url)}: stop that first."
            ) from None

    def rows(self, table: Table) -> Iterator[tuple]:
        names = ", ".join(f'"{name}"' for name in table.columns)
        # as SQLite orders texts
        order = ", ".join(
            f'"{name}" COLLATE "C"' if name in table.texts else f'"{name}"' for name in table.key
        )
        query = (
            f'COPY (SELECT {names} FROM "{table.name}" ORDER BY {order}) TO STDOUT (FORMAT BINARY)'
        )
        types = self._types(table)
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.set_types(types)
            yield from copy.rows()

    @contextlib.contextmanager
    def filling(self, tables: list[Table]):
        names = ", ".join(f'"{table.name}"' for table in tables)
        with self._connection.transaction():
            self._run(f"TRUNCATE {names} CASCADE")
            again = self._set_aside()
            yield
            self._run(f"SET LOCAL maintenance_work_mem = '{_INDEX_MEMORY}'")
            for statement in again:
                self._run(statement)

    def _set_aside(self) -> list[str]:
        """Drop the indexes and the references, which are made faster from all rows at once than with
        each; returns the statements that make them again."""
        references = self._run(_REFERENCES).fetchall()
        indexes = self._run(_INDEXES).fetchall()
        for table, name, _ in references:
            self._run(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
        for name, _ in indexes:
            self._run(f"DROP INDEX {name}")
        return [
            *(made for _, made in indexes),
            *(
                f"ALTER TABLE {table} ADD CONSTRAINT {name} {made}"
                for table, name, made in references
            ),
        ]

    def write(self, table: Table, rows: Iterable[tuple]) -> None:
        names = ", ".join(f'"{name}"' for name in table.columns)
        types = self._types(table)
        # frozen: of a table that this transaction has emptied, no row need be looked at again later
        query = f'COPY "{table.name}" ({names}) FROM STDIN (FORMAT BINARY, FREEZE)'
        with self._connection.cursor() as cursor, cursor.copy(query) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)

    def last_number(self, table: Table) -> int:
        given = self._value(
            f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {self._sequence(table)}"
        )
        highest = self._value(f'SELECT max("id") FROM "{table.name}"')
        return max(given, highest or 0)

    def number_after(self, table: Table, last: int) -> None:
        sequence = self._sequence(table)
        self._run(f"SELECT setval('{sequence}', {max(1, last)}, {bool(last)})")

    def _sequence(self, table: Table) -> str:
        return self._value(f"SELECT pg_get_serial_sequence('\"{table.name}\"', 'id')")

    def _types(self, table: Table) -> list[str]:
        found = self._run(
            "SELECT column_name, udt_name FROM information_schema.columns "
            f"WHERE table_schema = current_schema() AND table_name = '{table.name}'"
        )
        types = dict(found.fetchall())
        return [types[name] for name in table.columns]

    def _names(self) -> set[str]:
        found = self._run("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
        return {name for (name,) in found}
