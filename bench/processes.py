"""Starts the processes of the benchmark: the endpoint, the program, and the competitors."""

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import requests

ROOT = Path(__file__).parent.parent
COMPETITORS_PYTHON = ROOT / ".venv-bench" / "bin" / "python"  # made by `make bench`


@contextlib.contextmanager
def endpoint(*options: str):
    """Start a fast endpoint in a separate process; returns its base URL."""
    command = [sys.executable, "-m", "bench.endpoint", *options]
    scheme = "https" if "--tls" in options else "http"
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def run_simple_batch(
    base_url: str,
    count: int,
    concurrency: int | None,
    look=False,
    ca="",
    embed: int = 0,
    stream: str = "never",
) -> dict:
    """Run a job through the real program. With ``look`` its page is requested meanwhile; with
    ``embed`` it sends embeddings, that many inputs per call; ``stream`` is of its config."""
    with (
        tempfile.TemporaryDirectory() as folder,
        program(folder, base_url, count, concurrency, ca, embed, stream=stream) as (
            process,
            port,
            job_id,
        ),
    ):
        times = page_latencies(process, port, job_id) if look else []
        found = json.loads(process.stdout.readline())
        assert found["status"] == "completed", found
        assert found["succeeded"] == count, found
        if times:
            found["page_ms"] = statistics.median(times)
        return found


@contextlib.contextmanager
def program(
    folder: str,
    base_url: str,
    count: int,
    concurrency: int | None,
    ca="",
    embed: int = 0,
    root: Path = ROOT,
    stream: str = "never",
    ceilings: tuple[str, ...] = (),
):
    """The program (of the checkout ``root``) with a job of ``count`` requests that starts now."""
    job_id = prepare(folder, base_url, count, concurrency, embed, root, ceilings)
    command = [sys.executable, "-m", "bench.run_job", folder, str(job_id), stream, ca]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, int(process.stdout.readline()), job_id
        finally:
            process.kill()


def page_latencies(process, port: int, job_id: int) -> list[float]:
    times = []
    url = f"http://127.0.0.1:{port}/jobs/{job_id}"
    while not select.select([process.stdout], [], [], 0.5)[0]:
        began = time.perf_counter()
        with contextlib.suppress(requests.RequestException):
            requests.get(url, timeout=10)
            times.append(1000 * (time.perf_counter() - began))
    return times


def prepare(
    folder: str,
    base_url: str,
    count: int,
    concurrency: int | None,
    embed: int = 0,
    root: Path = ROOT,
    ceilings: tuple[str, ...] = (),
) -> int:
    """Create a held job of ``count`` requests with the commands that users type; returns its id."""
    path = Path(folder) / "requests.jsonl"
    with path.open("w") as file:
        for n in range(count):
            content = f"question {n}"
            asked = {"messages": [{"role": "user", "content": content}]}
            if embed:
                asked = {"custom_id": str(n), "method": "POST", "url": "/v1/embeddings"}
                asked["body"] = {"model": "bench", "input": content}
            file.write(json.dumps(asked) + "\n")
    width = ("--concurrency", str(concurrency)) if concurrency else ()
    add = ("add-config", "bench", "--base-url", base_url, "--model", "bench", *width, *ceilings)
    flask(folder, *add, root=root)
    packs = ("--inputs-per-call", str(embed)) if embed else ()
    done = flask(
        folder, "create-job", str(path), "--config", "bench", "--no-start", *packs, root=root
    )
    path.unlink()
    return int(done.stdout)


def flask(folder: str, *args: str, root: Path = ROOT) -> subprocess.CompletedProcess:
    """Run a flask command on the instance in ``folder``."""
    done = subprocess.run(
        [sys.executable, "-m", "flask", *args],
        cwd=root,
        env={**os.environ, "SIMPLE_BATCH_INSTANCE_PATH": folder, "SIMPLE_BATCH_LOG_DIR": ""},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done


def has_competitors() -> bool:
    """Whether the tools that only the benchmark needs are installed."""
    return COMPETITORS_PYTHON.exists()


def competitor_command(
    name: str, base_url: str, count: int, concurrency: int, *options
) -> list[str]:
    python = sys.executable
    if name in ("litellm", "async-batch-llm", "cookbook") and has_competitors():
        python = str(COMPETITORS_PYTHON)
    values = (name, base_url, str(count), str(concurrency), *options)
    return [python, "-m", "bench.competitors", *values]


def run_competitor(name: str, base_url: str, count: int, concurrency: int, ca="") -> dict:
    command = competitor_command(name, base_url, count, concurrency, *(("--ca", ca) if ca else ()))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return {**json.loads(done.stdout.splitlines()[-1]), "count": count}
