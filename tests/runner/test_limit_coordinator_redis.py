"""Rate limits shared through a real Redis in real time: greenlets in one process, and workers that
are processes."""

import contextlib
import logging
import time

import gevent
import pytest
import requests

from bench.processes import endpoint
from bench.shared_limits import started
from simple_batch.cluster import limit_leases
from simple_batch.cluster.limit_coordinator import LimitCoordinator
from simple_batch.cluster.shared_governor import SharedGovernor
from simple_batch.core import context
from simple_batch.engine.classify import Classification
from simple_batch.engine.governor import Flow
from simple_batch.engine.semaphore import ResizableSemaphore
from simple_batch.runner.providers import Providers
from simple_batch.store.database import connected
from tools.local_servers import Redis

from .. import redis_server
from ..conftest import PATIENCE_S

pytestmark = pytest.mark.skipif(redis_server.program() is None, reason="Redis is not installed")

GOOD = Classification(None, None, 200)


def until(condition, timeout_s=PATIENCE_S):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        gevent.sleep(0.02)


class Calls:
    """Callers through several governors, while ``wanted``; ``most`` is the most that ran at
    once."""

    def __init__(self):
        self.wanted = True
        self.running = self.most = self.done = 0
        self.by = {}

    def begin(self, give):
        self.running += 1
        self.most = max(self.most, self.running)
        gevent.sleep(0.05)
        self.running -= 1
        self.done += 1
        give()

    def max_running_during(self, calls):
        """The most that ran at once while this many calls ended."""
        self.most, before = 0, self.done
        until(lambda: self.done > before + calls)
        return self.most

    def call_through(self, name, governor):
        flow = Flow()
        while self.wanted:
            ticket = governor.admit(flow, 400)
            self.by[name] = self.by.get(name, 0) + 1
            self.begin(lambda ticket=ticket: governor.settle(ticket, GOOD, 50))


@pytest.fixture
def budgets():
    """Creates coordinators, and stops them at the end."""
    made = []

    def make(url, name):
        budget = LimitCoordinator(url, name)
        budget.start()
        made.append(budget)
        return budget

    yield make
    for budget in made:
        budget.stop()


@pytest.fixture
def callers():
    greenlets = []
    yield lambda work, *args: greenlets.append(gevent.spawn(work, *args))
    gevent.killall(greenlets)


def test_workers_share_a_limit_while_redis_restarts_empty(budgets, callers, caplog):
    server, calls = Redis(), Calls()
    for name in ("a", "b", "c"):
        governor = SharedGovernor(concurrency=6)
        budgets(server.url(), name).attach(7, governor)
        for _ in range(8):
            callers(calls.call_through, name, governor)
    until(lambda: len(calls.by) == 3 and calls.running == 6)
    with caplog.at_level(logging.WARNING):
        server.stop()
        before = calls.done
        until(lambda: calls.done > before + 50)  # each worker continues with its share
        server.start()
        budgets(server.url(), "d").attach(7, governor := SharedGovernor(concurrency=6))
        callers(calls.call_through, "d", governor)
        until(lambda: calls.by.get("d", 0) > 3)
        lost = [record for record in caplog.records if "cannot be reached" in record.message]
    server.stop()
    assert calls.most == 6
    assert 3 <= len(lost) <= 4  # once per worker, not per attempt


def test_a_worker_started_without_redis_waits_for_it(budgets, callers):
    server, calls = Redis(), Calls()
    server.stop()
    governor = SharedGovernor(concurrency=6)
    budgets(server.url(), "a").attach(7, governor)
    callers(calls.call_through, "a", governor)
    gevent.sleep(0.5)
    assert calls.done == 0
    server.start()
    until(lambda: calls.done > 0)
    server.stop()


