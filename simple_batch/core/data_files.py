"""Tables in files: those that ship with the program (simple_batch/core/data/), and users' own, which may change
while the program runs."""

import time
from pathlib import Path
from typing import NamedTuple

_DATA = Path(__file__).resolve().parent / "data"
_SETTLED_NS = 2_000_000_000  # coarser than the clocks of file systems (FAT: two seconds)


class FileState(NamedTuple):
    """What is different when a file has changed."""

    inode: int
    changed_ns: int
    size: int

    @property
    def settled(self) -> bool:
        """Whether another change would show: a second one within the tick of a file system's clock does
        not (git calls such a file racy, git-scm.com/docs/racy-git, read 2026-11-29)."""
        return abs(time.time_ns() - self.changed_ns) > _SETTLED_NS


def data_file(name: str) -> Path:
    """The path of a shipped table."""
    return _DATA / name


def file_state(path: Path) -> FileState:
    """The present state of a file. Raises OSError, as FileNotFoundError where there is none."""
    found = path.stat()
    return FileState(found.st_ino, found.st_mtime_ns, found.st_size)
