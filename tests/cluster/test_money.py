"""A spend cap over two Celery workers, on real processes."""

import time

import psycopg
import pytest

from ..runner.test_spend import Seller
from .processes import MISSING, Cluster, wait_until

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")

PRICED = ("--input-price", "1000000", "--output-price", "1000000")  # a token costs one unit
WIDTH = 10
UNIT = 10**9


@pytest.fixture
def seller():
    with Seller(dearest=5, failing=9) as endpoint:
        yield endpoint


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path / "instance") as cluster:
        cluster.start("one", "two")
        yield cluster


def paused(cluster: Cluster, *jobs: int) -> None:
    """Wait until jobs are paused, and all their calls have ended and are recorded."""
    lanes = "SELECT count(*) FROM lane WHERE job_id = %s"
    for job_id in jobs:
        cluster.wait_for(job_id, "paused")
        wait_until(lambda job_id=job_id: cluster.ask(lanes, job_id) == (0,))


def spent(cluster: Cluster, job_id: int) -> int:
    return cluster.ask("SELECT cost_nano FROM job WHERE id = %s", job_id)[0] // UNIT


def held(cluster: Cluster) -> int:
    """What workers may still spend, in nano-units."""
    return cluster.ask("SELECT coalesce(sum(granted_nano - settled_nano), 0) FROM spend_block")[0]


def events(cluster: Cluster, job_id: int) -> list[str]:
    """Of the money of a job, in order."""
    return cluster.ask(
        "SELECT array_agg(reason ORDER BY id) FROM job_event "
        "WHERE job_id = %s AND reason IN ('spend_cap', 'room')",
        job_id,
    )[0]


def test_a_cap_holds_over_two_workers_and_a_kill(cluster, seller, questions):
    cluster.add_config(seller.base_url, *PRICED, "--concurrency", str(WIDTH))
    job_id = cluster.create_job(questions(4_000), "--spend-cap", "600")
    paused(cluster, job_id)
    in_flight = 2 * WIDTH * seller.dearest
    assert 600 <= spent(cluster, job_id) < 600 + in_flight
    assert spent(cluster, job_id) == seller.sold
    assert all("job 1 runs" in worker.said for worker in cluster.workers)
    time.sleep(1.5)  # it stays so
    assert events(cluster, job_id) == ["spend_cap"]

    # raised, it goes on by itself; one of the workers is killed
    assert cluster.flask("resume-job", str(job_id), "--spend-cap", "2000").returncode == 0
    wait_until(lambda: spent(cluster, job_id) > 900)
    cluster.workers[0].kill()
    lost = seller.in_flight * seller.dearest
    wait_until(lambda: spent(cluster, job_id) >= 2_000)
    paused(cluster, job_id)
    assert 2_000 <= spent(cluster, job_id) < 2_000 + in_flight
    assert seller.sold - spent(cluster, job_id) <= lost + 100 * seller.dearest
    wait_until(lambda: not held(cluster))
    # what the dead one had spent and not recorded may have seemed to be the last of it
    assert events(cluster, job_id)[1:] in (["spend_cap"], ["spend_cap", "room", "spend_cap"])


def test_the_cap_of_a_config_holds_over_two_jobs_and_may_be_raised(cluster, seller, questions):
    cap = ("--concurrency", str(WIDTH), "--day-cap", "400")
    cluster.add_config(seller.base_url, *PRICED, *cap)
    path = questions(300)
    jobs = [cluster.create_job(path) for _ in range(2)]
    paused(cluster, *jobs)
    assert 400 <= seller.sold < 400 + 2 * WIDTH * seller.dearest
    assert sum(spent(cluster, job_id) for job_id in jobs) == seller.sold
    time.sleep(1.5)
    assert [events(cluster, job_id) for job_id in jobs] == [["spend_cap"]] * 2
    with psycopg.connect(cluster.database_url) as connection:
        more = "UPDATE api_config SET day_cap = 100 * day_cap, updated_at = updated_at + 1"
        connection.execute(more)
    sold, began = seller.sold, time.monotonic()
    wait_until(lambda: seller.sold > sold)
    assert time.monotonic() - began < 4  # the machine may be busy; 2 s where it is not
    for job_id in jobs:
        cluster.wait_for(job_id)
        assert cluster.counted(job_id) == (300, 300, 300)
