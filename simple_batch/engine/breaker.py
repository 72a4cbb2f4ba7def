"""When a failure that would hit every call stops the job, and when it is one request's own.

A spent quota stops at once. A refused key (401, 403) or an unknown model or path
(404) stops after TRIP such answers with no success between them, or when nothing
else is left to try: until then the requests concerned are held back. A success
first shows that the endpoint works: the held ones then have simply failed.
"""

import msgspec

from ..domain import Cause
from ..wording import said
from .retry import Stopped

TRIP = 3

REMEDIES = {
    Cause.QUOTA: said("Top up or wait for the quota to renew, then resume."),
    Cause.AUTH: said("Correct the key (or what it may do) in the API config, then resume."),
    Cause.NOT_FOUND: said("Correct the model or the base URL in the API config, then resume."),
}


class Stop(msgspec.Struct, frozen=True):
    """Why a pool stopped by itself: ``reason`` is a cause or a code of whoever stopped it,
    ``detail`` says what to do. ``config_id`` is the API config that it is about, where it is about
    one and goes by itself."""

    reason: str
    detail: str
    config_id: int | None = None


class Breaker:
    """Collects failures of the stopping kind."""

    def __init__(self):
        self.held: list[Stopped] = []

    def failed(self, stopped: Stopped) -> Stop | None:
        """Hold the request back; the Stop where it is time for it."""
        self.held.append(stopped)
        if stopped.finding.cause is Cause.QUOTA or len(self.held) >= TRIP:
            return self.verdict()
        return None

    def succeeded(self) -> list[Stopped]:
        """The endpoint works: what was held back has failed on its own account."""
        held, self.held = self.held, []
        return held

    def verdict(self) -> Stop:
        """The Stop for the failures held back. There must be one."""
        finding = self.held[-1].finding
        detail = finding.message
        if finding.http_status:
            detail = f"HTTP {finding.http_status}: {detail}"
        if finding.cause in REMEDIES:
            remedy = REMEDIES[finding.cause]
            detail = said("%(failure)s %(remedy)s", failure=detail, remedy=remedy)
        return Stop(str(finding.cause), detail)
