"""What decides when the next call to a provider may start.

One governor per API config, shared by all jobs on it. A call is admitted when
three things allow it at once: the number of calls in flight, requests per
minute, tokens per minute. Limits the user sets are ceilings; the concurrency
that nobody set is learned (docs/engine.md): slow start, additive increase while
the provider answers well, multiplicative decrease when it refuses.

Everything runs in one thread and never yields between a check and its act.
"""

import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

import gevent
import msgspec
from gevent.event import Event

from ..domain import Cause, GovernorState
from .causes import Finding

BACK_OFF_TO = 0.7  # of the limit, on a refusal
FIRST_COOLDOWN_S = 1.0
LONGEST_COOLDOWN_S = 120.0
WINDOW_S = 60.0
# A provider that refuses less than this share of its calls is not at its limit: a stray 503
# among a hundred answers must not halve the speed.
TOLERATED_SHARE = 0.02
SHARE_OVER = 100  # calls, at least, over which the share of refusals is averaged
_REFUSALS = (Cause.RATE_LIMIT, Cause.OVERLOADED)


class Ticket(msgspec.Struct):
    """A call that was admitted: give it back by ``settle``."""

    started: float
    tokens: int
    size: int


class _Bucket:
    """Allowance per minute that refills steadily; a second's worth may be used at once. It may be
    overdrawn by a call that cost more than was reserved."""

    def __init__(self, per_minute: int, now: float):
        self.rate = per_minute / 60
        self.capacity = max(1.0, self.rate)
        self.level = self.capacity
        self.at = now

    def wait_s(self, amount: float, now: float) -> float:
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        needed = min(amount, self.capacity)
        return 0.0 if self.level >= needed else (needed - self.level) / self.rate

    def take(self, amount: float) -> None:
        self.level -= amount


class _Waiting:
    __slots__ = ("admitted", "event", "size")

    def __init__(self, size: int):
        self.size = size
        self.event = Event()
        self.admitted: Ticket | None = None


