"""Limits the requests that a pool tries while nothing has been answered: a fault that all of them share (a
refused key, an unknown model, a broken endpoint) must not cost as many calls as may be in flight.

As many requests are open as decide whether the job pauses (failure_guard.py). An open request is one that is
called, waits for a retry, or has failed like others and is held back. The first answer, or the first
failure that concerns its own request only, ends the limit. While no call has ended at all, the limit
grows, so that a model that thinks for minutes is not called by a few requests only.
"""

import time
from collections.abc import Callable

from .breaker import TRIP

USUAL = 10  # open requests where no failure guard says how many decide
GROWS_EVERY_S = 10.0  # without any end of a call
PARTS = 2  # of packs that are taken apart: one of two inputs tells as much as all


class StartLimit:
    """``deciding`` is the number of failures alike that pause the job (0: no number does)."""

    def __init__(self, deciding: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = max(TRIP, deciding or USUAL)
        self._clock = clock
        self._since: float | None = None  # when the first request asked
        self.ended = False

    def allows(self, open_requests: int, alike: int, silent: bool) -> bool:
        """Whether one more request may start beside those that are open. ``alike`` of others have failed
        alike; ``silent``: no call has ended yet."""
        if self.ended:
            return True
        if self._since is None:
            self._since = self._clock()
        most = self._most
        if silent:
            most *= 1 + int((self._clock() - self._since) / GROWS_EVERY_S)
        return open_requests < max(1, most - alike)
