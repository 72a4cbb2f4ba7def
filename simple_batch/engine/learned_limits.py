"""Learns the limits of a provider from its answers and refusals.

A refusal has one of two meanings. If more calls were in flight than at any recently answered call,
the concurrency was too high: the width is held below it. Otherwise the rate was too high. The rate
can be measured: a provider that refuses has nothing left, so the calls that it admitted between two
refusals are its rate limit.
"""

from typing import Protocol

import msgspec

from .estimators import (
    COSTLY,
    PLATEAU_CALLS,
    PLATEAU_S,
    ConcurrencyEstimator,
    EstimatorState,
    RateEstimator,
)

LOWERED = 0.85  # measured at less than this of the learned rate: the limit has sunk
LEAST_SHARE = 0.25  # of the last minute's rate: no refusal is taken to mean less than that
MEASURE_CALLS = 8  # a rate is measured over at least this many admitted calls
MANY_CALLS = 30  # after this many, the first refusal does not mean that all before was too much
IDLE_S = 1.0  # idle for this long: recent admissions say nothing about the limits
REQUESTS, TOKENS = "requests", "tokens"


class Cooldown(msgspec.Struct, frozen=True):
    """``until`` is seconds of the governor's clock; ``ask_s`` is how long a refusal would take."""

    until: float
    reason: str
    ask_s: float


class Ticket(msgspec.Struct):
    """A call that was admitted: give it back by ``settle``. ``level`` is the number of calls in
    flight when it started, itself included; ``number`` names it where it was started on a share
    (cluster/shared_limits.py)."""

    started: float
    tokens: int
    size: int
    level: int
    number: int = 0


class Learned(msgspec.Struct, frozen=True):
    """The learned limits, to pass to another process. ``highest`` is the ceiling in force then."""

    width: EstimatorState
    highest: float
    rates: dict[str, EstimatorState]
    latency_s: float
    cooldown_s: float
    closed: bool


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
    def most(self) -> int: ...
    def room(self, in_flight: int, now: float) -> bool: ...
    def wait_s(self, tokens: float, now: float) -> float: ...
    def gap_s(self) -> float: ...
    def idle(self) -> None: ...
    def started(self, ticket: Ticket) -> None: ...
    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None: ...
    def discount(self, ticket: Ticket) -> None: ...
    def refused(
        self, ticket: Ticket, about: str | None, per_s: float, just_now: float, now: float, /
    ) -> bool: ...
    def cooled(self, seconds: float) -> None: ...


