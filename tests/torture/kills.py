"""SIGKILL at random moments: of running, importing, paused and exported jobs, and of migrations."""

import contextlib
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter, deque
from pathlib import Path

import msgspec
import requests
from peewee import SqliteDatabase
from playhouse.migrations import Runner

from simple_batch.services import job_creation, jobs, uploads
from simple_batch.store.database import MIGRATIONS, connected
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint
from tests.process import ROOT, environment

from .program import Program, lines, until

IN_FLIGHT = 10
ANSWER_S = 0.02
UNCOMMITTED_S = (
    0.25  # answered so recently that it may not be committed: the flush interval and a commit
)
OLD = 2  # migrations that an old database has


class CountingEndpoint(MisbehavingEndpoint):
    """Counts the calls of each request, and records when each answer was sent."""

    def __init__(self):
        super().__init__(e.slow(ANSWER_S))
        self.called: Counter[str] = Counter()
        self._answered: deque[float] = deque(maxlen=10_000)

    def _next(self, head, body):
        self.calls += 1
        self.called[msgspec.json.decode(body)["messages"][0]["content"]] += 1
        return self._answer

    def _answer(self, connection):
        self.script[0](connection)
        self._answered.append(time.monotonic())

    def just_answered(self) -> int:
        """Answers that the program may not have committed yet."""
        since = time.monotonic() - UNCOMMITTED_S
        return sum(at > since for at in self._answered)


