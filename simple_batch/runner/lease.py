"""The one runner of a database: a lock on a file beside it."""

from pathlib import Path

from ..store import filelock


class Lease:
    """Who runs the jobs of a database. The system frees it when the process dies."""

    def __init__(self, database: Path):
        self._path = database.with_suffix(".runner-lock")
        self._descriptor: int | None = None

    @property
    def held(self) -> bool:
        return self._descriptor is not None

    def acquire(self) -> bool:
        """Take the lease if nobody has it; True where this object holds it now."""
        if self._descriptor is None:
            self._descriptor = filelock.acquire(self._path)
        return self.held

    def release(self) -> None:
        if self._descriptor is not None:
            filelock.release(self._descriptor)
            self._descriptor = None

    def held_elsewhere(self) -> bool:
        """True where another process runs this database's jobs at this moment."""
        if self.held:
            return False
        if not self.acquire():
            return True
        self.release()
        return False
