"""What this program keeps is for its owner alone: files 0600, folders 0700, whatever the umask.

New ones are made so. Those that an older version, a copy or an editor has left open to others are
closed at the start. Folders that the settings name and that hold other things too are left as they
are, and so is what belongs to another user.
"""

import logging
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from .settings import Settings

log = logging.getLogger(__name__)

_OTHERS = 0o077
_OURS = ("settings.toml", "*.key", "*.lock", "*.log", "*.log.*")  # in the instance folder
_LOGS = "simple_batch.log*"
_BACKUPS = "simple_batch-*"


def restrict_umask() -> None:
    """Make new files and folders of this process accessible to their owner only."""
    os.umask(_OTHERS)


def tighten(settings: Settings, database: Path | None, deep: bool = False) -> None:
    """Close what is open to others; ``database``: its file, if it is one. ``deep``: every upload and
    backup too, which a closed folder protects in any case. What is changed, and what cannot be, is
    logged."""
    if os.name == "nt":
        return  # its permissions are of another kind
    changed = foreign = 0
    for path in _paths(settings, database, deep):
        try:
            found = path.lstat()
            if not found.st_mode & _OTHERS or stat.S_ISLNK(found.st_mode):
                continue
            if found.st_uid != os.geteuid():
                foreign += 1
                continue
            path.chmod(stat.S_IMODE(found.st_mode) & ~_OTHERS)
            changed += 1
        except OSError:
            foreign += path.exists()
    if changed:
        log.warning(
            "%s files and folders under %s were open to other users: they are for their owner alone now",
            changed,
            settings.instance,
        )
    if foreign:
        log.warning(
            "%s files and folders under %s are open to other users and belong to another one: see "
            "docs/deployment.md",
            foreign,
            settings.instance,
        )


def _paths(settings: Settings, database: Path | None, deep: bool) -> Iterator[Path]:
    instance = settings.instance.resolve()
    yield instance
    for pattern in _OURS:
        yield from instance.glob(pattern)
    if database is not None:
        for path in {database, database.resolve()}:  # SQLite's log lies beside what a link leads to
            yield from path.parent.glob(f"{_quoted(path.stem)}.*")
    yield from _inside(settings.uploads, "*", deep)
    yield from _inside(settings.backups, _BACKUPS, True)
    if settings.LOG_DIR:
        yield from _inside(Path(settings.LOG_DIR), _LOGS, True)


def _inside(folder: Path, pattern: str, files: bool) -> Iterator[Path]:
    """The folder, where it holds nothing but what the pattern names, and if wanted its files."""
    if not folder.is_dir():
        return
    if pattern == "*":
        yield folder
        if files:
            yield from folder.rglob("*")
        return
    found = set(folder.glob(pattern))
    if found and found == set(folder.iterdir()):
        yield folder
    yield from found


def _quoted(name: str) -> str:
    return "".join(f"[{char}]" if char in "*?[" else char for char in name)
