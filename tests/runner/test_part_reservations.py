"""Processes that reserve parts of several jobs under the same spend caps, on a real PostgreSQL: together they
never reserve more than a cap leaves, and a cap is used up."""

import os
import time
import traceback

import pytest

from simple_batch.core.call_prices import NANO
from simple_batch.core.clock import now_ms
from simple_batch.runner.part_release import new_marker
from simple_batch.store import batch_parts, spend_leases
from simple_batch.store.database import close_database, connected, open_database
from simple_batch.store.models import ApiConfig, BatchPart, Job

from .. import postgres

pytestmark = pytest.mark.skipif(postgres.programs() is None, reason="PostgreSQL is not installed")

TRIES, COST = 24, 3 * NANO


@pytest.fixture
def url():
    server = postgres.server()
    made = server.create(server.template)
    yield made
    server.drop(made)


def new_config(day_cap: int, month_cap: int) -> int:
    now = now_ms()
    fields = {"base_url": "http://x/v1", "model": "m", "timeout_s": 1.0, "created_at": now}
    caps = {"day_cap": day_cap, "month_cap": month_cap}
    return ApiConfig.create(alias="a", updated_at=now, **fields, **caps).id


def new_job(config_id: int, cap: int | None) -> int:
    fields = {
        "status": "running",
        "created_at": now_ms(),
        "currency": "USD",
        "total": 1,
        "max_retries": 0,
    }
    return Job.create(name="j", config=config_id, spend_cap=cap, **fields).id


def reserve_all(url: str, jobs: list[int], config_id: int) -> None:
    """One process: each of its parts is of the next job."""
    left_of = spend_leases.left_of

    def slowly(account):
        left = left_of(account)
        time.sleep(0.004)  # the other process may reserve between the look and the change
        return left

    spend_leases.left_of = slowly
    open_database(url, connections=2)
    with connected():
        for number in range(TRIES):
            job_id = jobs[number % len(jobs)]
            part = batch_parts.begin(
                job_id, config_id, "/v1/chat/completions", "m", new_marker(job_id)
            )
            accounts = [
                spend_leases.Account(spend_leases.CONFIG, config_id, "USD", 1, 1),
                spend_leases.Account(spend_leases.JOB, job_id),
            ]
            spend_leases.reserve(part.id, accounts, COST)
    close_database()


def in_children(count: int, *args) -> None:
    children = []
    for _ in range(count):
        child = os.fork()
        if not child:
            try:
                reserve_all(*args)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * count


def test_two_processes_and_two_jobs_under_the_caps_of_jobs_and_a_connection(url):
    open_database(url, connections=2)
    with connected():
        config_id = new_config(day_cap=100 * NANO, month_cap=50 * NANO)
        jobs = [new_job(config_id, 20 * NANO), new_job(config_id, None)]
    close_database()
    in_children(2, url, jobs, config_id)
    open_database(url, connections=2)
    with connected():
        held = {
            job_id: [
                part.reserved_nano for part in BatchPart.select().where(BatchPart.job == job_id)
            ]
            for job_id in jobs
        }
    close_database()
    assert [len(parts) for parts in held.values()] == [TRIES, TRIES]
    first, second = (sum(parts) for parts in held.values())
    assert first <= 20 * NANO and first + second <= 50 * NANO
    assert first + second > 50 * NANO - COST  # nothing more would fit
