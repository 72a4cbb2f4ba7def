"""Changes of many rows: small transactions that resume after an interruption."""

import pytest

from simple_batch.core.domain import Cause, JobStatus
from simple_batch.core.errors import Conflict
from simple_batch.runner import finalize
from simple_batch.services import job_retry, jobs
from simple_batch.store import bulk_results, write_pace
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Job, Request, Result, Timeline
from simple_batch.store.request_filter import RequestFilter

from ..conftest import wait_until

ENDED = ("completed", "paused", "failed", "cancelled")
CANCELLED = RequestFilter(status="cancelled")


@pytest.fixture
def cancelled(make_job, add_config):
    """Creates a job of ``count`` requests, all cancelled; no process runs jobs."""

    def make(count: int) -> int:
        add_config("http://127.0.0.1:9/v1")
        job_id = make_job(count, hold=True)
        with connected():
            jobs.cancel(job_id)
            assert jobs.get(job_id).status == "cancelled"
        return job_id

    return make


def counts(job_id: int) -> tuple:
    with connected():
        job = jobs.get(job_id)
        rows = Result.select().where(Result.job == job_id).count()
        return job.total, job.succeeded, job.failed, job.cancelled, rows


def test_a_stretch_done_twice_counts_once(make_job, add_config):
    add_config("http://127.0.0.1:9/v1")
    job_id = make_job(30, hold=True)
    values = ("test", Cause.CANCELLED, "why")
    with connected():
        assert bulk_results.close_step(job_id, 0, 20, *values) == 20
        assert counts(job_id) == (30, 0, 0, 20, 20)  # a kill here leaves a consistent state
        assert bulk_results.close_step(job_id, 10, 30, *values) == 10
        assert bulk_results.close_step(job_id, 0, 30, *values) == 0
        assert counts(job_id) == (30, 0, 0, 30, 30)
        row = Result.get(Result.idx == 29)
    assert (row.status, row.cause, row.message, row.attempts) == (
        "cancelled",
        "cancelled",
        "why",
        0,
    )


def test_a_cancelling_job_that_was_left_is_finished_at_the_next_start(cancelled, app, wait_for):
    job_id = cancelled(40)
    with connected():  # the state after a kill in the middle
        Result.delete().where((Result.job == job_id) & (Result.idx >= 15)).execute()
        Job.update(status=JobStatus.CANCELLING, cancelled=15).where(Job.id == job_id).execute()
    services = app.extensions["simple_batch"]
    services.start()
    wait_for(job_id, "cancelled")
    services.stop(2)
    assert counts(job_id) == (40, 0, 0, 40, 40)


def test_a_reset_that_was_left_is_finished_at_the_next_start(cancelled, app):
    job_id = cancelled(40)
    with connected():
        jobs._change(job_id, "reset", JobStatus.PAUSED, ENDED, job_rows.RESETTING, None)
        assert not job_rows.reset_step(job_id, 15)
        assert counts(job_id) == (40, 0, 0, 25, 25)
        for action in (jobs.resume, job_retry.retry):
            with pytest.raises(Conflict, match="is being reset"):
                action(job_id)
    services = app.extensions["simple_batch"]
    services.start()
    wait_until(lambda: counts(job_id) == (40, 0, 0, 0, 0) and reason(job_id) == "held")
    services.stop(2)
    with connected():
        assert Timeline.select().count() == 0


def requests_left() -> int:
    with connected():
        return Request.select().count()


def reason(job_id: int) -> str:
    with connected():
        return jobs.get(job_id).status_reason


def test_a_reset_ends_where_the_job_is_cancelled_meanwhile(cancelled):
    job_id = cancelled(40)
    with connected():
        jobs._change(job_id, "reset", JobStatus.PAUSED, ENDED, job_rows.RESETTING, None)
        assert not job_rows.reset_step(job_id, 15)
        jobs.cancel(job_id)
        assert job_rows.reset_step(job_id, 15)
    assert counts(job_id) == (40, 0, 0, 40, 40)


def test_a_page_is_answered_while_a_long_retry_goes_on(
    cancelled, app, endpoint, monkeypatch, wait_for
):
    monkeypatch.setattr(jobs, "AT_ONCE_S", -1.0)
    monkeypatch.setattr(finalize, "FEW", 5)
    monkeypatch.setattr(write_pace, "MAX_ROWS", 5)
    job_id = cancelled(60)
    services = app.extensions["simple_batch"]
    services.start()
    with connected():
        ApiConfig.update(base_url=endpoint.base_url, updated_at=1).execute()
        assert job_retry.retry(job_id, CANCELLED) == 5
    wait_until(lambda: counts(job_id) == (60, 60, 0, 0, 60))
    wait_for(job_id, "completed")
    services.stop(2)


def test_a_reset_of_a_served_job_is_left_to_the_runner(cancelled, app, monkeypatch):
    monkeypatch.setattr(jobs, "AT_ONCE_S", -1.0)
    monkeypatch.setattr(finalize, "FEW", 5)
    monkeypatch.setattr(write_pace, "MAX_ROWS", 5)
    job_id = cancelled(60)
    services = app.extensions["simple_batch"]
    services.start()
    with connected():
        jobs.reset(job_id)
    wait_until(lambda: counts(job_id) == (60, 0, 0, 0, 0) and reason(job_id) == "held")
    with connected():
        jobs.delete(job_id, at_once=True)
    wait_until(lambda: not requests_left())
    services.stop(2)
