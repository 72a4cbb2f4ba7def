"""Repeats a piece of work in a greenlet, at an interval and whenever it is woken."""

from collections.abc import Callable

import gevent
from gevent.event import Event

Interval = float | Callable[[], float | None]


class PeriodicTask:
    """Calls ``work()`` until it is stopped; ``every_s`` seconds pass between two rounds.

    ``every_s`` may be a function, called after each round; None waits until ``wake``. ``on_error()`` is
    called inside the except block of a round that has failed (``sys.exception()`` is the error); the
    task then rests ``rest_s`` in addition to the interval, which ``wake`` does not shorten. With
    ``wait_first`` the first round comes after an interval, else at once.
    """

    def __init__(
        self,
        work: Callable[[], object],
        every_s: Interval,
        on_error: Callable[[], object],
        *,
        rest_s: float = 0.0,
        wait_first: bool = False,
    ):
        self._work = work
        self._every_s = every_s
        self._on_error = on_error
        self._rest_s = rest_s
        self._wait_first = wait_first
        self._wake = Event()
        self._ending = False
        self._greenlet: gevent.Greenlet[[], None] | None = None

    @property
    def alive(self) -> bool:
        """Whether rounds still come."""
        return bool(self._greenlet)

    def start(self) -> None:
        self._ending = False
        self._wake.clear()
        self._greenlet = gevent.spawn(self._run)

    def wake(self) -> None:
        """Start the next round now, or right after the current one."""
        self._wake.set()

    def finish(self) -> None:
        """Start no more rounds; one that runs is finished. Does not wait for it."""
        self._ending = True
        self._wake.set()

    def stop(self) -> None:
        """End at once, also in the middle of a round. Returns when the greenlet has ended."""
        self.finish()  # a round that ends with an error all the same is the last
        if self._greenlet is not None:
            self._greenlet.kill()

    def _run(self) -> None:
        if self._wait_first:
            self._wait()
        while not self._ending:
            try:
                self._work()
            except Exception:
                self._on_error()
                if not self._ending:
                    gevent.sleep(self._rest_s)
            self._wait()

    def _wait(self) -> None:
        self._wake.wait(self._every_s() if callable(self._every_s) else self._every_s)
        self._wake.clear()
