"""A job of millions of requests is cancelled: how soon it stops, how fast the rest is written, and
what a kill during the writing leaves."""

import contextlib
import re
import sqlite3
import tempfile
import time
from collections import Counter

import gevent
import requests

from simple_batch.services import jobs
from simple_batch.store.database import connected
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint

from .program import Program, lines, until

IN_FLIGHT = 20
ANSWER_S = 0.05
BEFORE = 200  # answers that the job has when it is cancelled
LOOK_S = 0.01
_FILL = """
INSERT INTO request (job_id, idx, custom_id, url, line, body)
WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?)
SELECT ?, i, 'r' || i, '/v1/chat/completions', i + 1,
  CAST('{"messages":[{"role":"user","content":"question ' || i || '"}]}' AS BLOB) FROM n
"""
_LATE = re.compile(r'_loop_lag_seconds_bucket\{le="([^"]+)"\} (\d+)')


class TimedEndpoint(MisbehavingEndpoint):
    """Records when the last call arrived."""

    def __init__(self):
        super().__init__(e.slow(ANSWER_S))
        self.last_at = 0.0

    def _next(self, head, body):
        self.calls += 1
        self.last_at = time.monotonic()
        return self.script[0]


def cancelling(total: int, seed: int) -> dict:
    """Cancel ``total`` requests undisturbed, and a fifth of that with a kill in between."""
    found = {"seed": seed, "requests": total}
    with (
        TimedEndpoint() as endpoint,
        tempfile.TemporaryDirectory() as folder,
        Program(folder) as program,
    ):
        program.config("test", endpoint.base_url, concurrency=IN_FLIGHT)
        for name, count, kill in (("whole", total, False), ("killed", total // 5, True)):
            job_id = filled(program, count)
            program.start()
            with connected():
                jobs.resume(job_id)
            until(lambda job_id=job_id: _finished(program, job_id) >= BEFORE)
            found[name] = _cancelled(program, endpoint, job_id, count, kill)
            program.stop()
    return found


def filled(program: Program, total: int) -> int:
    """A held job of ``total`` requests; all but the first are written by SQL."""
    job_id = program.job(lines(1), "test", hold=True)
    with contextlib.closing(sqlite3.connect(program.database, isolation_level=None)) as database:
        for first in range(1, total, 500_000):
            database.execute(_FILL, (first, min(total, first + 500_000), job_id))
        database.execute("UPDATE job SET total = ? WHERE id = ?", (total, job_id))
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return job_id


def _cancelled(program: Program, endpoint, job_id: int, total: int, kill: bool) -> dict:
    pages = _Pages(program.server.url)
    began = time.monotonic()
    with connected():
        jobs.cancel(job_id)
    status = program.status(job_id)
    told_s = time.monotonic() - began
    until(lambda: _cancelled_so_far(program, job_id) or program.status(job_id) == "cancelled")
    writing, killed_at = time.monotonic(), None
    if kill:
        until(lambda: _cancelled_so_far(program, job_id) > total // 3)
        killed_at = _cancelled_so_far(program, job_id)
        pages.stop()
        program.server.kill()
        program.start()
        pages = _Pages(program.server.url)
    last = program.wait(job_id, "cancelled", timeout_s=1800)
    ended = time.monotonic()
    pages.stop()
    counted = _counted(program, job_id, total)
    found = {
        "requests": total,
        "status_at_once": status,
        "told_s": round(told_s, 3),
        "last_call_s": round(max(0.0, endpoint.last_at - began), 3),
        "rows_per_s": round(counted["cancelled"] / max(0.001, ended - writing)),
        "took_s": round(ended - began, 1),
        "killed_at": killed_at,
        "longest_page_s": round(pages.longest_s, 3),
        "page_errors": pages.errors,
        "late_s": pages.late_s,
        "status": last,
        **counted,
    }
    exact = not (counted["lost"] or counted["twice"] or counted["counters_off"])
    found["expected"] = (
        exact
        and status == "cancelling"
        and last == "cancelled"
        and found["last_call_s"] < 2.0
        and (not kill or killed_at < counted["cancelled"])
    )
    return found


def _finished(program: Program, job_id: int) -> int:
    return program.rows("SELECT succeeded FROM job WHERE id = ?", job_id)[0][0]


def _cancelled_so_far(program: Program, job_id: int) -> int:
    return program.rows("SELECT cancelled FROM job WHERE id = ?", job_id)[0][0]


def _counted(program: Program, job_id: int, total: int) -> dict:
    stored = Counter(
        dict(
            program.rows("SELECT status, count(*) FROM result WHERE job_id = ? GROUP BY 1", job_id)
        )
    )
    distinct = program.rows("SELECT count(DISTINCT idx) FROM result WHERE job_id = ?", job_id)[0][0]
    names = ("succeeded", "failed", "cancelled")
    counters = program.rows(f"SELECT {', '.join(names)} FROM job WHERE id = ?", job_id)[0]
    return {
        **dict(zip(names, counters, strict=True)),
        "lost": total - distinct,
        "twice": stored.total() - distinct,
        "counters_off": sum(
            abs(counter - stored[name]) for name, counter in zip(names, counters, strict=True)
        ),
    }


class _Pages:
    """Requests a page again and again. ``longest_s`` is the slowest answer, including the load of
    the machine; ``late_s`` the highest lateness of the event loop, in the steps of the program's
    histogram."""

    def __init__(self, url: str):
        self._url = url
        self.longest_s, self.errors = 0.0, 0
        self.late_s = 0.0
        self._before = self._lateness()
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        self._greenlet.kill()
        with contextlib.suppress(requests.RequestException):
            now = self._lateness()
            counts = {le: now[le] - self._before.get(le, 0) for le in now}
            self.late_s = float(
                min((le for le in counts if counts[le] == counts["+Inf"]), key=float, default=0)
            )

    def _lateness(self) -> dict[str, int]:
        text = requests.get(f"{self._url}/metrics", timeout=60).text
        return {le: int(count) for le, count in _LATE.findall(text)}

    def _run(self) -> None:
        with requests.Session() as session:
            while True:
                began = time.monotonic()
                try:
                    session.get(f"{self._url}/healthz", timeout=60).raise_for_status()
                except requests.RequestException:
                    self.errors += 1
                self.longest_s = max(self.longest_s, time.monotonic() - began)
                gevent.sleep(LOOK_S)
