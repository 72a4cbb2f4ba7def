"""Whose wait it is: a provider that refuses one request with a wait far beyond its limit's window may
mean this request alone, or all.

Azure answers a request that alone exceeds the tokens per minute with ``Retry-After: 86400``. Other
providers ask all calls to wait until tomorrow in the same way. The calls beside it tell: if one that
started later is answered, the wait belongs to the request. If they are refused alike, it belongs to
all. Until that is known the request is held back. For a moment no further call starts then, so that a
limit of a day is not met by many.
"""

import time
from collections.abc import Callable

import msgspec

from ..core.domain import Cause, Outcome, Verdict
from .classify import Classification
from .governor import REFUSALS
from .retry import StopAll

LEAST_S = 600.0  # a shorter wait may be a limit's window: it is for all
HOLD_S = 2.0  # how long no call starts, at most, until the calls in flight have told
ALIKE = 2  # refusals without an answer between them, if no other call is in flight
MANY = 10  # refusals without an answer between them, or as many as calls are in flight


class LongWaits:
    """The requests of a pool that were refused with a long wait."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.held: list[StopAll] = []
        self.answered = False  # a call of this pool was
        self._clock = clock
        self._since = 0.0
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
            self._since = self._clock()
        self.held.append(stopped)
        count = len(self.held)
        if not self._proven and not in_flight and count >= ALIKE:
            return True
        return count > max(MANY, in_flight)

    @property
    def hold_s(self) -> float:
        """How long no further call may start while others are in flight."""
        if not self.held or self._proven:
            return 0.0
        return max(0.0, self._since + HOLD_S - self._clock())

    def succeeded(self, started_at: int) -> list[StopAll]:
        """A call that started then (epoch ms) was answered. Returns the requests that were refused
        before it started: their waits were theirs."""
        own = [one for one in self.held if one.outcome.attempts[-1].started_at < started_at]
        if own:
            self._proven = True
            self.held = [one for one in self.held if one not in own]
        return own

    def left_alone(self) -> list[StopAll]:
        """At the end: the requests held back whose waits are theirs. That is a single one if others were
        answered, or all if such a wait was that of its request before."""
        own = self._proven or (self.answered and len(self.held) == 1)
        left, self.held = (self.held, []) if own else ([], self.held)
        return left


def own_failure(stopped: StopAll) -> Outcome:
    """The outcome of a request whose long wait is its own: it exceeds the limit of a window alone."""
    outcome = stopped.outcome
    if outcome.cause is not Cause.RATE_LIMIT:
        return outcome
    last = msgspec.structs.replace(outcome.attempts[-1], cause=Cause.TOO_LARGE)
    attempts = (*outcome.attempts[:-1], last)
    return msgspec.structs.replace(outcome, cause=Cause.TOO_LARGE, attempts=attempts)
