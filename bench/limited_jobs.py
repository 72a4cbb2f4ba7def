"""Part limits: jobs on an endpoint with a limit that they do not know, also with stray refusals, few calls
and four workers; a job whose calls all fail; the demo. Each figure beside its target."""

import contextlib
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import requests

from simple_batch.services.demo_job import CONCURRENCY
from tools.local_servers import redis_program

from .faults import EVERY_CALL, chosen
from .processes import ROOT, endpoint, program
from .shared_limits import WORKERS, run

DEMO_REQUESTS = 640
DEMO_MEAN_S = 0.68  # of an answer of the demo endpoint: 0.6 s and a spread
DEMO_MIDDLE = (
    0.1,
    0.7,
)  # part of the answers that is measured, between its beginning and its slowest calls


@dataclass(frozen=True)
class Limited:
    """A job of ``count`` requests (0: more than can be made) on a limit of bench/limits.py. Targets:
    ``used`` is a share of the limit at least, ``refused`` a share of all calls at most (``most_refused``:
    a number), ``seconds`` the time of the whole job at most."""

    limit: str
    count: int = 0
    used: float | None = None
    refused: float | None = None
    most_refused: int | None = None
    seconds: float | None = None
    workers: int = 1


ROWS = {
    "600 a minute, 240 s": Limited("rpm", used=0.97, refused=0.01),
    "60,000 tokens a minute, 240 s": Limited("tpm", used=0.97, refused=0.01),
    "20 at once, 240 s": Limited("concurrency", used=0.97, refused=0.01),
    "600, 300, 600 a minute, 240 s": Limited("changing", used=0.97, refused=0.01),
    "600 a minute, 2 % of 429, 240 s": Limited("rpm_strays", used=0.93, refused=0.02),
    "900 requests at 600 a minute": Limited("rpm", 900, refused=0.02),
    "one at a time, 40 calls of 0.5 s": Limited("one", 40, seconds=25.0),
    "3 a minute, 12 requests": Limited("three", 12, most_refused=6, seconds=200.0),
    "600 a minute, four workers": Limited("rpm", used=0.97, refused=0.01, workers=WORKERS),
    "600 a minute, 2 % of 429, four workers": Limited(
        "rpm_strays", used=0.93, refused=0.02, workers=WORKERS
    ),
    "20 at once, four workers": Limited("concurrency", used=0.97, refused=0.01, workers=WORKERS),
}
MOST_CALLS = 48  # of a job that pauses because all fail: a few dozen
PAUSED = "every answer a 500, 200 in flight"
DEMO = "the demo, 640 requests"
DEMO_TARGET = 0.85


def limits(seconds: float, quick: bool = False, only: Sequence[str] = ()) -> dict:
    """Measure the rows whose names contain one of ``only``: those with one worker all at once, for their
    calls are few, then those with four, then the rest."""
    found = _all_at_once(chosen(ROWS, only), seconds, quick)
    for name, row in chosen(ROWS, only).items():
        if row.workers > 1 and redis_program() is not None:
            found[name] = run(row.limit, (), row.workers, seconds)
    others: dict[str, Callable[[bool], dict]] = {PAUSED: _paused, DEMO: _demo}
    for name, measure in chosen(others, only).items():
        found[name] = measure(quick)
    return {"seconds": seconds, "rows": found}


def _all_at_once(rows: dict[str, Limited], seconds: float, quick: bool) -> dict:
    found = {}
    with contextlib.ExitStack() as stack:
        running = {
            name: stack.enter_context(_started(row, seconds, quick))
            for name, row in rows.items()
            if row.workers == 1
        }
        while running:
            for name, url in list(running.items()):
                stats = requests.get(f"{url.removesuffix('/v1')}/stats", timeout=30).json()
                count = _count(rows[name], quick)
                if stats["good"] >= count if count else stats["at"] >= seconds:
                    found[name] = _figures(stats)
                    del running[name]
            time.sleep(0.2)
    return found


def _count(row: Limited, quick: bool) -> int:
    return min(row.count, 4) if quick else row.count


def _figures(stats: dict) -> dict:
    return {
        "used": stats["used"] / stats["allowed"] if stats["allowed"] > 0 else None,
        "refused": stats["refused"] / max(1, stats["calls"]),
        "number_refused": stats["refused"],
        "seconds": stats["seconds"],
        "calls": stats["calls"],
    }


@contextlib.contextmanager
def _started(row: Limited, seconds: float, quick: bool):
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(endpoint("--limit", row.limit, "--seconds", str(seconds)))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        count = _count(row, quick) or int(seconds * 60)
        stack.enter_context(program(folder, url, count, None))
        yield url


def _paused(quick: bool) -> dict:
    """How many calls are made before a job pauses whose every answer is a 500."""
    with endpoint("--faults", EVERY_CALL) as url, tempfile.TemporaryDirectory() as folder:
        with program(folder, url, 100 if quick else 12_000, 200) as (process, _port, _job_id):
            process.wait()
        stats = requests.get(f"{url.removesuffix('/v1')}/stats", timeout=30).json()
    return {"calls": stats["faults"]}


def _demo(quick: bool) -> dict:
    """Answers per second of the demo while neither its first nor its slowest calls are running."""
    count = 60 if quick else DEMO_REQUESTS
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "flask", "demo", "--requests", str(count)]
        environment = {
            **os.environ,
            "SIMPLE_BATCH_INSTANCE_PATH": folder,
            "SIMPLE_BATCH_EXPORT_DIR": folder,
            "SIMPLE_BATCH_LOG_DIR": "",
        }
        subprocess.run(
            command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, capture_output=True
        )
        ends = _ends(Path(folder) / "simple_batch.db")
    begin, end = (int(part * len(ends)) for part in DEMO_MIDDLE)
    per_s = 1000 * (end - begin) / max(1, ends[end] - ends[begin])
    return {"per_s": per_s, "used": per_s / (CONCURRENCY / DEMO_MEAN_S), "answers": len(ends)}


def _ends(database: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(database)) as connection:
        rows = connection.execute("SELECT finished_at FROM result ORDER BY finished_at").fetchall()
    return [row[0] for row in rows]
