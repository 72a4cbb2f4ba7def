"""Does again and again what is due besides the jobs: removing what was deleted, backing up."""

import logging
from collections.abc import Callable

import gevent
from gevent.event import Event

from ..store.database import complain

log = logging.getLogger(__name__)

EVERY_S = 30.0


class Sweeper:
    """``work()`` is done soon after it is asked for, and every half minute; ``complaint`` is what
    the log says where it fails. ``run`` is a greenlet's."""

    def __init__(self, work: Callable[[], None], complaint: str):
        self._work = work
        self._complaint = complaint
        self._wake = Event()

    def wake(self) -> None:
        """Look now."""
        self._wake.set()

    def run(self) -> None:
        while True:
            try:
                self._work()
            except Exception:
                complain(log, self._complaint)
                gevent.sleep(1)
            self._wake.wait(EVERY_S)
            self._wake.clear()
