"""Load balancer: spreads the requests of one job over several upstreams, as fast as each can take
them, by weight, or in order of preference.

Each upstream is an endpoint with its own pool and governor, and draws from one shared stream of
requests. When an upstream fails a request for a reason that lies with the endpoint, the request goes
to another upstream that has not tried it yet.
"""

import time
from collections import deque
from collections.abc import Callable, Iterator

from gevent.event import Event
from gevent.lock import BoundedSemaphore

from ..core.domain import Cause, Request, Spread
from .cache_gate import PrefixGate
from .prefix_window import RequestWindow

# The endpoint's fault rather than the request's: another one may answer.
ELSEWHERE = frozenset(
    {
        Cause.CONNECTION,
        Cause.TIMEOUT,
        Cause.SERVER_ERROR,
        Cause.OVERLOADED,
        Cause.RATE_LIMIT,
        Cause.QUOTA,
        Cause.AUTH,
        Cause.NOT_FOUND,
        Cause.BAD_RESPONSE,
        Cause.TOO_LARGE,  # another one may have a higher limit
    }
)
LOOK_S = 0.05  # polling interval of an upstream that has to wait
DOWN_AFTER = 5  # failures in a row
DOWN_S = (5.0, 60.0)  # how long an endpoint is ejected then; doubles


class Upstream:
    """One endpoint of the load balancer. ``cooling`` tells whether its governor is in a cooldown;
    ``at_once`` is the number of requests that it packs into a call. With a ``gate`` it draws the requests
    of a window by their prefixes (cache_gate.py)."""

    def __init__(
        self,
        weight: float,
        cooling: Callable[[], bool],
        clock: Callable[[], float],
        at_once: int = 1,
        gate: PrefixGate | None = None,
    ):
        self.weight = weight
        self.gate = gate
        self.at_once = at_once
        self.drawn = 0.0  # requests over weight
        self.absent = False  # it was not available since it last drew
        self.stopped = False  # it takes no more in this run
        self._cooling = cooling
        self._clock = clock
        self._failures = 0
        self._down_until = 0.0
        self._down_s = DOWN_S[0]

    @property
    def available(self) -> bool:
        return not (self.stopped or self.down or self._cooling())

    @property
    def down(self) -> bool:
        """Ejected by the passive health check: it failed several times in a row."""
        return self._clock() < self._down_until

    def answered(self) -> None:
        self._failures, self._down_s = 0, DOWN_S[0]

    def failed(self) -> bool:
        """Record a failure of the endpoint. Returns True if it is down from now on."""
        self._failures += 1
        if self._failures < DOWN_AFTER or self.down:
            return False
        self._down_until = self._clock() + self._down_s
        self._down_s = min(DOWN_S[1], 2 * self._down_s)
        return True


