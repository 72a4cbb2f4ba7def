"""Faults of the endpoint, side by side in one program, each with the expected result of the job."""

import tempfile
import threading
import time
from collections import Counter

import msgspec

from simple_batch.services import jobs
from simple_batch.store.database import connected
from tests import endpoint as e
from tests.endpoint import MisbehavingEndpoint

from .faults import Fault, answers, connections, storms
from .program import KEY, Program, lines

VICTIMS, OTHERS, RETRIES = 3, 7, 1
SETTINGS = {
    "MAX_RUNNING_JOBS": 200,
    "BACKOFF_BASE": 0.02,
    "BACKOFF_MAX": 0.1,
    "RATE_LIMIT_PATIENCE": 40,
    "DEFAULT_CONCURRENCY": 5,
}
MOST_GROWN_MB = 400  # five calls in flight of 32 MB at most, received and decoded
FAULTS = (*connections.FAULTS, *answers.FAULTS, *storms.FAULTS)
TIMEOUT_S = 12.0  # of a call: with all faults at once, good answers come late on a slow machine


class Result(msgspec.Struct):
    """The result of the jobs of one fault."""

    name: str
    thrown: int
    expected: bool
    detail: str = ""


class FaultyEndpoint(MisbehavingEndpoint):
    """Applies the fault to requests marked as victims."""

    def __init__(self, fault: Fault):
        super().__init__()
        self._fault = fault
        self.called: Counter[str] = Counter()

    def _next(self, head, body):
        text = msgspec.json.decode(body)["messages"][0]["content"]
        self.called[text] += 1
        return self._fault.answer(self.called[text]) if text.startswith("victim") else e.ok()


def throw(heavy: bool = True) -> dict:
    """All faults; the heavy ones one after the other, with the memory they took."""
    faults = [fault for fault in FAULTS if heavy or not fault.heavy]
    with tempfile.TemporaryDirectory() as folder, Program(folder, **SETTINGS) as program:
        program.start()
        light = [fault for fault in faults if not fault.heavy]
        results = _side_by_side(program, light)
        base = peak = program.process.memory_info().rss
        for fault in faults:
            if fault.heavy:
                fault.answer(1)  # made beforehand: what takes long must not be this process
                with Peak(program.process) as memory:
                    results += _side_by_side(program, [fault])
                peak = max(peak, memory.most)
        grown = (peak - base) / 1e6
        results.append(
            Result("memory bounded", 0, grown < MOST_GROWN_MB, f"grew by {grown:.0f} MB at most")
        )
        results.append(Result("alive, pages answer", 0, program.alive() and _answers(program)))
        leaked = KEY in "".join(program.server.lines)
        results.append(Result("the key is in no line of the log", 0, not leaked))
    return {
        "thrown": sum(result.thrown for result in results),
        "unexpected": [
            f"{result.name}: {result.detail}" for result in results if not result.expected
        ],
        "faults": len(faults),
        "grew_mb": round(grown),
    }


def _answers(program: Program) -> bool:
    import requests

    return requests.get(f"{program.server.url}/readyz", timeout=10).status_code == 200


def _side_by_side(program: Program, faults: list[Fault]) -> list[Result]:
    endpoints, made = [], []
    try:
        for fault in faults:
            endpoint = FaultyEndpoint(fault)
            endpoints.append(endpoint)
            program.config(fault.name, endpoint.base_url, timeout_s=TIMEOUT_S)
            wanted = [*lines(OTHERS - 3), *lines(VICTIMS, "victim"), *lines(3, "late")]
            made.append(program.job(wanted, fault.name, max_retries=RETRIES))
        return [
            _judged(program, fault, job_id, endpoint)
            for fault, job_id, endpoint in zip(faults, made, endpoints, strict=True)
        ]
    finally:
        for endpoint in endpoints:
            endpoint.__exit__()


def _judged(program: Program, fault: Fault, job_id: int, endpoint: FaultyEndpoint) -> Result:
    status = (
        _cancelled(program, job_id, fault.pauses)
        if fault.pauses
        else program.wait(job_id, timeout_s=180)
    )
    rows = program.rows(
        "SELECT r.custom_id, s.status, s.cause, s.message, s.attempts FROM request r LEFT JOIN result s "
        "ON s.job_id = r.job_id AND s.idx = r.idx WHERE r.job_id = ?",
        job_id,
    )
    victims = [row for row in rows if row[0].startswith("victim")]
    others = [row for row in rows if not row[0].startswith("victim")]
    came = sum(n for text, n in endpoint.called.items() if text.startswith("victim"))
    complaints = []
    if status != ("cancelled" if fault.pauses else "completed"):
        complaints.append(f"the job is {status}")
    ends = {row[2] if row[1] else "nothing" for row in victims}
    if not ends <= set(fault.ends):
        complaints.append(f"ended with {sorted(map(str, ends))}, {victims[0][3]!r}")
    tried = [row[4] for row in victims]
    if fault.calls is not None and set(tried) != {fault.calls}:
        complaints.append(f"tried {tried} times in place of {fault.calls}")
    if not fault.pauses and not all(row[1] == "succeeded" for row in others):
        complaints.append(f"others: {Counter(row[1:3] for row in others)}")
    return Result(fault.name, came, not complaints, "; ".join(complaints))


def _cancelled(program: Program, job_id: int, reason: str) -> str:
    """Cancel a job paused for that reason; returns its status."""
    program.wait(job_id, "paused", timeout_s=60)
    with connected():
        found = jobs.get(job_id).status_reason
        if found != reason:
            return f"paused for {found!r}"
        jobs.cancel(job_id)
    return program.wait(job_id, timeout_s=20)


class Peak:
    """The peak memory of a process meanwhile."""

    def __init__(self, process):
        self._process, self.most, self._done = process, 0, False

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def _watch(self):
        while not self._done:
            self.most = max(self.most, self._process.memory_info().rss)
            time.sleep(0.02)

    def __exit__(self, *_):
        self._done = True
        self._thread.join()
