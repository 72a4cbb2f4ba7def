"""Part caches: how much of the input comes from the provider's prompt cache, where all requests share a
prefix of 2,000 tokens, on an endpoint that caches as OpenAI documents it (tests/emulators/caching.py)."""

import contextlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

from .processes import ROOT, flask

PREFIX = "Read the ticket, then choose one of the classes below. " * 146  # 8,030 characters
KINDS = {
    "in file order": ("--no-cache-aware", False),
    "by prefix, without keys": ("--cache-aware", False),
    "by prefix, with keys": ("--cache-aware", True),
}


def caches(count: int, latency_s: float) -> dict:
    """The same job in each way, 100 in flight, each on a fresh endpoint."""
    rows = {name: _run(count, latency_s, *kind) for name, kind in KINDS.items()}
    return {"count": count, "latency_s": latency_s, "rows": rows}


def _run(count: int, latency_s: float, option: str, keyed: bool) -> dict:
    with tempfile.TemporaryDirectory() as folder, _endpoint(latency_s) as base_url:
        job_id = _prepare(folder, base_url, count, option)
        module = ("bench.run_keyed_job", base_url) if keyed else ("bench.run_job",)
        command = [sys.executable, "-m", *module, folder, str(job_id)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-2000:]
        found = json.loads(done.stdout.splitlines()[-1])
        assert found["succeeded"] == count, found
        stats = requests.get(f"{base_url}/stats", timeout=30).json()
    return {**found, **stats, "share": stats["cached"] / stats["input"]}


@contextlib.contextmanager
def _endpoint(latency_s: float):
    command = [sys.executable, "-m", "tests.emulators.caching", "--latency", str(latency_s)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def _prepare(folder: str, base_url: str, count: int, option: str) -> int:
    path = Path(folder) / "requests.jsonl"
    with path.open("w") as file:
        for n in range(count):
            system = {"role": "system", "content": PREFIX}
            asked = {"role": "user", "content": f"Ticket {n}: the answer to my order is late."}
            file.write(json.dumps({"messages": [system, asked]}) + "\n")
    add = ("add-config", "bench", "--base-url", base_url, "--model", "bench")
    flask(folder, *add, "--concurrency", "100")
    made = flask(folder, "create-job", str(path), "--config", "bench", "--no-start", option)
    return int(made.stdout)
