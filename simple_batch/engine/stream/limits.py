"""The time limits of a call whose answer is a stream."""

import time

import gevent
import msgspec

from ..deadline import Deadline

_LEAST_S = 0.001


class StreamLimits(msgspec.Struct, frozen=True):
    """Seconds: ``first_s`` bounds the wait until the stream begins, ``idle_s`` each silence after its
    first token, ``total_s`` the whole call. Between the beginning and the first token a silence may
    last as long as the larger of the first two: a model that thinks says nothing meanwhile."""

    first_s: float
    idle_s: float
    total_s: float


class StreamDeadline(Deadline):
    """Expires with the whole time, or with a silence. ``silent_s`` is the limit that a silence has
    exceeded, None where none has; ``begun`` says whether the stream had begun."""

    __slots__ = ("_greenlet", "_heard", "_idle_s", "_limits", "_timer", "begun", "silent_s")

    def __init__(self, limits: StreamLimits):
        super().__init__(limits.total_s)
        self._limits = limits
        self._idle_s = limits.first_s
        self.silent_s: float | None = None
        self.begun = False

    def start(self) -> None:
        self._since = self._heard = time.monotonic()
        self._timeout = gevent.Timeout(None)
        self._greenlet = gevent.getcurrent()
        self._arm()

    def close(self) -> None:
        self._timer.close()  # as often as one likes
        super().close()

    def heard(self, first_token: bool) -> None:
        """Bytes of the stream have come, with the first token or not. An answer that is no stream is bounded
        by ``first_s`` as a whole."""
        self._heard = time.monotonic()
        if first_token:
            self._allow(self._limits.idle_s)
        elif not self.begun:
            self._allow(max(self._limits.first_s, self._limits.idle_s))
        self.begun = True

    def _allow(self, idle_s: float) -> None:
        sooner = idle_s < self._idle_s
        self._idle_s = idle_s
        if sooner:  # else the timer looks again by itself
            self._timer.close()
            self._arm()

    def _arm(self) -> None:
        # one timer that looks again: starting one for each packet would cost more than reading it
        self._timer = gevent.get_hub().loop.timer(max(_LEAST_S, min(self._left())))
        self._timer.start(self._look)

    def _left(self) -> tuple[float, float]:
        """Seconds of the whole and of the present silence."""
        now = time.monotonic()
        whole = self._left_s if self._left_s is not None else float("inf")
        return whole - (now - self._since), self._idle_s - (now - self._heard)

    def _look(self) -> None:
        whole_s, silence_s = self._left()
        if min(whole_s, silence_s) > 0:
            self._timer.close()
            self._arm()
            return
        self.silent_s = self._idle_s if silence_s <= 0 else None
        self._greenlet.throw(self._timeout)