def test_an_idle_worker_keeps_its_share_while_redis_is_away(budgets, callers, monkeypatch):
    monkeypatch.setattr(limit_leases, "LEAVE_S", 0.5)
    server, calls = Redis(), Calls()
    governors, semaphore = [SharedGovernor(concurrency=6) for _ in range(2)], ResizableSemaphore(4)
    for name, governor in zip("ab", governors, strict=True):
        budget = budgets(server.url(), name)
        budget.attach(7, governor)
        budget.attach_job(3, semaphore if name == "a" else ResizableSemaphore(4))

    def call():
        calls.wanted = True
        for name, governor in zip("ab", governors, strict=True):
            for _ in range(6):
                callers(calls.call_through, name, governor)

    call()
    until(lambda: len(calls.by) == 2 and calls.running == 6)
    semaphore.take()
    semaphore.free()
    server.stop()
    calls.wanted = False
    until(lambda: calls.running == 0)
    gevent.sleep(4 * limit_leases.LEAVE_S)  # at least one exchange, which fails
    before = dict(calls.by)
    call()
    until(lambda: all(calls.by[name] > before[name] + 10 for name in "ab"))
    with gevent.Timeout(PATIENCE_S):
        semaphore.take()
    server.start()
    until(lambda: calls.done > 200)
    server.stop()
    assert calls.most == 6


def test_the_concurrency_of_a_job_holds_over_workers(budgets, callers):
    url, calls = redis_server.fresh_url(), Calls()

    def make_calls(semaphore):
        while True:
            semaphore.take()
            calls.begin(semaphore.free)

    semaphores = []
    for name in ("a", "b"):
        semaphores.append(ResizableSemaphore(5))
        budgets(url, name).attach_job(3, semaphores[-1])
        for _ in range(10):
            callers(make_calls, semaphores[-1])
    until(lambda: all(semaphore.taken > 0 for semaphore in semaphores) and calls.running == 5)
    assert calls.most == 5
    for semaphore in semaphores:
        semaphore.resize(3)
    until(lambda: calls.max_running_during(60) == 3)  # workers get the change in turn
    assert calls.max_running_during(60) <= 3
    for semaphore in semaphores:
        semaphore.resize(None)
    until(lambda: calls.running == 20)


def test_a_job_that_ended_gives_its_share_to_the_others(budgets, callers):
    url, calls = redis_server.fresh_url(), Calls()
    first, second = budgets(url, "a"), budgets(url, "b")
    governors = [SharedGovernor(concurrency=4) for _ in range(2)]
    first.attach(7, governors[0])
    second.attach(7, governors[1])
    workers = [gevent.spawn(calls.call_through, "a", governors[0]) for _ in range(4)]
    for _ in range(4):
        callers(calls.call_through, "b", governors[1])
    until(lambda: governors[0].in_flight == governors[1].in_flight == 2)
    gevent.killall(workers)
    first.detach(7)
    until(lambda: governors[1].in_flight == 4)


def test_the_password_of_redis_is_in_no_log(budgets, caplog):
    url = redis_server.fresh_url().replace("redis://", "redis://user:open-sesame-99@")
    with caplog.at_level(logging.DEBUG):
        budget = budgets(url, "a")
        budget.attach(1, SharedGovernor())
        until(lambda: any("cannot be reached" in r.message for r in caplog.records))
    assert "open-sesame" not in caplog.text


def test_the_governors_of_providers_share_one_limit(add_config, budgets, callers):
    config = add_config("http://127.0.0.1:9/v1", concurrency=3)
    calls, url = Calls(), redis_server.fresh_url()
    for name in ("a", "b"):
        budget = budgets(url, name)
        providers = Providers(context.settings(), context.vault(), budget=budget)
        with connected():
            governor = providers.get(config).governor
        for _ in range(5):
            callers(calls.call_through, name, governor)
    until(lambda: len(calls.by) == 2 and calls.done > 40 and calls.most >= 3)
    assert calls.most == 3


def test_processes_keep_a_limit_while_one_of_them_and_redis_are_killed():
    server = Redis()
    with endpoint("--limit", "concurrency") as url, contextlib.ExitStack() as stack:

        def stats():
            return requests.get(f"{url.removesuffix('/v1')}/stats", timeout=30).json()

        def until_more_calls(calls):
            before = stats().get("calls", 0)
            until(lambda: stats().get("calls", 0) >= before + calls, 60)

        running = started(stack, url, server.url(), 3, ("--concurrency", "20"))
        until_more_calls(100)
        server.stop()
        until_more_calls(60)
        server.start()
        until_more_calls(200)
        running[0].kill()
        until_more_calls(200)
        found = stats()
    server.stop()
    assert found["most"] <= 20
    # a killed worker's calls may still run at the endpoint for a moment
    assert found["refused"] <= 0.03 * found["calls"]
