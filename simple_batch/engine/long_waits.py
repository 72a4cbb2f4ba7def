"""Whose wait it is: a provider that refuses one request with a wait far beyond its limit's window may
mean this request alone, or all.

Azure answers a request that alone exceeds the tokens per minute with ``Retry-After: 86400``. Other
providers ask all calls to wait until tomorrow in the same way. The other calls tell: if one that
started after the refusal is answered, the wait belongs to the request. (A call that started before
it proves little: it may have been accepted before a limit was reached.) If others are refused alike,
the wait belongs to all. Until that is known the request is held back. At first no further call starts
meanwhile, so that few calls meet a limit of a day.
"""

import time
from collections.abc import Callable

import msgspec

from ..core.domain import Cause, RequestResult, Verdict
from .classify import Classification
from .governor import REFUSALS
from .retry import StopAll

LEAST_S = 600.0  # a shorter wait may be a limit's window: it is for all
HOLD_S = 2.0  # how long no call starts, at most, until the calls in flight have ended
ALIKE = (
    2  # refusals that make a wait one for all, if they are more than the answers since the first
)
MANY = 10  # the same, however many answers there were to calls that had started before


class LongWaits:
    """The requests of a pool that were refused with a long wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.held: list[StopAll] = []
        self._clock = clock
        self._since = 0.0  # when the first of them was held
        self._answered = False  # a call of this pool was
        self._answers = 0  # … and how many since the first refusal
        self._in_a_row = 0  # refusals without any answer between them
        self._proven = False  # a long wait was that of its request

    @staticmethod
    def concerns(finding: Classification) -> bool:
        """Whether a refusal may be that of one request only."""
        wait = finding.retry_after_s or 0.0
        return finding.cause in REFUSALS and finding.verdict is not Verdict.STOP and wait >= LEAST_S

    def failed(self, stopped: StopAll, in_flight: int) -> bool:
        """Hold the request back. Returns True if the wait is for all, so that the job must pause.
        ``in_flight`` is the number of other calls."""
        if not self.held:
            self._since, self._answers, self._in_a_row = self._clock(), 0, 0
        self.held.append(stopped)
        self._in_a_row += 1
        if self._in_a_row > max(MANY, in_flight):
            return True
        count = len(self.held)
        return not self._proven and not in_flight and count >= ALIKE and count > self._answers

    @property
    def hold_s(self) -> float:
        """How long no further call may start while others are in flight."""
        if not self.held or self._proven:
            return 0.0
        return max(0.0, self._since + HOLD_S - self._clock())

    def succeeded(self, called_at: float) -> list[StopAll]:
        """A call that started then (seconds of the calls' clock) was answered. Returns the requests that
        had been refused by then: their waits were theirs."""
        self._answered = True
        if not self.held:
            return []
        self._answers += 1
        self._in_a_row = 0
        own = [one for one in self.held if one.ended_at < called_at]
        if own:
            self._proven = True
            self.held = [one for one in self.held if one not in own]
        return own

    def left_alone(self) -> list[StopAll]:
        """At the end: the requests held back, if their waits are theirs. They are if such a wait was
        before, or if a single one was refused or fewer than were answered meanwhile."""
        few = self._answered and (len(self.held) == 1 or len(self.held) < self._answers)
        left, self.held = (self.held, []) if self._proven or few else ([], self.held)
        return left


def own_failure(stopped: StopAll) -> RequestResult:
    """The result of a request whose long wait is its own: it exceeds the limit of a window alone."""
    result = stopped.result
    if result.cause is not Cause.RATE_LIMIT:
        return result
    last = msgspec.structs.replace(result.attempts[-1], cause=Cause.TOO_LARGE)
    attempts = (*result.attempts[:-1], last)
    return msgspec.structs.replace(result, cause=Cause.TOO_LARGE, attempts=attempts)
