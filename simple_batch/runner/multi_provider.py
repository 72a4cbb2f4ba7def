"""Runs a job on several API configs: spreads its requests over them with the load balancer."""

import logging
import time
from collections.abc import Callable, Iterator
from functools import partial

import gevent
import msgspec

from ..core.domain import Request, Spread
from ..engine.breaker import PauseReason
from ..engine.cache_gate import PrefixGate
from ..engine.load_balancer import LoadBalancer, Upstream
from ..engine.prefix_window import RequestWindow
from .route import Failover, Route
from .stopped_config import joined, named

log = logging.getLogger(__name__)

WATCH_S = 0.25
PATIENCE_S = 1.0  # a cooldown that ends so soon is waited for; so is a share of the limits


class Share(msgspec.Struct):
    """One config's part of a job. ``stop`` says why it takes no more in this run; ``lacks_since``
    (seconds of the monotonic clock) since when this worker has no share of the config's limits."""

    route: Route
    weight: float
    upstream: Upstream | None = None
    stop: PauseReason | None = None
    lacks_since: float | None = None

    @property
    def available(self) -> bool:
        return self.upstream is not None and self.upstream.available

    @property
    def state(self) -> str:
        """For the pages: a stopping reason, ``down``, or nothing."""
        if self.stop is not None:
            return self.stop.reason
        return "down" if self.upstream is not None and self.upstream.down else ""


class Shares:
    """``run`` sends what ``pending()`` yields over all shares that still take requests."""

    def __init__(self, mode: Spread, shares: list[Share]):
        self._mode = mode
        self.all = shares

    def run(self, pending: Callable[[], Iterator[Request] | RequestWindow]) -> PauseReason | None:
        """Returns the reason to stop if every share has stopped by itself."""
        balancer = LoadBalancer(pending(), self._mode)
        runs: list[gevent.Greenlet] = []
        for share in self._going:
            upstream = share.upstream = balancer.add(
                share.weight,
                partial(self._cooling, share),
                share.route.inputs_per_call,
                share.route.gate,
            )
            share.route.failover = Failover(balancer, upstream, share.route.provider.alias)
            share.route.pool.on_held = balancer.held
            runs.append(gevent.Greenlet(self._run_one, balancer, share, upstream))
        self._watch_together()
        for run in runs:
            run.start()
        watch = gevent.spawn(self._watch)
        try:
            gevent.joinall(runs, raise_error=True)
        finally:
            watch.kill()
        if all(share.stop is not None for share in self.all):
            return joined([named(each.stop, each.route.provider) for each in self.all if each.stop])
        return None

    def _watch_together(self) -> None:
        """The job waits only if all endpoints are away."""
        detectors = [one.route.pool.outages for one in self._going]
        group = [one for one in detectors if one is not None]
        for one in group:
            one.group = group

    @property
    def _going(self) -> list[Share]:
        return [share for share in self.all if share.stop is None]

    @property
    def gates(self) -> list[PrefixGate]:
        """Of the configs that send with prompt caches in mind."""
        return [share.route.gate for share in self.all if share.route.gate is not None]

    @property
    def marks(self) -> bool:
        """Whether a config marks what its cache is to hold."""
        return any(share.route.marks for share in self.all)

    def ready(self) -> bool:
        """Whether a call may be made, as far as several workers share what it needs (Pool.ready): by
        one of the configs that take requests now, in order of preference by the first of them."""
        open_ = [each for each in self._going if each.upstream is None or each.upstream.available]
        if self._mode is Spread.ORDER:
            open_ = open_[:1]
        ready = [share.route.ready() for share in open_]  # each asks for its share
        return not open_ or any(ready)

    def _cooling(self, share: Share) -> bool:
        return share.route.provider.governor.cooldown_left_s() > 0 or self._lacks(share)

    def _lacks(self, share: Share) -> bool:
        """Whether this worker has nothing of what a config allows, though of another's. In order of
        preference that is no reason to go to the next: other workers call the one before."""
        if self._mode is Spread.ORDER or share.route.ready():
            return False
        return any(other.route.ready() for other in self._going if other is not share)

    def _watch(self) -> None:
        """Requests that wait for a config that stays unavailable are released to the others."""
        while True:
            gevent.sleep(WATCH_S)
            for share in self.all:
                waits = (
                    (share.upstream is not None and share.upstream.down)
                    or share.route.provider.governor.cooldown_left_s() > PATIENCE_S
                    or self._lacks_long(share)
                )
                if waits and any(other.available for other in self.all):
                    share.route.pool.let_go()

    def _lacks_long(self, share: Share) -> bool:
        if not self._lacks(share):
            share.lacks_since = None
            return False
        now = time.monotonic()
        share.lacks_since = share.lacks_since or now
        return now - share.lacks_since > PATIENCE_S

    def withdraw(self) -> None:
        """See Pool.withdraw."""
        for share in self.all:
            share.route.pool.withdraw()

    @property
    def calls(self) -> int:
        """Calls in flight."""
        return sum(share.route.pool.calls for share in self.all)

    def _run_one(self, balancer: LoadBalancer, share: Share, upstream: Upstream) -> None:
        stop = share.route.run(lambda: balancer.draw(upstream))
        if stop is not None:
            share.stop = stop
            balancer.stop(upstream)
            log.warning("%s takes no more: %s", share.route.provider.alias, stop.detail)
