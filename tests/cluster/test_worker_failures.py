"""Workers and servers are killed, suspended or stopped during a job: it continues by itself,
nothing is lost or recorded twice, and hardly anything is sent again."""

import signal
import time

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .processes import asked, questions, wait_until

CONCURRENCY = 10  # of each worker


def test_killed_workers_leave_their_pages_to_others(cluster):
    """Kills the coordinator and another worker: a third one coordinates then."""
    total = 1_500
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        workers = cluster.start("a", "b", "c")
        job_id = cluster.under_way(endpoint, total, 3 * CONCURRENCY, 200)
        coordinator = cluster.coordinator()
        other = next(worker for worker in workers if worker is not coordinator)
        coordinator.kill()
        other.kill()
        killed = time.monotonic()
        wait_until(lambda: cluster.ask("SELECT count(*) FROM worker")[0] == 1)
        print(f"found dead after {time.monotonic() - killed:.1f} s")
        cluster.wait_for(job_id)
    assert cluster.counted(job_id) == (total, total, total)
    # calls in flight, and at most one batch of uncommitted answers
    resent = endpoint.calls - total
    print(f"{resent} sent again")
    assert resent <= 2 * (CONCURRENCY + 100)


def test_a_warm_shutdown_sends_nothing_again(cluster):
    total = 600
    with MisbehavingEndpoint(e.slow(0.2)) as endpoint:
        workers = cluster.start("a", "b")
        job_id = cluster.under_way(endpoint, total, 2 * CONCURRENCY)
        leaving = cluster.coordinator()
        assert leaving.stop() == 0
        # it left by itself, was not declared dead, and holds nothing
        assert cluster.ask("SELECT count(*) FROM worker")[0] == 1
        staying = next(worker for worker in workers if worker is not leaving)
        cluster.wait_for(job_id)
        assert cluster.coordinator() is staying
    assert cluster.counted(job_id) == (total, total, total)
    assert endpoint.calls == total


def test_redis_and_postgresql_come_back(cluster):
    total = 1_200
    with MisbehavingEndpoint(e.slow(0.1)) as endpoint:
        workers = cluster.start("a", "b")
        job_id = cluster.under_way(endpoint, total, 2 * CONCURRENCY)
        cluster.redis.stop()
        try:
            wait_until(lambda: endpoint.calls > 350)
            # no message announces this job: assignments are found without the broker
            second = cluster.make_job(questions(40))
            cluster.wait_for(second)
        finally:
            cluster.redis.start()
        cluster.postgres.stop()
        try:
            time.sleep(3)  # while Redis is down: there is nothing to wait for
        finally:
            cluster.postgres.start()
        cluster.wait_for(job_id)
        assert cluster.counted(job_id) == (total, total, total)
        assert endpoint.calls == total + 40
        assert not any("dead" in worker.output for worker in workers)
        wait_until(
            lambda: "2 nodes online" in cluster.celery("inspect", "ping", "--timeout", "3").stdout
        )


def test_one_that_stood_still_finds_out_before_it_calls(cluster):
    """The suspended worker was the coordinator and still has its connection: the lease is taken
    from it."""
    total = 1_500
    with MisbehavingEndpoint(e.slow(0.2)) as endpoint:
        workers = cluster.start("a", "b")
        job_id = cluster.under_way(endpoint, total, 2 * CONCURRENCY)
        still = cluster.coordinator()
        still.signal(signal.SIGSTOP)
        at = time.monotonic()
        wait_until(lambda: cluster.ask("SELECT count(*) FROM worker")[0] == 1)
        print(f"found dead after {time.monotonic() - at:.1f} s")
        still.signal(signal.SIGCONT)
        still.wait_for("goes on as a new one")
        wait_until(lambda: cluster.ask("SELECT count(*) FROM worker")[0] == 2)
        assert cluster.coordinator() in workers
        cluster.wait_for(job_id)
    assert cluster.counted(job_id) == (total, total, total)
    assert sum(count - 1 for count in asked(endpoint).values()) <= CONCURRENCY
