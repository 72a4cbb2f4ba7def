"""Rate limiter: decides when the next call to a provider may start.

One governor per API config, shared by all jobs on it. A call is admitted when
three things allow it at once: the number of calls in flight, requests per
minute, tokens per minute. Limits the user sets are ceilings; below them the
provider's own are learned from calls (learned_limits.py, docs/engine.md). A refusal starts one
cooldown for all jobs on the config.

Everything runs in one thread and never yields between a check and its act.
"""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from operator import attrgetter
from typing import Protocol

import gevent
from gevent.event import Event

from ..core.domain import Cause, GovernorState, LimitedBy
from .classify import Classification
from .estimators import TokenBucket
from .learned_limits import IDLE_S, Limits
from .limit_types import REQUESTS, TOKENS, AdmissionLimits, Cooldown, Ticket
from .sliding_window import WINDOW_S, SlidingWindow

COOLDOWN_S = (0.05, 1.0)  # the first one where the provider names none: a few calls' time
LONG_COOLDOWN_S = 10.0  # doubled up to here while nothing is answered …
BAD_TIMES_S = 120.0  # … and further after this long without an answer
LONGEST_COOLDOWN_S = 60.0
FEW_COOLDOWN_S = 5.0  # where hardly a call was admitted, a refusal is worse than a wait …
FEW_FACTOR = 12.0
SLOW_START_GAP = 0.2  # of a call's time, after a refusal in slow start: it may be the first of many
PACED_CALLS = 5  # calls that start one by one after a cooldown
LONG_WAIT_S = 5.0  # a provider that asks to wait this long has probably closed a window …
SUSPECT_S = 1.0  # … which a call after this time tells …
OWN_WAITS = 2  # … unless this often it had asked single requests only
WINDOW_USED = "the calls of this minute are used up"  # a reason for pages, as causes are
REFUSALS = (Cause.RATE_LIMIT, Cause.OVERLOADED)


class Flow:
    """A flow of fair queueing: the calls of one job. A higher ``priority`` goes first. ``concurrency`` is
    what the user has set for the job, if they did: it is used in full until the provider refuses."""

    __slots__ = ("concurrency", "priority")

    def __init__(self, priority: int = 0, concurrency: int | None = None):
        self.priority = priority
        self.concurrency = concurrency


_priority = attrgetter("priority")


class Timer(Protocol):
    """A call that is due."""

    def kill(self, *, block: bool) -> None: ...


Later = Callable[[float, Callable[[], None]], Timer]


class _Waiting:
    __slots__ = ("admitted", "event", "size")

    def __init__(self, size: int):
        self.size = size
        self.event = Event()
        self.admitted: Ticket | None = None


