"""Counts the calls that a provider admits, and measures their rate between two refusals."""

from collections import deque

from .limit_types import Ticket

MEASURE_CALLS = 8  # a rate is measured over at least this many admitted calls
MEASURE_S = 0.1  # … and over more than this
FAR_S = 6.0  # what was saved up is used by then
TOKENS_WEIGHT = 0.03  # of a call in the average of tokens
USED_CALLS = 12  # a rate grows while these show that it is used …
USED_SHARE = 0.6  # … to this part


class AdmittedCalls:
    """Times in seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.requests = 0.0  # that the provider did not refuse
        self.tokens_each = 0.0  # tokens of a call, on average
        self._measured_from: tuple[float, float] | None = None  # (time, requests)
        self._far_from: tuple[float, float] | None = None  # the same, for measured_far
        self._starts: deque[float] = deque(maxlen=USED_CALLS)  # of the last calls

    def started(self, ticket: Ticket) -> None:
        self._starts.append(ticket.started)
        self.requests += 1.0
        weight = max(TOKENS_WEIGHT, 1.0 / ticket.order)
        self.tokens_each += weight * (ticket.tokens - self.tokens_each)

    def discount(self) -> None:
        """A call was refused."""
        self.requests -= 1.0

    def measure_from(self, started: float) -> None:
        """Measure the rate from this moment on."""
        self._measured_from = started, self.requests

    def begin_measuring(self, started: float) -> None:
        """The same, unless a measurement has begun."""
        if self._measured_from is None:
            self.measure_from(started)

    def mark_far(self, far: bool, now: float) -> None:
        """Note whether far more is offered now than the proven rate."""
        if not far:
            self._far_from = None
        elif self._far_from is None:
            self._far_from = now, self.requests

    def measured_far(self, until: float) -> float | None:
        """Calls per second that were admitted while far more was offered; None where that was short."""
        if self._far_from is None:
            return None
        at, requests = self._far_from
        took, admitted = until - at, self.requests - requests
        return admitted / took if took >= FAR_S and admitted >= MEASURE_CALLS else None

    def forget_measured(self) -> None:
        """The calls admitted so far do not show the limit."""
        self._measured_from = None

    def measured(self, until: float) -> float | None:
        """Calls per second that were admitted since the measurement began; None where there were too
        few."""
        if self._measured_from is None:
            return None
        at, requests = self._measured_from
        took, admitted = until - at, self.requests - requests
        if took <= MEASURE_S or admitted < MEASURE_CALLS:
            return None
        return admitted / took

    def use(self, per_s: float, now: float) -> bool:
        """Whether about as many calls start as that rate allows; also while too few have started to
        tell."""
        if len(self._starts) < USED_CALLS:
            return True
        return len(self._starts) >= USED_SHARE * per_s * (now - self._starts[0])