class LoadBalancer:
    """The upstreams draw from ``requests`` in one of three modes. Spread.FAST: each as fast as it
    can. Spread.WEIGHT: the available upstreams draw in proportion to their weights, so the slowest
    for its weight sets the pace. Spread.ORDER: an upstream draws only while no earlier one is
    available."""

    def __init__(
        self,
        requests: Iterator[Request] | RequestWindow,
        mode: Spread,
        clock: Callable[[], float] = time.monotonic,
    ):
        self._requests = requests
        self._mode = mode
        self._clock = clock
        self._upstreams: list[Upstream] = []
        self._lock = BoundedSemaphore(1)  # a generator cannot be entered twice at once
        self._exhausted = False
        self._out: dict[int, Request] = {}  # drawn and still running
        self._failed_by: dict[int, set[Upstream]] = {}  # the upstreams that failed each request
        self._returned: deque[Request] = deque()
        self._changed = Event()

    def add(
        self,
        weight: float,
        cooling: Callable[[], bool],
        at_once: int = 1,
        gate: PrefixGate | None = None,
    ) -> Upstream:
        """Add an upstream behind the existing ones."""
        upstream = Upstream(weight, cooling, self._clock, at_once, gate)
        self._upstreams.append(upstream)
        return upstream

    def draw(self, upstream: Upstream) -> Iterator[Request | None]:
        """Yield the requests for one upstream; ends when no more can come. An upstream that packs
        requests gets None when there is no request right now."""
        while not upstream.stopped:
            request = self._next(upstream) if upstream.available else None
            if request is not None:
                yield request
                if upstream.gate is not None:
                    upstream.gate.began(request.index)
                continue
            if self._exhausted and not self._out and not self._returned:
                return
            if upstream.at_once > 1:
                yield None
            self._changed.clear()
            self._changed.wait(LOOK_S)

    def ended(
        self, upstream: Upstream, index: int, cause: Cause | None, delivered: bool = False
    ) -> bool:
        """Note how a request ended. Returns False if it goes to another upstream instead: its failure
        must then not be recorded as its result. ``delivered``: it has failed because the job takes its
        answer for a failure."""
        request = self._out.pop(index, None)
        self._changed.set()
        if cause is None or delivered:
            upstream.answered()
        if not (delivered or cause in ELSEWHERE) or request is None:
            self._failed_by.pop(index, None)
            return True
        failed_by = self._failed_by.setdefault(index, set())
        failed_by.add(upstream)
        if all(other in failed_by or other.stopped for other in self._upstreams):
            del self._failed_by[index]
            return True
        self._returned.append(request)
        return False

    def held(self, index: int) -> None:
        """A request has failed here for good, though that is not recorded yet."""
        self._out.pop(index, None)
        self._failed_by.pop(index, None)
        self._changed.set()

    def abandoned(self, index: int) -> None:
        """A request was given up before it ended: any upstream may take it."""
        request = self._out.pop(index, None)
        if request is not None:
            self._returned.append(request)
        self._changed.set()

    def stop(self, upstream: Upstream) -> bool:
        """Stop an upstream. Returns True if no other is left."""
        upstream.stopped = True
        self._changed.set()
        return all(other.stopped for other in self._upstreams)

    def _is_its_turn(self, upstream: Upstream) -> bool:
        others = [other for other in self._upstreams if other is not upstream and other.available]
        if self._mode is Spread.FAST:
            return True
        if self._mode is Spread.ORDER:
            place = self._upstreams.index(upstream)
            return not any(self._upstreams.index(other) < place for other in others)
        for other in self._upstreams:
            other.absent |= other is not upstream and other not in others
        behind = min((other.drawn for other in others), default=upstream.drawn)
        if upstream.absent:  # an upstream that returns does not catch up
            upstream.absent, upstream.drawn = False, max(upstream.drawn, behind)
        return upstream.drawn <= behind + (upstream.at_once - 1) / upstream.weight

    def _next(self, upstream: Upstream) -> Request | None:
        request = self._taken_back(upstream)
        if request is None and not self._exhausted and self._is_its_turn(upstream):
            with self._lock:
                request = None if self._exhausted else self._drawn(upstream)
        if request is not None:
            self._out[request.index] = request
            upstream.drawn += 1 / upstream.weight
            self._changed.set()
        return request

    def _drawn(self, upstream: Upstream) -> Request | None:
        """A request that no upstream has drawn yet; None if there is none, or none for this one now."""
        if not isinstance(self._requests, RequestWindow):
            request = next(self._requests, None)
            self._exhausted = request is None
            return request
        request = self._requests.take(upstream.gate)
        self._exhausted = self._requests.exhausted
        return request

    def _taken_back(self, upstream: Upstream) -> Request | None:
        """A returned request that this upstream has not failed."""
        for _ in range(len(self._returned)):
            request = self._returned.popleft()
            if upstream not in self._failed_by.get(request.index, ()):
                if upstream.gate is not None:
                    upstream.gate.passes(request)
                return request
            self._returned.append(request)
        return None
