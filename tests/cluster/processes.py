"""A cluster of real processes: PostgreSQL, Redis, Celery workers, each started by the test."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psycopg

from simple_batch import create_app
from simple_batch.core.domain import Outcome
from simple_batch.services import configs, job_creation, jobs, uploads
from simple_batch.store.database import connected

from .. import fork_server, postgres, redis_server
from ..conftest import PATIENCE_S
from ..process import ROOT, StoppableProcess, environment

MISSING = [
    name
    for name, found in (
        ("PostgreSQL", postgres.programs()),
        ("redis-server", redis_server.program()),
    )
    if not found
]


def wait_until(found, timeout_s: float = PATIENCE_S, every_s: float = 0.05):
    end = time.monotonic() + timeout_s
    while not (result := found()):
        assert time.monotonic() < end, "waited too long"
        time.sleep(every_s)
    return result


def questions(count: int, **fields) -> list[dict]:
    """Lines of an upload."""
    return [
        {"messages": [{"role": "user", "content": f"question {n}"}], **fields} for n in range(count)
    ]


def asked(endpoint) -> Counter:
    """How often the endpoint received each question."""
    return Counter(body["messages"][-1]["content"] for body in endpoint.bodies)


class Worker(StoppableProcess):
    """A Celery worker, started by the fork server; ``output`` is what it has printed."""

    def __init__(self, name: str, instance: Path, settings: dict, lanes: int = 8):
        self.name = f"{name}@test"
        self._out = instance / f"{name}.out"
        command = [fork_server.CELERY, "-A", "simple_batch.worker", "worker"]
        command += ["-P", "gevent", "-c", str(lanes), "-n", self.name]
        with self._out.open("ab") as out:
            self.process = fork_server.start(
                command,
                environment(instance, **settings),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                new_session=True,
            )

    @property
    def output(self) -> str:
        return self._out.read_text()

    def wait_for(self, part: str, timeout_s: float = PATIENCE_S) -> None:
        end = time.monotonic() + timeout_s
        while part not in self.output:
            assert time.monotonic() < end, f"no {part!r} in: {self.output}"
            assert self.process.poll() is None, f"it ended: {self.output}"
            time.sleep(0.05)

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        self.process.wait()

    def cpu_s(self) -> float:
        """CPU that it has used so far."""
        ticks = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(ticks[11]) + int(ticks[12])) / os.sysconf("SC_CLK_TCK")


class Cluster:
    """A database, a Redis and an instance folder for workers and for this process, which runs no
    jobs. ``more`` are settings."""

    def __init__(self, instance: Path, **more: str):
        self.instance = instance
        instance.mkdir(parents=True, exist_ok=True)
        self.postgres, self.redis = postgres.server(), redis_server.server()
        self.database_url = self.postgres.create(self.postgres.template)
        shared = {
            "ENGINE": "celery",
            "DATABASE_URL": self.database_url,
            "REDIS_URL": redis_server.fresh_url(),
            "CANCEL_GRACE": "1",
            **more,
        }
        self.settings = {f"SIMPLE_BATCH_{name}": value for name, value in shared.items()}
        self.workers: list[Worker] = []
        self._app = create_app(
            INSTANCE_PATH=str(instance), LOG_DIR=str(instance / "logs"), **shared
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for worker in self.workers:
            worker.kill()
        self._app.extensions["simple_batch"].close()
        self.postgres.drop(self.database_url)

    def start(self, *names: str, **more: str) -> list[Worker]:
        """Start workers under these names; returns when they are ready."""
        more = {f"SIMPLE_BATCH_{name}": value for name, value in more.items()}
        begun = [Worker(name, self.instance, {**self.settings, **more}) for name in names]
        self.workers += begun
        for worker in begun:
            worker.wait_for("works")
        return begun

    def add_config(self, base_url: str, alias: str = "test", **fields):
        """Stores a config; returns it."""
        fields = {"model": "m", "key": "sk-planted-0123456789", "timeout_s": 20.0, **fields}
        with connected():
            return configs.create(configs.ConfigFields(alias=alias, base_url=base_url, **fields))

    def make_job(self, lines: list[dict], config: str = "test", launched=False, **choices) -> int:
        """Create a job of these requests, imported here, or by a worker if ``launched``; returns
        its id."""
        data = "".join(json.dumps(line) + "\n" for line in lines).encode()
        new = jobs.JobOptions(config=config, **choices)
        with connected():
            if not launched:
                return job_creation.create_now(io.BytesIO(data), "questions.jsonl", new).id
            upload = uploads.stage(io.BytesIO(data), "questions.jsonl")
            return job_creation.launch(upload.id, new).id

    def under_way(self, endpoint, total: int, concurrency: int, calls: int = 100) -> int:
        """Create a job that all workers share, and wait until the endpoint received more than
        ``calls`` calls; returns its id."""
        self.add_config(endpoint.base_url, concurrency=concurrency)
        job_id = self.make_job(questions(total))
        wait_until(lambda: self.placed(job_id) == len(self.workers))
        wait_until(lambda: endpoint.calls > calls)
        return job_id

    def do(self, work, *args, **more):
        """Call a function with a database connection."""
        with connected():
            return work(*args, **more)

    def coordinator(self) -> Worker:
        """The worker that coordinates."""

        def found():
            for worker in self.workers:
                output = [line for line in worker.output.splitlines() if "coordinates" in line]
                if worker.process.poll() is None and output and worker.name in output[-1]:
                    return worker
            return None

        return wait_until(found)

    def ask(self, sql: str, *values) -> tuple:
        """The first row of a query on a separate connection, retried until the database answers."""
        while True:
            with contextlib.suppress(psycopg.OperationalError):
                return self._asked(sql, values)
            time.sleep(0.1)

    def _asked(self, sql: str, values) -> tuple:
        with psycopg.connect(self.database_url) as connection:
            return connection.execute(sql, values).fetchone()

    def status(self, job_id: int) -> str:
        return self.ask("SELECT status FROM job WHERE id = %s", job_id)[0]

    def wait_for(
        self, job_id: int, status: str = "completed", timeout_s: float = PATIENCE_S
    ) -> None:
        """Wait until a job has that status. Fails with what the job and its workers were doing."""
        end = time.monotonic() + timeout_s
        while self.status(job_id) != status:
            assert time.monotonic() < end, f"not {status}: {self.state_of(job_id)}"
            time.sleep(0.05)

    def state_of(self, job_id: int) -> str:
        """A job with its pages, its lanes and the last output of each worker, for a failed test."""
        rows = "(SELECT json_agg({0}) FROM {0} WHERE {1} = %s)"
        queries = [
            rows.format(*of) for of in (("job", "id"), ("page", "job_id"), ("lane", "job_id"))
        ]
        found = [json.dumps(self.ask(f"SELECT {query}", job_id)[0]) for query in queries]
        printed = [
            f"{worker.name} (exit code {worker.process.poll()}): {worker.output[-2_000:]}"
            for worker in self.workers
        ]
        return "\n".join([*found, *printed])

    def counted(self, job_id: int) -> tuple:
        """(succeeded by counter, results, distinct requests with one); the counters by outcome are
        those of the rows."""
        each = "(SELECT count(*) FROM result WHERE job_id = j.id AND outcome = '{0}') = outcome_{0}"
        agree = " AND ".join(map(each.format, Outcome))
        assert self.ask(f"SELECT {agree} FROM job j WHERE id = %s", job_id) == (True,)
        return self.ask(
            "SELECT succeeded, (SELECT count(*) FROM result WHERE job_id = j.id), "
            "(SELECT count(DISTINCT idx) FROM result WHERE job_id = j.id) FROM job j WHERE id = %s",
            job_id,
        )

    def done(self, job_id: int) -> int:
        return self.ask("SELECT succeeded FROM job WHERE id = %s", job_id)[0]

    def live(self, job_id: int) -> dict:
        """The live state that the pages show."""
        return json.loads(self.ask("SELECT live FROM job WHERE id = %s", job_id)[0])

    def placed(self, job_id: int) -> int:
        """The number of workers that a job is assigned to."""
        return self.ask("SELECT count(*) FROM lane WHERE job_id = %s", job_id)[0]

    def transactions(self) -> int:
        """Committed transactions of the database; PostgreSQL updates the count with a delay."""
        return self.ask(
            "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()"
        )[0]

    def flask_process(self, *args: str) -> subprocess.Popen:
        """Start a flask command that keeps running."""
        return subprocess.Popen(
            [sys.executable, "-m", "flask", *args],
            cwd=ROOT,
            env=environment(self.instance, **self.settings),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def celery(self, *args: str, **more: str):
        """Run a Celery command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "celery", "-A", "simple_batch.worker", *args],
            cwd=ROOT,
            env=environment(self.instance, **{**self.settings, **more}),
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE_S,
        )
