"""Outage detection: tells an endpoint that is away from requests that fail for their own reasons.

During an outage no call starts but a probe, which is one of the pending requests. Nothing that
fails meanwhile is charged to a request. The first success ends the outage.
"""

import math
import time
from collections.abc import Callable
from typing import Protocol

import gevent
import msgspec
from gevent.event import Event

from ..core.clock import now_ms
from ..core.domain import Cause, RequestResult, Verdict, Waiting
from ..core.messages import translatable
from ..core.stored_messages import EVERY_CALL_TIMES_OUT, recognised
from .classify import Classification

ENOUGH = 12  # failures in a row; with 30 % of stray failures one streak in two million is so long
MANY = 48  # failures that are no chance, however short the time
FEW = 5  # the same where stray failures are not expected
SHORTEST_S = 0.25  # of a streak: calls that fail do so sooner than others are answered
_CAUSES = frozenset({Cause.CONNECTION, Cause.TIMEOUT, Cause.OVERLOADED})
_TIMEOUT_STATUSES = frozenset({408, 504, 522, 524, 598, 599})


class OutagePolicy(msgspec.Struct, frozen=True):
    """Seconds before the first probe, the longest time between two (it doubles up to that), and how
    long an outage may last before the job pauses (0: forever)."""

    probe_first_s: float = 2.0
    probe_max_s: float = 60.0
    wait_max_s: float = 3600.0


class Listener(Protocol):
    """Is informed of outages."""

    def outage_began(self, reason: str) -> None: ...
    def outage_ended(self, seconds: float) -> None: ...

    def longer_timeout(self) -> bool:
        """Every call exceeds the time-out: raise it once, if that is allowed. Returns whether it was."""
        ...

    def timeout_s(self) -> float: ...


class Calls(Protocol):
    """The calls of a pool."""

    @property
    def exhausted(self) -> bool:
        """Whether every request has had its first call."""
        ...

    def calling_for(self, seconds: float) -> int:
        """Calls in flight that began at least that long ago."""
        ...

    def outage_began(self) -> None: ...


def passes(finding: Classification, answers: bool = False) -> bool:
    """Whether a failure is of a kind that an outage causes, and that goes away by itself. ``answers``:
    the endpoint has answered before; a page in place of an answer is the fault of a wrong base URL
    otherwise."""
    if finding.verdict not in (Verdict.RETRY, Verdict.WAIT) or finding.tier_refused:
        return False
    if finding.foreign and answers:
        return True
    return finding.cause in _CAUSES or finding.unavailable


class _Streak:
    """Failures in a row, the last ``unreached`` of them without a connection. ``number`` counts
    streaks."""

    def __init__(self, number: int):
        self.number = number
        self.count = self.unreached = self.timeouts = 0
        self.requests: set[int] = set()
        self.kinds: set[tuple[Cause | None, int | None]] = set()
        self.began = self.ended = 0.0  # of the first failed call

    def add(self, request: int, finding: Classification, now: float, latency_s: float) -> None:
        if not self.count:
            self.began, self.ended = now - latency_s, now
        self.count += 1
        self.unreached = 0 if finding.reached else self.unreached + 1
        self.timeouts += finding.cause is Cause.TIMEOUT or finding.http_status in _TIMEOUT_STATUSES
        self.kinds.add((finding.cause, finding.http_status))
        if len(self.requests) < ENOUGH:
            self.requests.add(request)


