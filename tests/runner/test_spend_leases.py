"""Spend caps over several workers hold as over one, on a real PostgreSQL."""

import contextlib
import itertools
import math
import subprocess
import sys
import time
from types import SimpleNamespace

import gevent
import pytest
from gevent.event import Event
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.cluster import spend_leases as runner_blocks
from simple_batch.cluster.spend_leases import SpendLease
from simple_batch.cluster.worker import Worker as ClusterWorker
from simple_batch.core import settings as app_settings
from simple_batch.core.call_prices import NANO, Prices, Usage
from simple_batch.core.clock import now_ms
from simple_batch.core.domain import RequestResult, RequestStatus
from simple_batch.runner import spend_caps
from simple_batch.runner.hooks import Hooks
from simple_batch.store import spend_leases, spending
from simple_batch.store.cluster import workers as worker_rows
from simple_batch.store.database import close_database, connected, open_database
from simple_batch.store.models import ApiConfig, Job, SpendBlock, database
from simple_batch.store.results import Recorded

from .. import postgres
from ..conftest import PATIENCE_S, wait_until
from ..process import ROOT
from . import spending_workers
from .spending_workers import Worker, random_calls

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed")


@pytest.fixture(scope="module")
def url():
    """Of a database with all tables, open."""
    server = postgres.server()
    made = server.create(server.template)
    open_database(made, connections=20)
    yield made
    close_database()
    server.drop(made)


@pytest.fixture
def quick(monkeypatch):
    """Leases are requested ten times as often."""
    monkeypatch.setattr(runner_blocks, "TICK_S", 0.025)
    monkeypatch.setattr(runner_blocks, "EVERY_S", 0.1)
    monkeypatch.setattr(runner_blocks, "AHEAD_S", 0.2)


numbers = itertools.count(1)


def new_config(**caps) -> int:
    now = now_ms()
    fields = {"base_url": "http://x/v1", "model": "m", "timeout_s": 1.0, "created_at": now}
    caps = {name: cap * NANO for name, cap in caps.items()}
    with connected():
        alias = f"config {next(numbers)}"
        return ApiConfig.create(alias=alias, updated_at=now, **fields, **caps).id


def new_job(cap: int | None = None, config_id: int | None = None) -> int:
    with connected():
        return Job.create(
            **{"name": "j", "config": config_id or new_config(), "status": "running"},
            **{"max_retries": 1, "created_at": now_ms(), "total": 100_000},
            spend_cap=None if cap is None else cap * NANO,
        ).id


def set_cap(job_id: int, cap: int) -> None:
    with connected():
        Job.update(spend_cap=cap * NANO).where(Job.id == job_id).execute()


def spent(job_id: int) -> int:
    with connected():
        return Job.get_by_id(job_id).cost_nano // NANO


