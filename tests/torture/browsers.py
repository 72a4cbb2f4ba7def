"""Many pages and many websockets while a job runs at full speed."""

import json
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.processes import endpoint, flask, prepare
from tests.process import ROOT, run_py

IN_FLIGHT = 100
FILL_S = 3.0  # the job has come to its speed
ALONE = 0.9  # of a core: at full speed the job takes one, where nothing else runs
SETTLE_S = 2.0  # those who come have come


def browsers(
    count: int, seconds: float, rate: int, watching: int, restless: int, quick=False
) -> dict:
    """A job of ``count`` requests; ``seconds`` each of: none, pages, none, websockets, none,
    both, none, both at a second process on the same database, none. The job must last for all of
    them; ``quick`` has an endpoint that takes its time, and only both."""
    slow = ("--delay", "0.05") if quick else ()
    with tempfile.TemporaryDirectory() as folder, endpoint(*slow) as base_url:
        job_id = prepare(folder, base_url, count, IN_FLIGHT)
        server, second = _server(folder), None if quick else _server(folder)
        try:
            flask(folder, "resume-job", str(job_id))
            time.sleep(FILL_S)
            stage = _Stage(folder, job_id, server)
            look = stage.visitors(server.url, rate)
            watch = stage.watchers(server.url, watching, restless)
            rounds = [("quiet",), ("both", look, watch), ("quiet",)]
            if second is not None:
                there = (
                    stage.visitors(second.url, rate),
                    stage.watchers(second.url, watching, restless),
                )
                rounds = [("quiet",), ("pages", look), ("quiet",), ("watchers", watch), *rounds]
                rounds += [("both, at a second process", *there), ("quiet",)]
            phases = [stage.phase(name, seconds, *loads) for name, *loads in rounds]
        finally:
            for running in filter(None, (second, server)):
                running.stop()
    return {"requests": count, "rate": rate, "phases": _compared(phases)}


def _server(folder: str):
    return run_py(Path(folder), SIMPLE_BATCH_LOG_DIR="", SIMPLE_BATCH_LOG_LEVEL="WARNING")


class _Stage:
    def __init__(self, folder: str, job_id: int, server):
        self._database = Path(folder) / "simple_batch.db"
        self._job_id = job_id
        self._process = psutil.Process(server.process.pid)

    def visitors(self, url: str, rate: int):
        base = f"/jobs/{self._job_id}"
        paths = ["/jobs", base, f"{base}/requests", f"{base}/errors", base]
        paths += [f"{base}/requests/7", f"{base}/requests?status=succeeded", f"{base}/charts"]
        return lambda seconds: ("visitors", url, str(rate), str(seconds), *paths)

    def watchers(self, url: str, watching: int, restless: int):
        numbers = str(self._job_id), str(watching), str(restless)
        return lambda seconds: ("watchers", url, *numbers, str(seconds))

    def phase(self, name: str, seconds: float, *loads) -> dict:
        lasting = seconds + (SETTLE_S if loads else 0)
        started = [self._start(*load(lasting + 0.5)) for load in loads]
        if loads:
            time.sleep(SETTLE_S)
        done, cpu, began = self._done(), self._cpu(), time.perf_counter()
        time.sleep(seconds)
        took = time.perf_counter() - began
        found = {
            "name": name,
            "per_second": (self._done() - done) / took,
            "cpu": round((self._cpu() - cpu) / took, 2),
            "rss_mb": round(self._process.memory_info().rss / 1e6),
        }
        for load, process in zip(loads, started, strict=True):
            out, _ = process.communicate(timeout=90)
            found[load(0)[0]] = json.loads(out)

        return found

    def _start(self, module: str, *args: str):
        command = [sys.executable, "-m", f"tests.torture.{module}", *args]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)

    def _done(self) -> int:
        with sqlite3.connect(self._database) as database:
            query = "SELECT succeeded + failed, status FROM job WHERE id = ?"
            done, status = database.execute(query, (self._job_id,)).fetchone()
        assert status == "running", f"the job is {status}: give it more requests"
        return done

    def _cpu(self) -> float:
        used = self._process.cpu_times()
        return used.user + used.system


def _compared(phases: list[dict]) -> list[dict]:
    """Compare each loaded phase with the quiet ones before and after it."""
    for before, phase, after in zip(phases, phases[1:], phases[2:], strict=False):
        if phase["name"] != "quiet":
            around = (before, after)
            quiet = statistics.mean(one["per_second"] for one in around)
            phase["kept"] = round(phase["per_second"] / quiet, 3)
            phase["alone"] = all(one["cpu"] > ALONE for one in around)
    return phases
