"""Removes what was deleted or has expired: soon after it is asked to, and every half minute."""

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

log = logging.getLogger(__name__)

EVERY_S = 30.0


class Sweeper:
    """``sweep()`` does the work; ``run`` is a greenlet's."""

    def __init__(self, sweep: Callable[[], None]):
        self._sweep = sweep
        self._wake = Event()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def run(self) -> None:
        while True:
            try:
                self._sweep()
            except Exception:
                log.exception("what was deleted or has expired could not be removed")
                gevent.sleep(1)
            self._wake.wait(EVERY_S)
            self._wake.clear()