class Governor:
    """``start`` is where learning begins, ``maximum`` where it ends. ``clock`` counts seconds
    monotonically; ``later(seconds, function)`` calls back and returns an object with ``kill``."""

    def __init__(
        self,
        concurrency: int | None = None,
        rpm: int | None = None,
        tpm: int | None = None,
        start: int = 5,
        maximum: int = 5000,
        clock: Callable[[], float] = time.monotonic,
        later: Callable = gevent.spawn_later,
    ):
        self._clock = clock
        self._later = later
        self._maximum = maximum
        self._start = float(start)
        self._ceiling: int | None = None
        self._limit = float(start)
        self._threshold = float(maximum)  # slow start below it, additive increase above
        self._in_flight = 0
        self._waiting: OrderedDict[Hashable, deque[_Waiting]] = OrderedDict()
        self._cooldown_until = 0.0
        self._cooldown_s = FIRST_COOLDOWN_S
        self._reason = ""
        self._decreased_at = self._cooled_at = float("-inf")
        self._full_at = float("-inf")  # when the limit was last reached
        self._refused_share = 0.0
        self._pace_s = 0.0  # gap between two starts just after a cooldown
        self._next_start = 0.0
        self._latency_s = 1.0
        self._tokens_per_byte = 0.35
        self._timer = None
        self._timer_at = 0.0
        self._recent: deque[list[int]] = deque()  # [second, starts, tokens] of the last minute
        self._requests = self._tokens = None
        self.update(concurrency, rpm, tpm)

    def update(self, concurrency: int | None, rpm: int | None, tpm: int | None) -> None:
        """Take up edited ceilings; calls in flight are not touched."""
        now = self._clock()
        if concurrency != self._ceiling:
            self._ceiling = concurrency
            # a number given is used in full until the provider refuses
            self._limit = float(concurrency) if concurrency else min(self._limit, self._start)
            self._threshold = float(self._highest)
        self._requests = _Bucket(rpm, now) if rpm else None
        self._tokens = _Bucket(tpm, now) if tpm else None
        self._pump()

    @property
    def limit(self) -> int:
        """Calls that may be in flight now."""
        return max(1, int(self._limit))

    @property
    def _highest(self) -> int:
        return self._ceiling or self._maximum

    def admit(self, lane: Hashable, size: int) -> Ticket:
        """Block until a call of ``size`` bytes may start. Lanes (jobs) take turns."""
        if not self._waiting:
            ticket = self._try(size)
            if ticket is not None:
                return ticket
        waiting = _Waiting(size)
        self._waiting.setdefault(lane, deque()).append(waiting)
        self._pump()
        try:
            waiting.event.wait()
        except BaseException:
            if waiting.admitted is not None:
                self.settle(waiting.admitted, None, 0)
            else:
                self._forget(lane, waiting)
            raise
        return waiting.admitted

    def settle(self, ticket: Ticket, finding: Finding | None, latency_ms: int) -> None:
        """The call has ended; ``finding`` None where it was given up."""
        self._in_flight -= 1
        now = self._clock()
        if finding is not None:
            self._settle_tokens(ticket, finding)
            if finding.cause in _REFUSALS:
                self._refused(ticket, finding, now)
            elif finding.cause is None:
                self._answered(ticket, latency_ms / 1000)
            self._heed(finding, now)
        self._pump()

    def state(self) -> GovernorState:
        now = self._clock()
        self._used(now, 0, 0)
        left = max(0.0, self._cooldown_until - now)
        return GovernorState(
            limit=self.limit,
            in_flight=self._in_flight,
            learning=self._ceiling is None,
            cooldown_s=round(left, 1),
            reason=self._reason if left > 0 else "",
            rpm_used=sum(starts for _, starts, _ in self._recent),
            tpm_used=max(0, sum(tokens for _, _, tokens in self._recent)),
        )

    def cooldown_left_s(self) -> float:
        return max(0.0, self._cooldown_until - self._clock())

    @property
    def _share_over(self) -> float:
        """Two rounds, so that chance alone does not look like a limit."""
        return max(SHARE_OVER, 2 * self._limit)

    # --- admission --------------------------------------------------------------------------

    def _try(self, size: int) -> Ticket | None:
        """Start a call now if everything allows it, else see to it that we look again in time."""
        now = self._clock()
        if self._in_flight >= self.limit:
            self._full_at = now
            return None  # the next call that ends looks again
        tokens = int(size * self._tokens_per_byte)
        wait = max(self._cooldown_until, self._next_start) - now
        if self._requests is not None:
            wait = max(wait, self._requests.wait_s(1, now))
        if self._tokens is not None:
            wait = max(wait, self._tokens.wait_s(tokens, now))
        if wait > 1e-6:
            self._look_again(now + wait)
            return None
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(tokens)
        if self._pace_s:
            self._next_start = now + self._pace_s
        self._in_flight += 1
        self._used(now, 1, tokens)
        return Ticket(now, tokens, size)

    def _pump(self) -> None:
        """Admit whoever waits, one lane after the other, while calls may start."""
        while self._waiting:
            lane, queue = next(iter(self._waiting.items()))
            ticket = self._try(queue[0].size)
            if ticket is None:
                return
            waiting = queue.popleft()
            if queue:
                self._waiting.move_to_end(lane)
            else:
                del self._waiting[lane]
            waiting.admitted = ticket
            waiting.event.set()

    def _forget(self, lane: Hashable, waiting: _Waiting) -> None:
        queue = self._waiting.get(lane)
        if queue is not None and waiting in queue:
            queue.remove(waiting)
            if not queue:
                del self._waiting[lane]

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

    # --- learning ---------------------------------------------------------------------------

    def _answered(self, ticket: Ticket, latency_s: float) -> None:
        self._latency_s += 0.1 * (latency_s - self._latency_s)
        self._refused_share -= self._refused_share / self._share_over
        self._cooldown_s = FIRST_COOLDOWN_S
        self._pace_s = 0.0
        if self._full_at < ticket.started:
            return  # the limit was not reached meanwhile: this success says nothing about it
        if self._limit < self._threshold:
            self._limit += 1.0
        else:
            self._limit += 1.0 / self._limit
        self._limit = min(self._limit, float(self._highest))

    def _refused(self, ticket: Ticket, finding: Finding, now: float) -> None:
        """Cool everybody down once: refusals of calls that had started before are the same one."""
        self._refused_share += (1.0 - self._refused_share) / self._share_over
        crowded = self._refused_share > TOLERATED_SHARE
        if crowded and ticket.started >= self._decreased_at:
            self._decreased_at = now
            self._limit = max(1.0, min(self._limit, self._in_flight + 1) * BACK_OFF_TO)
            self._threshold = self._limit
            self._refused_share = TOLERATED_SHARE / 2
        if finding.retry_after_s is not None:
            self._cool_until(now + finding.retry_after_s, finding)
        elif crowded or finding.cause is Cause.RATE_LIMIT:
            if ticket.started < self._cooled_at:
                return
            self._cool_until(now + self._cooldown_s, finding)
            self._cooldown_s = min(self._cooldown_s * 2, LONGEST_COOLDOWN_S)
            self._cooled_at = now
        # after a cooldown calls start one by one, a round spread over the usual latency
        if self._cooldown_until > now:
            self._pace_s = min(1.0, self._latency_s / max(1.0, self._limit))

    def _cool_until(self, at: float, finding: Finding) -> None:
        if at > self._cooldown_until:
            self._cooldown_until = at
            self._reason = f"{finding.http_status or ''} {finding.cause}".strip()

    def _heed(self, finding: Finding, now: float) -> None:
        """A provider that says “none remaining” would refuse the next call."""
        limits = finding.limits
        if limits is None:
            return
        for remaining, reset in (
            (limits.remaining_requests, limits.reset_requests_s),
            (limits.remaining_tokens, limits.reset_tokens_s),
        ):
            if remaining == 0 and reset and now + reset > self._cooldown_until:
                self._cooldown_until = now + min(reset, WINDOW_S)
                self._reason = "no requests or tokens remaining"

    def _settle_tokens(self, ticket: Ticket, finding: Finding) -> None:
        used = finding.usage.total if finding.usage is not None else None
        if used is None:
            used = ticket.tokens if finding.cause is None else 0
        elif ticket.size:
            ratio = used / ticket.size
            self._tokens_per_byte += 0.05 * (ratio - self._tokens_per_byte)
        if self._tokens is not None:
            self._tokens.take(used - ticket.tokens)
        self._used(self._clock(), 0, used - ticket.tokens)

    def _used(self, now: float, starts: int, tokens: int) -> None:
        """Note what was used in this second, and forget what is a minute old."""
        second = int(now)
        if not self._recent or self._recent[-1][0] != second:
            self._recent.append([second, 0, 0])
            while self._recent[0][0] <= second - WINDOW_S:
                self._recent.popleft()
        last = self._recent[-1]
        last[1] += starts
        last[2] += tokens