class Limits:
    """Width and rates of one provider. All times in seconds of one monotonic clock."""

    def __init__(self, start: float, highest: float):
        self.width = ConcurrencyEstimator(start, highest)
        self.rates = {REQUESTS: RateEstimator(), TOKENS: RateEstimator()}
        self.latency_s = 1.0
        self._admitted = {REQUESTS: 0.0, TOKENS: 0.0}  # calls the provider did not refuse
        self._mark: tuple[float, float, float] | None = None  # (time, requests, tokens)
        self._full_at = self._paced_at = float("-inf")  # when width, when rate held a call back
        self._cut_at = float("-inf")
        self._admitted_at_cut = -1.0
        self.closed = False  # whether nothing was admitted between the last two refusals
        self._calls = 0  # good answers since the rate was learned, while it held calls back
        self._stray = 0  # refusals since then, not taken for the limit
        self._level = 0  # most calls in flight among those answered since the last cut …
        self._answers = 0  # … and how many these are
        self._cooldown_s = 0.0

    @property
    def paced(self) -> bool:
        """Whether a rate was learned."""
        return self.rates[REQUESTS].value is not None

    @property
    def most(self) -> int:
        """Calls that may be in flight."""
        return max(1, int(self.width.value + 1e-9))

    def room(self, in_flight: int, now: float) -> bool:
        """Whether the width allows another call."""
        if in_flight < self.most:
            return True
        self._full_at = now
        return False

    def wait_s(self, tokens: float, now: float) -> float:
        """How long the learned rates make a call wait."""
        if not self.paced:
            return 0.0
        wait = max(self.rates[REQUESTS].wait_s(1.0, now), self.rates[TOKENS].wait_s(tokens, now))
        if wait > 0.0:
            self._paced_at = now
        return wait

    def gap_s(self) -> float:
        """Between two starts at least, so that what was saved up does not go out all at once."""
        return 0.5 / self.rates[REQUESTS].value if self.paced else 0.0

    def started(self, ticket: Ticket) -> None:
        if self._mark is None:
            self._mark = ticket.started, self._admitted[REQUESTS], self._admitted[TOKENS]
        self._count(1.0, ticket.tokens)
        self.rates[REQUESTS].take(1.0)
        self.rates[TOKENS].take(ticket.tokens)

    def held(self, full_at: float, paced_at: float) -> None:
        """When width and rate last held a call back in another process."""
        self._full_at = max(self._full_at, full_at)
        self._paced_at = max(self._paced_at, paced_at)

    def idle(self) -> None:
        """No call is waiting: the calls admitted now do not show the limit."""
        self._mark = None

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        """A good answer: the limits in force may grow."""
        self.latency_s += 0.1 * (latency_s - self.latency_s)
        if ticket.started < self._cut_at:
            return
        self._level = max(self._level, ticket.level)
        self._answers += 1
        if self._paced_at >= ticket.started:
            self._calls += 1
            plateau = self._plateau()
            for rate in self.rates.values():
                rate.grow(self._calls, plateau, now)
        elif self._full_at >= ticket.started:
            self.width.answered(self._plateau(), self.latency_s, now)

    def discount(self, ticket: Ticket) -> None:
        """Remove a call that the provider did not admit from the counts."""
        self._count(-1.0, -ticket.tokens)

    def refused(
        self, ticket: Ticket, about: str | None, lately: float, just_now: float, now: float
    ) -> bool:
        """A refused call, with the provider's word for what it is about (REQUESTS, TOKENS or
        None). Returns whether it is news: refusals of calls that had started before the last cut
        tell the same again."""
        self.discount(ticket)
        if ticket.started < self._cut_at:
            return False
        self.closed = self._admitted[REQUESTS] <= self._admitted_at_cut
        if self.closed:
            self._cut_at = now  # still closed: nothing to learn, but to ask later
            return True
        if about is None and ticket.level > self._level and self._answers >= ticket.level:
            self.width.hold(ticket.level - 1)
        else:
            self._slow(ticket, lately, just_now, now)
        self._cut_at, self._level, self._answers = now, 0, 0
        self._admitted_at_cut = self._admitted[REQUESTS]
        return True

    @property
    def learned(self) -> Learned:
        return Learned(
            width=self.width.known,
            highest=self.width.highest,
            rates={name: rate.known for name, rate in self.rates.items()},
            latency_s=self.latency_s,
            cooldown_s=self._cooldown_s,
            closed=self.closed,
        )

    def restore(self, learned: Learned, now: float) -> None:
        """Continue from the limits that another process has learned. A width that was learned under
        another ceiling is ignored."""
        if learned.highest == self.width.highest:
            self.width.restore(learned.width)
        for name, known in learned.rates.items():
            self.rates[name].restore(known, now)
        self.latency_s, self._cooldown_s = learned.latency_s, learned.cooldown_s
        self.closed = learned.closed
        # this process knows too little about earlier calls to learn from them
        self._cut_at, self._mark = now, None
        self._calls = self._stray = self._level = self._answers = 0

    def cooled(self, seconds: float) -> None:
        """Note the cost of a refusal: the more a probe costs, the rarer probes become."""
        self._cooldown_s += 0.3 * (seconds - self._cooldown_s)

    def _count(self, requests: float, tokens: float) -> None:
        self._admitted[REQUESTS] += requests
        self._admitted[TOKENS] += tokens

    def _plateau(self) -> float:
        """How many good answers a value is held for."""
        rate = self.width.value / max(self.latency_s, 0.05)
        rate = min(rate, self.rates[REQUESTS].value or rate)
        return max(PLATEAU_CALLS, rate * min(60.0, max(PLATEAU_S, COSTLY * self._cooldown_s)))

    def _slow(self, ticket: Ticket, lately: float, just_now: float, now: float) -> None:
        if self._mark is None:
            return
        at, requests, tokens = self._mark
        took = ticket.started - at
        admitted = self._admitted[REQUESTS] - requests
        if took <= 0.0 or admitted < MEASURE_CALLS:
            self._stray += 1
            return
        took = max(took, 0.1)
        measured = max(admitted / took, LEAST_SHARE * lately)
        if not self.paced and admitted >= MANY_CALLS:
            measured = max(measured, just_now)  # one refusal may be chance: do not crawl for it
        if self.paced and not self._plausible(measured):
            self._stray += 1
            for rate in self.rates.values():
                rate.burst_s = max(0.05, rate.burst_s / 2)
            return
        self.rates[REQUESTS].learn(measured, now)
        each = (self._admitted[TOKENS] - tokens) / admitted
        self.rates[TOKENS].learn(measured * max(1.0, each), now)
        self._mark = ticket.started, self._admitted[REQUESTS], self._admitted[TOKENS]
        self._calls = self._stray = 0

    def _plausible(self, measured: float) -> bool:
        """Whether a refusal shows a limit on the rate, or is a stray one: it shows it where we
        were looking for more and the plateau had been quiet, or where much less was admitted."""
        looking = self._calls >= self.rates[REQUESTS].plateau(self._plateau())
        lowered = measured < LOWERED * self.rates[REQUESTS].value
        return lowered or (looking and self._stray <= 1)
