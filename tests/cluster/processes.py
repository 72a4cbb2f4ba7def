"""A cluster of real processes: PostgreSQL, Redis, Celery workers, each started by the test."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg

from .. import postgres, redis_server
from ..process import ROOT, environment, flask

MISSING = [
    name
    for name, found in (
        ("PostgreSQL", postgres.programs()),
        ("redis-server", redis_server.program()),
    )
    if not found
]


def wait_until(found, timeout_s: float = 60.0, every_s: float = 0.05):
    end = time.monotonic() + timeout_s
    while not (result := found()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(every_s)
    return result


class Worker:
    """A Celery worker; ``said`` is what it has printed."""

    def __init__(self, name: str, instance: Path, settings: dict, lanes: int = 8):
        self.name = f"{name}@test"
        self._out = instance / f"{name}.out"
        command = [sys.executable, "-m", "celery", "-A", "simple_batch.worker", "worker"]
        command += ["-P", "gevent", "-c", str(lanes), "-n", self.name]
        with self._out.open("ab") as out:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=environment(instance, **settings),
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def said(self) -> str:
        return self._out.read_text()

    def wait_for(self, part: str, timeout_s: float = 60.0) -> None:
        end = time.monotonic() + timeout_s
        while part not in self.said:
            assert time.monotonic() < end, f"no {part!r} in: {self.said}"
            assert self.process.poll() is None, f"it ended: {self.said}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()

    def stop(self, timeout_s: float = 30.0) -> int:
        """A warm shutdown; returns the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(timeout_s)
        if self.process.poll() is None:
            self.kill()
        return self.process.returncode

    def cpu_s(self) -> float:
        """CPU that it has used so far."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    """A database, a Redis and an instance folder; ``more`` are settings of all its workers."""

    def __init__(self, instance: Path, server=None, redis=None, **more: str):
        self.instance = instance
        instance.mkdir(parents=True, exist_ok=True)
        self.postgres = server or postgres.server()
        self.redis = redis or redis_server.server()
        self.database_url = self.postgres.create(self.postgres.template)
        self.settings = {
            "SIMPLE_BATCH_ENGINE": "celery",
            "SIMPLE_BATCH_DATABASE_URL": self.database_url,
            "SIMPLE_BATCH_REDIS_URL": self.redis.url(0) if redis else redis_server.fresh_url(),
            **more,
        }
        self.workers: list[Worker] = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.kill()
        self.postgres.drop(self.database_url)

    def start(self, *names: str, **more: str) -> list[Worker]:
        """Workers under these names; they work when this returns."""
        begun = [Worker(name, self.instance, {**self.settings, **more}) for name in names]
        self.workers += begun
        for worker in begun:
            worker.wait_for("works")
        return begun

    def flask(self, *args: str, stdin: str | None = None):
        return flask(self.instance, *args, stdin=stdin, **self.settings)

    def add_config(self, base_url: str, *more: str, alias: str = "test") -> None:
        done = self.flask(
            *("add-config", alias, "--base-url", base_url, "--model", "m", "--key-stdin"),
            *more,
            stdin="sk-planted-0123456789\n",
        )
        assert done.returncode == 0, done.stderr

    def create_job(self, path: Path, *more: str, config: str = "test") -> int:
        done = self.flask("create-job", str(path), "--config", config, *more)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def ask(self, sql: str, *values) -> tuple:
        """The first row that the database answers, asked from outside of the program."""
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, values).fetchone()

    def status(self, job_id: int) -> str:
        return self.ask("SELECT status FROM job WHERE id = %s", job_id)[0]

    def wait_for(self, job_id: int, status: str = "completed", timeout_s: float = 60.0) -> None:
        wait_until(lambda: self.status(job_id) == status, timeout_s)

    def counted(self, job_id: int) -> tuple:
        """(succeeded by counter, results, distinct requests with one)"""
        return self.ask(
            "SELECT succeeded, (SELECT count(*) FROM result WHERE job_id = j.id), "
            "(SELECT count(DISTINCT idx) FROM result WHERE job_id = j.id) FROM job j WHERE id = %s",
            job_id,
        )

    def done(self, job_id: int) -> int:
        return self.ask("SELECT succeeded FROM job WHERE id = %s", job_id)[0]

    def shown(self, job_id: int) -> dict:
        return json.loads(self.flask("show-job", str(job_id), "--json").stdout)
