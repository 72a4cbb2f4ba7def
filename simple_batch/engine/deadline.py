"""A time limit that can be stopped for a while."""

import contextlib
import time
from collections.abc import Iterator

import gevent


class Deadline:
    """``seconds`` None: no limit. ``paused_s`` is how long it was stopped in all."""

    __slots__ = ("_left_s", "_since", "_timeout", "paused_s")

    def __init__(self, seconds: float | None):
        self._left_s = seconds
        self.paused_s = 0.0

    def start(self) -> None:
        self._since = time.monotonic()
        self._timeout = gevent.Timeout(self._left_s)
        self._timeout.start()

    def close(self) -> None:
        self._timeout.close()

    def is_mine(self, expired: gevent.Timeout) -> bool:
        """Whether it was this limit that expired."""
        return expired is self._timeout

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """What is done in here does not count."""
        self.close()
        began = time.monotonic()
        if self._left_s is not None:
            self._left_s = max(0.0, self._left_s - (began - self._since))
        try:
            yield
        finally:
            self.paused_s += time.monotonic() - began
        self.start()