class OutageDetector:
    """Watches the endpoint of one pool. ``group`` are the detectors of all endpoints that a job is
    spread over: an outage begins when all suspect one, and ends for all at the first success.
    ``answered_before``: a request of the job has succeeded in an earlier run. ``expired(seconds,
    reason)`` is called when an outage lasts too long."""

    def __init__(
        self,
        policy: OutagePolicy,
        listener: Listener,
        calls: Calls,
        expired: Callable[[float, str], None],
        answered_before: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._policy = policy
        self._listener = listener
        self._calls = calls
        self._expired = expired
        self._clock = clock
        self.answers = answered_before  # a request has succeeded
        self.group: list[OutageDetector] = [self]
        self._streak = _Streak(0)
        self.suspects = False
        self.waiting: Waiting | None = None  # while the endpoint is away
        self._began = 0.0
        self._ended = -math.inf
        self._refused_since: float | None = None  # by rate limits, without an answer in between
        self._finding: Classification | None = None
        self._up = Event()
        self._up.set()
        self._waiters: dict[object, Event] = {}
        self._probe: object = None
        self._probe_ended = Event()
        self._prober: gevent.Greenlet[..., None] | None = None

    @property
    def down(self) -> bool:
        return self.waiting is not None

    @property
    def streak(self) -> int:
        """Number of the present streak of failures; another one after each success."""
        return self._streak.number

    @property
    def refused_s(self) -> float:
        """For how long rate limits have refused calls and nothing was answered."""
        return 0.0 if self._refused_since is None else self._clock() - self._refused_since

    def holds(self, call: object) -> bool:
        """Whether a call may not start now: it is not the probe of an outage."""
        return self.waiting is not None and self._probe is not call

    def succeeded(self) -> None:
        """A request got its answer."""
        self.answers = True
        self._refused_since = None
        if self._streak.count or any(each.waiting is not None for each in self.group):
            self._answered()

    def failed(
        self, call: object, request: int, finding: Classification, latency_s: float, last: bool
    ) -> bool:
        """Note a failed attempt of a request; ``last``: it may not be tried again. Returns True if
        the attempt is not charged to the request, because the endpoint is away."""
        self._note_refusal(finding)
        if not passes(finding, self.answers):
            if finding.verdict is not Verdict.RETRY:
                self._answered()  # not with an answer of use, but the endpoint is there
            return self._failed_meanwhile(call, finding)
        now = self._clock()
        if self.waiting is not None:
            return self._failed_meanwhile(call, finding)
        if now - latency_s < self._ended:
            return True  # it began during the last outage
        self._finding = finding
        self._streak.add(request, finding, now, latency_s)
        self.suspects = self.suspects or self._suspect(latency_s, last)
        if self.suspects and all(each.suspects for each in self.group):
            for each in self.group:
                each.begin()
            return True
        return False

    def _note_refusal(self, finding: Classification) -> None:
        if finding.verdict is Verdict.FINAL:
            self._refused_since = None
        elif finding.cause is Cause.RATE_LIMIT and self._refused_since is None:
            self._refused_since = self._clock()

    def explains(self, result: RequestResult) -> bool:
        """Whether an outage, if there is one, explains why a request failed."""
        return (result.cause, result.http_status) in self._streak.kinds

    def begin_at_end(self) -> bool:
        """Begin an outage, if it is likely, when no request is left to try: nothing was ever answered, or
        several requests have failed again and again. Returns whether it was begun."""
        streak = self._streak
        several = streak.count >= ENOUGH and len(streak.requests) > 1
        likely = not self.answers or (several and not self._slowest_are_left)
        if not streak.count or not likely:
            return False
        self.begin()
        return True

    def _failed_meanwhile(self, call: object, finding: Classification) -> bool:
        if self.waiting is None:
            return False
        if call is self._probe:
            self._finding = finding
            self.left(call)
        return True

    def _suspect(self, latency_s: float, last: bool) -> bool:
        streak = self._streak
        if streak.unreached >= FEW or (last and streak.unreached):
            return True  # what never reached the endpoint is not to blame
        only_timeouts = streak.timeouts == streak.count
        if self._slowest_are_left:
            return False
        unusual = len(self.group) > 1 or (only_timeouts and not self.answers)
        if streak.count < (FEW if unusual else ENOUGH):
            return False
        if self.answers and len(streak.requests) < 2:
            return False
        age_s = self._clock() - (streak.ended if self.answers else streak.began)
        if age_s < SHORTEST_S and streak.count < MANY:
            return False
        # calls that live longer than those that failed are probably being answered
        least_s = 0.0 if age_s < SHORTEST_S else 2 * latency_s + 0.1
        return self._calls.calling_for(least_s) <= streak.count / 2

    @property
    def _slowest_are_left(self) -> bool:
        """Whether only a few requests are left that exceed the time-out: the slowest come last."""
        streak = self._streak
        few_time_out = streak.timeouts == streak.count and len(streak.requests) < ENOUGH
        return few_time_out and self.answers and self._calls.exhausted

    def begin(self) -> None:
        """The endpoint is away."""
        if self.waiting is not None:
            return
        self._began = self._clock()
        first_s = self._policy.probe_first_s
        if self._all_timed_out and self._listener.longer_timeout():
            first_s = 0.0
        self.waiting = Waiting(now_ms(), str(self._reason()), now_ms() + round(1000 * first_s))
        self._up.clear()
        self._prober = gevent.spawn(self._probe_until_up, first_s)
        self._calls.outage_began()

    @property
    def _all_timed_out(self) -> bool:
        finding = self._finding
        return (
            self._streak.timeouts == self._streak.count
            and finding is not None
            and finding.cause is Cause.TIMEOUT
            and finding.http_status is None
        )

    def _reason(self) -> str:
        """In the words of the provider or of the transport."""
        finding = self._finding
        if finding is None:
            return ""
        if self._all_timed_out:
            return EVERY_CALL_TIMES_OUT(seconds=f"{self._listener.timeout_s():g}")
        message = recognised(finding.message, finding.http_status)
        if (finding.http_status or 0) >= 300 and finding.message != f"HTTP {finding.http_status}":
            return translatable(
                "HTTP %(status)s: %(message)s", status=finding.http_status, message=message
            )
        return message

    def _answered(self) -> None:
        """End the streak and the outage, here and at the other endpoints of the job."""
        self._begin_streak()
        # A listener may block. An outage that began again meanwhile at an endpoint that has ended its own,
        # while another has not, would have no success to end it.
        ended = [each for each in self.group if each.end()]
        for each in ended:
            each.report_end()

    def _begin_streak(self) -> None:
        self._streak = _Streak(self._streak.number + 1)
        self.suspects = False

    def end(self) -> bool:
        """End the outage here. Returns False if there is none."""
        if self.waiting is None:
            return False
        self.waiting, self._probe = None, None
        self._ended = self._clock()
        self._up.set()
        for waiter in list(self._waiters.values()):
            waiter.set()
        self._probe_ended.set()
        return True

    def report_end(self) -> None:
        """Report that the outage has ended. May block."""
        self._listener.outage_ended(self._ended - self._began)

    def close(self) -> None:
        """The pool has ended."""
        if self._prober is not None:
            self._prober.kill(block=False)
        self.waiting, self._probe = None, None
        self._up.set()

    def wait_until_up(self) -> None:
        self._up.wait()

    def wait(self, call: object) -> None:
        """Block a request that has been called until the outage is over or the request is the probe."""
        if not self.holds(call):
            return
        self._waiters[call] = waiter = Event()
        try:
            waiter.wait()
        finally:
            self._waiters.pop(call, None)

    def left(self, call: object) -> None:
        """A call is no longer the probe, if it was."""
        if call is self._probe:
            self._probe = None
            self._probe_ended.set()

    # --- probing ----------------------------------------------------------------------------

    def _probe_until_up(self, interval_s: float) -> None:
        # noted here: a database that is busy must not hold up the calls that fail
        self._listener.outage_began(self._reason())
        own = gevent.getcurrent()
        while self._probed_by(own):
            gevent.sleep(interval_s)
            if not self._probed_by(own):
                return
            if self._too_long():
                self._expired(self._clock() - self._began, self._reason())
                return
            if not self._waiters:
                self._end_for_new_request()
                return
            self._probe_ended.clear()
            self._probe, waiter = next(iter(self._waiters.items()))
            waiter.set()
            self._probe_ended.wait()
            interval_s = self._next_interval_s(interval_s)
            if self.waiting is not None:
                self.waiting = msgspec.structs.replace(
                    self.waiting,
                    reason=str(self._reason()),  # live states hold plain text
                    next_probe_at=now_ms() + round(1000 * interval_s),
                )

    def _probed_by(self, prober: object) -> bool:
        """Whether the outage of this prober goes on: it may have ended, and another begun, while the prober
        slept or noted it."""
        return self.waiting is not None and self._prober is prober

    def _end_for_new_request(self) -> None:
        """No request waits: the next one that comes is the probe."""
        self._begin_streak()
        if self.end():
            self.report_end()

    def _next_interval_s(self, interval_s: float) -> float:
        asked = self._finding.retry_after_s if self._finding is not None else None
        first, longest = self._policy.probe_first_s, self._policy.probe_max_s
        doubled = max(min(first, longest), min(longest, 2 * interval_s))
        if not self._policy.wait_max_s:
            return max(doubled, asked or 0.0)
        left = self._policy.wait_max_s - (self._clock() - self._began)
        return max(0.0, min(max(doubled, asked or 0.0), left))

    def _too_long(self) -> bool:
        longest = self._policy.wait_max_s or math.inf
        return self._clock() - self._began >= longest
