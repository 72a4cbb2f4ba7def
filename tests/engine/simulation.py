"""A provider with a limit, a governor and endless demand, on a clock that jumps from one event to
the next: minutes of calls take milliseconds."""

import heapq
import random

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Governor

REFUSAL_S = 0.02  # how long a refusal takes to come back


class World:
    """Calls functions in the order of their times."""

    def __init__(self):
        self.now = 1000.0
        self._events = []
        self._count = 0

    def __call__(self):
        return self.now

    def later(self, seconds, function):
        self._count += 1
        entry = _Entry(function)
        heapq.heappush(self._events, (self.now + seconds, self._count, entry))
        return entry

    def run(self, seconds):
        end = self.now + seconds
        while self._events and self._events[0][0] <= end:
            at, _, entry = heapq.heappop(self._events)
            self.now = max(self.now, at)
            if not entry.dead:
                entry.function()
        self.now = end


class _Entry:
    def __init__(self, function):
        self.function, self.dead = function, False

    def kill(self, block=True):
        self.dead = True


class TokenBucket:
    """Refills steadily. ``admit`` returns None, or the seconds until there is room."""

    def __init__(self, rate, capacity, unit="requests"):
        self.rate, self.capacity, self.level, self.at = rate, capacity, capacity, 1000.0
        self.unit = unit

    def admit(self, now, tokens):
        cost = tokens if self.unit == "tokens" else 1
        self.level = min(self.capacity, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < cost:
            return (cost - self.level) / self.rate
        self.level -= cost
        return None

    def ended(self):
        pass


class FixedWindow:
    """Allows ``count`` calls per window, then none until the next one."""

    def __init__(self, count, seconds):
        self.count, self.seconds = count, seconds
        self.window, self.used = -1, 0

    def admit(self, now, _):
        window = int((now - 1000.0) // self.seconds)
        if window != self.window:
            self.window, self.used = window, 0
        if self.used < self.count:
            self.used += 1
            return None
        return (window + 1) * self.seconds + 1000.0 - now

    def ended(self):
        pass


class Concurrency:
    """Allows ``most`` calls at a time."""

    def __init__(self, most):
        self.most, self.running = most, 0

    def admit(self, _now, _tokens):
        if self.running >= self.most:
            return 0.0
        self.running += 1
        return None

    def ended(self):
        self.running -= 1


class Unlimited:
    """Refuses nothing, but works on ``width`` calls at a time: the others queue."""

    def __init__(self, width):
        self.width, self.running = width, 0

    def admit(self, _now, _tokens):
        self.running += 1

    def ended(self):
        self.running -= 1


class Simulation:
    """``latency`` bounds the seconds of an answer; ``tokens(rng)`` is what a call uses; with
    ``retry_after`` refusals say how long to wait. ``stray`` is the share of calls that are refused
    by chance, ``stray_wait_s`` what these are asked to wait. A call takes up to ``way_s`` to arrive, mostly much
    less, and so does what comes back."""

    def __init__(
        self,
        provider,
        latency=(0.2, 0.8),
        tokens=lambda rng: 80,
        retry_after=False,
        stray=0.0,
        stray_wait_s=None,
        way_s=0.0,
        **ceilings,
    ):
        self.world = World()
        self.provider = provider
        self.latency, self.tokens, self.retry_after = latency, tokens, retry_after
        self.rng = random.Random(1)
        self.stray, self.stray_wait_s = stray, stray_wait_s
        self.way_s, self._ways = way_s, random.Random(2)
        self.admitted = self.refused = self.strays = 0
        self.governor = _EndlessDemandGovernor(self, **ceilings)

    def run(self, seconds):
        """Continue for some seconds; returns the calls admitted and refused in that time."""
        admitted, refused = self.admitted, self.refused
        self.governor._pump()
        self.world.run(seconds)
        return self.admitted - admitted, self.refused - refused

    def call(self, ticket):
        if self.way_s:
            self.world.later(self._way_s(), lambda: self._arrived(ticket))
        else:
            self._arrived(ticket)

    def _way_s(self):
        return self.way_s * self._ways.random() ** 4

    def _arrived(self, ticket):
        tokens = self.tokens(self.rng)
        if self.rng.random() < self.stray:
            self.strays += 1
            asked = self.stray_wait_s
            finding = Classification(Cause.RATE_LIMIT, None, 429, retry_after_s=asked)
            self._end(REFUSAL_S, ticket, finding)
            return
        wait = self.provider.admit(self.world.now, tokens)
        if wait is not None:
            self.refused += 1
            asked = wait if self.retry_after else None
            finding = Classification(Cause.RATE_LIMIT, None, 429, retry_after_s=asked)
            self._end(REFUSAL_S, ticket, finding)
            return
        self.admitted += 1
        seconds = self.rng.uniform(*self.latency)
        if isinstance(self.provider, Unlimited):
            seconds *= max(1.0, self.provider.running / self.provider.width)
        self.world.later(seconds, self.provider.ended)
        usage = Usage(tokens // 4, tokens - tokens // 4)
        self._end(seconds, ticket, Classification(None, None, 200, usage=usage))

    def _end(self, seconds, ticket, finding):
        seconds += self._way_s()
        self.world.later(
            seconds, lambda: self.governor.settle(ticket, finding, round(seconds * 1000))
        )


class _EndlessDemandGovernor(Governor):
    """A governor with endless demand and without greenlets."""

    def __init__(self, simulation, **ceilings):
        self._simulation = None
        super().__init__(clock=simulation.world, later=simulation.world.later, **ceilings)
        self._simulation = simulation

    def _pump(self):
        while self._simulation is not None:
            ticket = self._try(400)
            if ticket is None:
                return
            self._simulation.call(ticket)
