"""make bench: prints its figures and appends them to bench/results/.

python -m bench [--requests 20000] [--rows 1000000] [--quick]
"""

import argparse
import contextlib
import json
import os
import platform
import select
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import requests

from .million import build_rows, page_times

ROOT = Path(__file__).parent.parent
CONCURRENCY = 100


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--quick", action="store_true", help="small numbers, to see that it works")
    options = parser.parse_args()
    count, rows = (300, 2_000) if options.quick else (options.requests, options.rows)
    found = {"machine": machine(), "overhead": overhead(count), "growth": growth(count, rows)}
    report(found)
    if not options.quick:
        folder = ROOT / "bench" / "results"
        folder.mkdir(exist_ok=True)
        with (folder / "results.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")


def machine() -> dict:
    names = ("gevent", "geventhttpclient", "requests", "peewee", "Flask", "aiohttp", "openai")
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cores": os.cpu_count(),
        "versions": {name: version(name) for name in names},
    }


def overhead(count: int) -> dict:
    """The same requests to the same endpoint: by the program, by a bare loop, by AsyncOpenAI."""
    with endpoint() as base_url:
        result = {
            "requests": count,
            "concurrency": CONCURRENCY,
            "simple_batch": ours(base_url, count),
            "aiohttp": rival("aiohttp", base_url, count),
            "openai": rival("openai", base_url, max(200, count // 10)),
        }
    result["aiohttp"]["count"] = count
    result["openai"]["count"] = max(200, count // 10)
    for name in ("simple_batch", "aiohttp", "openai"):
        part = result[name]
        number = part.get("count", count)
        part["per_second"] = number / part["seconds"]
        part["cpu_ms"] = 1000 * part["cpu_s"] / number
    mine = result["simple_batch"]
    result["times_openai"] = mine["per_second"] / result["openai"]["per_second"]
    result["cpu_over_aiohttp"] = mine["cpu_ms"] / result["aiohttp"]["cpu_ms"]
    return result


def growth(small: int, rows: int) -> dict:
    """Pages of a job of many requests, and the memory of running one beside a small one."""
    with tempfile.TemporaryDirectory() as folder:
        build_rows(folder, rows)
        pages = page_times(folder)
    with endpoint() as base_url:
        few = ours(base_url, max(small // 2, 100), look=False)
        many = ours(base_url, rows, look=False)
    return {
        "rows": rows,
        "pages_ms": pages,
        "peak_mb": {str(max(small // 2, 100)): few["peak_mb"], str(rows): many["peak_mb"]},
        "memory_ratio": many["peak_mb"] / few["peak_mb"],
        "ms_per_request": {
            str(max(small // 2, 100)): 1000 * few["seconds"] / max(small // 2, 100),
            str(rows): 1000 * many["seconds"] / rows,
        },
    }


def ours(base_url: str, count: int, look: bool = True) -> dict:
    """Run a job through the real program; meanwhile ask for its page, as a user would."""
    with tempfile.TemporaryDirectory() as folder:
        job_id = prepare(folder, base_url, count)
        command = [sys.executable, "-m", "bench.ours", folder, str(job_id)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
            port = int(process.stdout.readline())
            times = page_latencies(process, port, job_id) if look else []
            found = json.loads(process.stdout.readline())
        assert found["status"] == "completed", found
        assert found["succeeded"] == count, found
        if times:
            found["page_ms"] = statistics.median(times)
        return found


def page_latencies(process, port: int, job_id: int) -> list[float]:
    times = []
    url = f"http://127.0.0.1:{port}/jobs/{job_id}"
    while not select.select([process.stdout], [], [], 0.5)[0]:
        began = time.perf_counter()
        with contextlib.suppress(requests.RequestException):
            requests.get(url, timeout=10)
            times.append(1000 * (time.perf_counter() - began))
    return times


def prepare(folder: str, base_url: str, count: int) -> int:
    """A held job of ``count`` requests, made by the command that users type."""
    path = Path(folder) / "requests.jsonl"
    with path.open("w") as file:
        for n in range(count):
            content = f"question {n}"
            file.write(json.dumps({"messages": [{"role": "user", "content": content}]}) + "\n")
    environment = {
        **os.environ,
        "SIMPLE_BATCH_INSTANCE_PATH": folder,
        "SIMPLE_BATCH_LOG_DIR": "",
    }

    def flask(*args):
        done = subprocess.run(
            [sys.executable, "-m", "flask", *args],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    width = ("--concurrency", str(CONCURRENCY))
    flask("add-config", "bench", "--base-url", base_url, "--model", "bench", *width)
    return int(flask("create-job", str(path), "--config", "bench", "--no-start"))


def rival(name: str, base_url: str, count: int) -> dict:
    command = [sys.executable, "-m", "bench.rivals", name, base_url, str(count), str(CONCURRENCY)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@contextlib.contextmanager
def endpoint(delay: float = 0.0):
    command = [sys.executable, "-m", "bench.endpoint", "--delay", str(delay)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.kill()


def report(found: dict) -> None:
    """The figures for people."""
    part = found["overhead"]
    print(
        f"\n{part['requests']:,} requests, {part['concurrency']} in flight, endpoint without delay"
    )
    print(f"{'':16}{'per second':>12}{'CPU ms each':>13}{'peak MB':>10}")
    for name in ("simple_batch", "aiohttp", "openai"):
        row = part[name]
        print(f"{name:16}{row['per_second']:12,.0f}{row['cpu_ms']:13.3f}{row['peak_mb']:10.0f}")
    print(f"requests per second over AsyncOpenAI: {part['times_openai']:.1f}")
    print(f"CPU per request over the bare aiohttp loop: {part['cpu_over_aiohttp']:.2f}")
    if "page_ms" in part["simple_batch"]:
        print(f"job page while it runs, median: {part['simple_batch']['page_ms']:.0f} ms")
    grown = found["growth"]
    print(f"\na job of {grown['rows']:,} requests")
    for name, took in grown["pages_ms"].items():
        print(f"  {name:28}{took:8.1f} ms")
    print(
        f"peak memory over that of the small job: {grown['memory_ratio']:.2f} ({grown['peak_mb']} MB)"
    )
    print(f"wall-clock ms per request: {grown['ms_per_request']}")


if __name__ == "__main__":
    main()
