"""A lock on a file: held by one process, freed by the system when it dies.

No heartbeat and no time-out: a process that stalls keeps its lock, one that
is killed loses it at once.
"""

import contextlib
import os
from pathlib import Path

if os.name == "nt":
    import msvcrt

    def _lock(descriptor: int, wait: bool) -> None:
        msvcrt.locking(descriptor, msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _lock(descriptor: int, wait: bool) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))


def acquire(path: Path, wait: bool = False) -> int | None:
    """Take the lock; returns the descriptor that holds it, or None where another
    process has it and ``wait`` is false. Raises OSError where the file cannot be made."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        _lock(descriptor, wait)
    except (BlockingIOError, PermissionError):
        os.close(descriptor)
        return None
    return descriptor


def leads_to(path: Path, descriptor: int) -> bool:
    """Whether the path still names the file whose lock is held: the lock of a file that was
    removed or replaced does not keep other processes out."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except OSError:
        return False


def release(descriptor: int) -> None:
    """Give the lock back."""
    os.close(descriptor)


@contextlib.contextmanager
def locked(path: Path):
    """Hold the lock for the block, waiting for it."""
    descriptor = acquire(path, wait=True)
    try:
        yield
    finally:
        release(descriptor)
