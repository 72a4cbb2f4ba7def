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

from ..engine.estimators import ConcurrencyEstimator, RateEstimator, TokenBucket
from ..engine.learned_limits import REQUESTS, TOKENS, Limits, Ticket

ALL = 1 << 30  # the whole limit: no other process uses it
SPREAD_S = 0.15  # what a share has grown by is not used all at once
HELD_S = 0.5  # after a refusal a process stays below what it had, until all have learned from it
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
        "r"  # ticket, about (REQUESTS, TOKENS or None), last refusal known, this one (shared time)
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
        self.starts = 0
        self.cut = 0.0  # shared time of the last refusal that this process knows of …
        self._cut_at = -math.inf  # … and since when, by this process's clock
        self._buckets: dict[str, TokenBucket | None] = {REQUESTS: None, TOKENS: None}
        self._full_at = self._paced_at = LONG_AGO
        self._noted_held = LONG_AGO, LONG_AGO
        self._now = self._spread_until = -math.inf
        self._spread_gap_s = 0.0
        self._held = ALL  # calls in flight here …
        self._held_until = -math.inf  # … for now
        self._number = 0
        self._tokens = 0.0  # recent average per call
        self._events: list[list[Any]] = []

    @property
    def alone(self) -> bool:
        return self.grant >= ALL

    def set_share(self, grant: int, rate_share: float, now: float) -> None:
        """Apply a new share: calls in flight, and share (0 to 1) of the calls per minute."""
        if self.grant < grant < ALL:
            self._spread_gap_s = SPREAD_S / (grant - self.grant)
            self._spread_until = now + SPREAD_S
        self.grant = grant
        if rate_share != self.rate_share:
            self.rate_share = rate_share
            self.update_buckets(now)

    def update_buckets(self, now: float) -> None:
        """Apply the rates that are known now."""
        for name, rate in self.limits.rates.items():
            if rate.value is None or self.rate_share <= 0.0:
                continue
            value = rate.value * self.rate_share
            bucket = self._buckets[name]
            if bucket is None:
                self._buckets[name] = TokenBucket(value, value * rate.burst_s, 0.0, now)
            else:
                bucket.set_rate(value, value * rate.burst_s, now)

    def refused_elsewhere(self, cut: float, now: float) -> None:
        """Another process was refused (shared time ``cut``): refusals of calls that started before add no
        information."""
        if cut > self.cut:
            self.cut, self._cut_at = cut, now

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
        known = [
            rpm and rpm / 60,
            tpm and tpm / 60 / tokens,
            learned[REQUESTS],
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
        return self.limits.closed

    @property
    def concurrency(self) -> int:
        return min(self.grant, self.limits.concurrency)

    @property
    def few(self) -> bool:
        return self.alone and self.limits.few

    @property
    def opens_at(self) -> float | None:
        return self.limits.opens_at if self.alone else None

    def suspect(self, now: float) -> None:
        if self.alone:
            self.limits.suspect(now)

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
            limit = self.grant if now >= self._held_until else min(self.grant, self._held)
            free = in_flight < limit and self.rate_share > 0.0
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
        return wait

    def gap_s(self) -> float:
        if self.alone:
            return self.limits.gap_s()
        gap = self.limits.gap_s() / max(self.rate_share, 1e-3)
        return max(gap, self._spread_gap_s) if self._now < self._spread_until else gap

    def started(self, ticket: Ticket) -> None:
        self.starts += 1
        self._tokens += 0.1 * (ticket.tokens - self._tokens)
        if self.alone:
            self.limits.started(ticket)
            return
        self._number += 1
        ticket.number = self._number
        for bucket, amount in zip(self._buckets.values(), (1.0, ticket.tokens), strict=True):
            if bucket is not None:
                bucket.take(amount)
        self._note(EventKind.STARTED, ticket.started, ticket.number, ticket.tokens)

    def ended(self, ticket: Ticket, now: float) -> None:
        """A call is no longer in flight, whatever became of it."""
        if not self.alone:
            self._note(EventKind.ENDED, now)

    def answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        if self.alone:
            self.limits.answered(ticket, latency_s, now)
        else:
            self._note_held(now)
            self._note(EventKind.ANSWERED, now, *_named(ticket), latency_s)

    def discount(self, ticket: Ticket) -> None:
        if self.alone:
            self.limits.discount(ticket)
        else:
            self._note(EventKind.DISCOUNTED, ticket.started, *_named(ticket))

    def refused(
        self, ticket: Ticket, about: str | None, per_s: float, just_now: float, now: float
    ) -> bool:
        known = self.cut
        news = ticket.started >= self._cut_at
        if news:
            self.cut, self._cut_at = round(now + self.offset, 3), now
        if self.alone:
            return self.limits.refused(ticket, about, per_s, just_now, now)
        if news:
            self._held, self._held_until = max(1, ticket.level - 1), now + HELD_S
            self._note(EventKind.REFUSED, now, *_named(ticket), about, known, self.cut)
        else:
            self._note(EventKind.DISCOUNTED, now, *_named(ticket))
        return news

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
