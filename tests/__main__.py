"""``make test``: runs all tests, and those that use the database again on PostgreSQL, in several processes
(sharding.py). The output of the first process appears at once, that of the others at their end. Then
follow the failed tests and, on the last line, the totals."""

import contextlib
import os
import shutil
import signal
import sys
import tempfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from . import compiled_once, postgres
from .fork_server import ForkServer, inherited, share_servers
from .totals import Totals, closing

# Many tests wait, for browsers, servers and time-outs: four processes more than there are cores.
PROCESSES = (os.cpu_count() or 1) + 4
ON_BOTH = (
    "store",
    "runner",
    "intake",
    "export",
    "insight",
    "openai_api",
    "maintenance/test_retention.py",
    "maintenance/test_metrics.py",
)
ON_ONE = ("openai_api/test_description.py",)  # answers look the same on both databases
FAILED = 1
# Hundreds of databases are mostly file system work, which tmpfs makes cheap.
IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 6 << 30  # a run used up to 1.3 GB at a time


class Round:
    """Tests that the processes share; each file is run by one of them. A process collects the tests, and
    is forked for each share."""

    def __init__(self, name: str, arguments: list[str], **environment: str):
        self.name = name
        self.totals = Totals()
        self._taken = tempfile.TemporaryDirectory(prefix="taken-")
        self._collected = Path(self._taken.name, "outcomes-collection.jsonl")
        command = [sys.executable, "-m", "pytest", "-rs", "-p", "tests.sharding", *arguments]
        command += [f"--taken={self._taken.name}", f"--outcomes={self._collected}"]
        environment = {**os.environ, **environment}
        # otherwise the process compiles the test files and the program again
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        self._server = ForkServer(command, environment, pass_fds=list(inherited().values()))

    def run(self, number: int) -> int:
        """One process, to its end; returns its exit code. The output of number 0 appears at
        once."""
        noted = Path(self._taken.name, f"outcomes-{number}.jsonl")
        with tempfile.TemporaryFile("w+") as report, Path(os.devnull).open() as nothing:
            output = [sys.__stdout__, sys.__stderr__] if number == 0 else [report, report]
            streams = [stream.fileno() for stream in (nothing, *output)]
            try:
                process = self._server.start(
                    ["share"], streams, outcomes=str(noted), new_session=False
                )
            except EOFError:  # the collection failed, close() counts it
                self._server.close()
                print(f"--- {self.name}: a share ends", flush=True)
                return pytest.ExitCode.INTERRUPTED
            exit_code = process.wait()
            report.seek(0)
            print(f"{report.read()}--- {self.name}: a share ends", flush=True)
        self.totals.add(noted, exit_code, f"share {number + 1}")
        return exit_code

    def close(self) -> None:
        """End the process that collected the tests."""
        exit_code = self._server.close()
        if exit_code != pytest.ExitCode.OK:
            self.totals.add(self._collected, exit_code, "the collection")


def rounds() -> list[Round]:
    if postgres.CHOSEN:
        return [Round("all tests on PostgreSQL", [])]
    found = [Round("all tests", [])]
    if postgres.programs() is not None:
        folders = [str(Path("tests", name)) for name in ON_BOTH]
        again = Round(
            f"on PostgreSQL: {', '.join(ON_BOTH)}",
            ["--on-database", *folders, *(f"--ignore={Path('tests', name)}" for name in ON_ONE)],
            SIMPLE_BATCH_TEST_DATABASE="postgresql",
        )
        found.append(again)
    return found


def share(planned: list[Round], number: int) -> None:
    """Runs a part of each round, one after the other; stops after an interruption."""
    for one in planned:
        if one.run(number) == pytest.ExitCode.INTERRUPTED:
            break


def run(planned: list[Round], processes: int) -> int:
    """Run all rounds; returns the exit code."""
    with ThreadPoolExecutor(processes) as pool:
        for ended in [pool.submit(share, planned, number) for number in range(processes)]:
            ended.result()
    for one in planned:
        one.close()
        for failure in one.totals.failures():
            print(f"FAILED {failure} ({one.name})")
    counts = sum((one.totals.counts() for one in planned), start=Counter())
    print(closing(counts), flush=True)
    return FAILED if counts["failed"] else 0


@contextlib.contextmanager
def temporary_files():
    """Keeps the temporary files of the run in one folder, in memory if there is space."""
    roomy = IN_MEMORY.is_dir() and shutil.disk_usage(IN_MEMORY).free >= ROOM_BYTES
    with tempfile.TemporaryDirectory(prefix="sb-", dir=IN_MEMORY if roomy else None) as folder:
        Path(folder).chmod(0o711)  # PostgreSQL runs as another user
        tempfile.tempdir = os.environ["TMPDIR"] = folder
        yield
        tempfile.tempdir = None


def main() -> int:
    # tests interrupt commands with SIGINT, which background jobs of a shell ignore
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with temporary_files():
        compiled_once.make_folder()
        share_servers()
        return run(rounds(), PROCESSES)


if __name__ == "__main__":
    sys.exit(main())
