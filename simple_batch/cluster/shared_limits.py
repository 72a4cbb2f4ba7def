"""Rate limits of one provider that several processes share: one process's share of them.

Replaces the governor's Limits. While no other process calls the provider, everything is passed on to
them. Otherwise it admits calls within its share only, and records events for the one process that learns
for all (limit_learner.py). cluster/limit_coordinator.lua computes the shares.
"""

import enum
import math
from collections.abc import Callable
from typing import Any

import msgspec

from ..engine.call_window import WINDOW_S
from ..engine.estimators import ConcurrencyEstimator, RateEstimator, TokenBucket
from ..engine.learned_limits import Limits
from ..engine.limit_types import REQUESTS, TOKENS, Ticket
from ..engine.refusal_evidence import RefusalEvidence
from .window_share import WindowShare

ALL = 1 << 30  # the whole limit: no other process uses it
PAUSE_EVIDENCE = 3.8  # refusals here alone show a limit: no call starts …
PAUSE_S = 0.3  # … until the process that learns has decided
COOL_EVIDENCE = 7.0  # enough that all processes have to wait
FIRST_CALLS = 60  # of this process: before that the first refusal makes it pause
SPREAD_S = 0.15  # what a share has grown by is not used all at once
LONG_AGO = -1e9  # seconds, as JSON has it
MAX_EVENTS = 20_000  # events that are kept until the next report


class EventKind(enum.StrEnum):
    """What an event of a Report tells. Its value is what reports hold; behind it are the facts of an event
    besides its kind and its time. ``ticket`` stands for the four of a call: when it started (s), its number
    in this process (0: none), the calls in flight when it started, and its tokens."""

    STARTED = "s"  # number, tokens
    ENDED = "e"
    ANSWERED = "n"  # ticket, latency (s)
    DISCOUNTED = "d"  # ticket: refused, but no sign of a limit
    REFUSED = (
        "r"  # ticket, about (REQUESTS, TOKENS or None), its time twice (shared; for older versions)
    )
    COOLED = "c"  # seconds of the cooldown
    HELD = "h"  # when the width, when the rate last held a call back


class Report(msgspec.Struct):
    """Events of one process since its last report: lists of the kind (EventKind), the time, and facts.
    Times are seconds of the process's clock; add ``offset`` for the shared clock. ``busy`` is its number
    of calls in flight."""

    worker: str
    offset: float
    busy: int
    events: list[list[Any]]


