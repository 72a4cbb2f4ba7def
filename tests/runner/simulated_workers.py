"""Simulated workers on one simulated provider, each with a governor and a lease of the rate limits, which a
real Redis shares out, on a clock that jumps."""

import random
from collections import deque

from simple_batch.cluster.limit_coordinator import LimitCoordinator
from simple_batch.cluster.shared_governor import SharedGovernor
from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause
from simple_batch.engine.classify import Classification

from .. import redis_server
from ..engine.simulation import REFUSAL_S, Unlimited, World

LOOK_S = 0.01
TRIP_S = 0.002  # from a worker to Redis and back
MESSAGES = 3  # that an exchange may send to the workers (limit_coordinator.lua), or that it takes to subscribe


class SlidingWindow:
    """Allows ``count`` calls in any ``seconds``."""

    def __init__(self, count, seconds):
        self.seconds = seconds
        self.starts = deque([float("-inf")] * count, count)

    def admit(self, now, _):
        wait = self.starts[0] + self.seconds - now
        if wait > 0.0:
            return wait
        self.starts.append(now)
        return None

    def ended(self):
        pass


class Workers:
    """``count`` workers with endless demand. ``ceilings`` are the config's own; ``stray`` is the share of
    calls that are refused by chance. The workers' clocks are apart."""

    def __init__(
        self,
        provider,
        count,
        latency=(0.2, 0.8),
        tokens=80,
        retry_after=False,
        stray=0.0,
        **ceilings,
    ):
        self.world = World()
        self.provider, self.latency, self.tokens = provider, latency, tokens
        self.retry_after, self.stray = retry_after, stray
        self.ceilings = ceilings
        self.rng = random.Random(1)
        self.url = redis_server.fresh_url()
        self.admitted = self.refused = self.in_flight = self.most_in_flight = 0
        self.workers: list[Worker] = []
        for _ in range(count):
            self.join()

    def run(self, seconds):
        """Continue for some seconds; returns the calls admitted and refused in that time."""
        admitted, refused = self.admitted, self.refused
        self.world.run(seconds)
        return self.admitted - admitted, self.refused - refused

    @property
    def commands(self):
        return sum(worker.budget.commands for worker in self.workers)

    def join(self):
        worker = Worker(self, len(self.workers))
        self.workers.append(worker)
        return worker


class Worker:
    """``wants`` is the number of calls it would have in flight; None means no bound."""

    def __init__(self, cluster, number):
        self.cluster, self.world = cluster, cluster.world
        self.wants = None
        self.dead = False
        self.admitted = 0
        self.unread = MESSAGES  # at most
        self.skew = 17.0 * number
        self.budget = LimitCoordinator(
            cluster.url, f"worker-{number}", clock=self.clock, server_clock=self.world
        )
        self.governor = _DemandGovernor(self)
        self.budget.attach(1, self.governor)
        self._exchange()
        self._look()

    def clock(self):
        return self.world.now + self.skew

    def call(self, ticket):
        cluster = self.cluster
        cluster.in_flight += 1
        cluster.most_in_flight = max(cluster.most_in_flight, cluster.in_flight)
        is_stray = cluster.stray > 0.0 and cluster.rng.random() < cluster.stray
        wait = 0.0 if is_stray else cluster.provider.admit(self.world.now, cluster.tokens)
        if wait is not None:
            cluster.refused += 1
            asked = wait if cluster.retry_after and not is_stray else None
            self._end(
                REFUSAL_S, ticket, Classification(Cause.RATE_LIMIT, None, 429, retry_after_s=asked)
            )
            return
        cluster.admitted += 1
        self.admitted += 1
        seconds = cluster.rng.uniform(*cluster.latency)
        if isinstance(cluster.provider, Unlimited):
            seconds *= max(1.0, cluster.provider.running / cluster.provider.width)
        self.world.later(seconds, cluster.provider.ended)
        usage = Usage(cluster.tokens // 4, cluster.tokens - cluster.tokens // 4)
        self._end(seconds, ticket, Classification(None, None, 200, usage=usage))

    def _end(self, seconds, ticket, finding):
        def end():
            self.cluster.in_flight -= 1
            if not self.dead:
                self.governor.settle(ticket, finding, round(seconds * 1000))

        self.world.later(seconds, end)

    def die(self):
        """Stop as after SIGKILL."""
        self.dead = True

    def _look(self):
        if self.dead:
            return
        self.governor._pump()
        if self.unread:  # to look into the socket takes longer than all the rest
            self.unread -= 1
            self.budget.listen(0)
        if self.budget.due:
            self._exchange()
        self.world.later(LOOK_S, self._look)

    def _exchange(self):
        self.budget.exchange()
        self.budget._redis.ping()  # then Redis has sent its messages to the others
        for worker in self.cluster.workers:
            worker.unread += MESSAGES


class _DemandGovernor(SharedGovernor):
    """A governor with demand for ``worker.wants`` calls in flight, and without greenlets."""

    def __init__(self, worker):
        self._worker = None
        super().__init__(clock=worker.clock, later=worker.world.later, **worker.cluster.ceilings)
        self._worker = worker

    def _pump(self):
        worker = self._worker
        while worker is not None and not worker.dead:
            if worker.wants is not None and self.in_flight >= worker.wants:
                return
            ticket = self._try(400)
            if ticket is None:
                return
            worker.call(ticket)
