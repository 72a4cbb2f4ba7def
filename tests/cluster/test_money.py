"""Spend caps over two Celery workers hold as over one process."""

import time
from decimal import Decimal

import msgspec
import pytest

from simple_batch.services import configs, job_options, jobs

from ..runner.test_spend_caps import PRICED, PricedEndpoint
from .processes import questions, wait_until

WIDTH = 10
UNIT = 10**9


@pytest.fixture
def endpoint():
    with PricedEndpoint(dearest=5, failing=9) as endpoint:
        yield endpoint


@pytest.fixture
def two(cluster):
    cluster.start("one", "two")
    return cluster


def paused(cluster, *made: int) -> None:
    """Wait until the jobs are paused and all their calls have ended and are recorded."""
    for job_id in made:
        cluster.wait_for(job_id, "paused")
        wait_until(lambda job_id=job_id: not cluster.placed(job_id))


def spent(cluster, job_id: int) -> int:
    return cluster.ask("SELECT cost_nano FROM job WHERE id = %s", job_id)[0] // UNIT


def held(cluster) -> int:
    """The money that workers may still spend, in nano-units."""
    return cluster.ask("SELECT coalesce(sum(granted_nano - settled_nano), 0) FROM spend_block")[0]


def events(cluster, job_id: int) -> list[str]:
    """Events about the money of a job, in order."""
    return cluster.ask(
        "SELECT array_agg(reason ORDER BY id) FROM job_event "
        "WHERE job_id = %s AND reason IN ('spend_cap', 'room')",
        job_id,
    )[0]


def raise_cap(job_id: int, cap: int) -> None:
    chosen = job_options.of(jobs.get(job_id))
    chosen.spend_cap = Decimal(cap)
    jobs.edit(job_id, chosen)


def test_a_cap_holds_over_two_workers_and_a_kill(two, endpoint):
    two.add_config(endpoint.base_url, concurrency=WIDTH, **PRICED)
    job_id = two.make_job(questions(4_000), spend_cap=Decimal(600))
    paused(two, job_id)
    in_flight = 2 * WIDTH * endpoint.dearest
    assert 600 <= spent(two, job_id) < 600 + in_flight
    assert spent(two, job_id) == endpoint.charged
    assert "spend cap of 600.00 USD" in two.do(jobs.get, job_id).status_detail
    assert all(f"job {job_id} runs" in worker.output for worker in two.workers)
    time.sleep(1.5)  # it stays so
    assert events(two, job_id) == ["spend_cap"]

    # the raised cap resumes the job; one worker is killed
    two.do(raise_cap, job_id, 2_000)
    wait_until(lambda: spent(two, job_id) > 900)
    two.workers[0].kill()
    lost = endpoint.in_flight * endpoint.dearest
    wait_until(lambda: spent(two, job_id) >= 2_000)
    paused(two, job_id)
    assert 2_000 <= spent(two, job_id) < 2_000 + in_flight
    assert endpoint.charged - spent(two, job_id) <= lost + 100 * endpoint.dearest
    wait_until(lambda: not held(two))
    # unrecorded spending of the dead worker may exceed the cap
    again = ["room", "spend_cap"]
    assert events(two, job_id)[1:] in (again, again * 2)


def test_the_cap_of_a_config_holds_over_two_jobs_and_may_be_raised(two, endpoint):
    config = two.add_config(endpoint.base_url, concurrency=WIDTH, **PRICED, day_cap=Decimal(400))
    # every ninth call fails: all four tries of a request may
    made = [two.make_job(questions(300), max_retries=20) for _ in range(2)]
    paused(two, *made)
    assert 400 <= endpoint.charged < 400 + 2 * WIDTH * endpoint.dearest
    assert sum(spent(two, job_id) for job_id in made) == endpoint.charged
    time.sleep(1.5)
    assert [events(two, job_id) for job_id in made] == [["spend_cap"]] * 2
    more = msgspec.structs.replace(configs.fields_of(config), day_cap=Decimal(40_000))
    two.do(configs.update, config.id, more)
    charged = endpoint.charged
    wait_until(lambda: endpoint.charged > charged)
    for job_id in made:
        two.wait_for(job_id)
        assert two.counted(job_id) == (300, 300, 300)
