"""Workers that make calls of one job on one config, each with spend leases and a recorder.

``python -m tests.runner.spending_workers URL WORKER JOB FROM LEDGER`` runs one as a process: it makes calls
from an index on, and appends the cost of each to the ledger file.
"""

from gevent import monkey

monkey.patch_all()

import itertools
import os
import random
import sys
from collections.abc import Callable, Iterator
from types import SimpleNamespace

import gevent

from simple_batch.cluster.spend_leases import LeasedSpendLimits
from simple_batch.core.call_prices import NANO, Prices, Usage
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import RequestResult, RequestStatus
from simple_batch.engine.breaker import PauseReason
from simple_batch.engine.classify import Classification
from simple_batch.engine.spend_limit import CapReached
from simple_batch.runner.recorder import Recorder
from simple_batch.runner.spend_caps import JobSpendGuard
from simple_batch.store.cluster import workers as worker_rows
from simple_batch.store.database import connected, open_database
from simple_batch.store.models import ApiConfig, Job
from simple_batch.store.results import Recorded

A_TOKEN_COSTS_ONE = 1_000_000 * NANO  # price per million tokens


class Worker:
    """``call()`` makes a call and returns what it has cost, in units."""

    def __init__(self, worker_id: str, call: Callable[[], int], zone: str = ""):
        self._id = worker_id
        self.blocks = LeasedSpendLimits(lambda: worker_id, zone)
        self.paid = self.calls = self.in_flight = self.most_in_flight = 0
        self._call = call
        self._recorder = Recorder(100, 0.05, lambda _: None, on_cost=self.blocks.paid)

    def __enter__(self) -> "Worker":
        with connected():
            worker_rows.register(self._id, "spending", 1)
        self.blocks.start()
        self._recorder.start()
        return self

    def __exit__(self, *_) -> None:
        self._recorder.stop(5)
        self.blocks.stop()
        with connected():
            worker_rows.leave(self._id)

    def run(self, job_id: int, width: int, indices: Iterator[int]) -> PauseReason | None:
        """Make a call for each index, ``width`` at a time; returns what stopped it."""
        with connected():
            job = Job.get_by_id(job_id)
            config = ApiConfig.get_by_id(job.config_id)
            job_limit, config_limit = self.blocks.job_limit(job), self.blocks.config_limit(config)
        prices = Prices(config.currency, input=0, output=A_TOKEN_COSTS_ONE)
        guard = JobSpendGuard(
            job_limit, SimpleNamespace(spend_limit=config_limit, prices=prices), job.currency
        )
        stops = []

        def work() -> None:
            for index in indices:
                try:
                    guard.acquire()
                except CapReached as spent:
                    stops.append(spent.stop)
                    return
                usage = Usage(output=self._made())
                guard.settle(Classification(None, None, usage=usage))
                result = RequestResult(
                    index, RequestStatus.SUCCEEDED, (), now_ms(), now_ms(), 5, usage=usage
                )
                record = Recorded(job_id, config.alias, prices, index, (), result, config.id)
                self._recorder.record(record)

        self.blocks.attach_job(job_id, job_limit)
        try:
            gevent.joinall([gevent.spawn(work) for _ in range(width)], raise_error=True)
            self._recorder.flush()
        finally:
            self.blocks.detach_job(job_id)
        return stops[0] if stops else None

    def _made(self) -> int:
        self.calls += 1
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        cost = self._call()
        self.in_flight -= 1
        self.paid += cost
        return cost


def random_calls(dearest: int, seed: int = 1) -> Callable[[], int]:
    """Calls that cost from 1 to ``dearest`` and take up to 20 ms."""
    rng = random.Random(seed)

    def call() -> int:
        gevent.sleep(rng.uniform(0, 0.02))
        return rng.randint(1, dearest)

    return call


def main(url: str, worker_id: str, job_id: str, begin: str, ledger: str) -> None:
    open_database(url)
    file = os.open(ledger, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    make_call = random_calls(9, int(begin))

    def call() -> int:
        cost = make_call()
        os.write(file, f"{cost}\n".encode())
        return cost

    with Worker(worker_id, call) as worker:
        stop = worker.run(int(job_id), 5, itertools.count(int(begin)))
    print(stop.detail)


if __name__ == "__main__":
    main(*sys.argv[1:])
