"""Part 3: finds and keeps a limit that is not configured, compared with tools that are configured
with it."""

import contextlib
import subprocess
import tempfile
import time

import requests

from .limits import FIRST_S
from .processes import ROOT, competitor_command, endpoint, has_competitors, program

NAMES = {
    "rpm": "600 requests a minute",
    "tpm": "60,000 tokens a minute",
    "concurrency": "20 at once",
    "changing": "600, 300, 600 requests a minute",
}


def finding(seconds: float) -> dict:
    """All tools against all limits at once, each with a separate endpoint."""
    tools = ["simple_batch", "cookbook", *(["async-batch-llm"] if has_competitors() else [])]
    with contextlib.ExitStack() as stack:
        urls = {
            (limit, tool): stack.enter_context(_started(limit, tool, seconds))
            for limit in NAMES
            for tool in tools
        }
        found = {}
        waiting = dict(urls)
        while waiting:
            for key, url in list(waiting.items()):
                stats = requests.get(f"{url.removesuffix('/v1')}/stats", timeout=30).json()
                if stats["at"] >= seconds:
                    found[key] = stats
                    del waiting[key]
            time.sleep(0.2)
    return {
        "seconds": seconds,
        "rows": {limit: {tool: _figures(found[limit, tool]) for tool in tools} for limit in NAMES},
    }


def _figures(stats: dict) -> dict:
    measured = stats["at"] > FIRST_S and stats["allowed"]
    return {
        "used": stats["used"] / stats["allowed"] if measured else None,
        "refused": stats["refused"] / max(1, stats["calls"]),
        "calls": stats["calls"],
        "by_second": stats["by_second"],
    }


@contextlib.contextmanager
def _started(limit: str, tool: str, seconds: float):
    count = int(seconds * 60)
    options = ("--limit", limit, "--seconds", str(seconds))
    with contextlib.ExitStack() as stack:
        url = stack.enter_context(endpoint(*options))
        if tool == "simple_batch":
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            stack.enter_context(program(folder, url, count, None))
        else:
            command = competitor_command(tool, url, count, 100, "--limit", limit)
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
            stack.callback(process.kill)
        yield url
