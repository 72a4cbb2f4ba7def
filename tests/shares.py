"""A pytest plugin for several processes that do one run between them (``python -m tests``): whoever
is free takes the next file, and notes the outcome of each test (totals.py).

pytest-xdist does not get along with gevent: its workers wait for the threads that patching takes away.
"""

import gc
import itertools
import json
from pathlib import Path

import pytest

from .totals import BEGUN, ENDED

gc.disable()  # until all is collected: imports and tests only add objects, a fifth of the time is looking

# Begun first, so that no process is left alone with one of them at the end.
LONGEST = (
    "tests/browser",
    "torture/test_torture.py",
    "cluster/test_dying.py",
    "cluster/test_webs.py",
    "cluster/test_cut.py",
    "runner/test_budget_redis.py",
    "web/test_malformed.py",
    "tests/test_processes.py",
    "openai_api/test_clients.py",
    "cluster/test_sharing.py",
    "cluster/test_demo.py",
    "runner/test_budget.py",
    "openai_api/test_description.py",
    "tests/test_bench.py",
    "security/test_planted.py",
    "security/test_every_process.py",
    "cluster/test_money.py",
    "openai_api/test_flows.py",
    "runner/test_away.py",
    "runner/test_spend.py",
    "openai_api/test_node.py",
)
# Folders: one browser serves all of it, in a process that has done nothing before.
WHOLE = ("browser",)


def pytest_addoption(parser):
    parser.addoption("--taken", type=Path, help="folder where the processes note what they take")
    parser.addoption("--outcomes", type=Path, help="file where the process notes how its tests end")
    parser.addoption("--on-database", action="store_true", help="only what stands on the database")


def pytest_configure(config):
    config.pluginmanager.register(Outcomes(config.getoption("--outcomes")))


class Outcomes:
    """Notes them as they come: a process that is killed has said what it did until then."""

    def __init__(self, notes: Path):
        self._notes = notes
        self._known: dict[str, str] = {}

    def _note(self, test: str, outcome: str | int) -> None:
        with self._notes.open("a") as file:
            file.write(json.dumps([test, outcome]) + "\n")

    def pytest_collectreport(self, report):
        if report.failed:
            self._note(report.nodeid, "failed")

    def pytest_runtest_logstart(self, nodeid):
        self._note(nodeid, BEGUN)
        self._known[nodeid] = "passed"

    def pytest_runtest_logreport(self, report):
        """Of its setup, its call and its teardown: a failure outweighs what the others say."""
        if report.outcome != "passed" and self._known[report.nodeid] != "failed":
            self._known[report.nodeid] = report.outcome

    def pytest_runtest_logfinish(self, nodeid):
        self._note(nodeid, self._known.pop(nodeid))

    def pytest_sessionfinish(self, exitstatus):
        self._note(ENDED, int(exitstatus))


def pytest_collection_finish():
    gc.enable()
    gc.collect()
    gc.freeze()  # else thousands of tests are looked through over and over


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if config.getoption("--on-database"):
        kept = [item for item in items if "instance" in item.fixturenames]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept
    items.sort(key=lambda item: _place(_part(item)))


def _part(item) -> Path:
    """What a process takes at a time: a file or a folder."""
    return item.path.parent if item.path.parent.name in WHOLE else item.path


def _place(part: Path) -> int:
    name = "/".join(part.parts[-2:])
    return LONGEST.index(name) if name in LONGEST else len(LONGEST)


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
    """As pytest's own, over what this process takes."""
    if session.testsfailed:
        raise session.Interrupted(f"{session.testsfailed} errors while collecting")
    for part, tests in itertools.groupby(session.items, key=_part):
        if _take(session.config.getoption("--taken") / "+".join(part.parts[-2:])):
            _run(session, list(tests))
    return True


def _run(session, tests: list) -> None:
    """A part to its end, before the next is taken: what is left of it must not wait for this process."""
    for item, following in itertools.pairwise([*tests, session]):  # whose fixtures stay
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)


def _take(note: Path) -> bool:
    """False where another process was quicker."""
    try:
        note.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
