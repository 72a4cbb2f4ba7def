"""The benchmark itself works: two of its parts with small numbers; no time is asserted."""

import subprocess
import sys

import pytest

from bench import report
from bench.faults import FAULTS, chosen
from bench.limited_jobs import DEMO, PAUSED, ROWS

from .process import ROOT


def test_rows_are_chosen_by_a_part_of_their_names():
    assert list(chosen(FAULTS, ["all limits", "cut"])) == [
        "2 % of connections cut",
        "10 % of 429, all limits set",
    ]
    assert chosen(ROWS, []) == ROWS


def test_each_figure_is_shown_beside_its_target(capsys):
    figures = {"used": 0.5, "refused": 0.25, "number_refused": 7, "calls": 28, "seconds": 99.0}
    rows = dict.fromkeys(ROWS, figures)
    rows |= {PAUSED: {"calls": 40}, DEMO: {"per_s": 250.0, "used": 0.85}}
    report.limits({"seconds": 240.0, "rows": rows})
    lines = capsys.readouterr().out.splitlines()[2:]
    assert len(lines) == len(ROWS) + 2
    assert all("(target: " in line for line in lines)
    assert "50.0% used (target: 97%); 25.00% refused (target: 1% at most)" in lines[0]


@pytest.mark.timeout(600)
def test_the_benchmark_runs_and_says_its_figures():
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--quick", "overhead", "files", "startup"],
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
        "serve, to its first page",
    ):
        assert expected in done.stdout
