"""Adds up the outcomes that the processes of a run wrote (sharding.py)."""

import json
from collections import Counter
from pathlib import Path

import pytest

BEGUN = "begun"
ENDED = "exit code"  # in the place of a test's name, at the end of what a process noted
WORDS = ("passed", "failed", "skipped")
TOLD = {pytest.ExitCode.TESTS_FAILED, pytest.ExitCode.INTERRUPTED}


class Totals:
    """The outcome of each test of a round, and the processes that did not end normally."""

    def __init__(self):
        self._outcomes: dict[str, str] = {}
        self._broken: list[str] = []

    def add(self, noted: Path, exit_code: int, process: str) -> None:
        """Add the outcomes that a process wrote, one line per change, and its exit code."""
        lines = noted.read_text().splitlines() if noted.exists() else []
        found = dict(json.loads(line) for line in lines)
        ended = found.pop(ENDED, None)
        cut_off = [test for test, outcome in found.items() if outcome == BEGUN]
        said_why = exit_code in TOLD and "failed" in found.values()
        if ended != exit_code or not (exit_code == pytest.ExitCode.OK or said_why):
            during = f" in {cut_off[0]}" if cut_off else ""
            self._broken.append(f"{process} ended with exit code {exit_code}{during}")
        self._outcomes |= {test: how for test, how in found.items() if how != BEGUN}

    def failures(self) -> list[str]:
        """Test ids, then processes."""
        failed = sorted(test for test, outcome in self._outcomes.items() if outcome == "failed")
        return [*failed, *self._broken]

    def counts(self) -> Counter:
        """By WORDS. A process that broke off counts as one failed test."""
        return Counter(self._outcomes.values()) + Counter(failed=len(self._broken))


def closing(counts: Counter) -> str:
    """The last line of a run."""
    return ", ".join(f"{counts[word]} {word}" for word in WORDS)
