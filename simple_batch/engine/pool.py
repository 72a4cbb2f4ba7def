"""An iterable of requests → bounded greenlets → results."""

import contextlib
import logging
import random
import time
from collections.abc import Callable, Collection, Iterable, Sequence

import gevent
from gevent.event import Event

from ..core.clock import now_ms
from ..core.domain import Attempt, Cause, Request, RequestResult, RequestStatus
from ..core.stored_messages import PROGRAM_FAULT
from .breaker import Breaker, PauseReason, no_answer
from .failure_guard import FailureGuard, GuardPolicy, Held
from .limiters import Dismissed, Limiters, Permit
from .load_balancer import ELSEWHERE
from .long_waits import own_failure
from .outage import Listener, OutageDetector, OutagePolicy
from .packed_request import PackedRequest, members, results, tried
from .packing import RequestPacker
from .parameter_adjuster import ParameterAdjuster
from .parameter_guard import ParameterGuard
from .retry import Abandoned, Policy, Poster, RetryingCall, StopAll
from .service_tier import TierFallback
from .spend_limit import CapReached
from .start_limit import GROWS_EVERY_S, PARTS, StartLimit
from .structured_output import Structure

log = logging.getLogger(__name__)

SLACK = 100  # requests waiting for a retry beyond twice the limit


