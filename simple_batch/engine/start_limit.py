"""Limits the requests that a pool tries while nothing has been answered: a fault that all of them share (a
refused key, an unknown model, a broken endpoint) must not cost as many calls as may be in flight.

As many requests are open as decide whether the job pauses (failure_guard.py). An open request is one that is
called, waits for a retry, or has failed like others and is held back. The first answer, or the first
failure that concerns its own request only, ends the limit. While no call has ended at all, the limit
grows, so that a model that thinks for minutes is not called by a few requests only.

It holds again when as many calls in a row have failed as decide later.
"""

import time
from collections.abc import Callable

from .breaker import TRIP

USUAL = 10  # open requests where no failure guard says how many decide
GROWS_EVERY_S = 10.0  # without any end of a call
PARTS = 2  # of packs that are taken apart: one of two inputs tells as much as all


class StartLimit:
    """``first`` and ``later`` are the numbers of failures alike that pause the job until something has
    succeeded and afterwards (0: no number does)."""

    def __init__(
        self, first: int, later: int = 0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._first = max(TRIP, first or USUAL)
        self._later = later
        self._in_a_row = 0  # calls that have failed since the last answer
        self._clock = clock
        self._since: float | None = None  # when the first request asked
        self._begun = True  # nothing was answered so far

    @property
    def holds(self) -> bool:
        return self._begun or 0 < self._later <= self._in_a_row

    def called(self, answered: bool) -> bool:
        """A call has ended. Returns True if requests that were held may start now."""
        held = not self._begun and self.holds
        self._in_a_row = 0 if answered else self._in_a_row + 1
        return held and not self.holds

    def end(self) -> bool:
        """A request has been answered, or has failed for its own reasons. Returns whether the limit held."""
        held, self._begun, self._in_a_row = self.holds, False, 0
        return held

    def allows(self, open_requests: int, alike: int, silent: bool) -> bool:
        """Whether one more request may start beside those that are open. ``alike`` of others have failed
        alike; ``silent``: no call has ended yet."""
        if not self.holds:
            return True
        if self._since is None:
            self._since = self._clock()
        most = self._first if self._begun else self._later
        if silent and self._begun:
            most *= 1 + int((self._clock() - self._since) / GROWS_EVERY_S)
        return open_requests < max(1, most - alike)
