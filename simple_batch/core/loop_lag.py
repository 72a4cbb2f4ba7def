"""Measures the lag of gevent's event loop. A greenlet wakes four times a second and records how late it
is. Code that computes or blocks without yielding shows up here."""

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gevent

EVERY_S = 0.25
BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class LoopLagMeter:
    """``counts[n]`` are the times it was late by up to ``BOUNDS_S[n]`` and by more than the bound
    before; the last one has no bound."""

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.sum_s = 0.0
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Measure from now on; a second call changes nothing."""
        import gevent  # here: a command that makes no calls needs none

        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop measuring; the counts stay."""
        if self._greenlet is not None:
            self._greenlet.kill()
            self._greenlet = None

    def _run(self) -> None:
        import gevent

        while True:
            due = time.monotonic() + EVERY_S
            gevent.sleep(EVERY_S)
            late = max(0.0, time.monotonic() - due)
            self.sum_s += late
            place = next((n for n, bound in enumerate(BOUNDS_S) if late <= bound), len(BOUNDS_S))
            self.counts[place] += 1


meter = LoopLagMeter()
