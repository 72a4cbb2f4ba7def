"""A pytest plugin for several processes that do one run between them (``python -m tests``): whoever
is free takes the next file.

pytest-xdist does not get along with gevent: its workers wait for the threads that patching takes away.
"""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

# Begun first, so that no process is left alone with one of them at the end.
LONGEST = (
    *("tests/browser", "torture/test_torture.py", "security/test_planted.py"),
    *("openai_api/test_flows.py", "openai_api/test_description.py", "runner/test_spend.py"),
    "openai_api/test_clients.py",
)
# Folders: one browser serves all of it, in a process that has done nothing before.
WHOLE = ("browser",)


def pytest_addoption(parser):
    parser.addoption("--taken", type=Path, help="folder where the processes note what they take")
    parser.addoption("--on-database", action="store_true", help="only what stands on the database")


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
    mine = _mine(session.items, session.config.getoption("--taken"))
    item = next(mine, None)
    while item is not None:
        following = next(mine, None)  # whose fixtures stay
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            raise session.Failed(session.shouldfail)
        if session.shouldstop:
            raise session.Interrupted(session.shouldstop)
        item = following
    return True


def _mine(items: list, taken: Path) -> Iterator:
    for part, tests in itertools.groupby(items, key=_part):
        if _take(taken / "+".join(part.parts[-2:])):
            yield from tests


def _take(note: Path) -> bool:
    """False where another process was quicker."""
    try:
        note.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
