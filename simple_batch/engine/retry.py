"""Retries one request until it has a result, with as many attempts as its policy allows."""

import copy
import math
import random
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

import gevent
import msgspec

from ..core.clock import now_ms
from ..core.domain import Attempt, Cause, Outcome, Request, RequestResult, RequestStatus, Verdict
from ..core.stored_messages import INTERRUPTED
from .call_result import attempt_of, is_delivered, judged, result_of
from .classify import KEPT, Classification, classify, classify_failure
from .governor import REFUSALS
from .limiters import Dismissed, Limiters, Permit
from .outage import OutageDetector
from .packed_request import PackedRequest
from .parameter_adjuster import MOST, ParameterAdjuster
from .service_tier import TierFallback, asked, can_be_left, without
from .structured_output import Structure
from .transport import Reply, TransportFailure
from .usage_estimate import with_estimate

STRAY_ROW = 8  # refusals in a row that chance may bring …
STRAY_TIMES = 2  # … while the backoff doubles only so often
_MIN_JITTER_S = 0.01
_A = TypeVar("_A")
_T = TypeVar("_T")


class Policy(msgspec.Struct, frozen=True):
    """``max_retries`` counts calls after the first. Waiting on rate limits costs no retry, but
    time: ``patience_s`` in all; a provider that asks for more at once stops the others too.
    ``deadline_s`` bounds a request's whole life, including the wait for a retry. ``own`` are causes
    that never stop the others: only the request itself has failed; ``own_parameters``: neither does a
    parameter of the user's line that the model rejects. Answers with an outcome of ``as_failed`` are
    failed attempts."""

    max_retries: int = 3
    backoff_base_s: float = 1.0
    backoff_max_s: float = 60.0
    patience_s: float = 900.0
    deadline_s: float = 3600.0
    attempt_timeout_s: float = math.inf
    own: frozenset[Cause] = frozenset()
    own_parameters: bool = False
    as_failed: frozenset[Outcome] = frozenset()


class StopAll(Exception):
    """Every further call would fail in the same way. The pool decides about this request.
    ``parameter`` is the one of the user's line that the model rejects, if it does."""

    def __init__(
        self,
        call: "RetryingCall",
        finding: Classification,
        result: RequestResult,
        parameter: str | None = None,
    ):
        super().__init__(finding.message)
        self.parameter = parameter
        self.call = call
        self.ended_at = call.ended_at
        self.request = call.request
        self.finding = finding
        self.result = result


class Abandoned(gevent.GreenletExit):
    """Thrown into a request's greenlet: the request ends now and stays pending."""


class Poster(Protocol):
    """Makes one attempt."""

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        """Raises TransportFailure where no whole answer came in ``timeout_s`` seconds."""
        ...


