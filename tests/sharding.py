"""A pytest plugin that shares the files of a run among processes (``python -m tests``): a free process
takes the next file, and writes down the outcome of each test (totals.py).

pytest-xdist does not work under gevent: its workers wait for threads that patching has replaced.
"""

import _socket
import gc
import itertools
import json
import os
import random
from pathlib import Path

import gevent
import pytest

from . import fork_server_main
from .totals import BEGUN, ENDED

gc.disable()  # until all is collected: imports and tests only add objects
# They start first, so that none of them runs alone at the end.
LONGEST = (
    "browser/part 1",
    "browser/part 2",
    "torture/test_torture.py",
    "cluster/test_worker_failures.py",
    "cluster/test_web_processes.py",
    "cluster/test_network_cut.py",
    "runner/test_limit_coordinator_redis.py",
    "web/test_malformed.py",
    "tests/test_processes.py",
    "tests/test_package.py",
    "openai_api/test_clients.py",
    "cluster/test_shared_jobs.py",
    "cluster/test_demo.py",
    "runner/test_limit_coordinator.py",
    "openai_api/test_description.py",
    "tests/test_bench.py",
    "security/test_secret_leaks.py",
    "security/test_every_process.py",
    "cluster/test_money.py",
    "openai_api/test_flows.py",
    "runner/test_database_restart.py",
    "runner/test_spend_caps.py",
    "openai_api/test_node.py",
)
# One browser serves all files of a part, in a fresh process: this many parts of a folder.
FOLDERS = {"browser": 2}
PART = pytest.StashKey[Path]()


def pytest_addoption(parser):
    parser.addoption("--taken", type=Path, help="folder where the processes mark what they take")
    parser.addoption("--outcomes", type=Path, help="file for the outcomes of this process")
    parser.addoption(
        "--on-database", action="store_true", help="only the tests that use a database"
    )


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")), "outcomes")


class Outcomes:
    """Writes each outcome at once, so that the outcomes of a killed process are known."""

    def __init__(self, notes: Path):
        self.notes = notes
        self._known: dict[str, str] = {}

    def _note(self, test: str, outcome: str | int) -> None:
        with self.notes.open("a") as file:
            file.write(json.dumps([test, outcome]) + "\n")

    def pytest_collectreport(self, report):
        if report.failed:
            self._note(report.nodeid, "failed")

    def pytest_runtest_logstart(self, nodeid):
        self._note(nodeid, BEGUN)
        self._known[nodeid] = "passed"

    def pytest_runtest_logreport(self, report):
        """Combines setup, call and teardown: a failure outweighs the others."""
        if report.outcome != "passed" and self._known[report.nodeid] != "failed":
            self._known[report.nodeid] = report.outcome

    def pytest_runtest_logfinish(self, nodeid):
        self._note(nodeid, self._known.pop(nodeid))

    def pytest_sessionfinish(self, exitstatus):
        self._note(ENDED, int(exitstatus))


def pytest_collection_finish():
    gc.enable()
    gc.collect()
    gc.freeze()  # otherwise each collection traverses thousands of tests


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--on-database"):
        kept = [item for item in items if "instance" in item.fixturenames]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    files = sorted({item.path for item in items if item.path.parent.name in FOLDERS})
    for item in items:
        item.stash[PART] = _part(item.path, files)
    items.sort(key=lambda item: _place(item.stash[PART]))


def _part(path: Path, files: list[Path]) -> Path:
    """The unit that a process takes: a file, or a part of a folder, with every second of its files."""
    parts = FOLDERS.get(path.parent.name)
    return path.parent / f"part {files.index(path) % parts + 1}" if parts else path


def _place(part: Path) -> int:
    name = "/".join(part.parts[-2:])
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """pytest's own loop, over the parts that this process takes."""
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} errors while collecting")
    _wait_for_fork(session.config)
    for part, tests in itertools.groupby(session.items, key=lambda item: item.stash[PART]):
        if _take(session.config.getoption("--taken") / "+".join(part.parts[-2:])):
            _run(session, list(tests))
    return True


def _wait_for_fork(config) -> None:
    """Returns in a new process for each share (__main__.py), with its streams and file of outcomes."""
    capture = config.pluginmanager.getplugin("capturemanager")
    capture.stop_global_capturing()  # it holds copies of the streams
    request = fork_server_main.serve(_socket.socket(fileno=os.dup(0)))
    gevent.reinit()  # its loop was made while tests were imported
    capture.start_global_capturing()
    capture.suspend_global_capture()
    config.pluginmanager.getplugin("outcomes").notes = Path(request["outcomes"])
    random.seed()  # else all shares pick the same ports


def _run(session, tests: list) -> None:
    """Run a part to its end before the next is taken: its last tests must not wait for another
    part."""
    for item, following in itertools.pairwise([*tests, session]):  # whose fixtures stay open
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


def _take(note: Path) -> bool:
    """Returns False if another process was faster."""
    try:
        note.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
