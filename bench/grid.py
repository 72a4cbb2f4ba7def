"""Measures the results grid of a large job while another job runs, over HTTP: first rows, next page, filters
and orders by columns of the table, before and after their sort keys are built."""

import json
import re
import select
import sqlite3
import statistics
import tempfile
import time
from contextlib import closing

import requests

from .million import build_rows
from .processes import endpoint, program

LARGE_JOB = 1  # the first in its database
RUNNING = 40  # calls in flight
ROUNDS = 7
TARGETS_MS = {"first rows": 150, "next page": 100, "filter": 500, "sort": 500, "values": 500}
_CELLS = (
    "UPDATE request SET cells = CAST('[\"' || (idx % 5 + 1) || '\",\"review number ' || idx || "
    "' of a product in the shop\"]' AS BLOB) WHERE job_id = 1"
)
KEYS = ("col.stars", "col.review")


def grid(rows: int, running: int) -> dict:
    """Times in ms of the results of ``rows`` requests, while ``running`` other requests are sent."""
    with tempfile.TemporaryDirectory() as folder, endpoint() as base_url:
        build_rows(folder, rows)
        add_table(folder)
        with program(folder, base_url, running, RUNNING) as (process, port, _job_id):
            found = _measured(process, f"http://127.0.0.1:{port}/jobs/{LARGE_JOB}/results", rows)
    return {"rows": rows, "running": running, "targets_ms": TARGETS_MS, **found}


def add_table(folder: str) -> None:
    """Make the job one of a table of two columns."""
    with closing(sqlite3.connect(f"{folder}/simple_batch.db")) as database:
        database.execute(_CELLS)
        database.execute('UPDATE job SET header = \'["stars","review"]\' WHERE id = 1')
        database.commit()


def _measured(process, url: str, rows: int) -> dict:
    with requests.Session() as session:
        asked = _Asked(process, session, url)
        middle = f"?after={rows // 2}&fragment=1"
        times = {
            "first rows": asked.times(""),
            "next page": asked.times("?after=99&fragment=1"),
            "next page, middle": asked.times(middle),
            "filter, first time": asked.times("?col.stars=3", 1),
            "filter by a rare value, first time": asked.times(
                f"?col.review~=number+{rows - 2}+", 1
            ),
            "sort, slowest first": asked.times("?sort=-latency"),
            "filter, failed": asked.times("?status=failed"),
        }
        seconds = _build_keys(asked)
        following = asked.link("?sort=-col.review&per=100")
        times |= {
            "filter": asked.times("?col.stars=3"),
            "filter, contains": asked.times(f"?col.review~=number+{rows - 2}+"),
            "filter, two": asked.times("?col.stars=3&status=failed"),
            "sort": asked.times("?sort=-col.review"),
            "sort, next page": asked.times(following or ""),
            "values": asked.times("/values?values=col.stars"),
        }
    return {
        "keys_s": seconds,
        "ms": {name: statistics.median(took) for name, took in times.items() if took},
        "worst_ms": {name: max(took) for name, took in times.items() if took},
        "runs_meanwhile": not select.select([process.stdout], [], [], 0)[0],
    }


class _Asked:
    """Requests of one page after the other, as a user opens them."""

    def __init__(self, process, session: requests.Session, url: str):
        self._process, self._session, self._url = process, session, url

    def times(self, query: str, rounds: int = ROUNDS) -> list[float]:
        found = []
        for _ in range(rounds):
            began = time.perf_counter()
            if self.get(query) is None:
                break
            found.append(1000 * (time.perf_counter() - began))
        return found

    def link(self, query: str) -> str | None:
        """The query of the next page."""
        pattern = r'id="page-next"[^>]*href="[^"?]*(\?[^"]+)"'
        found = re.search(pattern, self.get(query) or "")
        return found and found[1].replace("&amp;", "&")

    def get(self, query: str) -> str | None:
        """None once the program has ended with its job."""
        try:
            answer = self._session.get(self._url + query, timeout=60)
        except requests.RequestException:
            if select.select([self._process.stdout], [], [], 5)[0]:
                return None
            raise
        assert answer.status_code == 200, (query, answer.status_code)
        return answer.text


def _build_keys(asked: _Asked) -> float:
    """Seconds until the sort keys of both columns are there."""
    began = time.perf_counter()
    for name in KEYS:
        while True:
            found = asked.get(f".json?sort={name}&cols={name}&per=25")
            if found is None or not json.loads(found)["preparing"]:
                break
            time.sleep(1)
    return time.perf_counter() - began