def kills(total: int, times: int, seed: int) -> dict:
    chance = random.Random(seed)
    found = {"seed": seed, "requests": total}
    with CountingEndpoint() as endpoint:
        for name, scene in (("running", _running), ("importing", _importing)):
            endpoint.called.clear()
            with tempfile.TemporaryDirectory() as folder, Program(folder) as program:
                program.config("test", endpoint.base_url, concurrency=IN_FLIGHT)
                found[name] = scene(program, endpoint, total, times, chance)
    found["migrating"] = _migrating(max(1, times // 5), chance)
    return found


def _running(program: Program, endpoint, total: int, times: int, chance) -> dict:
    """A third of the kills hit a running job, a third one that was just paused or resumed, a third
    one during an export."""
    job_id = program.job(lines(total), "test")
    program.start()
    in_flight = just_answered = exports = 0
    targets = sorted(chance.sample(range(total // (times + 1), total), times))
    for number, target in enumerate(targets):
        until(lambda target=target: len(endpoint.called) >= target or _ended(program, job_id))
        if number % 3 == 1:
            _told(job_id, chance)
        elif number % 3 == 2:
            exports += _half_an_export(program, job_id, chance)
        time.sleep(chance.uniform(0, 0.15))
        in_flight += endpoint.in_flight
        just_answered += endpoint.just_answered()
        program.server.kill()
        until(lambda: endpoint.in_flight == 0)
        with connected():
            if jobs.get(job_id).status in ("paused", "queued"):
                with contextlib.suppress(Exception):
                    jobs.resume(job_id)
        program.start()
    if program.status(job_id) == "paused":
        with connected():
            jobs.resume(job_id)
    program.wait(job_id, "completed", timeout_s=300)
    exported = requests.get(f"{program.server.url}/jobs/{job_id}/export?format=jsonl", timeout=60)
    found = _counted(program, job_id, total)
    resent = sum(endpoint.called.values()) - len(endpoint.called)
    return {
        **found,
        "kills": times,
        "exports_broken_off": exports,
        "exported_after": len(exported.text.splitlines()),
        "resent": resent,
        "in_flight": in_flight,
        "in_flight_at_most": IN_FLIGHT * times,
        "just_answered": just_answered,
        "expected": found["lost"] == found["twice"] == 0
        and resent <= in_flight + just_answered
        and len(exported.text.splitlines()) == total,
    }


def _ended(program: Program, job_id: int) -> bool:
    return program.status(job_id) != "running"


def _told(job_id: int, chance) -> None:
    with connected(), contextlib.suppress(Exception):
        (jobs.pause if chance.random() < 0.7 else jobs.resume)(job_id)


def _half_an_export(program: Program, job_id: int, chance) -> int:
    form = chance.choice(("jsonl", "csv", "xlsx", "parquet"))
    url = f"{program.server.url}/jobs/{job_id}/export?format={form}"
    with contextlib.suppress(requests.RequestException):
        requests.get(url, stream=True, timeout=10)
        return 1
    return 0


def _importing(program: Program, endpoint, total: int, times: int, chance) -> dict:
    """Jobs whose upload is being read; afterwards each must contain every request once."""
    total *= 5  # long enough to be met in it
    path = program.folder / "upload.jsonl"
    with path.open("wb") as file:
        file.writelines(msgspec.json.encode(line) + b"\n" for line in lines(total))
    times = max(1, times // 5)
    counted = Counter()
    for _ in range(times):
        with connected(), path.open("rb") as stream:
            upload = uploads.stage(stream, path.name)
            job_id = job_creation.launch(upload.id, jobs.JobOptions(config="test", hold=True)).id
        program.start()
        time.sleep(chance.uniform(0, 0.9))
        counted["met_in_it"] += program.status(job_id) == "validating"
        program.server.kill()
        program.start()
        program.wait(job_id)
        held = program.rows(
            "SELECT count(*), count(DISTINCT idx) FROM request WHERE job_id = ?", job_id
        )
        program.stop()
        counted["lost"] += total - held[0][1]
        counted["twice"] += held[0][0] - held[0][1]
    return {
        **{name: counted[name] for name in ("lost", "twice", "met_in_it")},
        "kills": times,
        "expected": not counted["lost"] and not counted["twice"],
    }


def _counted(program: Program, job_id: int, total: int) -> dict:
    rows, distinct = program.rows(
        "SELECT count(*), count(DISTINCT idx) FROM result WHERE job_id = ?", job_id
    )[0]
    counters = "SELECT succeeded + failed, status FROM job WHERE id = ?"
    counter, status = program.rows(counters, job_id)[0]
    return {
        "status": status,
        "lost": total - distinct,
        "twice": rows - distinct,
        "counter_off": counter - total,
    }


def _migrating(times: int, chance) -> dict:
    """A database of an old version, killed during its migration, then opened undisturbed."""
    jobs_kept, rows = 40, 20_000
    with tempfile.TemporaryDirectory() as folder:
        old = Path(folder) / "old.db"
        _old_database(old, jobs_kept, rows)
        counted = Counter()
        for number in range(times):
            instance = Path(folder) / f"instance-{number}"
            instance.mkdir()
            shutil.copy(old, instance / "simple_batch.db")
            counted["met_in_it"] += _killed_in_it(instance, chance)
            with Program(instance) as program:
                counted["lost"] += rows - program.rows("SELECT count(*) FROM request")[0][0]
                counted["lost"] += jobs_kept - program.rows("SELECT count(*) FROM job")[0][0]
                applied = program.rows("SELECT count(*) FROM schema_migration")[0][0]
                counted["unfinished"] += applied != len(list(MIGRATIONS.glob("0*.py")))
                counted["damaged"] += program.rows("PRAGMA integrity_check") != [("ok",)]
    names = ("lost", "unfinished", "damaged", "met_in_it")
    found = {name: counted[name] for name in names}
    wrong = found["lost"] or found["unfinished"] or found["damaged"]
    return {**found, "kills": times, "expected": not wrong}


def _old_database(path: Path, jobs_kept: int, rows: int) -> None:
    database = SqliteDatabase(str(path), pragmas={"journal_mode": "wal"})
    with tempfile.TemporaryDirectory() as folder:
        for migration in sorted(MIGRATIONS.glob("0*.py"))[:OLD]:
            shutil.copy(migration, folder)
        with database:
            Runner(database, folder).up()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        _insert(connection, "api_config", id=1, alias="old", base_url="http://x/v1", model="m")
        for number in range(1, jobs_kept + 1):
            _insert(connection, "job", id=number, name="old", config_id=1, status="completed")
        body = b'{"messages": []}'
        for number in range(rows):
            _insert(
                connection, "request", job_id=1 + number % jobs_kept, idx=number,
                custom_id=f"r{number}", url="/v1/chat/completions", line=number, body=body,
            )  # fmt: skip


def _insert(connection, table: str, **values) -> None:
    """Insert a row; columns that are not given get a value of their type."""
    for _, name, kind, required, default, _key in connection.execute(f"PRAGMA table_info({table})"):
        if required and default is None and name not in values and name != "id":
            values[name] = "" if "CHAR" in kind or "TEXT" in kind else 0
    marks = ",".join("?" * len(values))
    connection.execute(
        f"INSERT INTO {table} ({','.join(values)}) VALUES ({marks})", tuple(values.values())
    )


def _killed_in_it(instance: Path, chance) -> bool:
    """Kill a process that opens the database; returns True if it was still working."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flask", "list-jobs"],
        cwd=ROOT,
        env=environment(instance),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    begun = until(lambda: (instance / "simple_batch.migrate-lock").exists(), 20)
    time.sleep(chance.uniform(0, 0.12))
    alive = process.poll() is None
    process.kill()
    process.wait()
    return bool(begun and alive)
