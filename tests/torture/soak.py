"""Jobs with random faults for a long time: do memory, file descriptors or greenlets grow?"""

import random
import tempfile
import time
from functools import partial
from pathlib import Path

import requests

from simple_batch.core.errors import SimpleBatchError
from simple_batch.services import job_retry, jobs
from simple_batch.store.database import connected
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint
from tests.process import ROOT

from .faults import connections, storms
from .program import Program, lines

HOOK = ROOT / "tests" / "torture" / "counting"  # counts the greenlets of the program, from inside
SAMPLE_S = 2.0
WARM = 0.25  # this part of the time does not count: caches fill, pools open
REQUESTS = (50, 400)
FAULTS = 0.05  # of the answers
STORMS = ("429, rubbish", "429, negative", "429, a fraction")  # those that hold no job up for long
KEPT_JOBS = 12  # older ones are deleted
SETTINGS = {
    "BACKOFF_BASE": 0.02,
    "BACKOFF_MAX": 0.5,
    "RATE_LIMIT_PATIENCE": 5,
    "MAX_RUNNING_JOBS": 3,
}
LEVEL = {"rss_mb": 0.5, "descriptors": 0.5, "greenlets": 0.5}  # growth a minute that is none


def soak(minutes: float, seed: int) -> dict:
    chance = random.Random(seed)
    behaviours = _behaviours()
    with tempfile.TemporaryDirectory() as folder, MisbehavingEndpoint(e.ok()) as endpoint:
        endpoint._next = lambda head, body: _counted(endpoint, chance, behaviours)
        with Program(folder, **SETTINGS) as program:
            counts = Path(folder) / "counts"
            program.start(PYTHONPATH=f"{HOOK}:{ROOT}", TORTURE_COUNTS=str(counts))
            program.config("test", endpoint.base_url, concurrency=8, timeout_s=0.5)
            run = _Run(program, chance, counts)
            run.until(time.monotonic() + 60 * minutes)
            errors, samples = run.errors, run.samples
            jobs_made, alive = run.made, program.alive()
            whole = run.unfinished_after(60) == 0
    slopes = {name: _slope(samples, name) for name in LEVEL}
    return {
        "seed": seed,
        "minutes": minutes,
        "jobs": jobs_made,
        "calls": endpoint.calls,
        "page_errors": errors,
        "first": samples[int(len(samples) * WARM)],
        "last": samples[-1],
        "per_minute": slopes,
        "samples": samples[:: max(1, len(samples) // 60)],
        "expected": alive and whole and not errors and _level(slopes, minutes),
    }


def _behaviours() -> list:
    quick = [
        fault for fault in connections.FAULTS if not fault.heavy and fault.ends != ("timeout",)
    ]
    storm = [fault for fault in storms.FAULTS if fault.name in STORMS]
    return [fault.answer for fault in (*quick, *storm)] + [
        lambda _n: e.trickle,
        lambda _n: e.error(500),
        lambda _n: e.gzip_bomb(),
    ]


def _counted(endpoint, chance, behaviours):
    endpoint.calls += 1
    return chance.choice(behaviours)(1) if chance.random() < FAULTS else e.slow(0.05)


class _Run:
    def __init__(self, program: Program, chance: random.Random, counts: Path):
        self._program, self._chance, self._counts = program, chance, counts
        self._known: list[int] = []
        self.samples: list[dict] = []
        self.made = self.errors = 0

    def until(self, end: float) -> None:
        began = time.monotonic()
        while (now := time.monotonic()) < end:
            if len(self._active()) < 3:
                count = self._chance.randint(*REQUESTS)
                self._known.append(self._program.job(lines(count), "test", max_retries=5))
                self.made += 1
            self._disturb()
            self._look()
            self.samples.append({"s": round(now - began), **self._sample()})
            time.sleep(SAMPLE_S)

    def _active(self) -> list[int]:
        rows = self._program.rows(
            "SELECT id FROM job WHERE status IN ('queued', 'running', 'validating')"
        )
        return [job_id for (job_id,) in rows]

    def _disturb(self) -> None:
        """Pause, resume, cancel, retry or delete, as users do."""
        job_id = self._chance.choice(self._known)
        act = self._chance.choice(
            (jobs.pause, jobs.resume, job_retry.retry, jobs.cancel, None, None)
        )
        delete = partial(jobs.delete, at_once=True)
        with connected():
            for work, target in ((act, job_id), *((delete, old) for old in self._old())):
                if work is not None:
                    try:
                        work(target)
                    except SimpleBatchError:
                        continue  # its state does not allow it

    def _old(self) -> list[int]:
        if len(self._known) <= KEPT_JOBS:
            return []
        old, self._known = self._known[:-KEPT_JOBS], self._known[-KEPT_JOBS:]
        with connected():
            for job_id in old:
                try:
                    jobs.cancel(job_id)
                except SimpleBatchError:
                    continue
        return old

    def _look(self) -> None:
        job_id = self._known[-1]
        for path in ("/jobs", f"/jobs/{job_id}", f"/jobs/{job_id}/requests", f"/jobs/{job_id}/charts",
                     f"/jobs/{job_id}/export?format=csv"):  # fmt: skip
            try:
                answer = requests.get(self._program.server.url + path, timeout=20)
                self.errors += answer.status_code != 200
            except requests.RequestException:
                self.errors += 1

    def _sample(self) -> dict:
        process = self._program.process
        return {
            "rss_mb": round(process.memory_info().rss / 1e6, 1),
            "descriptors": process.num_fds(),
            "greenlets": int(self._counts.read_text() or 0),
        }

    def unfinished_after(self, seconds: float) -> int:
        """Jobs that do not end even when they are cancelled."""
        with connected():
            for job_id in self._known:
                try:
                    jobs.cancel(job_id)
                except SimpleBatchError:
                    continue
        end = time.monotonic() + seconds
        while (left := len(self._active())) and time.monotonic() < end:
            time.sleep(0.2)
        return left


def _slope(samples: list[dict], name: str) -> float:
    """Growth per minute by least squares, without the warm-up."""
    part = samples[int(len(samples) * WARM) :]
    if len(part) < 3:
        return 0.0
    xs, ys = [sample["s"] / 60 for sample in part], [sample[name] for sample in part]
    middle_x, middle_y = sum(xs) / len(xs), sum(ys) / len(ys)
    spread = sum((x - middle_x) ** 2 for x in xs)
    return round(
        sum((x - middle_x) * (y - middle_y) for x, y in zip(xs, ys, strict=True)) / spread, 3
    )


def _level(slopes: dict, minutes: float) -> bool:
    """Over a short time only a large growth is significant."""
    slack = 1.0 if minutes >= 10 else 40.0
    return all(slopes[name] <= most * slack for name, most in LEVEL.items())
