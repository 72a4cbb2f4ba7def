"""The benchmark itself works: small numbers, no time asserted."""

import subprocess
import sys

from .process import ROOT


def test_the_benchmark_runs_and_says_its_figures():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    for said in (
        "requests per second over AsyncOpenAI",
        "CPU per request",
        "peak memory",
        "charts",
    ):
        assert said in done.stdout
