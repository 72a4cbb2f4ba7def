"""Estimates the rate limits of a provider that several processes call. One process replays the events of
all, in the order of time, into the same Limits that a single process has."""

import math
from typing import Any

from ..engine.learned_limits import IDLE_S, Limits
from ..engine.limit_types import REQUESTS, Ticket
from ..engine.sliding_window import WINDOW_S, SlidingWindow
from .shared_limits import EventKind, Report

DELAY_S = 0.1  # from a decision until all processes act on it
KEPT_CALLS = 10_000  # calls in flight that are tracked; the oldest are dropped beyond this


class LimitLearner:
    """``limits`` uses this process's clock."""

    def __init__(self, limits: Limits):
        self._limits = limits
        self._now = -math.inf
        limits.delay_s = 2 * DELAY_S
        self._recent = SlidingWindow()
        self._waiting: list[tuple[float, int, str, list[Any]]] = []  # (time, order, worker, event)
        self._order = 0
        self._busy: dict[str, int] = {}  # calls in flight at the time that was reached
        # of each call: when it started, all calls in flight then, and its place among all
        self._started_calls: dict[tuple[str, int], tuple[float, int, int]] = {}
        self._wanted_at = -math.inf
        self._reached = -math.inf
        self.limit_reached = False  # at the last replay: all calls have to wait

    def add(self, report: Report, offset: float) -> None:
        """Add the report of a process. ``offset`` is that of this process's clock (s)."""
        shift = report.offset - offset
        for event in report.events:
            self._order += 1
            self._waiting.append((event[1] + shift, self._order, report.worker, event))
        # so that it is right once all events received so far are replayed
        kinds = [event[0] for _, _, worker, event in self._waiting if worker == report.worker]
        since = kinds.count(EventKind.STARTED) - kinds.count(EventKind.ENDED)
        self._busy[report.worker] = max(0, report.busy - since)

    def forget(self, gone: set[str]) -> None:
        """Drop processes that have left or died."""
        for worker in gone:
            self._busy.pop(worker, None)

    def close(self) -> None:
        """This process learns from its own calls from now on."""
        self._limits.delay_s = 0.0

    @property
    def workers(self) -> set[str]:
        return set(self._busy)

    @property
    def refusal_pending(self) -> bool:
        """Whether a refusal was not replayed yet."""
        return any(event[0] == EventKind.REFUSED for _, _, _, event in self._waiting)

    def learn(self, until: float, real_now: float) -> bool:
        """Replay what happened until then (seconds of this process's clock, which reads ``real_now``);
        → whether a refusal taught something."""
        self._waiting.sort()
        self._now = real_now
        self.limit_reached = False
        news = False
        done = 0
        for at, _, worker, event in self._waiting:
            if at > until:
                break
            done += 1
            self._reached = max(self._reached, at)
            news |= self._replay(worker, event, at - event[1])
        del self._waiting[:done]
        while len(self._started_calls) > KEPT_CALLS:
            del self._started_calls[next(iter(self._started_calls))]
        return news

    def _replay(self, worker: str, event: list[Any], shift: float) -> bool:
        kind, now, facts = event[0], self._reached, event[2:]
        if kind == EventKind.STARTED:
            self._started(worker, now, *facts)
        elif kind == EventKind.ENDED:
            self._busy[worker] = max(0, self._busy.get(worker, 0) - 1)
        elif kind == EventKind.ANSWERED:
            self._limits.answered(self._ticket(worker, shift, *facts[:4]), facts[4], now)
        elif kind == EventKind.DISCOUNTED:
            self._limits.discount(self._ticket(worker, shift, *facts))
        elif kind == EventKind.REFUSED:
            return self._refused(self._ticket(worker, shift, *facts[:4]), now, *facts[4:])
        elif kind == EventKind.COOLED:
            self._limits.cooled(*facts)
        elif kind == EventKind.HELD:
            self._wanted_at = max(self._wanted_at, now)
            self._limits.held(*(at + shift for at in facts))
        return False

    def _started(self, worker: str, now: float, number: int, tokens: int) -> None:
        if now - self._wanted_at > IDLE_S:
            self._limits.idle()
        self._wanted_at = now
        self._busy[worker] = self._busy.get(worker, 0) + 1
        level = sum(self._busy.values())
        ticket = Ticket(now, tokens, 0, level, number)
        self._limits.started(ticket)
        self._started_calls[worker, number] = now, level, ticket.order
        self._recent.note(now, 1, tokens)

    def _ticket(
        self, worker: str, shift: float, started: float, number: int, level: int, tokens: int
    ) -> Ticket:
        unknown = started + shift, level if not number else 0, self._limits.last_order
        at, level, order = self._started_calls.pop((worker, number), unknown)
        return Ticket(at, tokens, 0, level, number, order)

    def _refused(self, ticket: Ticket, now: float, about: str | None, *_times: float) -> bool:
        limits = self._limits
        before = limits.width.value, limits.rates[REQUESTS].value
        per_s = self._recent.starts / WINDOW_S
        limits.delay_s = self._now - now + DELAY_S
        reached = limits.refused(ticket, about, per_s, self._recent.just_now(now), now)
        self.limit_reached |= reached
        return reached or before != (limits.width.value, limits.rates[REQUESTS].value)