@contextlib.contextmanager
def started_workers(count: int, call=None):
    """Starts ``count`` workers."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(Worker(f"w{n}-{next(numbers)}", call or random_calls(9, n)))
            for n in range(count)
        ]


def run_all(workers: list[Worker], jobs: list[int], width: int) -> list[gevent.Greenlet]:
    """Each worker makes calls of each job, without end."""
    return [gevent.spawn(worker.run, job, width, numbers) for worker in workers for job in jobs]


@pytest.mark.parametrize(("count", "cap", "width"), [(2, 7, 20), (2, 500, 5), (4, 1500, 20)])
def test_a_cap_holds_over_workers_and_is_used_up(url, quick, count, cap, width):
    job_id = new_job(cap)
    with started_workers(count) as workers:
        stops = [one.get(timeout=PATIENCE_S) for one in run_all(workers, [job_id], width)]
        in_flight = sum(worker.most_in_flight for worker in workers)
        paid = sum(worker.paid for worker in workers)
    assert cap <= paid < cap + in_flight * 9
    assert spent(job_id) == paid
    assert {stop.reason for stop in stops} == {"spend_cap"}
    assert f"spend cap of {cap}.00" in stops[0].detail
    assert all(worker.calls for worker in workers) or cap < 100
    with connected():
        assert not SpendBlock.select().count()


def test_raising_the_cap_lets_workers_go_on(url, quick):
    job_id = new_job(100)
    with started_workers(2) as workers:
        gevent.joinall(run_all(workers, [job_id], 4), raise_error=True)
        first = spent(job_id)
        wait_until(lambda: not held(job_id))
        assert not money_left(job_id)
        set_cap(job_id, 300)
        assert money_left(job_id)
        gevent.joinall(run_all(workers, [job_id], 4), raise_error=True)
        in_flight = sum(worker.most_in_flight for worker in workers)
    assert first < 100 + in_flight * 9
    assert 300 <= spent(job_id) < 300 + in_flight * 9


def held(job_id: int) -> int:
    with connected():
        return SpendBlock.select().where(SpendBlock.purse_id == job_id).count()


def money_left(job_id: int) -> bool:
    with connected():
        return spend_leases.free(spend_leases.Account(spend_leases.JOB, job_id))


def test_a_cap_may_be_moved_while_workers_run(url, quick):
    job_id = new_job(100_000)
    with started_workers(3) as workers:
        going = run_all(workers, [job_id], 5)
        wait_until(lambda: spent(job_id) > 500)
        set_cap(job_id, 100)
        gevent.joinall(going, raise_error=True)
        assert all(one.value.reason == "spend_cap" for one in going)
    assert spent(job_id) < 20_000  # long before the former cap


def test_what_one_holds_the_others_wait_for_and_get(url, quick):
    """One worker leases all that is left for slow calls; the money that they do not use is
    returned."""
    job_id = new_job(100)
    costs, answers = iter([50, *[1] * 1000]), Event()

    def slow() -> int:
        if first.calls == 6:
            answers.wait()
        gevent.sleep(0.1)
        return next(costs)

    with Worker("slow", slow) as first, Worker("second", random_calls(1)) as second:
        one = gevent.spawn(first.run, job_id, 3, iter(range(6)))
        wait_until(lambda: first.calls == 6)  # their expected cost is more than what is left
        other = gevent.spawn(second.run, job_id, 3, itertools.count(10))
        gevent.sleep(0.2)
        assert not other.dead
        answers.set()
        assert one.get(timeout=PATIENCE_S) is None
        assert other.get(timeout=PATIENCE_S).reason == "spend_cap"
    assert 100 <= spent(job_id) <= 102


def test_the_cap_of_a_config_holds_over_jobs_and_workers(url, quick):
    config_id = new_config(day_cap=2_000, month_cap=100_000)
    first, second = new_job(config_id=config_id), new_job(150, config_id)
    with started_workers(2) as workers:
        going = [run_all(workers[:1], [first], 5), run_all(workers[1:], [second], 5)]
        own = going[1][0].get(timeout=PATIENCE_S)
        stop = going[0][0].get(timeout=PATIENCE_S)
        in_flight = sum(worker.most_in_flight for worker in workers)
        assert (own.reason, own.config_id) == ("spend_cap", None)
        assert (stop.reason, stop.config_id) == ("spend_cap", config_id)
        assert "daily spend cap of 2000.00" in stop.detail
    assert 2_000 <= spent(first) + spent(second) < 2_000 + in_flight * 9
    assert 150 <= spent(second) < 150 + in_flight * 9


def test_with_the_next_day_money_is_there_again(url, quick, monkeypatch):
    config_id = new_config(day_cap=60, month_cap=150)
    job_id = new_job(config_id=config_id)
    first = 1_777_593_600  # of a month, in seconds
    today = {"s": first}
    monkeypatch.setattr(spend_caps, "time", SimpleNamespace(time=lambda: today["s"]))
    monkeypatch.setattr(spending_workers, "now_ms", lambda: today["s"] * 1000)
    caps = ("daily", "daily", "monthly")
    with started_workers(2) as workers:
        for day, (cap, sum_) in enumerate(zip(caps, (60, 120, 150), strict=True)):
            today["s"] = first + day * 86_400
            stops = [one.get(timeout=PATIENCE_S) for one in run_all(workers, [job_id], 2)]
            assert {cap in stop.detail for stop in stops} == {True}
            assert sum_ <= spent(job_id) < sum_ + (day + 1) * 4 * 9


def test_rows_tried_meanwhile_count(url, quick):
    config_id = new_config(day_cap=100_000)
    job_id = new_job(config_id=config_id)
    with started_workers(2) as workers:
        going = run_all(workers, [job_id], 3)
        wait_until(lambda: spent(job_id) > 100)
        with connected():
            spending.add_tried(config_id, "USD", 99_900 * NANO, now_ms())
        stops = [one.get(timeout=PATIENCE_S) for one in going]
    assert [stop.config_id for stop in stops] == [config_id] * 2


def test_several_currencies_stay_apart(url, quick):
    config_id = new_config(day_cap=50)
    job_id = new_job(config_id=config_id)
    with started_workers(2) as workers:
        gevent.joinall(run_all(workers, [job_id], 2), raise_error=True)
        with connected():
            ApiConfig.update(currency="CNY").where(ApiConfig.id == config_id).execute()
            config = ApiConfig.get_by_id(config_id)
            for worker in workers:
                worker.blocks.config_limit(config).renew(config)
        stops = [one.get(timeout=PATIENCE_S) for one in run_all(workers, [job_id], 2)]
    assert "CNY" in stops[0].detail
    with connected():
        for currency in ("USD", "CNY"):
            jobs, tried = spending.since(config_id, currency, 0)
            assert (50 * NANO <= jobs < (50 + 4 * 9) * NANO, tried) == (True, 0)


def test_what_an_unusable_answer_cost_counts_for_all_before_it_is_recorded(url):
    """Two workers whose calls wait for a retry have spent everything: both learn it, and none
    waits."""
    account = spend_leases.Account(spend_leases.JOB, new_job(100))
    with connected():
        for worker_id, cost in (("a", 40 * NANO), ("b", 60 * NANO)):
            worker_rows.register(worker_id, worker_id, 1)
            assert spend_leases.ask(worker_id, account, 0, 0, cost).granted == cost
        for worker_id, cost in (("a", 40 * NANO), ("b", 60 * NANO), ("a", 40 * NANO)):
            answer = spend_leases.ask(worker_id, account, cost, cost, cost + 5)
            assert answer.granted == cost
        assert answer.bounds == [(100 * NANO, 100 * NANO)]
        for worker_id in ("a", "b"):
            worker_rows.leave(worker_id)


def test_what_a_call_cost_beyond_its_block_is_not_granted_to_others(url):
    account = spend_leases.Account(spend_leases.JOB, new_job(100))
    with connected():
        for worker_id in ("a", "b"):
            worker_rows.register(worker_id, worker_id, 1)
        assert spend_leases.ask("a", account, 0, 0, 50 * NANO).granted == 50 * NANO
        assert spend_leases.ask("b", account, 0, 0, 50 * NANO).granted == 50 * NANO
        assert spend_leases.ask("a", account, 70 * NANO, 50 * NANO, 80 * NANO).granted == 50 * NANO
        assert spend_leases.ask("b", account, 0, 0, 50 * NANO).granted == 30 * NANO
        for worker_id in ("a", "b"):
            worker_rows.leave(worker_id)


def test_without_a_cap_nothing_is_asked(url, quick, monkeypatch):
    job_id = new_job()
    monkeypatch.setattr(spend_leases, "ask", None)
    failures = []
    monkeypatch.setattr(runner_blocks, "log_failure", lambda *_: failures.append(sys.exception()))
    with started_workers(2) as workers:
        going = run_all(workers, [job_id], 3)
        wait_until(lambda: spent(job_id) > 200)
        assert all(worker.blocks._task.alive for worker in workers)
        gevent.killall(going)
    assert not failures


def test_asks_are_few(url, monkeypatch):
    job_id = new_job(10_000_000, new_config(day_cap=10_000_000))
    asks = []
    ask = spend_leases.ask

    def counted(*args):
        asks.append(args)
        return ask(*args)

    monkeypatch.setattr(spend_leases, "ask", counted)
    with started_workers(2) as workers:
        going = run_all(workers, [job_id], 10)
        began = time.monotonic()
        wait_until(lambda: sum(worker.calls for worker in workers) > 1_000)
        took_s = time.monotonic() - began
        gevent.killall(going)
    assert len(asks) <= 2 * 2 * (took_s + 4)  # workers, caps; once per second, and the start


class Kills:
    """Real processes on one job, killed at random, each followed by another."""

    def __init__(self, url: str, job_id: int, ledger):
        self._command = (sys.executable, "-m", "tests.runner.spending_workers", url)
        self._job_id, self._ledger = str(job_id), str(ledger)
        self.started = 0

    def start(self) -> tuple[str, subprocess.Popen]:
        self.started += 1
        worker_id = f"p{self.started}-{self._job_id}"
        arguments = (worker_id, self._job_id, str(self.started * 1_000_000), self._ledger)
        return worker_id, subprocess.Popen(
            [*self._command, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )


def test_killed_processes_keep_the_cap_and_their_money_comes_back(url, tmp_path):
    job_id, ledger = new_job(3_000), tmp_path / "ledger"
    kills = Kills(url, job_id, ledger)
    living = [kills.start() for _ in range(2)]
    for victim in (0, 1):
        goal = spent(job_id) + 300
        wait_until(lambda goal=goal: spent(job_id) > goal)
        worker_id, process = living[victim]
        process.kill()
        process.communicate()
        with connected():
            worker_rows.leave(worker_id)
        living[victim] = kills.start()
    output = [process.communicate(timeout=2 * PATIENCE_S)[0] for _, process in living]
    paid = sum(int(line) for line in ledger.read_text().split())
    lost = 2 * (5 + 100) * 9  # in flight, or not recorded yet, of the two that were killed
    assert all("spend cap of 3000.00" in line for line in output)
    assert 3_000 <= spent(job_id) < 3_000 + 2 * 5 * 9
    assert 0 <= paid - spent(job_id) < lost
    assert not held(job_id)


class Steps:
    """Workers on one job, moved step by step: their limits and leases are real, their results are
    committed by the test."""

    def __init__(self, cap: int):
        self.job_id, self.cap = new_job(cap), cap
        self.workers = [SimulatedWorker(self.job_id) for _ in range(3)]
        self._excess = 0  # of runs that have ended

    def ask(self, worker: "SimulatedWorker", _: int) -> None:
        excess = worker.excess
        worker.supply.refill()
        assert worker.excess <= excess  # no money is taken away that is already spent

    def take(self, worker: "SimulatedWorker", _: int) -> None:
        if worker.may_take():
            worker.purse.acquire()
            worker.in_flight += 1
        else:
            worker.purse.starved = True  # a call would wait here

    def settle(self, worker: "SimulatedWorker", cost: int) -> None:
        if worker.in_flight:
            worker.in_flight -= 1
            worker.purse.settle(cost * NANO)
            worker.uncommitted += cost * NANO

    def commit(self, worker: "SimulatedWorker", _: int) -> None:
        with database.atomic():
            Job.update(cost_nano=Job.cost_nano + worker.uncommitted).where(
                Job.id == self.job_id
            ).execute()
            spend_leases.commit(
                worker.id, {(spend_leases.JOB, self.job_id, ""): worker.uncommitted}
            )
        worker.uncommitted = 0

    def give_back(self, worker: "SimulatedWorker", _: int) -> None:
        """The run of a job ends, and another one starts."""
        while worker.in_flight:
            self.settle(worker, 1)
        self.commit(worker, 0)
        self._excess += worker.excess
        worker.supply.give_back()
        worker_rows.leave(worker.id)
        self.replace(worker)

    def die(self, worker: "SimulatedWorker", _: int) -> None:
        worker_rows.leave(worker.id)
        self.replace(worker)

    def raise_cap(self, _: "SimulatedWorker", more: int) -> None:
        self.cap += more
        set_cap(self.job_id, self.cap)

    def replace(self, worker: "SimulatedWorker") -> None:
        self.workers[self.workers.index(worker)] = SimulatedWorker(self.job_id)

    @property
    def paid(self) -> int:
        """Units, including what is not committed yet."""
        return spent(self.job_id) + sum(worker.uncommitted for worker in self.workers) // NANO

    @property
    def excess(self) -> int:
        """The cost of calls that were in flight when a lease was used up, in units."""
        return math.ceil((self._excess + sum(one.excess for one in self.workers)) / NANO)


class SimulatedWorker:
    def __init__(self, job_id: int):
        self.id = f"worker {next(numbers)}"
        worker_rows.register(self.id, "simulated", 1)
        self.purse = spend_caps.JobSpendLimit(Job.get_by_id(job_id))
        self.supply = SpendLease(lambda: self.id, self.purse)
        self.in_flight = self.uncommitted = 0

    @property
    def excess(self) -> int:
        """The cost of calls beyond the lease; no call starts when it is used up."""
        block = self.supply.block
        return max(0, block.spent - block.limit)

    def may_take(self) -> bool:
        return self.purse.reached() is None and self.purse._may_start()


STEPS = (
    "ask",
    "take",
    "take",
    "take",
    "settle",
    "settle",
    "commit",
    "give_back",
    "die",
    "raise_cap",
)
steps = st.lists(
    st.tuples(st.sampled_from(STEPS), st.integers(0, 2), st.integers(0, 30)), max_size=60
)


@given(cap=st.integers(1, 200), steps=steps)
@settings(max_examples=40)
def test_workers_keep_the_cap_in_any_order_of_steps(url, cap, steps):
    """The cap holds, and all of it can be spent."""
    with connected(), pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner_blocks, "EVERY_S", 0.0)
        simulated = Steps(cap)
        for step, worker, number in steps:
            getattr(simulated, step)(simulated.workers[worker], number)
            assert simulated.paid <= simulated.cap + simulated.excess
        for _ in range(1_000):
            if simulated.paid >= simulated.cap:
                break
            for worker in simulated.workers:
                for step in (simulated.ask, simulated.take, simulated.settle, simulated.commit):
                    step(worker, 20)
        assert simulated.paid >= simulated.cap
        for worker in simulated.workers:
            simulated.ask(worker, 0)
            assert worker.purse.reached().reason == "spend_cap"
            worker_rows.leave(worker.id)


def test_results_of_a_failed_run_are_committed_before_its_lease_is_closed(url, tmp_path):
    """Else their cost would be added to the job, but not to what the lease has committed."""
    job_id = new_job(100)
    hooks = Hooks(*[lambda *_: None] * 4)
    places = {"INSTANCE_PATH": str(tmp_path), "DATABASE_URL": url}
    places["REDIS_URL"] = "redis://127.0.0.1:9"  # not used
    loaded = app_settings.load(environ={}, **places)
    worker = ClusterWorker(loaded, None, hooks, f"w-{next(numbers)}", 1, lambda *_: None)
    with connected():
        worker_rows.register(worker._heartbeat.id, "failing", 1)
        job = Job.get_by_id(job_id)
        config = ApiConfig.get_by_id(job.config_id)
        spend_limit = worker._spend_limits.job_limit(job)
    worker._spend_limits.attach_job(job_id, spend_limit)
    call = gevent.spawn(spend_limit.acquire)
    gevent.sleep(0)
    worker._spend_limits._refill()
    call.get(timeout=PATIENCE_S)
    spend_limit.settle(7 * NANO)
    prices = Prices(config.currency, input=0, output=1_000_000 * NANO)
    result = RequestResult(
        1, RequestStatus.SUCCEEDED, (), now_ms(), now_ms(), 5, usage=Usage(output=7)
    )
    worker._recorder.record(Recorded(job_id, config.alias, prices, 1, (), result, config.id))
    worker._recorder.start()
    worker._run_closed(job_id)
    with connected():
        (lease,) = SpendBlock.select().where(SpendBlock.purse_id == job_id)
        assert lease.committed_nano == 7 * NANO == Job.get_by_id(job_id).cost_nano
    worker._recorder.stop(5)
    with connected():
        worker_rows.leave(worker._heartbeat.id)
