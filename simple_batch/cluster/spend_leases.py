"""Spend caps shared by several workers: each worker leases blocks of the remaining amount.

A spend limit of a worker spends from its leased block. In the background the block is refilled for the
next seconds, and the unused part is returned: at most one transaction a second, except at the start of a
job, when the block grows with the calls in flight. A cap is reached when the total spend of all workers
reaches it. If other workers only hold the remaining amount, calls wait.
"""

import contextlib
import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator

import gevent
import peewee

from ..engine.spend_limit import FEW, Cap
from ..runner.spend_caps import ConfigSpendLimit, JobSpendLimit, SpendLimits
from ..store import spend_leases
from ..store.database import connected, log_failure
from ..store.models import ApiConfig

log = logging.getLogger(__name__)

TICK_S = 0.1
EVERY_S = 1.0  # between two asks, unless a call waits and the last one was granted in full
AHEAD_S = 2.0  # how long a block should last
GROWTH = 2  # times the calls in flight, so that these may grow meanwhile


class LeasedSpendLimits(SpendLimits):
    """The spend limits of one worker. ``worker_id()`` returns its id; nothing is granted to the id of a
    worker that was declared dead."""

    def __init__(self, worker_id: Callable[[], str], zone: str):
        super().__init__(zone)
        self._worker_id = worker_id
        self._jobs: list[SpendLease] = []
        self._configs: dict[int, SpendLease] = {}
        self._closed: list[SpendLease] = []
        self._greenlet: gevent.Greenlet | None = None

    def start(self) -> None:
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop refilling. The leased blocks are released with the worker's row."""
        if self._greenlet is not None:
            self._greenlet.kill()

    @contextlib.contextmanager
    def paying(self, purse: JobSpendLimit):
        supply = SpendLease(self._worker_id, purse)
        self._jobs.append(supply)
        try:
            yield
        finally:
            self._jobs.remove(supply)
            self._closed.append(supply)

    def allowance(self, config: ApiConfig) -> ConfigSpendLimit:
        supply = self._configs.get(config.id)
        if supply is None:
            made = super().allowance(config)
            # another may have been quicker while this one asked what was spent
            supply = self._configs.setdefault(config.id, SpendLease(self._worker_id, made))
        return supply.purse

    def room(self, purse: JobSpendLimit | ConfigSpendLimit) -> bool:
        with connected():
            return spend_leases.free(purse.account())

    def paid(self, costs: dict[tuple, int]) -> None:
        """Note what results cost, in the transaction that writes them."""
        keys = {supply.key for supply in self._open() if supply.purse.bounded}
        spend_leases.commit(self._worker_id(), {key: costs[key] for key in keys & costs.keys()})

    def _open(self) -> Iterator["SpendLease"]:
        return itertools.chain(self._jobs, self._configs.values())

    def _run(self) -> None:
        while True:
            gevent.sleep(TICK_S)
            try:
                self._tend()
            except Exception:
                # what the blocks hold may still be spent
                log_failure(log, "money under spend caps cannot be asked for")
                gevent.sleep(EVERY_S)

    def _tend(self) -> None:
        while self._closed:
            self._closed[0].give_back()
            self._closed.pop(0)
        for supply in list(self._open()):
            if self._jobs:
                supply.tend()
            else:
                supply.give_back()


class SpendLease:
    """Keeps the block of one spend limit filled. One greenlet runs all its statements."""

    def __init__(self, worker_id: Callable[[], str], purse: JobSpendLimit | ConfigSpendLimit):
        self.purse = purse
        self._worker_id = worker_id
        self.block = Cap(0, 0)
        purse.keep_to(self.block)
        self._account: spend_leases.Account | None = None
        self._asked_at = time.monotonic()
        self._settled = 0  # when it was asked for
        self._short = False  # less was granted

    @property
    def key(self) -> tuple[str, int, str]:
        return self.purse.account().key

    def tend(self) -> None:
        """Ask for what is needed now, if it is time to."""
        account = self.purse.account()
        former = self._account
        if former is not None and (former.key != account.key or not self.purse.bounded):
            self.give_back()
        if self.purse.bounded and self._due(time.monotonic() - self._asked_at):
            self._ask(account)

    def give_back(self) -> None:
        """Release the block. The amount spent is unknown until the next query; no call starts before."""
        if self._account is None:
            return
        self.block.most = self.block.spent
        with connected():
            spend_leases.release(self._worker_id(), self._account)
        self._account = None
        for bound in self.purse.bounds.values():
            bound.spent = 0

    def _due(self, since_s: float) -> bool:
        if since_s < EVERY_S:
            return self.purse.hungry and not self._short
        return self._used() or self.block.most > self.block.spent

    def _used(self) -> bool:
        purse = self.purse
        return purse.hungry or purse.flying > 0 or self.block.spent != self._settled

    def _ask(self, account: spend_leases.Account) -> None:
        purse, block = self.purse, self.block
        settled, now = block.spent, time.monotonic()
        kept = min(block.most, settled + math.ceil(purse.expected()))
        wanted = max(kept, settled + self._wanted(now - self._asked_at))
        purse.hungry = False
        try:
            with connected():
                answer = spend_leases.ask(self._worker_id(), account, settled, kept, wanted)
        except peewee.IntegrityError:  # the worker has no row
            return
        self._account, self._asked_at, self._settled = account, now, settled
        self._short = answer.granted < wanted
        block.most = answer.granted
        if purse.account() == account:  # else a day has ended meanwhile
            meanwhile = block.spent - settled
            caps = {}
            for name, (cap, spent) in zip(purse.bounds, answer.bounds, strict=False):
                purse.bounds[name].spent = spent + meanwhile
                caps[name] = cap
            purse.limit(**caps)

    def _wanted(self, since_s: float) -> int:
        """Estimated cost of the next seconds. Any amount will do while no call has had a cost."""
        if not self._used():
            return 0
        pace = max(0, self.block.spent - self._settled) / max(since_s, TICK_S)
        return max(1, math.ceil(GROWTH * self.purse.expected(FEW) + AHEAD_S * pace))
