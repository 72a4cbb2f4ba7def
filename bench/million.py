"""A job of many finished requests, written straight to a database, and how long its pages take."""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROUNDS = 7
START_MS = 1_700_000_000_000  # of the job


def build_rows(folder: str, count: int) -> None:
    """A job of ``count`` requests: 97 % succeeded, 2 % failed, the rest pending."""
    subprocess.run(
        [sys.executable, "-m", "bench.million", folder, str(count)], cwd=ROOT, check=True
    )


_REQUEST = "INSERT INTO request (job_id, idx, custom_id, url, line, body) VALUES (?,?,?,?,?,?)"
_RESULT = (
    "INSERT INTO result (job_id, idx, status, cause, http_status, message, response, model, "
    "config, attempts, started_at, finished_at, latency_ms, input_tokens, output_tokens, "
    "cached_tokens, reasoning_tokens, cost_nano) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)"
)
_TIMELINE = (
    "INSERT INTO timeline (job_id, width, t, sent, succeeded, failed, retried, input_tokens, "
    "output_tokens, cost_nano, latency) VALUES (?,?,?,?,?,?,?,?,?,?,?)"
)


def page_times(folder: str) -> dict[str, float]:
    """Median ms of each page, by the app's own test client in a fresh process."""
    command = [sys.executable, "-m", "bench.million", folder]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def _build(folder: str, count: int) -> None:
    from simple_batch import create_app
    from simple_batch.store.database import connected
    from simple_batch.store.latency_sketch import LatencySketch
    from simple_batch.store.models import ApiConfig, Job, database

    create_app(INSTANCE_PATH=folder, LOG_DIR="")
    answer = {"choices": [{"message": {"role": "assistant", "content": "an answer " * 30}}]}
    response = json.dumps(answer).encode()
    start = START_MS
    with connected():
        config = ApiConfig.create(
            alias="a", base_url="http://x/v1", model="m", timeout_s=1, created_at=0, updated_at=0
        )
        failed = sum(n % 50 == 7 for n in range(count * 99 // 100))
        done = count * 99 // 100
        sketch = LatencySketch()
        sketch.add(700, done)
        job = Job.create(
            name="many",
            config=config,
            status="paused",
            max_retries=3,
            created_at=start,
            started_at=start,
            total=count,
            succeeded=done - failed,
            failed=failed,
            attempts=done,
            latency=sketch.to_bytes(),
        )
        for first in range(0, count, 10_000):
            with database.atomic():
                span = range(first, min(count, first + 10_000))
                _write_rows(database.connection(), job.id, span, done, response)
        with database.atomic():
            _write_timeline(database.connection(), job.id, count, sketch.to_bytes())


def _write_rows(connection, job_id: int, span: range, done: int, response: bytes) -> None:
    """Requests, and results of those before ``done``."""
    requests = [
        (job_id, n, f"request-{n + 1}", "/v1/chat/completions", n + 1, _body(n)) for n in span
    ]
    connection.executemany(_REQUEST, requests)
    results = [_result(job_id, n, START_MS, response) for n in span if n < done]
    connection.executemany(_RESULT, results)


def _write_timeline(connection, job_id: int, count: int, latency: bytes) -> None:
    for width in (1, 10, 60, 3600):
        rows = [
            (job_id, width, START_MS // 1000 + t, 100, 98, 2, 0, 2000, 6000, 0, latency)
            for t in range(0, count // 100, width)
        ]
        connection.executemany(_TIMELINE, rows)


def _body(n: int) -> bytes:
    return b'{"messages":[{"role":"user","content":"question number %d about something"}]}' % n


def _result(job_id: int, n: int, start: int, response: bytes) -> tuple:
    at = start + n * 10
    if n % 50 == 7:
        cause = ("timeout", "server_error")[n % 3 == 0]
        return (
            job_id,
            n,
            "failed",
            cause,
            500,
            "it failed",
            None,
            None,
            "a",
            4,
            at,
            at + 900,
            900,
            None,
            None,
            None,
            None,
            None,
        )
    latency = 300 + n * 7919 % 4000
    return (
        job_id,
        n,
        "succeeded",
        None,
        200,
        "",
        response,
        "m",
        "a",
        1,
        at,
        at + latency,
        latency,
        20,
        60,
        0,
        0,
        None,
    )


def page_paths(job_id: int, total: int) -> dict[str, str]:
    """The pages of the job, by what they show."""
    base, last = f"/jobs/{job_id}", -(-total // 50)
    window = f"from={START_MS // 1000 + 10}&to={START_MS // 1000 + 12}"
    return {
        "list of jobs": "/jobs",
        "overview": base,
        "requests, first page": f"{base}/requests",
        "requests, middle page": f"{base}/requests?page={last // 2}",
        "requests, last page": f"{base}/requests?page={last}",
        "requests, failed": f"{base}/requests?status=failed",
        "requests, failed, page 100": f"{base}/requests?status=failed&page=100",
        "requests, pending": f"{base}/requests?status=pending",
        "requests, by cause": f"{base}/requests?cause=timeout",
        "requests, by HTTP status": f"{base}/requests?code=500",
        "requests, by latency": f"{base}/requests?min_ms=4200",
        "requests, by tokens": f"{base}/requests?min_tokens=60",
        "requests, slowest first": f"{base}/requests?sort=-latency",
        "requests, time window": f"{base}/requests?{window}",
        "requests, text search": f"{base}/requests?q=number+77",
        "one request": f"{base}/requests/{total // 2}",
        "one request among failed": f"{base}/requests/57?status=failed",
        "errors": f"{base}/errors",
        "charts": f"{base}/charts",
        "charts of a window": f"{base}/charts?{window}",
    }


def _time_pages(folder: str) -> dict[str, float]:
    from simple_batch import create_app
    from simple_batch.store.database import connected
    from simple_batch.store.models import Job

    app = create_app(INSTANCE_PATH=folder, LOG_DIR="", LOG_LEVEL="ERROR")
    client = app.test_client()
    with connected():
        job = Job.get()
    found = {}
    for name, path in page_paths(job.id, job.total).items():
        times = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            answer = client.get(path)
            times.append(1000 * (time.perf_counter() - began))
            assert answer.status_code == 200, (path, answer.status_code)
        found[name] = statistics.median(times)
    return found


if __name__ == "__main__":
    if len(sys.argv) == 3:
        _build(sys.argv[1], int(sys.argv[2]))
    else:
        print(json.dumps(_time_pages(sys.argv[1])))
