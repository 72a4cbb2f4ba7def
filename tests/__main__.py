"""``make test``: all tests, and those of what a database keeps once more on PostgreSQL, in several
processes side by side (shares.py). What the first one says is seen as it goes, the others' at its end."""

import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import postgres

# Many tests wait, for browsers, servers and time-outs: two processes more than there are cores.
PROCESSES = (os.cpu_count() or 1) + 2
ON_BOTH = (
    *("store", "runner", "intake", "export", "insight", "openai_api"),
    *("care/test_retention.py", "care/test_metrics.py"),
)
FAILED = 1


class Round:
    """Tests that the processes share, each file run by one of them."""

    def __init__(self, name: str, arguments: list[str], **environment: str):
        self._name = name
        self._taken = tempfile.TemporaryDirectory(prefix="taken-")
        self._command = [sys.executable, "-m", "pytest", "-rs", "-p", "tests.shares", *arguments]
        self._command.append(f"--taken={self._taken.name}")
        self._environment = {**os.environ, **environment}

    def run(self, seen: bool) -> pytest.ExitCode:
        """One process, to its end."""
        with tempfile.TemporaryFile("w+") as report:
            done = subprocess.run(
                self._command,
                env=self._environment,
                stdout=None if seen else report,
                stderr=None if seen else subprocess.STDOUT,
            )
            report.seek(0)
            print(f"{report.read()}--- {self._name}: a share ends", flush=True)
        return pytest.ExitCode(done.returncode)


def rounds() -> list[Round]:
    if postgres.CHOSEN:
        return [Round("all tests on PostgreSQL", [])]
    found = [Round("all tests", [])]
    if postgres.programs() is not None:
        folders = [str(Path("tests", name)) for name in ON_BOTH]
        again = Round(
            f"on PostgreSQL: {', '.join(ON_BOTH)}",
            ["--on-database", *folders],
            SIMPLE_BATCH_TEST_DATABASE="postgresql",
        )
        found.append(again)
    return found


def share(planned: list[Round], seen: bool) -> bool:
    """A part of each round, one after the other; True where all went well."""
    ended = []
    for one in planned:
        ended.append(one.run(seen))
        if ended[-1] is pytest.ExitCode.INTERRUPTED:
            break
    return set(ended) == {pytest.ExitCode.OK}


def main() -> int:
    # tests interrupt commands, which what a shell starts in the background ignores
    signal.signal(signal.SIGINT, signal.default_int_handler)
    planned = rounds()
    with ThreadPoolExecutor(PROCESSES) as pool:
        shares = [pool.submit(share, planned, number == 0) for number in range(PROCESSES)]
    return 0 if all(one.result() for one in shares) else FAILED


if __name__ == "__main__":
    sys.exit(main())