class Pool:
    """Runs requests of one job. ``limiters`` say when a call may start. ``structure`` is the structured output that answers must match; ``encode`` asks
    for it. ``packer`` packs several requests into a call. ``record_attempts(index, attempts)``
    receives the attempts, if any, of a request that stays pending. ``guard`` says when failures that
    are alike stop the pool, ``tier_fallback`` when a request leaves a service tier without room.
    ``adjuster`` decides about rejected parameters."""

    def __init__(
        self,
        encode: Callable[[Request], bytes],
        transport: Poster,
        limiters: Limiters,
        policy: Policy,
        record_attempts: Callable[[int, tuple[Attempt, ...]], None],
        structure: Structure | None = None,
        packer: RequestPacker | None = None,
        guard: GuardPolicy | None = None,
        tier_fallback: TierFallback | None = None,
        adjuster: ParameterAdjuster | None = None,
    ):
        self._tier_fallback = tier_fallback
        self._encode = encode
        self._transport = transport
        self._limiters = limiters
        self._policy = policy
        self._structure = structure
        self._packer = packer
        self._record_attempts = record_attempts
        self._record: Callable[[RequestResult], None] = lambda result: None  # until run
        self._rng = random.Random()  # noqa: S311 - jitter, not a secret # nosec B311
        self._breaker = Breaker()
        guard = guard or GuardPolicy(0, 0)
        self._guard = FailureGuard(guard)
        self._start_limit = StartLimit(guard.first, guard.later if guard.first else 0)
        self._adjuster = adjuster
        self._parameters = ParameterGuard()
        self.outages: OutageDetector | None = None  # if watch_outages was called
        # set if what fails here may go to another endpoint: gets the index of a request held back
        self.on_held: Callable[[int], None] | None = None
        # gets the index of a request after each attempt, and whether an answer came
        self.on_called: Callable[[int, bool], None] | None = None
        self._stop: PauseReason | None = None
        self._stopping = False
        self._calls: dict[RetryingCall, gevent.Greenlet[..., None]] = {}
        self._parts: set[RetryingCall] = set()  # of packs that were taken apart
        self._parts_left: list[RetryingCall] = []  # that have not started
        self._ended = Event()
        self._dispatcher: gevent.Greenlet[..., None] | None = None

    def watch_outages(
        self, policy: OutagePolicy, listener: Listener, answered_before: bool = False
    ) -> None:
        """Wait while the endpoint is away. ``answered_before``: requests of the job have succeeded."""
        self.outages = OutageDetector(policy, listener, self, self._away_too_long, answered_before)

    def _away_too_long(self, seconds: float, reason: str) -> None:
        self._halt(no_answer(seconds, reason))

    @property
    def exhausted(self) -> bool:
        """Whether every request has had its first call."""
        return self._dispatcher is not None and self._dispatcher.ready()

    def calling_for(self, seconds: float) -> int:
        """Calls in flight that began at least that long ago."""
        before = time.monotonic() - seconds
        return sum(call.calling and call.called_at <= before for call in self._calls)

    def outage_began(self) -> None:
        """Failures held back that the outage explains are tried again after it."""
        for held in self._guard.explained():
            self._start(held.call, None)

    @property
    def in_flight(self) -> Collection[int]:
        """Indices of the requests that are being called."""
        return self._in_state(RequestStatus.IN_FLIGHT)

    @property
    def retrying(self) -> Collection[int]:
        """Indices of the requests that wait for another try."""
        return self._in_state(RequestStatus.RETRYING)

    @property
    def calls(self) -> int:
        """Calls in flight: fewer than requests where these are packed."""
        return sum(call.state is RequestStatus.IN_FLIGHT for call in self._calls)

    def run(
        self, requests: Iterable[Request | None], record: Callable[[RequestResult], None]
    ) -> PauseReason | None:
        """Run them all; returns when each has ended, or why the pool stopped by itself.

        None among the requests is a pause: the packs that are open then are sent.
        ``record`` may block (backpressure). A request is taken from the iterable only when its
        call may start: memory is bounded by the concurrency.
        """
        self._record = record
        try:
            return self._run(requests)
        finally:
            if self.outages is not None:
                self.outages.close()

    def _run(self, requests: Iterable[Request | None]) -> PauseReason | None:
        self._dispatcher = gevent.spawn(self._dispatch, requests)
        self._dispatcher.join()
        if self._dispatcher.exception is not None:
            self.stop()
            self._join()
            raise self._dispatcher.exception
        self._join()
        self._settle_waits()
        self._settle_guard()
        self._settle_held()
        self._settle_parameters()
        return self._stop

    def adjust(self, policy: Policy) -> None:
        """Apply edited settings: the policy holds for requests that start from now on."""
        self._policy = policy

    def stop(self) -> None:
        """No new calls. Calls in flight finish; what waits is given up and stays pending."""
        self._stopping = True
        self._give_up_waiting()

    def _give_up_waiting(self) -> None:
        if self._dispatcher is not None:
            self._dispatcher.kill(block=False)
        self._give_up_parts()
        for call, greenlet in list(self._calls.items()):
            if call.waiting:
                greenlet.kill(Abandoned, block=False)

    def ready(self) -> bool:
        """Returns False if this process lacks a shared resource that a call needs: a share of the
        limits, or spend. It then asks for it."""
        return self._limiters.ready()

    def withdraw(self) -> None:
        """Start no more calls in this run: waiting requests are given up and stay pending, and ``run``
        returns when the calls in flight have ended. It may be called again."""
        self._give_up_waiting()

    def let_go(self) -> None:
        """Give up the requests that wait for a first call or a retry; new requests go on."""
        self._limiters.dismiss()
        self._give_up_parts()
        for call, greenlet in list(self._calls.items()):
            if call.waiting and call.attempts:
                greenlet.kill(Abandoned, block=False)

    def _give_up_parts(self) -> None:
        parts, self._parts_left = self._parts_left, []
        for part in parts:
            self._leave(part.request, part.attempts)

    def kill(self, grace_s: float) -> None:
        """Stop, and cut what is still in flight after the grace (seconds)."""
        self.stop()
        gevent.spawn_later(grace_s, self._cut)

    def _cut(self) -> None:
        for call, greenlet in list(self._calls.items()):
            if call.calling or call.waiting:  # never a call that is delivering its result
                greenlet.kill(Abandoned, block=False)

    def _in_state(self, state: RequestStatus) -> list[int]:
        calls = [call for call in self._calls if call.state is state]
        return [request.index for call in calls for request in members(call.request)]

    def _join(self) -> None:
        while self._calls:
            self._ended.clear()
            self._ended.wait()

    # --- dispatching ------------------------------------------------------------------------

    def _dispatch(self, requests: Iterable[Request | None]) -> None:
        if self._packer is None:
            self._begin_all(request for request in requests if request is not None)
            return
        with contextlib.closing(self._packer.packs(requests, self._leave)) as packs:
            self._begin_all(packs)

    def _begin_all(self, requests: Iterable[Request]) -> None:
        for request in requests:
            try:
                begun = not self._stopping and self._begin(request)
            except BaseException:
                self._leave(request)
                raise
            if not begun:
                self._leave(request)
            if self._stopping:
                return

    def _begin(self, request: Request) -> bool:
        """Start one request when its call may start. Returns False if it was dismissed."""
        self._wait_for_room()
        try:
            call = self._new_call(request)
        except Exception as error:
            self._broken(request, error)
            return True
        try:
            permit = self._first_permit(call.size)
        except CapReached as spent:
            self._halt(spent.stop)
            return False
        except Dismissed:
            return False
        self._start(call, permit)
        return True

    def _first_permit(self, size: int) -> Permit:
        """Wait until a request may have its first call. Raises CapReached, or Dismissed."""
        while True:
            if self.outages is not None:
                self.outages.wait_until_up()
            permit = self._acquire(size)
            if self.outages is None or not self.outages.down:
                return permit
            self._limiters.settle(permit, None, 0)

    def _acquire(self, size: int) -> Permit:
        """A permit for a first call. None is given for a moment if the calls in flight will tell whether
        a long wait is for all (long_waits.py). Raises CapReached, or Dismissed."""
        permit = self._limiters.acquire(size)
        while (hold_s := self._breaker.waits.hold_s) and self._in_flight():
            self._limiters.settle(permit, None, 0)
            self._ended.clear()
            self._ended.wait(hold_s)
            permit = self._limiters.acquire(size)
        if self._stopping:
            self._limiters.settle(permit, None, 0)
            raise Dismissed
        return permit

    def _start(self, call: RetryingCall, permit: Permit | None) -> None:
        greenlet = gevent.Greenlet(self._work, call, permit)
        self._calls[call] = greenlet
        greenlet.start()

    def _wait_for_room(self) -> None:
        slack = SLACK if self._packer is None else SLACK // self._packer.max_inputs
        while len(self._calls) >= 2 * self._limiters.limit + slack:
            self._ended.clear()
            self._ended.wait()
        while not self._may_start():
            self._ended.clear()
            self._ended.wait(GROWS_EVERY_S)

    def _may_start(self) -> bool:
        """Whether one more request may be tried (start_limit.py)."""
        if not self._start_limit.holds:
            return True
        alike = self._guard.alike
        silent = not len(self._guard) and not any(call.attempts for call in self._calls)
        return self._start_limit.allows(len(self._calls) + len(self._parts_left), alike, silent)

    def _in_flight(self) -> int:
        """Calls that are made, and parts of packs that are about to be."""
        made = sum(call.calling or not call.attempts or call in self._parts for call in self._calls)
        return made + len(self._parts_left)

    def _new_call(self, request: Request) -> RetryingCall:
        return RetryingCall(
            request,
            encode=self._encode,
            transport=self._transport,
            limiters=self._limiters,
            policy=self._policy,
            rng=self._rng,
            structure=self._structure,
            outages=self.outages,
            tier_fallback=self._tier_fallback,
            called=self._note_call,
            adjuster=self._adjuster,
        )

    def _note_call(self, index: int, answered: bool) -> None:
        if self._start_limit.called(answered):
            self._start_parts()
            self._ended.set()
        if self.on_called is not None:
            self.on_called(index, answered)

    # --- one request, or a pack -------------------------------------------------------------

    def _work(self, call: RetryingCall, permit: Permit | None) -> None:
        try:
            if permit is None and self._stopping:
                raise Abandoned
            result = call.run(permit)
            if not self._take_apart(call, result):
                self._finish(call, result)
        except StopAll as stopped:
            self._parts.discard(call)
            self._hold(stopped)
        except CapReached as spent:
            self._leave(call.request, call.attempts)
            self._halt(spent.stop)
        except Abandoned:
            self._leave(call.request, call.attempts)
        except Exception as error:
            self._broken(call.request, error, tuple(call.attempts))
        finally:
            self._calls.pop(call, None)
            if self.outages is not None:
                self.outages.left(call)
            self._parts.discard(call)
            self._start_parts()
            self._ended.set()

    def _take_apart(self, call: RetryingCall, result: RequestResult) -> bool:
        """Whether the parts of a pack are tried instead."""
        if self._packer is None:
            return False
        halves = self._packer.apart(call.request, result)
        self._parts_left += [call.split(request, failed) for request, failed in halves]
        self._start_parts()
        return bool(halves)

    def _start_parts(self) -> None:
        """Start the parts of packs, the smallest first; while nothing was answered, few at a time."""
        while self._parts_left and (not self._start_limit.holds or len(self._parts) < PARTS):
            part = self._parts_left.pop()
            self._parts.add(part)
            self._start(part, None)

    def _halt(self, stop: PauseReason) -> None:
        if self._stop is None:
            self._stop = stop
            self.stop()

    def _finish(self, call: RetryingCall, result: RequestResult) -> None:
        if result.status is RequestStatus.FAILED and self._hold_back(call, result):
            return
        self._note_end(result)
        released = result.status is RequestStatus.SUCCEEDED and self._stop is None
        if released and self._breaker.held:
            for stopped in self._breaker.succeeded():
                self._end(stopped.request, stopped.result)
        if released:
            for stopped in self._parameters.succeeded(call.request):
                self._end(stopped.request, stopped.result)
            self._note_answer(call)
            for held in self._guard.succeeded():
                self._end(held.call.request, held.result)
        self._end(call.request, result)

    def _note_end(self, result: RequestResult) -> None:
        """A request has ended for its own reasons, unless another endpoint may take it."""
        elsewhere = self.on_held is not None and result.cause in ELSEWHERE
        if (result.outcome is not None or not elsewhere) and self._start_limit.end():
            self._start_parts()
            self._ended.set()

    def _hold_back(self, call: RetryingCall, result: RequestResult) -> bool:
        """Hold a failed request back if the failure may be that of the whole job, or of an outage."""
        if self.on_held is not None and result.cause in ELSEWHERE:
            return False
        explained = self.outages is not None and self.outages.explains(result)
        if not explained and not self._guard.concerns(result):
            return False
        if self.on_held is not None:
            for request in members(call.request):
                self.on_held(request.index)
        stop = self._guard.failed(Held(call, result, explained))
        if stop is not None:
            self._halt(stop)
        for held in self._guard.overflow():
            self._end(held.call.request, held.result)
        return True

    def _note_answer(self, call: RetryingCall) -> None:
        for stopped in self._breaker.waits.succeeded(call.called_at):
            self._fail_alone(stopped)

    def _fail_alone(self, stopped: StopAll) -> None:
        """A long wait was that of this request: it has failed, or the parts of a pack are tried. If the
        provider was only overloaded, it is tried again."""
        result, call = own_failure(stopped), stopped.call
        if result.cause is Cause.OVERLOADED and call.takes_retry():
            self._start(call, None)
        elif not self._take_apart(call, result):
            self._end(stopped.request, result)

    def _end(self, request: Request, result: RequestResult) -> None:
        if self._packer is None:
            self._record(result)
            return
        for each in results(request, result):
            self._record(each)

    def _leave(self, request: Request, attempts: Sequence[Attempt] = ()) -> None:
        """Leave the request pending."""
        for index, own in tried(request, attempts):
            self._record_attempts(index, own)

    def _hold(self, stopped: StopAll) -> None:
        if stopped.parameter is not None:
            self._hold_parameter(stopped, stopped.parameter)
            return
        stop = self._breaker.failed(stopped, self._in_flight())
        if stop is not None and not self._try_smaller():
            self._halt(stop)

    def _hold_parameter(self, stopped: StopAll, parameter: str) -> None:
        """Hold a request back whose own parameter is rejected, unless others had it accepted."""
        if self._parameters.is_accepted(parameter):
            self._end(stopped.request, stopped.result)
            return
        if self.on_held is not None:
            for request in members(stopped.request):
                self.on_held(request.index)
        stop = self._parameters.failed(stopped, parameter)
        if stop is not None:
            self._halt(stop)

    def _settle_parameters(self) -> None:
        """At the end: requests with a rejected parameter stay pending; if nothing else was left to try,
        the job stops because of them."""
        if not self._parameters.held:
            return
        if self._stop is None and not self._stopping:
            self._stop = self._parameters.verdict()
        for stopped in self._parameters.release():
            self._leave(stopped.request, stopped.result.attempts)

    def _try_smaller(self) -> bool:
        """If nothing but packs was refused with a long wait, the parts of the smallest are tried: the
        others may all be too large."""
        held = self._breaker.waits.held
        if not held or not all(isinstance(one.request, PackedRequest) for one in held):
            return False
        smallest = min(held, key=lambda one: len(members(one.request)))
        held.remove(smallest)
        self._fail_alone(smallest)
        return True

    def _settle_waits(self) -> None:
        """At the end: a lone request with a long wait has failed. Others stop the job."""
        waits = self._breaker.waits
        while waits.held and self._stop is None and not self._stopping:
            own = waits.left_alone()
            for stopped in own:
                self._fail_alone(stopped)
            if not own and not self._try_smaller():
                break
            self._join()
        self._breaker.held += waits.held
        waits.held = []

    def _settle_guard(self) -> None:
        """At the end: failures that were too few to stop the job are those of their requests. Those
        that an outage explains wait for the endpoint if there probably is one."""
        while self._outage_is_likely():
            self._join()
        stopped = self._stop is not None or (self._stopping and not self._guard.answered)
        for held in self._guard.release():
            if stopped:
                self._leave(held.call.request, held.result.attempts)
            else:
                self._end(held.call.request, held.result)

    def _outage_is_likely(self) -> bool:
        if self._stop is not None or self._stopping or self.outages is None:
            return False
        return bool(self._guard) and self.outages.begin_at_end()

    def _settle_held(self) -> None:
        """At the end: requests that are held back stay pending, with their attempts noted. If nothing
        else was left to try, their failures stop the job."""
        if not self._breaker.held:
            return
        if self._stop is None and not self._stopping:
            self._stop = self._breaker.verdict()
        for stopped in self._breaker.succeeded():
            self._leave(stopped.request, stopped.result.attempts)

    def _broken(
        self, request: Request, error: Exception, attempts: tuple[Attempt, ...] = ()
    ) -> None:
        """An error in this program fails only the request that it hit."""
        log.error("request %s failed inside the program", request.index, exc_info=error)
        self._end(
            request,
            RequestResult(
                index=request.index,
                status=RequestStatus.FAILED,
                attempts=attempts,
                started_at=attempts[0].started_at if attempts else None,
                finished_at=now_ms(),
                latency_ms=attempts[-1].latency_ms if attempts else None,
                cause=Cause.INTERNAL,
                message=PROGRAM_FAULT(error=type(error).__name__),
            ),
        )
