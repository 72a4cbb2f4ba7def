"""Spend caps shared by several workers: each worker leases blocks of the remaining amount.

A spend limit of a worker spends from its leased block. In the background the block is refilled for the
next seconds, and the unused part is returned: at most one transaction a second, except at the start of a
job, when the block grows with the calls in flight. A cap is reached when the total spend of all workers
reaches it. If other workers only hold the remaining amount, calls wait.
"""

import itertools
import logging
import math
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Generic, TypeVar

import peewee

from ..core.periodic_task import PeriodicTask
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
        self._jobs: dict[int, SpendLease[JobSpendLimit]] = {}
        self._configs: dict[int, SpendLease[ConfigSpendLimit]] = {}
        self._closed: list[SpendLease[JobSpendLimit]] = []  # to be given back
        # after a failure, the amounts already leased may still be spent
        on_error = partial(log_failure, log, "money under spend caps cannot be asked for")
        self._task = PeriodicTask(self._refill, TICK_S, on_error, rest_s=EVERY_S, wait_first=True)

    def start(self) -> None:
        self._task.start()

    def stop(self) -> None:
        """Stop refilling. The leased blocks are released with the worker's row."""
        self._task.stop()

    def attach_job(self, job_id: int, spend_limit: JobSpendLimit) -> None:
        """Lease what a run of the job may spend, until it is detached."""
        self._jobs[job_id] = SpendLease(self._worker_id, spend_limit)

    def detach_job(self, job_id: int) -> None:
        """The run has ended, and all its results are recorded."""
        lease = self._jobs.pop(job_id, None)
        if lease is not None:
            self._closed.append(lease)

    def config_limit(self, config: ApiConfig) -> ConfigSpendLimit:
        lease = self._configs.get(config.id)
        if lease is None:
            made = super().config_limit(config)
            # another may have been quicker while this one asked what was spent
            lease = self._configs.setdefault(config.id, SpendLease(self._worker_id, made))
        return lease.spend_limit

    def has_room(self, spend_limit: JobSpendLimit | ConfigSpendLimit, needed: int = 0) -> bool:
        with connected():
            return spend_leases.free(spend_limit.account(), needed)

    def paid(self, costs: dict[tuple, int]) -> None:
        """Note what results cost, in the transaction that writes them."""
        keys = {lease.key for lease in self._open() if lease.spend_limit.bounded}
        spend_leases.commit(self._worker_id(), {key: costs[key] for key in keys & costs.keys()})

    def _open(self) -> Iterator["SpendLease[JobSpendLimit] | SpendLease[ConfigSpendLimit]"]:
        return itertools.chain(self._jobs.values(), self._configs.values())

    def _refill(self) -> None:
        while self._closed:
            self._closed[0].give_back()
            self._closed.pop(0)
        for lease in list(self._open()):
            if self._jobs:
                lease.refill()
            else:
                lease.give_back()


Limit = TypeVar("Limit", bound=JobSpendLimit | ConfigSpendLimit)


class SpendLease(Generic[Limit]):
    """Keeps the block of one spend limit filled. One greenlet runs all its statements."""

    def __init__(self, worker_id: Callable[[], str], spend_limit: Limit):
        self.spend_limit = spend_limit
        self._worker_id = worker_id
        self.block = Cap(0, 0)
        self._granted = 0  # of the block, since it began
        spend_limit.keep_to(self.block)
        self._account: spend_leases.Account | None = None
        self._asked_at = time.monotonic()
        self._settled = 0  # when it was asked for
        self._short = False  # less was granted

    @property
    def key(self) -> tuple[str, int, str]:
        return self.spend_limit.account().key

    def refill(self) -> None:
        """Ask for what is needed now, if it is time to."""
        account = self.spend_limit.account()
        former = self._account
        if former is not None and (former.key != account.key or not self.spend_limit.bounded):
            self.give_back()
        if self.spend_limit.bounded and self._due(time.monotonic() - self._asked_at):
            self._ask(account)

    def give_back(self) -> None:
        """Release the block. The amount spent is unknown until the next query; no call starts before."""
        if self._account is None:
            return
        self._grant(self.block.spent)
        with connected():
            spend_leases.release(self._worker_id(), self._account)
        self._account = None
        for cap in self.spend_limit.caps.values():
            cap.spent = 0

    def _grant(self, amount: int) -> None:
        self._granted = self.block.limit = amount

    def _due(self, since_s: float) -> bool:
        if since_s < EVERY_S:
            return self.spend_limit.starved and not self._short
        return self._used() or self._granted > self.block.spent

    def _used(self) -> bool:
        spend_limit = self.spend_limit
        return spend_limit.starved or spend_limit.in_flight > 0 or self.block.spent != self._settled

    def _ask(self, account: spend_leases.Account) -> None:
        spend_limit, block = self.spend_limit, self.block
        settled, now = block.spent, time.monotonic()
        kept = min(self._granted, settled + math.ceil(spend_limit.expected()))
        wanted = max(kept, settled + self._wanted(now - self._asked_at))
        spend_limit.starved = False
        try:
            with connected():
                answer = spend_leases.ask(self._worker_id(), account, settled, kept, wanted)
        except peewee.IntegrityError:  # the worker has no row
            return
        self._account, self._asked_at, self._settled = account, now, settled
        self._short = answer.granted < wanted
        self._grant(answer.granted)
        if spend_limit.account() == account:  # else a day has ended meanwhile
            meanwhile = block.spent - settled
            caps = {}
            for name, (cap, spent) in zip(spend_limit.caps, answer.bounds, strict=False):
                spend_limit.caps[name].spent = spent + meanwhile
                caps[name] = cap
            spend_limit.set_limits(**caps)

    def _wanted(self, since_s: float) -> int:
        """Estimated cost of the next seconds. Any amount will do while no call has had a cost."""
        if not self._used():
            return 0
        pace = max(0, self.block.spent - self._settled) / max(since_s, TICK_S)
        return max(1, math.ceil(GROWTH * self.spend_limit.expected(FEW) + AHEAD_S * pace))
