"""A real PostgreSQL for tests: a server in a temporary folder, and a database for each test.

With ``SIMPLE_BATCH_TEST_DATABASE=postgresql`` the tests use it instead of SQLite files.
"""

import contextlib
import functools
import os
import sqlite3
import uuid
from pathlib import Path

import psycopg

from simple_batch.store.database import close_database, open_database
from tools.local_servers import PostgreSQL, postgresql_programs

CHOSEN = os.environ.get("SIMPLE_BATCH_TEST_DATABASE") == "postgresql"
_TEMPLATE = "migrated"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    return postgresql_programs()


class Server(PostgreSQL):
    """A PostgreSQL of this run, with a database for each test."""

    def create(self, template: str = "template0") -> str:
        """The URL of a new database."""
        name = f"t{uuid.uuid4().hex[:12]}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return self.url(name)

    @functools.cached_property
    def template(self) -> str:
        """A database with all tables, to be copied."""
        self.execute(f"CREATE DATABASE {_TEMPLATE} TEMPLATE template0")
        open_database(self.url(_TEMPLATE))
        close_database()
        return _TEMPLATE

    def drop(self, url: str) -> None:
        name = url.partition("@/")[2].partition("?")[0]
        self.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


@functools.cache
def server() -> Server:
    """The server of this run, started when it is first asked for."""
    return Server()


@functools.cache
def url_of(instance: Path) -> str:
    """The URL of the database that belongs to an instance folder, made when it is first asked for."""
    return server().create(server().template)


def asked(instance: Path, sql: str) -> tuple:
    """The first row of a query on the database of an instance, on a separate connection."""
    if not CHOSEN:
        with contextlib.closing(sqlite3.connect(instance / "simple_batch.db")) as connection:
            return connection.execute(sql).fetchone()
    with psycopg.connect(url_of(instance)) as connection:
        return connection.execute(sql).fetchone()


def kept(instance: Path) -> bytes:
    """The whole content of an instance's database, to search for what must not be there."""
    if not CHOSEN:
        return b"".join(path.read_bytes() for path in instance.glob("simple_batch.db*"))
    with psycopg.connect(url_of(instance)) as connection:
        connection.execute("SET bytea_output = 'escape'")
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
        pieces = []
        for (name,) in names.fetchall():
            with connection.cursor().copy(f'COPY "{name}" TO STDOUT') as copy:
                pieces += [bytes(piece) for piece in copy]
    return b"".join(pieces)
