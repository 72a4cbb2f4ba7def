"""A real PostgreSQL for tests: a server of its own in a temporary folder, a database for each test.

``SIMPLE_BATCH_TEST_DATABASE=postgresql`` has the tests use it instead of SQLite files.
"""

import atexit
import contextlib
import functools
import os
import pwd
import shutil
import sqlite3
import subprocess
import tempfile
import uuid
from pathlib import Path

import psycopg

from simple_batch.store.database import close_database, open_database

CHOSEN = os.environ.get("SIMPLE_BATCH_TEST_DATABASE") == "postgresql"
_UNPRIVILEGED = "nobody"  # PostgreSQL does not run as root
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
_TEMPLATE = "migrated"


def programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    on_path = shutil.which("pg_ctl")
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3])
    )
    found = [*installed[-1:], *([Path(on_path).resolve()] if on_path else [])]
    return found[0].parent if found else None


class Server:
    """A PostgreSQL of its own, on a Unix socket in its folder."""

    def __init__(self):
        self._programs = programs()
        assert self._programs is not None, "PostgreSQL is not installed"
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # a socket's path is short
        self._as = []
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._as.append("--clear-groups")
        self._run(
            *("initdb", "--pgdata", str(self.folder / "data"), "--username=tester"),
            *("--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
        )
        self.start()
        atexit.register(self._remove)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses="
        options += "".join(f" -c {setting}" for setting in _FAST)
        self._ctl("start", "--log", str(self.folder / "log"), "--options", options)

    def stop(self) -> None:
        """As an administrator does who does not wait for anybody."""
        self._ctl("stop", "--mode=fast")

    def url(self, name: str) -> str:
        return f"postgresql://tester:planted-pw-1@/{name}?host={self.folder}"

    def execute(self, sql: str, name: str = "postgres") -> None:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(sql)

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

    def _ctl(self, action: str, *more: str) -> None:
        data = str(self.folder / "data")
        self._run("pg_ctl", action, "--wait", "--silent", "--pgdata", data, *more)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        # not into pipes: the server keeps them open
        with (self.folder / "said").open("w+b") as said:
            done = subprocess.run(command, cwd="/tmp", stdout=said, stderr=said, check=False)
            said.seek(0)
            assert done.returncode == 0, f"{program}: {said.read().decode()}"

    def _remove(self) -> None:
        self._ctl("stop", "--mode=immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


@functools.cache
def server() -> Server:
    """The server of this run, started when it is first asked for."""
    return Server()


@functools.cache
def url_of(instance: Path) -> str:
    """The URL of the database that belongs to an instance folder, made when it is first asked for."""
    return server().create(server().template)


def asked(instance: Path, sql: str) -> tuple:
    """The first row that the database of an instance answers, from outside of the program."""
    if not CHOSEN:
        with contextlib.closing(sqlite3.connect(instance / "simple_batch.db")) as connection:
            return connection.execute(sql).fetchone()
    with psycopg.connect(url_of(instance)) as connection:
        return connection.execute(sql).fetchone()


def kept(instance: Path) -> bytes:
    """All that the database of an instance holds, to look for what must not be there."""
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