class RetryingCall:
    """Calls one request, or a pack of requests, until it has a result. ``state`` is in flight or
    retrying. ``called(index, answered)`` is called after each attempt."""

    __slots__ = (
        "_adjusted",
        "_adjuster",
        "_begun",
        "_body",
        "_called",
        "_clock",
        "_encode",
        "_failed",
        "_first_token_ms",
        "_level",
        "_limiters",
        "_outages",
        "_patience",
        "_policy",
        "_refusals",
        "_retries",
        "_retries_before",
        "_rng",
        "_shape",
        "_sleep",
        "_started_at",
        "_streak",
        "_structure",
        "_tier",
        "_tier_fallback",
        "_tier_left",
        "_tier_refusals",
        "_transport",
        "attempts",
        "called_at",
        "calling",
        "ended_at",
        "request",
        "state",
        "waiting",
    )

    def __init__(
        self,
        request: Request,
        *,
        encode: Callable[[Request], bytes],
        transport: Poster,
        limiters: Limiters,
        policy: Policy,
        rng: random.Random,
        structure: Structure | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = gevent.sleep,
        outages: OutageDetector | None = None,
        tier_fallback: TierFallback | None = None,
        called: Callable[[int, bool], None] | None = None,
        adjuster: ParameterAdjuster | None = None,
    ):
        self.request = request
        self._tier_fallback = tier_fallback
        self._tier_refusals, self._tier_left = 0, False
        self._called = called
        self._adjuster = adjuster
        self._adjusted = 0  # times that it was sent again because of a rejected parameter
        self._encode = encode
        self._structure = structure
        self._ask()
        self._transport = transport
        self._limiters = limiters
        self._policy = policy
        self._rng = rng
        self._clock = clock
        self._sleep = sleep
        self._outages = outages
        self._retries = 0
        self._streak, self._retries_before = -1, 0  # retries when the streak of failures began
        self._refusals = 0  # by rate limits: they cost no retry
        self._patience = 0.0
        self._begun = 0.0  # set by run
        self._started_at = 0  # epoch ms; 0: not yet
        self._failed: RequestResult | None = None  # where the last attempt would be the last
        self._first_token_ms: int | None = None  # of the last answer, if it came as a stream
        self.state = RequestStatus.IN_FLIGHT
        self.attempts: list[Attempt] = []
        self.called_at = self.ended_at = 0.0  # when the last call started and ended, by the clock
        self.calling = False  # a call is in flight
        self.called_at = 0.0  # when it began
        self.waiting = False  # in a backoff or at the governor: may be given up at no cost

    @property
    def size(self) -> int:
        """Bytes of the body as sent."""
        return len(self._body)

    def run(self, permit: Permit | None) -> RequestResult:
        """Call until it succeeds or may not be tried again. ``permit`` is that of the first call: there
        must be one, the deadline counts from here.
        Raises StopAll if the verdict is to stop, Abandoned if it is given up from outside."""
        if not self._started_at:
            self._begun, self._started_at = self._clock(), now_ms()
        while True:
            if permit is None:
                if self._failed is None:
                    raise ValueError("the first call needs a permit")
                permit = self._next_permit()
                if permit is None:
                    return self._failed
            ended = self._attempt(permit)
            permit = None
            if isinstance(ended, RequestResult):
                return ended
            if ended is not None:
                self.state = RequestStatus.RETRYING
                self._waiting_for(self._sleep, ended)

    def _attempt(self, permit: Permit) -> RequestResult | float | None:
        """Call once. Returns the result if it is final, else the seconds to wait before the next call
        (None: at once). A large answer is held no longer than this lasts. Raises StopAll."""
        finding = self._call(permit, max(0.1, self._left_s()))
        delivered = is_delivered(finding)
        if delivered and self._outages is not None:
            self._outages.succeeded()
        if finding.cause is None:
            return self._result(finding)
        failed = self._failed = self._result(finding)
        if (
            not delivered
            and self._structure
            and self._structure.falls_back(self.request, self._level, finding)
        ):
            self._ask()
            return None
        if finding.rejected is not None and not delivered and self._adjusts(finding, failed):
            return None
        charged = delivered or self._outages is None or not self._in_outage(self._outages, finding)
        if finding.tier_refused:
            return self._tier_wait_s(finding, failed)
        if self._stops(finding):
            raise StopAll(self, finding, failed)
        if not charged:
            self._failed = _lightened(failed)
            return None
        wait = self._wait_s(finding)
        if wait is None or wait >= self._left_s():
            return failed
        self.attempts[-1] = msgspec.structs.replace(self.attempts[-1], wait_ms=round(wait * 1000))
        if finding.cause is Cause.SCHEMA and self._structure:
            self._ask(finding)
        self._failed = _lightened(failed)
        return wait

    def _tier_wait_s(
        self, finding: Classification, failed: RequestResult
    ) -> RequestResult | float | None:
        """As ``_attempt``, where the service tier has no room: the request waits for it, which costs no
        retry, or leaves it for the standard tier."""
        self._tier_refusals += 1
        fallback = self._tier_fallback
        own = asked(self.request.body) is not None  # a user's own line is sent as it is
        if fallback is not None and can_be_left(self._tier) and not own:
            self._tier_left = fallback.leaves(self._tier_refusals, self._left_s())
        wait = None if self._tier_left else self._wait_s(finding)
        if not self._tier_left and (wait is None or wait >= self._left_s()):
            return failed
        self.attempts[-1] = msgspec.structs.replace(
            self.attempts[-1], wait_ms=round((wait or 0.0) * 1000)
        )
        self._failed = _lightened(failed)
        if self._tier_left:
            self._ask()
        return wait

    def _adjusts(self, finding: Classification, failed: RequestResult) -> bool:
        """Whether the request is sent again at once because a rejected parameter is now sent in another
        way, or no longer. Raises StopAll for a parameter of the user's own line."""
        if self._adjuster is None:
            return False
        asked = self._structure.fields(self.request.url) if self._structure else {}
        found = self._adjuster.treat(self.request, self._body, finding, frozenset(asked))
        if found is not None and found.own is not None and not self._policy.own_parameters:
            raise StopAll(self, finding, failed, found.own)
        if found is None or found.own is not None or self._adjusted >= MOST:
            return False
        self._adjusted += 1
        sent = self._body
        self._ask()
        return self._body != sent

    def _in_outage(self, outages: OutageDetector, finding: Classification) -> bool:
        """Whether the attempt failed because the endpoint is away: then it costs the request nothing."""
        latency_s = self.attempts[-1].latency_ms / 1000
        if self._streak != outages.streak:
            self._streak, self._retries_before = outages.streak, self._retries
        last = self._retries >= self._policy.max_retries
        if not outages.failed(self, self.request.index, finding, latency_s, last):
            return False
        self._retries = self._retries_before
        self._begun += latency_s
        return True

    def _next_permit(self) -> Permit | None:
        """Wait until the next call may start; None where the deadline comes first."""
        while True:
            self._wait_for_endpoint()
            permit = self._acquire(self._left_s())
            if permit is None or self._outages is None or not self._outages.holds(self):
                return permit
            self._limiters.settle(permit, None, 0)

    def _wait_for_endpoint(self) -> None:
        """Wait until an outage is over, or until this is its probe. That costs neither retries nor
        time."""
        outages = self._outages
        if outages is None or not outages.holds(self):
            return
        if self._streak == outages.streak:
            self._retries = self._retries_before
        self.state = RequestStatus.RETRYING
        since = self._clock()
        self._waiting_for(outages.wait, self)
        self._begun += self._clock() - since

    def split(self, request: Request, failed: RequestResult) -> "RetryingCall":
        """The same for a part of a pack that has ``failed``: the time and the retries that this took
        count for the part too."""
        split = copy.copy(self)
        split.request, split._failed = request, failed
        split.attempts = list(failed.attempts)
        split.state = RequestStatus.RETRYING
        split._ask()
        return split

    def takes_retry(self) -> bool:
        """Use up one retry, if one is left; ``run`` then calls again without a backoff."""
        if self._retries >= self._policy.max_retries:
            return False
        self._retries += 1
        self.state = RequestStatus.RETRYING
        return True

    def _left_s(self) -> float:
        return self._policy.deadline_s - (self._clock() - self._begun)

    def _ask(self, wrong: Classification | None = None) -> None:
        """Make the body to be sent; ``wrong`` is an answer that the body reports as not fitting."""
        self._level = self._structure.level if self._structure else 0
        # what tells whether an answer is what was asked for
        self._shape = self._structure or (
            self.request if type(self.request) is PackedRequest else None
        )
        self._body = self._encode(self.request)
        if self._tier_left:
            self._body = without(self._body)
        self._tier = asked(self._body)
        if wrong is not None and self._structure is not None:
            self._body = self._structure.corrected(self.request.url, self._body, wrong)

    def _acquire(self, left_s: float) -> Permit | None:
        """Wait until the next call may start; None where the deadline comes first."""
        if left_s <= 0.0:
            return None
        expired = gevent.Timeout(left_s)
        with expired:
            try:
                return self._waiting_for(self._limiters.acquire, self.size)
            except Dismissed:
                raise Abandoned from None
            except gevent.Timeout as caught:
                if caught is not expired:
                    raise
                return None

    def _waiting_for(self, wait: Callable[[_A], _T], argument: _A) -> _T:
        self.waiting = True
        try:
            return wait(argument)
        finally:
            self.waiting = False

    def _call(self, permit: Permit, left_s: float) -> Classification:
        """Make one attempt; it is noted however it ends."""
        self.state = RequestStatus.IN_FLIGHT
        started_at, began, reply, finding = now_ms(), self._clock(), None, None
        self.calling, self.called_at, self._first_token_ms = True, began, None
        try:
            reply = self._transport.post(
                self.request.url, self._body, min(self._policy.attempt_timeout_s, left_s)
            )
            if reply.first_token_s is not None:
                self._first_token_ms = max(0, round(reply.first_token_s * 1000))
            finding = self._about_tier(classify(reply, self.request.url))
        except TransportFailure as failure:
            finding = classify_failure(failure)
        finally:
            self.calling, self.ended_at = False, self._clock()
            paused_s = 0.0 if reply is None else reply.paused_s
            latency_ms = max(0, round((self.ended_at - began - paused_s) * 1000))
            if finding is not None and finding.cause is None and finding.usage is None:
                finding = with_estimate(finding, self.request, self._body)
            self._limiters.settle(permit, finding, latency_ms)
            if finding is not None and finding.cause is None:
                finding = judged(finding, self._policy.as_failed, self._shape)
            self._note(finding, started_at, latency_ms)
            if self._called is not None:
                self._called(self.request.index, finding is not None and is_delivered(finding))
        return finding

    def _about_tier(self, finding: Classification) -> Classification:
        """A lack of room while a tier was asked for is one of that tier: the request may wait for it."""
        if not finding.no_capacity or self._tier is None:
            return finding
        return msgspec.structs.replace(finding, verdict=Verdict.WAIT, tier_refused=True)

    def _note(self, finding: Classification | None, started_at: int, latency_ms: int) -> None:
        number = len(self.attempts) + 1
        if finding is None:
            attempt = Attempt(number, started_at, latency_ms, Cause.CANCELLED, None, INTERRUPTED())
        else:
            attempt = attempt_of(finding, number, started_at, latency_ms)
        self.attempts.append(attempt)

    def _stops(self, finding: Classification) -> bool:
        """Whether every further call may fail alike: for its kind, for as long as the provider asks to
        be left alone, or because it has refused all calls for as long. The pool decides (breaker.py,
        long_waits.py)."""
        waited_s = 0.0
        if self._outages is not None and finding.cause is Cause.RATE_LIMIT:
            waited_s = self._outages.refused_s
        return stops(self._policy, finding, waited_s)

    def _wait_s(self, finding: Classification) -> float | None:
        """The backoff before the next call; None if there is no next call."""
        policy, asked = self._policy, finding.retry_after_s
        if finding.verdict is Verdict.WAIT:
            # the cooldown of all calls, else the request's own backoff
            wait = max(asked or 0.0, self._limiters.cooldown_left_s())
            if not wait:  # a wait of 0 says nothing either, or a refusal costs a hundred calls
                wait = self._jitter_s(_stray_times(self._refusals))
            wait = max(wait, _MIN_JITTER_S)
            self._refusals += 1
            self._patience += wait
            if self._patience > policy.patience_s:
                return None
            return wait
        if finding.verdict is not Verdict.RETRY or self._retries >= policy.max_retries:
            return None
        wait = self._jitter_s(self._retries)
        self._retries += 1
        return max(wait, asked or 0.0)

    def _jitter_s(self, times: int) -> float:
        """Exponential backoff with full jitter."""
        policy = self._policy
        longest = min(policy.backoff_max_s, policy.backoff_base_s * 2.0 ** min(times, 20))
        return max(_MIN_JITTER_S, self._rng.uniform(0.0, longest))

    def _result(self, finding: Classification) -> RequestResult:
        return result_of(
            finding,
            self.request.index,
            tuple(self.attempts),
            self._started_at,
            now_ms(),
            self.attempts[-1].latency_ms,
            self._tier_left,
            self._first_token_ms,
        )


def _stray_times(refusals: int) -> int:
    """The exponent of the backoff where no limit is known, so that the provider answers other requests:
    chance refuses some requests several times in a row, which must not wait a minute for it."""
    return (
        min(refusals, STRAY_TIMES) if refusals < STRAY_ROW else refusals - STRAY_ROW + STRAY_TIMES
    )


def stops(policy: Policy, finding: Classification, waited_s: float = 0.0) -> bool:
    """Whether every further call may fail alike: for its kind, or because all are refused for longer than
    the patience. ``waited_s``: how long they have been."""
    if finding.cause in policy.own:
        return False
    return finding.verdict is Verdict.STOP or (
        finding.cause in REFUSALS
        and max(waited_s, finding.retry_after_s or 0.0) > policy.patience_s
    )


def _lightened(failed: RequestResult) -> RequestResult:
    """A copy without the answer, if that is too large to keep during the next call."""
    if failed.response is None or len(failed.response) <= KEPT:
        return msgspec.structs.replace(failed, held=None)
    return msgspec.structs.replace(failed, response=None, held=None)
