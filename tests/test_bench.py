"""The benchmark itself works: small numbers, no time asserted."""

import subprocess
import sys

import pytest

from .process import ROOT


@pytest.mark.timeout(300)
def test_the_benchmark_runs_and_says_its_figures():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "requests per second over AsyncOpenAI",
        "CPU per request",
        "peak memory",
        "charts",
        "over TLS",
        "packed over one by one",
        "per request in flight",
        "used of allowed",
        "99th percentile",
        "import:",
        "create from it",
    ):
        assert said in done.stdout