class SharedLimits:
    """``grant`` limits the calls in flight in this process, ``rate_share`` (0 to 1) is its share of the
    calls per minute. ``starved``: a call was held back since the last exchange. ``wake`` is called when a
    share is needed, or when other processes must learn of a refusal."""

    def __init__(self, limits: Limits, wake: Callable[[], None]):
        self.limits = limits
        self._wake = wake
        self.grant = 0
        self.rate_share = 0.0
        self.offset = 0.0  # of the shared clock over this one
        self.starved = False
        self.refusal = False  # a cooldown began here and is not reported yet
        self.refused_here = False  # a refusal is not reported yet
        self.starts = 0
        self._buckets: dict[str, TokenBucket | None] = {REQUESTS: None, TOKENS: None}
        self._full_at = self._paced_at = LONG_AGO
        self._noted_held = LONG_AGO, LONG_AGO
        self._now = self._spread_until = -math.inf
        self._spread_gap_s = 0.0
        self._evidence = RefusalEvidence()  # of this process alone
        self._paused_until = -math.inf
        self._cooled_at = -math.inf  # when refusals here last made all processes wait …
        self._unrefused = 0  # calls that started after that and were not refused
        self._admitted_since = True  # … and whether a call was admitted after that
        self._closed = False
        self._number = 0
        self._tokens = 0.0  # recent average per call
        self._window = WindowShare()
        self.few_elsewhere = False  # the process that learns knows of few calls, too
        self._events: list[list[Any]] = []

    @property
    def alone(self) -> bool:
        return self.grant >= ALL

    def set_share(self, grant: int, rate_share: float, now: float) -> None:
        """Apply a new share: calls in flight, and share (0 to 1) of the calls per minute."""
        if self.grant < grant < ALL:
            self._spread(SPREAD_S / (grant - self.grant), now + SPREAD_S)
        self.grant = grant
        if rate_share != self.rate_share:
            self.rate_share = rate_share
            self.update_buckets(now)

    def _spread(self, gap_s: float, until: float) -> None:
        """Until then, calls start with a gap."""
        if until > self._spread_until:
            self._spread_gap_s, self._spread_until = gap_s, until

    def update_buckets(self, now: float) -> None:
        """Apply the rates that are known now."""
        self._window.set(self.limits.window.count, self.rate_share, now)
        for name, rate in self.limits.rates.items():
            if rate.value is None:
                self._buckets[name] = None
            if rate.value is None or self.rate_share <= 0.0:
                continue
            value = rate.value * self.rate_share
            bucket = self._buckets[name]
            if bucket is None:
                self._buckets[name] = TokenBucket(value, value * rate.burst_s, 0.0, now)
            else:
                if value < bucket.rate:  # the provider has nothing left: what was saved up is void
                    bucket.level = min(bucket.level, 0.0)
                bucket.set_rate(value, value * rate.burst_s, now)

    def report(self, worker: str, busy: int, now: float) -> Report:
        """The events since the last report. ``busy`` is the number of calls in flight."""
        if self.starved:
            self._note_held(now)
        events, self._events = self._events, []
        return Report(worker, self.offset, busy, events)

    def max_per_s(self, rpm: int | None, tpm: int | None) -> float | None:
        """Calls per second that all together may start, by the user's ceilings and by what was
        learned; None where neither says."""
        tokens = max(1.0, self._tokens)
        learned = {name: rate.value for name, rate in self.limits.rates.items()}
        window = self.limits.window.count
        known = [
            rpm and rpm / 60,
            tpm and tpm / 60 / tokens,
            learned[REQUESTS],
            window and window / WINDOW_S,
            (learned[TOKENS] or 0.0) / tokens,
        ]
        return min((each for each in known if each), default=None)

    # --- what the governor asks of its limits --------------------------------------------------

    @property
    def width(self) -> ConcurrencyEstimator:
        return self.limits.width

    @property
    def rates(self) -> dict[str, RateEstimator]:
        return self.limits.rates

    @property
    def latency_s(self) -> float:
        return self.limits.latency_s

    @property
    def closed(self) -> bool:
        return self.limits.closed or (self._closed and not self.alone)

    @property
    def concurrency(self) -> int:
        return min(self.grant, self.limits.concurrency)

    @property
    def few(self) -> bool:
        return self.limits.few and (self.alone or self.limits.closed or self.few_elsewhere)

    @property
    def in_slow_start(self) -> bool:
        return self.alone and self.limits.in_slow_start

    @property
    def _slow_start_here(self) -> bool:
        """Whether this process makes its first calls, and no process knows a limit."""
        known = self.limits.is_trusted or self.limits.paced or self.width.proven is not None
        return not known and self._number <= FIRST_CALLS

    @property
    def opens_at(self) -> float | None:
        return self.limits.opens_at

    def begin_at(self, width: float) -> None:
        if self.alone:
            self.limits.begin_at(width)

    def relearn(self, width: float, now: float) -> None:
        self.limits.relearn(width, now)
        self.update_buckets(now)

    def trust(self, ceilings: int) -> None:
        self.limits.trust(ceilings)

    def suspect(self, now: float, closed: bool) -> bool:
        if self.alone:
            return self.limits.suspect(now, closed)
        self._cooled_at, self._admitted_since = now, False
        return False

    def ready(self) -> bool:
        """False where there is no share; asks for one then."""
        if self.grant > 0 and self.rate_share > 0.0:
            return True
        self.starved = True
        self._wake()
        return False

    def room(self, in_flight: int, now: float) -> bool:
        self._now = now
        if self.alone:
            free = self.limits.room(in_flight, now)
        else:
            free = in_flight < self.grant and self.rate_share > 0.0
        if not free:
            self.starved = True
            self._full_at = now
            if not self.grant:
                self._wake()
        return free

    def wait_s(self, tokens: float, now: float) -> float:
        if self.alone:
            return self.limits.wait_s(tokens, now)
        wait = 0.0
        for bucket, amount in zip(self._buckets.values(), (1.0, tokens), strict=True):
            if bucket is not None:
                wait = max(wait, bucket.wait_s(amount, now))
        if wait > 0.0:
            self._paced_at = now
        return max(wait, self._window.wait_s(now), self._paused_until - now)

    def window_wait_s(self, now: float) -> float:
        return self.limits.window_wait_s(now) if self.alone else self._window.wait_s(now)

    def gap_s(self) -> float:
        if self.alone:
            return self.limits.gap_s()
        gap = self.limits.gap_s() / max(self.rate_share, 1e-3)
        return max(gap, self._spread_gap_s) if self._now < self._spread_until else gap

    def started(self, ticket: Ticket) -> None:
        self.starts += 1
        self._window.started(ticket.started)
        self._tokens += 0.1 * (ticket.tokens - self._tokens)
        if self.alone:
            self.limits.started(ticket)
            return
        self._number += 1
        self._unrefused += 1
        ticket.number, ticket.order = self._number, self._evidence.started()
        for bucket, amount in zip(self._buckets.values(), (1.0, ticket.tokens), strict=True):
            if bucket is not None:
                bucket.take(amount)
        self._note(EventKind.STARTED, ticket.started, ticket.number, ticket.tokens)

    def ended(self, ticket: Ticket, now: float) -> None:
        """A call is no longer in flight, whatever became of it."""
        if not self.alone:
            self._note(EventKind.ENDED, now)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        if ticket.started >= self._cooled_at:
            self._admitted_since, self._closed = True, False
        if self.alone:
            self.limits.answered(ticket, latency_s, now)
        else:
            self._note_held(now)
            self._note(EventKind.ANSWERED, now, *_named(ticket), latency_s)

    def discount(self, ticket: Ticket) -> None:
        self._window.refused(ticket.started)
        if self.alone:
            self.limits.discount(ticket)
        else:
            self._note(EventKind.DISCOUNTED, ticket.started, *_named(ticket))

    def refused(
        self, ticket: Ticket, about: str | None, per_s: float, just_now: float, now: float
    ) -> bool:
        self._window.refused(ticket.started)
        if self.alone:
            return self.limits.refused(ticket, about, per_s, just_now, now)
        # what it means, the process that learns for all decides
        cut = round(now + self.offset, 3)
        evidence = self._evidence.refused(ticket.order).evidence
        self._note(EventKind.REFUSED, now, *_named(ticket), about, cut, cut)
        self.refused_here = True
        self._wake()
        if ticket.started >= self._cooled_at:
            self._unrefused -= 1
        if ticket.started >= self._cooled_at and not self._admitted_since and self._unrefused <= 0:
            self._closed = True  # nothing was admitted here after the last cooldown
            self._cooled_at, self._unrefused = now, 0
            return True
        if now < self._paused_until or (evidence < PAUSE_EVIDENCE and not self._slow_start_here):
            return False
        self._paused_until = now + PAUSE_S
        if self._slow_start_here:  # what is held back does not start all at once
            self._spread(self.latency_s / max(1, self.grant), self._paused_until + self.latency_s)
        if evidence < COOL_EVIDENCE:
            return False
        self._evidence.clear()
        self._cooled_at, self._admitted_since, self._unrefused = now, False, 0
        return True

    def cooled(self, seconds: float) -> None:
        self.refusal = True
        if self.alone:
            self.limits.cooled(seconds)
            return
        self._note(EventKind.COOLED, self._events[-1][1] if self._events else 0.0, seconds)
        self._wake()

    def idle(self) -> None:
        if self.alone:
            self.limits.idle()

    def _note_held(self, now: float) -> None:
        held = self._full_at, self._paced_at
        if held != self._noted_held:
            self._noted_held = held
            self._note(EventKind.HELD, now, *held)

    def _note(self, kind: EventKind, at: float, *facts: object) -> None:
        if len(self._events) < MAX_EVENTS:
            self._events.append([kind, at, *facts])


def _named(ticket: Ticket) -> tuple:
    return ticket.started, ticket.number, ticket.level, ticket.tokens
