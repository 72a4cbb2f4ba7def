"""A job that goes to several API configs: who takes which request, and what becomes of it."""

import logging
from collections.abc import Callable, Iterator

import gevent
import msgspec

from ..domain import Cause, Request, Spread
from ..engine.breaker import Stop
from ..engine.dealer import Dealer, Hand
from .route import Route

log = logging.getLogger(__name__)

WATCH_S = 0.25
PATIENCE_S = 1.0  # a cooldown that ends so soon is waited for


class Share(msgspec.Struct):
    """One config's part of a job. ``stop`` says why it takes no more in this run."""

    route: Route
    weight: float
    hand: Hand | None = None
    stop: Stop | None = None

    @property
    def state(self) -> str:
        """For the pages: a stopping reason, ``down``, or nothing."""
        if self.stop is not None:
            return self.stop.reason
        return "down" if self.hand is not None and self.hand.down else ""


class Deal:
    """What a route asks about its requests where others share them."""

    def __init__(self, dealer: Dealer, share: Share):
        self._dealer = dealer
        self._share = share

    def ended(self, index: int, cause: Cause | None) -> bool:
        """False where the request goes to another config instead of ending with this failure."""
        hand = self._share.hand
        final = self._dealer.ended(hand, index, cause)
        if not final and hand.failed():
            log.warning("%s fails again and again: left alone", self._share.route.provider.alias)
        return final

    def given_up(self, index: int) -> None:
        self._dealer.given_up(index)


class Shares:
    """``run`` sends what ``pending()`` yields over all shares that still take requests."""

    def __init__(self, mode: Spread, shares: list[Share]):
        self._mode = mode
        self.all = shares

    def run(self, pending: Callable[[], Iterator[Request]]) -> Stop | None:
        """Returns why nothing goes on, where every share has stopped by itself."""
        dealer = Dealer(pending(), self._mode)
        going = [share for share in self.all if share.stop is None]
        for share in going:
            governor = share.route.provider.governor
            share.hand = dealer.add(
                share.weight,
                lambda g=governor: g.cooldown_left_s() > 0,
                share.route.inputs_per_call,
            )
            share.route.deal = Deal(dealer, share)
        runs = [gevent.spawn(self._run_one, dealer, share) for share in going]
        watch = gevent.spawn(self._watch)
        try:
            gevent.joinall(runs, raise_error=True)
        finally:
            watch.kill()
        if all(share.stop is not None for share in self.all):
            return self.all[0].stop
        return None

    def _watch(self) -> None:
        """What waits for a config that is not available for long is free for the others."""
        while True:
            gevent.sleep(WATCH_S)
            for share in self.all:
                waits = share.hand.down or (
                    share.route.provider.governor.cooldown_left_s() > PATIENCE_S
                )
                if waits and any(other.hand.available for other in self.all):
                    share.route.pool.let_go()

    def _run_one(self, dealer: Dealer, share: Share) -> None:
        stop = share.route.run(dealer.draw(share.hand))
        if stop is not None:
            share.stop = stop
            dealer.stop(share.hand)
            log.warning("%s takes no more: %s", share.route.provider.alias, stop.detail)
