"""Measures the Batch API at size: a large upload, a batch from it, long lists, a large output
file."""

import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import psutil
import requests

from .processes import ROOT, endpoint, flask

CHAT = "/v1/chat/completions"
PAUSE_S = 0.01


def batch_api(file_bytes: int, batches: int, rows: int) -> dict:
    """Upload ``file_bytes``, list ``batches`` page by page, and download the results of ``rows``
    requests. Memory is measured in the server process."""
    with tempfile.TemporaryDirectory() as folder, endpoint() as base_url:
        flask(folder, "add-config", "bench", "--base-url", base_url, "--model", "bench")
        with _server(folder) as (process, url):
            found = _upload(process, url, Path(folder), file_bytes)
            found |= _lists(url, Path(folder), batches)
            found |= _output(process, url, Path(folder), rows)
    return {"file_bytes": file_bytes, "batches": batches, "rows": rows, **found}


@contextlib.contextmanager
def _server(folder: str):
    environment = {
        **os.environ,
        "SIMPLE_BATCH_INSTANCE_PATH": folder,
        "SIMPLE_BATCH_LOG_DIR": "",
        "SIMPLE_BATCH_BATCH_MAX_REQUESTS": "0",
        "SIMPLE_BATCH_BATCH_MAX_FILE_BYTES": "0",
    }
    command = [sys.executable, "run.py", "--port", "0"]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            line = next(line for line in process.stdout if line.startswith("Running on"))
            yield psutil.Process(process.pid), line.split()[-1]
        finally:
            process.kill()


def _lines(path: Path, count: int, padding: int) -> None:
    with path.open("w") as file:
        for n in range(count):
            content = f"question {n} " + "x" * padding
            body = {"model": "bench", "messages": [{"role": "user", "content": content}]}
            line = {"custom_id": f"q-{n}", "method": "POST", "url": CHAT, "body": body}
            file.write(json.dumps(line) + "\n")


def _send(url: str, path: Path) -> str:
    with path.open("rb") as file:
        given = {"file": ("in.jsonl", file)}
        answer = requests.post(f"{url}/v1/files", {"purpose": "batch"}, files=given, timeout=300)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"]


def _create(url: str, file_id: str) -> tuple[str, float]:
    """Returns the batch id, and the ms until the answer."""
    asked = {"input_file_id": file_id, "endpoint": CHAT, "completion_window": "24h"}
    began = time.perf_counter()
    answer = requests.post(f"{url}/v1/batches", json=asked, timeout=60)
    took = 1000 * (time.perf_counter() - began)
    assert answer.status_code == 200, answer.text
    return answer.json()["id"], took


def _upload(process, url: str, folder: Path, size: int) -> dict:
    path = folder / "large.jsonl"
    _lines(path, size // 4_096, 3_950)
    requests.get(f"{url}/v1/files", timeout=60)
    before = process.memory_info().rss
    began = time.perf_counter()
    file_id, peak = _watched(process, lambda: _send(url, path))
    took = time.perf_counter() - began
    batch_id, create_ms = _create(url, file_id)
    requests.post(f"{url}/v1/batches/{batch_id}/cancel", timeout=60)
    path.unlink()
    return {
        "upload_s": took,
        "upload_grew_mb": max(0, peak - before) / 1e6,
        "create_ms": create_ms,
    }


def _watched(process, work):
    """Returns the result of ``work``, and the peak memory of the process meanwhile."""
    peak, done = process.memory_info().rss, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(PAUSE_S):
            peak = max(peak, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return work(), peak
    finally:
        done.set()
        watcher.join()


def _lists(url: str, folder: Path, count: int) -> dict:
    path = folder / "one.jsonl"
    _lines(path, 1, 0)
    file_id = _send(url, path)
    creates = [_create(url, file_id)[1] for _ in range(count)]
    times, after, seen = [], {}, 0
    while True:
        began = time.perf_counter()
        page = requests.get(f"{url}/v1/batches", {"limit": 100, **after}, timeout=60).json()
        times.append(1000 * (time.perf_counter() - began))
        seen += len(page["data"])
        if not page["has_more"]:
            break
        after = {"after": page["last_id"]}
    assert seen >= count, seen
    return {"list_worst_ms": max(times), "create_median_ms": statistics.median(creates)}


def _output(process, url: str, folder: Path, rows: int) -> dict:
    path = folder / "rows.jsonl"
    _lines(path, rows, 0)
    batch_id, create_ms = _create(url, _send(url, path))
    while (batch := requests.get(f"{url}/v1/batches/{batch_id}", timeout=60).json())[
        "status"
    ] != "completed":
        assert batch["status"] in ("validating", "in_progress", "finalizing"), batch
        time.sleep(0.1)
    before = process.memory_info().rss
    began = time.perf_counter()
    size, peak = _watched(process, lambda: _download(url, batch["output_file_id"]))
    return {
        "create_rows_ms": create_ms,
        "output_s": time.perf_counter() - began,
        "output_mb": size / 1e6,
        "output_grew_mb": max(0, peak - before) / 1e6,
    }


def _download(url: str, file_id: str) -> int:
    with requests.get(f"{url}/v1/files/{file_id}/content", stream=True, timeout=60) as answer:
        return sum(len(block) for block in answer.iter_content(1 << 16))
