"""A real Redis for tests: a server of its own in a temporary folder, on a port of loopback."""

import atexit
import functools
import itertools
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import redis

_DATABASES = itertools.count()  # each test that asks gets one of its own


def program() -> str | None:
    """redis-server; None where it is not installed."""
    return shutil.which("redis-server")


class Server:
    """A Redis that keeps nothing on disk: after ``stop`` and ``start`` it is empty, at the same
    address."""

    def __init__(self):
        assert program() is not None, "Redis is not installed"
        self.folder = Path(tempfile.mkdtemp(prefix="redis-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self._process: subprocess.Popen | None = None
        self.start()
        atexit.register(self._remove)

    def url(self, number: int = 0) -> str:
        return f"redis://127.0.0.1:{self.port}/{number}"

    def start(self) -> None:
        command = [program(), "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--appendonly", "no", "--dir", str(self.folder), "--databases", "1000"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        end = time.monotonic() + 10
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


@functools.cache
def server() -> Server:
    """The server of this run, started when it is first asked for."""
    return Server()


def fresh_url() -> str:
    """The URL of an empty database."""
    return server().url(next(_DATABASES))
