"""SIGKILL at random moments of a job that goes through a provider's batch API, most of them aimed at a state of
a part: while it is uploaded, between the upload, the batch and their commits, while its results are merged.

The provider is a separate process, which counts every batch and bills every line.
"""

import contextlib
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import requests

from tests.emulators.openai_batches import KEY
from tests.process import ROOT, environment

from .program import Program, lines, until

SENDING = ("creating", "uploaded", "uploading", "open", "")  # while no batch ends
READING = ("merging", "ended", "", "merging")
WAIT_S = 60.0  # for what a kill is aimed at; then it comes anyway
QUICK = {  # settings: nothing here is to last long
    "BATCH_POLL_FIRST": "0.2",
    "BATCH_POLL_MAX": "1",
    "BATCH_FIND_WAIT": "0.3",
    "BACKOFF_BASE": "0.1",
}


def batches(total: int, part: int, times: int, seed: int) -> dict:
    """A job of ``total`` requests in parts of up to ``part``, killed ``times`` times."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, _provider() as base_url:
        settings = {**QUICK, "BATCH_PART_MAX_REQUESTS": str(part)}
        with Program(folder) as program:
            program.config("test", base_url, key=KEY, provider="openai")
            job_id = program.job(lines(total), "test")
            program.write("UPDATE job SET service = 'batch' WHERE id = ?", job_id)
            met: Counter[str] = Counter()
            for number in range(times):
                if number == times // 2:
                    _tell(base_url, "set", polls=1)
                place, aims = number, SENDING
                if number >= times // 2:
                    place, aims = number - times // 2, READING
                met += _killed(program, job_id, settings, aims[place % len(aims)], chance)
            run = _run(Path(folder), job_id, settings)
            run.wait(timeout=1_200)
            return _found(program, job_id, total, times, seed, met, _tell(base_url, "state"))


@contextlib.contextmanager
def _provider() -> Iterator[str]:
    """The base URL of a provider."""
    command = [sys.executable, "-m", "tests.emulators.openai_batches"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            base_url = process.stdout.readline().strip()
            _tell(base_url, "set", polls=None)
            yield base_url
        finally:
            process.kill()


def _tell(base_url: str, what: str, **values) -> dict:
    """Ask the provider what happened, or change how it behaves."""
    url = f"{base_url.removesuffix('/v1')}/_emulator/{what}"
    told = requests.post(url, json=values, timeout=60) if values else requests.get(url, timeout=60)
    told.raise_for_status()
    return told.json()


def _run(folder: Path, job_id: int, settings: dict[str, str]) -> subprocess.Popen:
    named = {f"SIMPLE_BATCH_{name}": value for name, value in settings.items()}
    return subprocess.Popen(
        [sys.executable, "-m", "flask", "run-job", str(job_id)],
        cwd=ROOT,
        env=environment(folder, SIMPLE_BATCH_LOG_LEVEL="ERROR", **named),
        stdout=subprocess.DEVNULL,
    )


def _killed(
    program: Program, job_id: int, settings: dict[str, str], aim: str, chance: random.Random
) -> Counter[str]:
    """Run the job, and kill it at a moment; returns what it was met in."""
    if program.status(job_id) in ("completed", "failed"):
        return Counter()
    before = _recorded(program, job_id)
    process = _run(program.folder, job_id, settings)

    def reached() -> bool:
        if process.poll() is not None:
            return True
        if not aim:
            return sum(running.cpu_times()[:2]) > seconds
        if aim == "merging":
            return _recorded(program, job_id) > before
        found = "SELECT 1 FROM batch_part WHERE job_id = ? AND state = ? LIMIT 1"
        return bool(program.rows(found, job_id, aim)) or (aim in SENDING and _all_sent(program))

    running, seconds = psutil.Process(process.pid), chance.uniform(1.0, 3.0)
    with program.kept_connection():  # to open one takes longer than to ask, every 2 ms
        until(reached, WAIT_S, 0.002)
    time.sleep(chance.choice((0.0, chance.uniform(0, 0.02), chance.uniform(0, 0.3))))
    alive = process.poll() is None
    process.kill()
    process.wait()
    states = "SELECT DISTINCT state FROM batch_part WHERE job_id = ?"
    return Counter(state for (state,) in program.rows(states, job_id) if alive)


def _all_sent(program: Program) -> bool:
    """Whether each request without a result is in a batch that exists."""
    (left,) = program.rows("SELECT total - succeeded - failed FROM job")[0]
    query = "SELECT count(*) FROM batch_line l JOIN batch_part p ON p.id = l.part_id WHERE p.state = 'open'"
    return program.rows(query)[0][0] == left


def _recorded(program: Program, job_id: int) -> int:
    return program.rows("SELECT succeeded FROM job WHERE id = ?", job_id)[0][0]


def _found(
    program: Program, job_id: int, total: int, times: int, seed: int, met: Counter, state: dict
) -> dict:
    rows, distinct = program.rows(
        "SELECT count(*), count(DISTINCT idx) FROM result WHERE job_id = ?", job_id
    )[0]
    status, counted, attempts = program.rows(
        "SELECT status, succeeded + failed, attempts FROM job WHERE id = ?", job_id
    )[0]
    parts, merged, again = program.rows(
        "SELECT count(*), coalesce(sum(succeeded), 0), coalesce(sum(sent_again), 0) FROM batch_part "
        "WHERE job_id = ? AND state = 'merged'",
        job_id,
    )[0]
    left = program.rows("SELECT count(*) FROM batch_line")[0][0]
    markers = Counter(json.dumps(batch["metadata"]) for batch in state["batches"])
    found = {
        "status": status,
        "lost": total - distinct,
        "twice": rows - distinct,
        "counters_off": abs(counted - total) + abs(merged - total) + abs(attempts - total) + left,
        "parts": parts,
        "batches": len(state["batches"]),
        "created_twice": sum(count - 1 for count in markers.values()),
        "billed": state["lines_billed"],
        "billed_twice": state["billed_twice"],
        "sent_again": again,
    }
    names = ("lost", "twice", "counters_off", "created_twice", "billed_twice", "sent_again")
    good = status == "completed" and not any(found[name] for name in names)
    return {
        **found,
        "requests": total,
        "kills": times,
        "seed": seed,
        "met_in": dict(sorted(met.items())),
        "files_left": len(state["files"]),
        "expected": good and found["billed"] == total and len(state["files"]) == 0,
    }
