"""Measures the pages of a large job while another job runs at full speed, over HTTP, one after the
other as a user opens them."""

import json
import select
import statistics
import tempfile
import time

import requests

from .million import build_rows, page_paths
from .processes import endpoint, program

LARGE_JOB = 1  # the first in its database
FULL_SPEED = 100  # calls in flight


def pages(rows: int, running: int) -> dict:
    """Page times in ms of a job of ``rows`` requests, while ``running`` other requests are sent."""
    with tempfile.TemporaryDirectory() as folder, endpoint() as base_url:
        build_rows(folder, rows)
        with program(folder, base_url, running, FULL_SPEED) as (process, port, _job_id):
            times = _ask(process, f"http://127.0.0.1:{port}", page_paths(LARGE_JOB, rows))
            found = json.loads(process.stdout.readline())
    assert found["succeeded"] == running, found
    every = sorted(took for taken in times.values() for took in taken)
    return {
        "rows": rows,
        "running": running,
        "count": len(every),
        "p50_ms": statistics.median(every),
        "p99_ms": every[min(len(every) - 1, round(0.99 * len(every)))],
        "pages_ms": {name: statistics.median(taken) for name, taken in times.items() if taken},
        "requests_per_s": running / found["seconds"],
    }


def _ask(process, origin: str, paths: dict[str, str]) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in paths}
    with requests.Session() as session:
        while True:
            for name, path in paths.items():
                if select.select([process.stdout], [], [], 0)[0]:
                    return times
                began = time.perf_counter()
                try:
                    answer = session.get(origin + path, timeout=30)
                except requests.RequestException:
                    continue  # it has just ended
                times[name].append(1000 * (time.perf_counter() - began))
                assert answer.status_code == 200, (path, answer.status_code)
