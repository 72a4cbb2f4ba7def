"""Circuit breaker: decides whether a failure stops the job or only fails one request.

A spent quota stops the job at once. So does a provider that asks to wait for longer than the job's
patience; the job may then go on by itself. A refused key (401, 403) or an unknown model or path
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
from .governor import REFUSALS
from .retry import StopAll

TRIP = 3
_MINUTE_S, _HOUR_S, _DAY_S = 60, 3600, 86_400
_AT_ONCE = (Cause.QUOTA, *REFUSALS)


class PauseReason(msgspec.Struct, frozen=True):
    """Why a pool stopped by itself: ``reason`` is a cause or a code of the component that stopped
    it, ``detail`` says what to do. ``config_id`` is the API config concerned, if the reason concerns
    one and goes away by itself. ``until`` (epoch ms) is the time before which no call is made, if
    known."""

    reason: str
    detail: str
    config_id: int | None = None
    until: int | None = None


class Breaker:
    """Collects failures of the stopping kind."""

    def __init__(self) -> None:
        self.held: list[StopAll] = []

    def failed(self, stopped: StopAll) -> PauseReason | None:
        """Hold the request back. Returns the PauseReason if the job must stop."""
        self.held.append(stopped)
        if stopped.finding.cause in _AT_ONCE or len(self.held) >= TRIP:
            return self.verdict()
        return None

    def succeeded(self) -> list[StopAll]:
        """The endpoint works: the requests held back have failed for their own reasons."""
        held, self.held = self.held, []
        return held

    def verdict(self) -> PauseReason:
        """The PauseReason for the failures held back. There must be at least one."""
        finding = self.held[-1].finding
        detail = recognised(finding.message, finding.http_status)
        if finding.http_status:
            detail = translatable(
                "HTTP %(status)s: %(message)s", status=finding.http_status, message=detail
            )
        until = None
        remedy = remedies.PAUSED.get(finding.cause) if finding.cause is not None else None
        if finding.cause in REFUSALS and finding.retry_after_s is not None:
            until = now_ms() + round(1000 * finding.retry_after_s)
            remedy = _asked_to_wait(finding.retry_after_s, until)
        if remedy is not None:
            detail = translatable("%(failure)s %(remedy)s", failure=detail, remedy=remedy)
        return PauseReason(str(finding.cause), detail, until=until)


def _asked_to_wait(seconds: float, until: int) -> Message:
    return translatable(
        "The provider asks to wait for %(wait)s, until %(until)s UTC: the job goes on then by "
        "itself. Resume it to try sooner.",
        wait=_span(seconds),
        until=f"{datetime.fromtimestamp(until / 1000, UTC):%Y-%m-%d %H:%M}",
    )


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
