"""A provider whose Retry-After is longer than RATE_LIMIT_PATIENCE."""

import time
from datetime import UTC, datetime

import pytest

from simple_batch.core.domain import Spread
from simple_batch.services import jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store.database import connected
from simple_batch.store.models import Job

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint

YEAR_S = 365 * 86_400


def asks(status: int, header: str) -> bytes:
    return e.error(status, "slow down", "rate_limit", header)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (lambda: asks(429, f"Retry-After: {YEAR_S}"), "rate_limit"),
        (lambda: asks(429, e.retry_date(YEAR_S + 60, time.time())), "rate_limit"),
        (lambda: asks(503, f"Retry-After: {YEAR_S}"), "overloaded"),
    ],
)
def test_the_job_is_paused_and_says_until_when(
    start, add_config, make_job, wait_for, answer, reason
):
    with MisbehavingEndpoint(*[e.ok()] * 3, answer()) as endpoint:
        add_config(endpoint.base_url, concurrency=2)
        job = wait_for(make_job(20), "paused")
        assert job.status_reason == reason
        assert "asks to wait for 365 days" in job.status_detail
        assert f"{datetime.fromtimestamp(job.start_at / 1000, UTC):%Y-%m-%d %H:%M}" in (
            job.status_detail
        )
        assert job.start_at / 1000 == pytest.approx(time.time() + YEAR_S, abs=120)
        assert (job.succeeded, job.failed) == (3, 0)
        assert endpoint.calls <= 5  # no call is retried
        endpoint.script[:] = [e.ok()]
        with connected():
            jobs.resume(job.id)  # at once, without waiting for the Retry-After
        job = wait_for(job.id, "completed")
        assert (job.succeeded, job.failed) == (20, 0)


def test_when_the_wait_is_over_it_goes_on_by_itself(start, add_config, make_job, wait_for):
    with MisbehavingEndpoint(asks(429, "Retry-After: 3600")) as endpoint:
        add_config(endpoint.base_url)
        job = wait_for(make_job(5), "paused")
        assert "60 minutes" in job.status_detail
        endpoint.script[:] = [e.ok()]
        with connected():
            Job.update(start_at=job.start_at - 3_600_000).where(Job.id == job.id).execute()
        assert wait_for(job.id, "completed").succeeded == 5


class TestWithLittlePatience:
    @pytest.fixture
    def overrides(self, overrides):
        return {**overrides, "RATE_LIMIT_PATIENCE": 0.5}

    def test_the_wait_is_short(self, start, add_config, make_job, wait_for):
        with MisbehavingEndpoint(asks(429, "Retry-After: 1"), e.ok()) as endpoint:
            add_config(endpoint.base_url, concurrency=1)
            job = wait_for(make_job(5), "completed")
            assert (job.succeeded, job.failed) == (5, 0)
        with connected():
            details = [event.detail for event in job.events]
        assert any("asks to wait for 1 second" in detail for detail in details)


def test_another_api_takes_over(start, add_config, make_job, wait_for):
    with (
        MisbehavingEndpoint(asks(429, f"Retry-After: {YEAR_S}")) as a,
        MisbehavingEndpoint(e.ok()) as b,
    ):
        add_config(a.base_url, alias="a", concurrency=2)
        add_config(b.base_url, alias="b")
        job_id = make_job(20, "a", also=(ExtraConfig("b"),), spread=Spread.ORDER)
        assert wait_for(job_id, "completed").succeeded == 20
        assert (a.calls <= 2, b.calls) == (True, 20)
