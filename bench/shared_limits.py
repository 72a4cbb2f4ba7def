"""Part cluster_limits: a provider's limit, used by one worker and by four that share it over
Redis."""

import contextlib
import json
import signal
import subprocess
import sys
import time

import requests

from tools.local_servers import Redis, redis_program

from .processes import ROOT, endpoint

CONFIGURED = {
    "told: 600 requests a minute": ("rpm", ("--rpm", "600", "--concurrency", "100")),
    "told: 20 at once": ("concurrency", ("--concurrency", "20")),
}
UNKNOWN = {
    "600 requests a minute": ("rpm", ()),
    "60,000 tokens a minute": ("tpm", ()),
    "20 at once": ("concurrency", ()),
    "600, 300, 600 requests a minute": ("changing", ()),
}
STEADY = (*CONFIGURED, "600 requests a minute", "20 at once")
TROUBLE_AT = 0.4, 0.6  # parts of the run: a worker is killed, Redis is killed
AWAY_S = 3.0
WORKERS = 4


def cluster_limits(seconds: float) -> dict:
    """Measure each limit with one worker and with four, and with four while one of them is killed
    and Redis restarts empty."""
    if redis_program() is None:
        print("left out: Redis is not installed")
        return {"seconds": seconds, "rows": {}}
    rows = {}
    for name, (limit, ceilings) in {**CONFIGURED, **UNKNOWN}.items():
        for workers in (1, WORKERS):
            rows[f"{name}, {workers} worker{'s'[: workers - 1]}"] = run(
                limit, ceilings, workers, seconds
            )
        if name in STEADY:
            rows[f"{name}, {WORKERS}, with kills"] = run(
                limit, ceilings, WORKERS, seconds, kills=True
            )
    return {"seconds": seconds, "rows": rows}


def run(limit: str, ceilings: tuple, workers: int, seconds: float, kills: bool = False) -> dict:
    """Run workers against an endpoint with a limit; returns what both counted."""
    with contextlib.ExitStack() as stack:
        redis = Redis()
        stack.callback(redis.stop)
        url = stack.enter_context(endpoint("--limit", limit, "--seconds", str(seconds)))
        running = started(stack, url, redis.url(), workers, ceilings)
        while (stats := _stats(url))["at"] < seconds:
            at = stats["at"] / seconds
            if kills and at >= TROUBLE_AT[0] and len(running) == workers:
                running.pop().kill()
            if kills and at >= TROUBLE_AT[1]:
                kills = False
                redis.stop()
                time.sleep(AWAY_S)
                redis.start()
            time.sleep(0.2)
        done = [_ended(process) for process in running]
    calls = sum(each["calls"] for each in done)
    return {
        "used": stats["used"] / stats["allowed"],
        "refused": stats["refused"] / max(1, stats["calls"]),
        "most": stats["most"],
        "commands": sum(each["commands"] for each in done) / max(1, calls),
        "calls": [each["calls"] for each in done],
    }


def started(stack, url: str, redis_url: str, count: int, ceilings: tuple) -> list:
    """Start ``count`` workers that begin together; the stack stops them."""
    running = []
    for number in range(count):
        command = [sys.executable, "-m", "bench.limited_worker", url, redis_url, f"worker-{number}"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        process = subprocess.Popen([*command, *ceilings], cwd=ROOT, text=True, **pipes)
        running.append(stack.enter_context(process))
        stack.callback(process.kill)
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return running


def _stats(url: str) -> dict:
    return requests.get(f"{url.removesuffix('/v1')}/stats", timeout=30).json()


def _ended(process: subprocess.Popen) -> dict:
    process.send_signal(signal.SIGTERM)
    return json.loads(process.stdout.readline())
