"""Failure guard: pauses a job whose requests all fail alike, whatever the words of the provider.

A failed request is held back until a success proves that the endpoint serves the job: then it has
failed for its own reasons. If as many requests as GuardPolicy says fail alike (alike.py) without a
success in between, the job pauses, and those that are held back stay pending.

Failures of a refused key or an unknown model are those of the circuit breaker (breaker.py), which
needs fewer of them. What concerns the content of one request only is not held back.
"""

import msgspec

from ..core.domain import Cause, RequestResult
from ..core.messages import translatable
from ..core.stored_messages import recognised
from .alike import AlikeFailures
from .breaker import PauseReason
from .retry import RetryingCall

SAME_FAILURE = "same_failure"  # why a job is paused: its requests fail alike
OF_ONE_REQUEST = frozenset(
    {Cause.CONTENT_FILTER, Cause.CONTEXT_LENGTH, Cause.SCHEMA, Cause.TOO_LARGE, Cause.INTERNAL}
)
_MOST = 4  # failures held back, as a multiple of the limit: they may all be different
_LEAST_LIMIT = 25  # for that, where the limit is small or off


class GuardPolicy(msgspec.Struct, frozen=True):
    """How many requests may fail alike before the job pauses: ``first`` while nothing has succeeded in
    this run, ``later`` afterwards (0: any number). ``excused`` failures count as those of their
    requests before that, because a user resumed a job that had paused for this reason."""

    first: int = 10
    later: int = 50
    excused: int = 0


class Held(msgspec.Struct):
    """A request that failed and is held back. ``explained``: an outage would explain the failure."""

    call: RetryingCall
    result: RequestResult
    explained: bool = False


class FailureGuard:
    """Holds the failures since the last success back."""

    def __init__(self, policy: GuardPolicy) -> None:
        self._policy = policy
        self._limit = policy.first
        self._excused = policy.excused
        self._alike = AlikeFailures()
        self._held: list[Held] = []
        self.answered = False  # a request has succeeded in this run

    def __len__(self) -> int:
        return len(self._held)

    @property
    def alike(self) -> int:
        """How many failures of the most frequent kind there were since the last success."""
        return self._alike.most

    def concerns(self, result: RequestResult) -> bool:
        """Whether a failure may be that of the whole job."""
        delivered = result.outcome is not None  # the endpoint serves the job
        if not self._limit or delivered or result.cause in OF_ONE_REQUEST:
            return False
        if self._excused:
            self._excused -= 1
            return False
        return True

    def failed(self, held: Held) -> PauseReason | None:
        """Hold a request back. Returns the PauseReason if the job must stop. What an outage would
        explain is left to the outage detector."""
        self._held.append(held)
        if held.explained or self._alike.add(held.result) < self._limit:
            return None
        return same_failure(held.result, self._limit)

    def overflow(self) -> list[Held]:
        """Take out the oldest failures if more are held back than may be in memory."""
        most = _MOST * max(self._limit, _LEAST_LIMIT)
        if len(self._held) <= most:
            return []
        over, self._held = self._held[:-most], self._held[-most:]
        return over

    def succeeded(self) -> list[Held]:
        """A request has succeeded. Returns the requests held back: their failures are their own."""
        self.answered = True
        self._limit, self._excused = self._policy.later, 0
        self._alike.clear()
        return self.release()

    def release(self) -> list[Held]:
        """Take out all that are held back."""
        held, self._held = self._held, []
        return held

    def explained(self) -> list[Held]:
        """Take out the failures that an outage would explain."""
        explained = [one for one in self._held if one.explained]
        self._held = [one for one in self._held if not one.explained]
        return explained


def same_failure(result: RequestResult, count: int) -> PauseReason:
    """Why a job stops of which ``count`` requests failed alike, for example like this one."""
    message = recognised(result.message, result.http_status)
    if (result.http_status or 0) >= 300 and message != f"HTTP {result.http_status}":
        message = translatable(
            "HTTP %(status)s: %(message)s", status=result.http_status, message=message
        )
    return PauseReason(
        SAME_FAILURE,
        translatable(
            "Requests failed in a row (%(count)s) with the same error, for example: %(failure)s – "
            "They stay pending. Fix the cause, then resume. If the requests themselves are invalid, "
            "resume anyway: they then count as failed.",
            count=count,
            failure=message,
        ),
    )