class Governor:
    """``start`` is where learning begins, ``maximum`` where it ends. A provider that asks to wait for
    longer than ``patience_s`` is not waited for: its jobs stop. ``clock`` counts seconds
    monotonically; ``later(seconds, function)`` calls back and returns an object with ``kill``."""

    def __init__(
        self,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        start: int = 5,
        maximum: int = 5000,
        patience_s: float = 900.0,
        clock: Callable[[], float] = time.monotonic,
        later: Later = gevent.spawn_later,
    ):
        self._clock = clock
        self._later = later
        self._maximum = maximum
        self._patience_s = patience_s
        self._start = start
        self._ceiling: int | None = None
        self._per_minute: tuple[int | None, int | None] = None, None  # the user's ceilings …
        self._requests: TokenBucket | None = None  # … and what is left of them
        self._tokens: TokenBucket | None = None
        self._limits: AdmissionLimits = Limits(float(start), float(maximum))
        self._in_flight = 0
        self._waiting: OrderedDict[Flow, deque[_Waiting]] = OrderedDict()
        self._timer: Timer | None = None
        self._timer_at = 0.0
        self._asked_at = 0.0  # when a call was last requested
        self._tokens_per_byte = 0.35  # an estimate, until answers give the real ratio
        self._answers = 0
        self._recent = SlidingWindow()
        self._cooldown_until = self._next_start = self._pace_until = self._spread_until = 0.0
        self._reason = ""
        self._refusal_s = 0.0  # how long a refusal takes to come back
        self._refusals = 0.0  # in a row, of calls that started after the cooldown before
        self._bad_since = 0.0
        self._suspected_at: float | None = (
            None  # when a long wait was asked for, until a call tells
        )
        self._own_waits = 0  # long waits that concerned one request …
        self._shared_waits = 0  # … and all of them
        self.update(concurrency, rpm, tpm)

    def update(self, concurrency: int | None, rpm: int | None, tpm: int | None) -> None:
        """Apply edited ceilings. Calls in flight are not affected."""
        now = self._clock()
        if concurrency != self._ceiling:
            self._ceiling = concurrency
            # a number given is used in full until the provider refuses
            begin = concurrency or min(self.limit, self._start)
            self._limits.width.restart(float(begin), float(concurrency or self._maximum))
        self._limits.trust(sum(limit is not None for limit in (concurrency, rpm, tpm)))
        self._per_minute = rpm, tpm
        self._requests, self._tokens = _bucket(rpm, now), _bucket(tpm, now)
        self._ceilings_changed()

    def relearn(self) -> None:
        """Forget the limits that refusals have shown, and the cooldown: both are found again."""
        begin = self._ceiling or self._start
        self._limits.relearn(float(begin), self._clock())
        self._cooldown_until = self._next_start = self._pace_until = self._spread_until = 0.0
        self._refusals, self._suspected_at = 0.0, None
        self._own_waits = self._shared_waits = 0
        self._ceilings_changed()

    @property
    def limit(self) -> int:
        """Calls that may be in flight now, here."""
        return max(1, self._limits.concurrency)

    def admit(self, flow: Flow, size: int) -> Ticket | None:
        """Block until a call of ``size`` bytes may start; None if the flow was dismissed. Flows
        of a higher priority go first, equal ones take turns."""
        if flow.concurrency is not None and self._ceiling is None:
            self._limits.begin_at(min(flow.concurrency, self._maximum))
        if not self._waiting:
            if self._clock() - self._asked_at > IDLE_S:
                self._limits.idle()
            ticket = self._try(size)
            if ticket is not None:
                return ticket
        waiting = _Waiting(size)
        self._waiting.setdefault(flow, deque()).append(waiting)
        self._pump()
        try:
            waiting.event.wait()
        except BaseException:
            if waiting.admitted is not None:
                self.settle(waiting.admitted, None, 0)
            else:
                self._forget(flow, waiting)
            raise
        return waiting.admitted

    def dismiss(self, flow: Flow) -> None:
        """Dismiss all waiting calls of this flow."""
        for waiting in self._waiting.pop(flow, ()):
            waiting.event.set()

    def settle(self, ticket: Ticket, finding: Classification | None, latency_ms: int) -> None:
        """The call has ended; ``finding`` None where it was given up."""
        self._in_flight -= 1
        now = self._clock()
        self._call_ended(ticket, now)
        if finding is not None:
            self._settle_tokens(ticket, finding, now)
            if finding.cause in REFUSALS:
                self._refusal_s += 0.3 * (1.5 * latency_ms / 1000 - self._refusal_s)
                self._refused(ticket, finding, now)
            elif finding.cause is None:
                self._answered(ticket, latency_ms / 1000, now)
            self._heed_remaining(finding, now)
        self._pump()

    # --- what a governor of one share of the limits does differently -------------------------

    def ready(self) -> bool:
        """False where this process has no share of the limits, so that no call may start now."""
        return True

    def _ceilings_changed(self) -> None:
        self._pump()

    def _call_ended(self, ticket: Ticket, now: float) -> None:
        """A call is no longer in flight, whatever its result."""

    def _held_back(self) -> None:
        """A call was not admitted."""

    @property
    def _rate_share(self) -> float:
        """This process's part (0 to 1) of what may start in a minute."""
        return 1.0

    # -----------------------------------------------------------------------------------------

    @property
    def in_flight(self) -> int:
        """Calls that are running."""
        return self._in_flight

    def cooldown(self) -> Cooldown | None:
        """The cooldown that lasts, if any."""
        if self.cooldown_left_s() <= 0.0:
            return None
        return Cooldown(self._cooldown_until, self._reason, self._refusal_s)

    def state(self) -> GovernorState:
        now = self._clock()
        self._recent.note(now, 0, 0)
        left, reason = max(0.0, self._cooldown_until - now), self._reason
        window_s = self._limits.window_wait_s(now) if self._waiting else 0.0
        if window_s > max(left, 1.0):
            left, reason = window_s, WINDOW_USED
        rates = self._limits.rates.values()
        rpm, tpm = (None if rate.value is None else round(60 * rate.value) for rate in rates)
        limited_by = self._limited_by(now) if self._waiting else LimitedBy.NOTHING
        return GovernorState(
            limit=self.limit,
            in_flight=self._in_flight,
            learning=self._ceiling is None,
            cooldown_s=round(left, 1),
            reason=reason if left > 0 else "",
            rpm_used=self._recent.starts,
            tpm_used=self._recent.tokens,
            rpm_learned=rpm,
            tpm_learned=tpm,
            limited_by=limited_by,
            limited_to=self._limited_to(limited_by, rpm, tpm),
        )

    def _limited_by(self, now: float) -> LimitedBy:
        """What holds the first waiting call back: no room, else the longest wait."""
        width = self._limits.width
        if self._in_flight >= self.limit:
            if self._ceiling is not None and width.value >= self._ceiling:
                return LimitedBy.CONCURRENCY
            learned = width.proven is not None
            return LimitedBy.LEARNED_CONCURRENCY if learned else LimitedBy.GROWING
        waits_s = self._waits_s(now)
        longest = max(waits_s, key=waits_s.__getitem__)
        return longest if waits_s[longest] > 0.0 else LimitedBy.NOTHING

    def _waits_s(self, now: float) -> dict[LimitedBy, float]:
        """How long each condition makes the first waiting call wait."""
        flow = max(self._waiting, key=_priority)
        tokens = int(self._waiting[flow][0].size * self._tokens_per_byte)
        requests_rate, tokens_rate = self._limits.rates[REQUESTS], self._limits.rates[TOKENS]
        paced_s = self._next_start - now if requests_rate.value is not None else 0.0
        return {
            LimitedBy.COOLDOWN: self._cooldown_until - now,
            LimitedBy.WINDOW: self._limits.window_wait_s(now),
            LimitedBy.REQUESTS: self._requests.wait_s(1, now) if self._requests else 0.0,
            LimitedBy.TOKENS: self._tokens.wait_s(tokens, now) if self._tokens else 0.0,
            LimitedBy.LEARNED_REQUESTS: max(requests_rate.wait_s(1.0, now), paced_s),
            LimitedBy.LEARNED_TOKENS: tokens_rate.wait_s(tokens, now),
        }

    def _limited_to(self, by: LimitedBy, rpm: int | None, tpm: int | None) -> int | None:
        values = {
            LimitedBy.CONCURRENCY: self._ceiling,
            LimitedBy.LEARNED_CONCURRENCY: self.limit,
            LimitedBy.GROWING: self.limit,
            LimitedBy.REQUESTS: self._per_minute[0],
            LimitedBy.TOKENS: self._per_minute[1],
            LimitedBy.LEARNED_REQUESTS: rpm,
            LimitedBy.LEARNED_TOKENS: tpm,
        }
        return values.get(by)

    def cooldown_left_s(self) -> float:
        return max(0.0, self._cooldown_until - self._clock())

    # --- admission --------------------------------------------------------------------------

    def _try(self, size: int) -> Ticket | None:
        """Start a call now if everything allows it, else see to it that we look again in time."""
        now = self._asked_at = self._clock()
        if not self._limits.room(self._in_flight, now):
            return None  # the next call that ends looks again
        tokens = int(size * self._tokens_per_byte)
        wait = max(self._cooldown_until, self._next_start) - now
        wait = max(wait, self._limits.wait_s(tokens, now))
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(1, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(tokens, now))
        if wait > 1e-6:
            self._held_back()
            self._look_again(now + wait)
            return None
        self._in_flight += 1
        self._next_start = now + self._limits.gap_s()
        if now < self._pace_until:
            self._next_start = now + max(self._gap_s(), self._refusal_s)
        elif now < self._spread_until:
            self._next_start = now + self._gap_s()
        ticket = Ticket(now, tokens, size, self._in_flight)
        self._limits.started(ticket)
        self._take(1, tokens)
        self._recent.note(now, 1, tokens)
        return ticket

    def _take(self, requests: int, tokens: int) -> None:
        for bucket, amount in ((self._requests, requests), (self._tokens, tokens)):
            if bucket is not None and amount:
                bucket.take(amount)

    def _pump(self) -> None:
        """Admit waiting calls, one flow after the other, while calls may start."""
        while self._waiting:
            flow = max(self._waiting, key=_priority)  # the first of the highest
            queue = self._waiting[flow]
            ticket = self._try(queue[0].size)
            if ticket is None:
                return
            waiting = queue.popleft()
            if queue:
                self._waiting.move_to_end(flow)
            else:
                del self._waiting[flow]
            waiting.admitted = ticket
            waiting.event.set()

    def _forget(self, flow: Flow, waiting: _Waiting) -> None:
        queue = self._waiting.get(flow)
        if queue is not None and waiting in queue:
            queue.remove(waiting)
            if not queue:
                del self._waiting[flow]

    def _look_again(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at + 1e-3:
                return
            self._timer.kill(block=False)
        self._timer_at = at
        self._timer = self._later(max(0.0, at - self._clock()), self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._pump()

    # --- what came back ---------------------------------------------------------------------

    def _answered(self, ticket: Ticket, latency_s: float, now: float) -> None:
        if ticket.started >= self._cooldown_until:
            self._refusals = max(0.0, self._refusals - 0.2)
            if self._suspected_at is not None:
                # the provider answers others: it asked only one request to wait
                self._suspected_at = None
                self._own_waits += 1
        self._limits.answered(ticket, latency_s, now)

    def _refused(self, ticket: Ticket, finding: Classification, now: float) -> None:
        """A refusal delays its own request, whose backoff the caller keeps. At a limit all calls
        wait."""
        if (finding.retry_after_s or 0.0) > self._patience_s:
            self._limits.discount(ticket)
            return  # the pool decides whose wait it is: it may be that of one request
        reached = self._limits.refused(
            ticket,
            _about(finding),
            self._recent.starts / WINDOW_S,
            self._recent.just_now(now),
            now,
        )
        said = finding.retry_after_s
        asked = said or 0.0
        if asked >= LONG_WAIT_S and self._own_waits >= OWN_WAITS and not self._limits.closed:
            said, asked = None, 0.0  # it asks single requests for such waits
        if reached:
            self._shared_waits += self._suspected_at is not None
            self._suspected_at = None
            own_s = self._own_cooldown_s(now) if said is None else COOLDOWN_S[0]
            self._cool(asked or own_s, finding, now)
        elif asked and now < self._cooldown_until and self._suspected_at is None:
            self._cool(asked, finding, now)  # a refusal of the same limit
        elif asked >= LONG_WAIT_S:
            self._suspect(ticket, finding, asked, now)
        elif self._limits.few:
            self._wait_for_each(self._refusal_s, now)
        elif self._limits.in_slow_start:
            gap_s = SLOW_START_GAP * self._limits.latency_s
            if self._refusal_s <= gap_s:  # refusals come back much sooner than answers
                self._wait_for_each(gap_s, now)

    def _wait_for_each(self, gap_s: float, now: float) -> None:
        """Until more is known, each call waits for what the one before shows."""
        self._pace_until = max(self._pace_until, now + self._limits.latency_s)
        if not self._spread_until:
            # what the first refusal held back does not start all at once; later, how many are refused tells
            self._spread_until = self._pace_until + self._limits.latency_s
        self._next_start = max(self._next_start, now + gap_s)

    def _suspect(self, ticket: Ticket, finding: Classification, asked: float, now: float) -> None:
        """A long wait may be that of a closed window, or of this request: the next call tells, unless
        earlier ones have told."""
        if self._suspected_at is not None and ticket.started < self._suspected_at:
            return
        shared = self._shared_waits > self._own_waits and asked <= WINDOW_S
        shared = self._limits.suspect(now, shared)
        self._suspected_at = None if shared else now
        self._cool(asked if shared else SUSPECT_S, finding, now)

    def _own_cooldown_s(self, now: float) -> float:
        """Where the provider names none: the time of two calls, longer each time while nothing is
        answered, but not beyond the end of a window of a minute."""
        if not self._refusals:
            self._bad_since = now
        self._refusals += 1.0
        gap = self._limits.latency_s / self._limits.width.value
        first = min(max(2.0 * min(1.0, gap), COOLDOWN_S[0]), COOLDOWN_S[1])
        if not self._limits.closed:
            doubled = first * math.pow(2.0, min(20.0, self._refusals - 1.0))
            return COOLDOWN_S[1] if self._limits.few else min(doubled, COOLDOWN_S[1])
        if self._limits.few:
            wait = FEW_COOLDOWN_S * math.pow(FEW_FACTOR, min(20.0, max(0.0, self._refusals - 2.0)))
            wait = min(wait, LONGEST_COOLDOWN_S)
        else:
            wait = first * math.pow(2.0, min(20.0, self._refusals - 1.0))
            bad = now - self._bad_since >= BAD_TIMES_S
            wait = min(wait, LONGEST_COOLDOWN_S if bad else LONG_COOLDOWN_S)
        opens_at = self._limits.opens_at
        return wait if opens_at is None or opens_at <= now else min(wait, opens_at - now)

    def _cool(self, seconds: float, finding: Classification, now: float) -> None:
        self._limits.cooled(seconds)
        self._cool_until(now + seconds, f"{finding.http_status or ''} {finding.cause}".strip())

    def _cool_until(self, until: float, reason: str) -> None:
        if until > self._cooldown_until:
            self._cooldown_until, self._reason = until, reason
            # after it calls start one by one, the first round spread over the usual latency
            self._pace_until = self._cooldown_until + min(
                self._limits.latency_s, PACED_CALLS * max(self._gap_s(), self._refusal_s)
            )

    def _gap_s(self) -> float:
        """Between two starts where they are not to come all at once."""
        return min(1.0, self._limits.latency_s / self.limit)

    def _heed_remaining(self, finding: Classification, now: float) -> None:
        """A provider that says “none remaining” would refuse the next call: wait for one's worth
        of its refill. (Where it refills all at once, a refusal will say how long that takes.)"""
        limits = finding.limits
        if limits is None:
            return
        for remaining, reset, limit in (
            (limits.remaining_requests, limits.reset_requests_s, limits.limit_requests),
            (limits.remaining_tokens, limits.reset_tokens_s, limits.limit_tokens),
        ):
            if remaining == 0 and reset:
                until = now + min(reset, WINDOW_S) / max(1, limit or 1) / self._rate_share
                if until > self._cooldown_until:
                    self._cooldown_until = until
                    self._reason = "no requests or tokens remaining"

    def _settle_tokens(self, ticket: Ticket, finding: Classification, now: float) -> None:
        used = finding.usage.total if finding.usage is not None else None
        if used is None:
            used = ticket.tokens if finding.cause is None else 0
        elif ticket.size:
            self._answers += 1
            weight = max(0.05, 1.0 / self._answers)
            self._tokens_per_byte += weight * (used / ticket.size - self._tokens_per_byte)
        self._take(0, used - ticket.tokens)
        self._recent.note(now, 0, used - ticket.tokens)


def _bucket(amount: int | None, now: float) -> TokenBucket | None:
    """A second's worth may be used at once."""
    if not amount:
        return None
    rate = amount / 60
    return TokenBucket(rate, max(1.0, rate), max(1.0, rate), now)


def _about(finding: Classification) -> str | None:
    """What the provider says its refusal is about, where it says so."""
    limits = finding.limits
    if limits is not None and limits.remaining_tokens == 0:
        return "tokens"
    if limits is not None and limits.remaining_requests == 0:
        return "requests"
    return finding.limited
