"""The benchmark itself works: two of its parts with small numbers; no time is asserted."""

import subprocess
import sys

import pytest

from .process import ROOT


@pytest.mark.timeout(600)
def test_the_benchmark_runs_and_says_its_figures():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "overhead", "files"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=590,
    )
    assert done.returncode == 0, done.stderr
    for expected in (
        "requests per second over AsyncOpenAI",
        "CPU per request",
        "peak memory",
        "import:",
    ):
        assert expected in done.stdout
