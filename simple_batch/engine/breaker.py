"""Circuit breaker: decides whether a failure stops the job or only fails one request.

A spent quota stops the job at once. So does a provider that asks to wait for longer than the job's
patience; the job may then go on by itself. (If it asks one request only, the others tell:
long_waits.py.) A refused key (401, 403) or an unknown model or path
(404) stops the job after TRIP such answers with no success between them, or when nothing else is
left to try. Until then the failed requests are held back. If a success comes first, the endpoint
works, and the requests held back have failed.
"""

from datetime import UTC, datetime

import msgspec

from ..core import remedies
from ..core.clock import now_ms
from ..core.domain import Cause
from ..core.messages import Message, translatable
from ..core.stored_messages import recognised
from .classify import Classification
from .governor import REFUSALS
from .long_waits import LongWaits
from .retry import StopAll

TRIP = 3
NO_ANSWER = "no_answer"  # why a job is paused after ENDPOINT_WAIT_MAX
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
AT_ONCE = (Cause.QUOTA, *REFUSALS)  # whatever else succeeds


class PauseReason(msgspec.Struct, frozen=True):
    """Why a pool stopped by itself: ``reason`` is a cause or a code of the component that stopped
    it, ``detail`` says what to do. ``config_id`` is the API config concerned, if the reason concerns
    one and goes away by itself. ``until`` (epoch ms) is the time before which no call is made, if
    known. ``parameters`` are those of the users' lines that the model rejects, if that is why. ``needed``
    (nano-units) is what a spend cap must leave for the next request."""

    reason: str
    detail: str
    config_id: int | None = None
    until: int | None = None
    parameters: tuple[str, ...] = ()
    needed: int = 0


class Breaker:
    """Collects failures of the stopping kind."""

    def __init__(self) -> None:
        self.held: list[StopAll] = []
        self.waits = LongWaits()

    def failed(self, stopped: StopAll, in_flight: int = 0) -> PauseReason | None:
        """Hold the request back. Returns the PauseReason if the job must stop. ``in_flight`` is the
        number of other calls."""
        if self.waits.concerns(stopped.finding):
            waits_for_all = self.waits.failed(stopped, in_flight)
            return pause_reason(stopped.finding) if waits_for_all else None
        self.held.append(stopped)
        if stopped.finding.cause in AT_ONCE or len(self.held) >= TRIP:
            return self.verdict()
        return None

    def succeeded(self) -> list[StopAll]:
        """The endpoint works: the requests held back have failed for their own reasons."""
        held, self.held = self.held, []
        return held

    def verdict(self) -> PauseReason:
        """The PauseReason for the failures held back. There must be at least one."""
        return pause_reason(self.held[-1].finding)


def pause_reason(finding: Classification) -> PauseReason:
    """Why a job stops for this failure, in the provider's words, and what to do."""
    detail = recognised(finding.message, finding.http_status)
    if finding.http_status and finding.http_status >= 300:
        detail = translatable(
            "HTTP %(status)s: %(message)s", status=finding.http_status, message=detail
        )
    todo = [finding.remedy] if finding.remedy is not None else []
    until = None
    if finding.cause in REFUSALS and finding.retry_after_s is not None:
        until = now_ms() + round(1000 * finding.retry_after_s)
        todo.append(_goes_on(until) if todo else _asked_to_wait(finding.retry_after_s, until))
    elif not todo and finding.cause in remedies.PAUSED:
        todo.append(remedies.PAUSED[finding.cause])
    for remedy in todo:
        detail = _followed_by(detail, remedy)
    return PauseReason(str(finding.cause), detail, until=until)


def _followed_by(failure: str, remedy: str) -> str:
    """Two sentences; a provider's message often has no full stop."""
    if failure.rstrip().endswith(tuple(".!?。！？…")):
        return translatable("%(failure)s %(remedy)s", failure=failure, remedy=remedy)
    return translatable("%(failure)s. %(remedy)s", failure=failure, remedy=remedy)


def no_answer(seconds: float, reason: str) -> PauseReason:
    """Why a job stops whose endpoint has been away for too long."""
    return PauseReason(
        NO_ANSWER,
        translatable(
            "The endpoint has not answered for %(time)s (%(reason)s). No request was lost. Resume "
            "the job when the endpoint is back.",
            time=_span(seconds),
            reason=reason,
        ),
    )


def _goes_on(until: int) -> Message:
    return translatable(
        "The job continues automatically at %(until)s UTC. Resume it to try sooner.",
        until=_moment(until),
    )


def _asked_to_wait(seconds: float, until: int) -> Message:
    return translatable(
        "The provider asks to wait for %(wait)s, until %(until)s UTC: the job goes on then by "
        "itself. Resume it to try sooner.",
        wait=_span(seconds),
        until=_moment(until),
    )


def _moment(until: int) -> str:
    return f"{datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M}"


def _span(seconds: float) -> Message:
    if seconds >= 2 * _DAY_S:
        return translatable("%(n)s days", n=round(seconds / _DAY_S))
    if seconds >= 2 * _HOUR_S:
        return translatable("%(n)s hours", n=round(seconds / _HOUR_S))
    if seconds >= 2 * _MINUTE_S:
        return translatable("%(n)s minutes", n=round(seconds / _MINUTE_S))
    if round(seconds) == 1:
        return translatable("1 second")
    return translatable("%(n)s seconds", n=round(seconds))
