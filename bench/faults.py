"""The faults of the benchmark's endpoint, and the part that measures what they cost: jobs on an endpoint
without a limit that now and then refuses a call, fails or cuts the connection."""

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import requests

from .processes import ROOT, competitor_command, endpoint, program

LONGEST_S = 120.0  # a run that takes longer is stopped, and what was answered counts
BEFORE = "BENCH_BEFORE"  # environment variable: a checkout of an older version to run beside
T = TypeVar("T")
CUT = 0  # instead of a status: the connection is cut


@dataclass(frozen=True)
class Faults:
    """Shares (0 to 1) of calls that end with a status, at random; answers take seconds within
    ``latency_s``."""

    shares: dict[int, float]
    retry_after_s: float | None = None
    latency_s: tuple[float, float] = (0.3, 0.4)
    concurrency: int | None = 200
    quick: bool = False  # few calls: the whole time counts
    target: float = 0.0  # a share of the ideal at least; seconds at most if quick
    ceilings: tuple[str, ...] = ()  # limits set by the user, as options of add-config

    @property
    def ideal_per_s(self) -> float:
        """Calls per second without faults."""
        return (self.concurrency or 8) / (sum(self.latency_s) / 2)


SHORT_S = (0.05, 0.05)
FAULTS = {
    "none": Faults({}, target=0.95),
    "0.5 % of 429": Faults({429: 0.005}, target=0.95),
    "0.5 % of 429, Retry-After 0.5 s": Faults({429: 0.005}, 0.5, target=0.95),
    "2 % of 429": Faults({429: 0.02}, target=0.92),
    "5 % of 429": Faults({429: 0.05}, target=0.85),
    "5 % of 503": Faults({503: 0.05}, target=0.85),
    "5 % of 429 and 503": Faults({429: 0.025, 503: 0.025}, target=0.85),
    "5 % of 500": Faults({500: 0.05}, target=0.9),
    "2 % of connections cut": Faults({CUT: 0.02}, target=0.9),
    "10 % of 429, all limits set": Faults(
        {429: 0.1}, target=0.85, ceilings=("--rpm", "60000", "--tpm", "20000000")
    ),
    "10 % of 503": Faults({503: 0.1}, None, SHORT_S, None, True, target=6.5),
    "20 % of 429, 10 % of 503, Retry-After 1 s": Faults(
        {429: 0.2, 503: 0.1}, 1.0, SHORT_S, None, True, target=20.0
    ),
}
EVERY_CALL = "every call"
ALL_FAULTS = {**FAULTS, EVERY_CALL: Faults({500: 1.0})}


def faults(count: int, quick_count: int, only: Sequence[str] = ()) -> dict:
    """All rows whose names contain one of ``only``, each tool after the other with a new endpoint."""
    before = os.environ.get(BEFORE)
    rows = {}
    for name, kind in chosen(FAULTS, only).items():
        calls = quick_count if kind.quick else count
        rows[name] = {"ideal_per_s": kind.ideal_per_s, "quick": kind.quick, "target": kind.target}
        rows[name]["simple_batch"] = _run(name, calls, kind, ROOT)
        if before:
            rows[name]["before"] = _run(name, calls, kind, Path(before))
        tool = "openai" if kind.quick else "aiohttp-retries"
        rows[name][tool] = _compete(tool, name, calls, kind)
    return {"count": count, "quick_count": quick_count, "rows": rows}


def chosen(rows: dict[str, T], only: Sequence[str]) -> dict[str, T]:
    """The rows whose names contain one of ``only``; all, if there is none."""
    return {name: row for name, row in rows.items() if not only or any(x in name for x in only)}


def _run(name: str, count: int, kind: Faults, root: Path) -> dict:
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(endpoint("--faults", name))
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        limits = kind.ceilings
        started = program(folder, url, count, kind.concurrency, root=root, ceilings=limits)
        process, _port, _job_id = stack.enter_context(started)
        return _wait(process, url, count)


def _compete(tool: str, name: str, count: int, kind: Faults) -> dict:
    with endpoint("--faults", name) as url:
        command = competitor_command(tool, url, count, kind.concurrency or 8)
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            try:
                return _wait(process, url, count)
            finally:
                process.kill()


def _wait(process: subprocess.Popen, url: str, count: int) -> dict:
    """Until all is answered, or the process gives up, or LONGEST_S are over."""
    end = time.monotonic() + LONGEST_S
    stats_url = f"{url.removesuffix('/v1')}/stats"
    while True:
        found = requests.get(stats_url, timeout=30).json()
        if found["good"] >= count or process.poll() is not None or time.monotonic() > end:
            return found
        time.sleep(0.1)
