"""The program as a real process on a fresh instance. Jobs are created through its services."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import psutil

from simple_batch import create_app
from simple_batch.services import configs, job_creation, jobs
from simple_batch.store.database import close_database, connected
from simple_batch.store.models import database
from tests.process import Server, run_py

KEY = "sk-planted-0123456789"
ENDED = ("completed", "paused", "failed", "cancelled", "expired")


class Program:
    """``with Program(folder, NAME=value…) as program``. The settings apply to the process that runs
    the jobs, and to this one, which only creates them."""

    def __init__(self, folder: str | Path, **settings):
        self.folder = Path(folder)
        self._settings = {"LOG_DIR": "", "LOG_LEVEL": "ERROR", **settings}
        self.server: Server | None = None
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "Program":
        create_app(INSTANCE_PATH=str(self.folder), **self._settings)
        return self

    def __exit__(self, *_) -> None:
        self.stop()
        close_database()

    @property
    def database(self) -> Path:
        return self.folder / "simple_batch.db"

    @property
    def process(self) -> psutil.Process:
        return psutil.Process(self.server.process.pid)

    def start(self, runner: Callable[..., Server] = run_py, **environment: str) -> Server:
        named = {f"SIMPLE_BATCH_{name}": str(value) for name, value in self._settings.items()}
        self.server = runner(self.folder, **{**named, **environment})
        return self.server

    def stop(self) -> None:
        if self.server is not None:
            self.server.stop()
            self.server = None

    def config(self, alias: str, base_url: str, **fields) -> None:
        fields = {"model": "m", "key": KEY, "timeout_s": 3.0, **fields}
        with connected():
            configs.create(configs.ConfigFields(alias=alias, base_url=base_url, **fields))

    def job(self, lines: Iterable[dict], config: str, **choices) -> int:
        path = self.folder / "requests.jsonl"
        with path.open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines)
        with connected():
            return job_creation.create_now(
                path, path.name, jobs.JobOptions(config=config, **choices)
            ).id

    def rows(self, query: str, *values) -> list[tuple]:
        if self._connection is not None:
            return self._connection.execute(query, values).fetchall()
        with contextlib.closing(self._connected()) as connection:
            return connection.execute(query, values).fetchall()

    def _connected(self) -> sqlite3.Connection:
        return sqlite3.connect(self.database, timeout=10)

    @contextlib.contextmanager
    def kept_connection(self) -> Iterator[None]:
        """All that ``rows`` asks meanwhile goes over one connection."""
        with contextlib.closing(self._connected()) as self._connection:
            try:
                yield
            finally:
                self._connection = None

    def write(self, query: str, *values) -> None:
        with connected():
            database.execute_sql(query, values)

    def status(self, job_id: int) -> str:
        return self.rows("SELECT status FROM job WHERE id = ?", job_id)[0][0]

    def wait(self, job_id: int, *statuses: str, timeout_s: float = 60.0) -> str:
        """The status in which the job ended, or its current one after the timeout."""
        end = time.monotonic() + timeout_s
        while (status := self.status(job_id)) not in (statuses or ENDED):
            if time.monotonic() > end:
                break
            time.sleep(0.05)
        return status

    def alive(self) -> bool:
        return self.server is not None and self.server.process.poll() is None


def lines(count: int, text: str = "question", first: int = 1) -> Iterable[dict]:
    for number in range(first, first + count):
        yield {
            "custom_id": f"{text}-{number}",
            "messages": [{"role": "user", "content": f"{text} {number}"}],
        }


def until(found: Callable, timeout_s: float = 60.0, every_s: float = 0.02):
    """Wait until ``found()`` is true; returns its result, or the last one after the timeout."""
    end = time.monotonic() + timeout_s
    while not (result := found()) and time.monotonic() < end:
        time.sleep(every_s)
    return result
