"""A private PostgreSQL and Redis from the system's packages, in temporary folders, for tests,
benchmarks and the cluster demo. Nothing is left when the process ends."""

import atexit
import contextlib
import os
import pwd
import random
import shutil
import socket
import subprocess  # nosec B404
import tempfile
import time
from pathlib import Path

import psycopg
import redis

_UNPRIVILEGED = "nobody"  # PostgreSQL does not run as root
_USER, _PASSWORD = "tester", "planted-pw-1"
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "max_connections=200")
_READY_S = 60.0
_PORTS = range(10_000, 30_000)  # below the ports that systems give to outgoing connections
_BAD_PORT = 10_080  # browsers refuse it: https://fetch.spec.whatwg.org/#port-blocking


def postgresql_programs() -> Path | None:
    """The folder of initdb and pg_ctl; None where PostgreSQL is not installed."""
    on_path = shutil.which("pg_ctl")
    installed = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"), key=lambda path: int(path.parts[-3])
    )
    found = [*installed[-1:], *([Path(on_path).resolve()] if on_path else [])]
    return found[0].parent if found else None


def redis_program() -> str | None:
    """redis-server; None where it is not installed."""
    return shutil.which("redis-server")


def free_port() -> int:
    """A loopback port where nothing listens, and that no connection gets before it is used."""
    while True:
        port = random.choice(_PORTS)  # noqa: S311 # nosec B311
        if port == _BAD_PORT:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class PostgreSQL:
    """A server on a Unix socket in its folder. ``settings`` are written NAME=VALUE; those of the
    start make it fast and forgetful. Raises AssertionError with what a program said."""

    def __init__(self, *settings: str):
        self._programs = postgresql_programs()
        assert self._programs is not None, "PostgreSQL is not installed"
        self._settings = (*_FAST, *settings)
        # the path of a socket is short: on some systems temporary folders lie too deep
        place = "/tmp" if len(tempfile.gettempdir()) > 40 else None  # noqa: S108 # nosec B108
        self.folder = Path(tempfile.mkdtemp(prefix="pg-", dir=place))
        self._as = []
        if os.geteuid() == 0:
            user = pwd.getpwnam(_UNPRIVILEGED)
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
            self._as.append("--clear-groups")
        self._run(
            "initdb",
            "--pgdata",
            str(self.folder / "data"),
            f"--username={_USER}",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
        )
        self.start()
        atexit.register(self._remove)

    def start(self) -> None:
        options = f"-k {self.folder} -c listen_addresses="
        options += "".join(f" -c {setting}" for setting in self._settings)
        self._ctl("start", "--log", str(self.folder / "log"), "--options", options)

    def stop(self) -> None:
        """As an administrator does who does not wait for anybody."""
        self._ctl("stop", "--mode=fast")

    def url(self, name: str) -> str:
        return f"postgresql://{_USER}:{_PASSWORD}@/{name}?host={self.folder}"

    def execute(self, sql: str, name: str = "postgres") -> None:
        with psycopg.connect(self.url(name), autocommit=True) as connection:
            connection.execute(sql)

    def _ctl(self, action: str, *more: str) -> None:
        data = str(self.folder / "data")
        self._run("pg_ctl", action, "--wait", "--silent", "--pgdata", data, *more)

    def _run(self, program: str, *arguments: str) -> None:
        command = [*self._as, str(self._programs / program), *arguments]
        # no pipes: the server would keep them open
        with (self.folder / "output").open("w+b") as output:
            done = subprocess.run(  # noqa: S603 # nosec B603
                command, cwd=self.folder, stdout=output, stderr=output, check=False
            )
            output.seek(0)
            assert done.returncode == 0, f"{program}: {output.read().decode()}"

    def _remove(self) -> None:
        self._ctl("stop", "--mode=immediate")
        shutil.rmtree(self.folder, ignore_errors=True)


class Redis:
    """A Redis on a loopback port that keeps nothing on disk: after ``stop`` and ``start`` it is
    empty, at the same address."""

    def __init__(self):
        assert redis_program() is not None, "Redis is not installed"
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self.port = free_port()
        self._process: subprocess.Popen | None = None
        self.start()
        atexit.register(self._remove)

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        command = [redis_program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--dir", str(self.folder), "--databases", "1000"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 # nosec B603
                command, stdout=log, stderr=log
            )
        end = time.monotonic() + _READY_S
        while True:
            try:
                with redis.Redis(port=self.port) as client:
                    client.ping()
                return
            except redis.RedisError:
                assert time.monotonic() < end, (self.folder / "log").read_text()
                time.sleep(0.02)

    def stop(self) -> None:
        """As when its machine loses power."""
        self._process.kill()
        self._process.wait()

    def _remove(self) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
