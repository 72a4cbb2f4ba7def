"""How long code holds the event loop, in CPU time: other programs on the machine do not count."""

import time

import gevent

# the limit is 0.2 s; the garbage collector and a busy processor take their part of the rest
LONGEST_S = 0.5


class Standstill:
    """``longest_s`` is the longest time between two turns of another greenlet in a ``with`` block,
    ``turns`` how many it had."""

    def __enter__(self) -> "Standstill":
        self.longest_s, self.turns = 0.0, -1
        self._since = time.thread_time()
        self._ticking = gevent.spawn(self._tick)
        gevent.sleep(0.001)
        return self

    def __exit__(self, *error) -> None:
        self._note()
        self._ticking.kill()

    def _tick(self) -> None:
        while True:
            self._note()
            self.turns += 1
            gevent.sleep(0.0001)

    def _note(self) -> None:
        now = time.thread_time()
        self.longest_s = max(self.longest_s, now - self._since)
        self._since = now
