"""Types of the rate limiter: a call that was admitted, what is learned of a provider's limits, and what
admits calls by them."""

from typing import Protocol

import msgspec

from .estimators import ConcurrencyEstimator, EstimatorState, RateEstimator

REQUESTS, TOKENS = "requests", "tokens"


class Cooldown(msgspec.Struct, frozen=True):
    """``until`` is seconds of the governor's clock; ``ask_s`` is how long a refusal would take."""

    until: float
    reason: str
    ask_s: float


class Ticket(msgspec.Struct):
    """A call that was admitted: give it back by ``settle``. ``level`` is the number of calls in
    flight when it started, itself included; ``number`` names it where it was started on a share
    (cluster/shared_limits.py), ``order`` is its place among all calls that learning knows of."""

    started: float
    tokens: int
    size: int
    level: int
    number: int = 0
    order: int = 0


class Learned(msgspec.Struct, frozen=True):
    """The learned limits, to pass to another process. ``highest`` is the ceiling in force then."""

    width: EstimatorState
    highest: float
    rates: dict[str, EstimatorState]
    latency_s: float
    cooldown_s: float
    closed: bool
    few: bool = False  # too few calls were admitted to know much
    window: int | None = None  # calls in a minute, where they are counted in windows
    opens_at: float | None = (
        None  # a window that is closed, at the latest, by the clock of the process
    )


class AdmissionLimits(Protocol):
    """What a Governor needs of its limits: Limits, or a process's share of limits that several processes
    use (cluster/shared_limits.py)."""

    @property
    def width(self) -> ConcurrencyEstimator: ...
    @property
    def rates(self) -> dict[str, RateEstimator]: ...
    @property
    def latency_s(self) -> float: ...
    @property
    def closed(self) -> bool: ...
    @property
    def concurrency(self) -> int: ...
    @property
    def few(self) -> bool: ...
    @property
    def in_slow_start(self) -> bool: ...
    @property
    def opens_at(self) -> float | None: ...
    def room(self, in_flight: int, now: float) -> bool: ...
    def wait_s(self, tokens: float, now: float) -> float: ...
    def window_wait_s(self, now: float) -> float: ...
    def gap_s(self) -> float: ...
    def begin_at(self, width: float) -> None: ...
    def idle(self) -> None: ...
    def relearn(self, width: float, now: float) -> None: ...
    def trust(self, ceilings: int) -> None: ...
    def started(self, ticket: Ticket) -> None: ...
    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None: ...
    def discount(self, ticket: Ticket) -> None: ...
    def refused(
        self, ticket: Ticket, about: str | None, per_s: float, just_now: float, now: float, /
    ) -> bool: ...
    def suspect(self, now: float, closed: bool, /) -> bool: ...
    def cooled(self, seconds: float) -> None: ...
