"""A job with a deadline gives up its batches in time, and sends what is left by calls."""

import msgspec
import pytest

from simple_batch.core.clock import now_ms
from simple_batch.core.domain import PartState
from simple_batch.runner import batch_deadline
from simple_batch.runner.batch_clients import BatchClients
from simple_batch.runner.batch_deadline import CANCEL_S, DeadlinePlan, part_seconds, planned_seconds
from simple_batch.services import job_options, jobs
from simple_batch.store import part_history
from simple_batch.store.database import connected
from simple_batch.store.models import BatchPart, Job, JobEvent, database
from simple_batch.store.part_history import Took

from ..conftest import wait_until
from .fake_batches import FakeBatches

COUNT = 40
HOUR_MS = 3_600_000


@pytest.fixture
def overrides(overrides):
    return {**overrides, "BATCH_POLL_FIRST": 0.01, "BATCH_POLL_MAX": 0.05}


@pytest.fixture
def provider(tmp_path, monkeypatch):
    client = FakeBatches(tmp_path / "provider")
    monkeypatch.setattr(BatchClients, "of", lambda self, config: client)
    monkeypatch.setattr(batch_deadline, "LOOK_S", 0.05)
    return client


@pytest.fixture
def job_with_deadline(add_config, make_job, endpoint, provider):
    """Makes a job that must be ready some ``seconds`` after the time that calls need."""

    def make(seconds: float) -> int:
        add_config(endpoint.base_url, concurrency=50)
        job_id = make_job(COUNT, hold=True)
        at = now_ms() + round(1000 * (seconds + CANCEL_S + batch_deadline.LEAST_S))
        changes = {"service": "batch-then-now", "deadline_at": at}
        with connected():
            Job.update(**changes).where(Job.id == job_id).execute()
        return job_id

    return make


def batches_took(job_id: int, *seconds: float, remote: str = "{}") -> None:
    """Batches of the same config that have ended."""
    with connected(), database.atomic():
        job = Job.get_by_id(job_id)
        for number, took in enumerate(seconds):
            BatchPart.create(
                job=job,
                config=job.config_id,
                url="/v1/chat/completions",
                model="m",
                marker=f"old-{remote}-{number}",
                state=PartState.MERGED,
                requests=COUNT,
                bytes=0,
                tokens=0,
                remote=remote,
                created_at=1,
                sent_at=1_000,
                ended_at=1_000 + round(1000 * took),
            )


def resumed(job_id: int) -> None:
    with connected():
        jobs.resume(job_id)


def notes(job_id: int) -> str:
    with connected():
        rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id)
        return "\n".join(str(row.detail) for row in rows)


def test_parts_that_would_miss_the_deadline_are_not_created(
    job_with_deadline, start, wait_for, provider
):
    job_id = job_with_deadline(1800.0)  # an hour is assumed
    resumed(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.rest_now_reason) == (COUNT, "deadline") and job.rest_now_at
    assert provider.batches() == []
    assert "How long a batch takes is not known yet" in notes(job_id)


def test_what_is_not_ready_at_the_last_moment_is_cancelled_and_sent_now(
    job_with_deadline, start, wait_for, provider
):
    provider.held = True
    job_id = job_with_deadline(2.0)
    batches_took(job_id, *[0.1] * 10)
    resumed(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.rest_now_reason) == (COUNT, "deadline")
    (batch,) = provider.batches()
    assert batch["state"] == "cancelled" and len(batch["run"]) == COUNT // 2
    with connected():
        part = BatchPart.get(BatchPart.provider_id == batch["id"])
    assert (part.succeeded, part.sent_again) == (COUNT // 2, COUNT // 2)
    assert "9 of 10 batches took at most 1 min" in notes(job_id)


def test_a_deadline_far_away_changes_nothing(job_with_deadline, start, wait_for, provider):
    job_id = job_with_deadline(60.0)
    batches_took(job_id, 0.5, 0.6, 0.7)
    resumed(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.rest_now_at) == (COUNT, None)
    assert [len(batch["run"]) for batch in provider.batches()] == [COUNT]


def test_a_deadline_that_is_brought_forward_while_a_batch_is_open(
    job_with_deadline, start, wait_for, provider
):
    provider.held = True
    job_id = job_with_deadline(12 * 3600.0)
    resumed(job_id)
    wait_until(provider.batches)
    with connected():
        now = job_options.of(jobs.get(job_id))
        soon = now_ms() + round(1000 * (CANCEL_S + batch_deadline.LEAST_S))
        jobs.edit(job_id, msgspec.structs.replace(now, deadline_at=soon))
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.rest_now_reason) == (COUNT, "deadline")
    (batch,) = provider.batches()
    assert batch["state"] == "cancelled"


def test_how_long_a_batch_takes():
    day = 86_400.0
    assert planned_seconds([], 100, day) == 3600.0 and planned_seconds([], 100, 60.0) == 60.0
    assert planned_seconds([Took(100, 9_000.0)] * 5, 100, day) == 9_000.0
    assert part_seconds([], 100, day) == day
    assert part_seconds([Took(100, 50.0)], 100, day) == 100.0
    hundred = [Took(100, float(number)) for number in range(1, 101)]
    assert part_seconds(hundred, 100, day) == 90.0
    assert part_seconds(hundred, 100, 60.0) == 60.0
    large = [Took(50_000, 9_000.0)] * 5
    assert part_seconds([*hundred, *large], 40_000, day) == 9_000.0
    assert part_seconds([*hundred, *large[:2]], 40_000, day) <= 95.0


def test_batches_are_tried_where_nothing_is_known_of_them(
    job_with_deadline, start, wait_for, provider
):
    job_id = job_with_deadline(12 * 3600.0)  # the provider promises a day
    resumed(job_id)
    job = wait_for(job_id, "completed")
    assert (job.succeeded, job.rest_now_at) == (COUNT, None)
    assert [len(batch["run"]) for batch in provider.batches()] == [COUNT]


def test_batches_that_were_cancelled_say_nothing(job_with_deadline):
    job_id = job_with_deadline(60.0)
    batches_took(job_id, 5.0)
    batches_took(job_id, 1.0, remote='{"id":"b","state":"cancelled","status":"cancelled"}')
    with connected():
        assert [one.seconds for one in part_history.took(Job.get().config_id, "m")] == [5.0]


def test_the_last_moment():
    plan = DeadlinePlan(10 * HOUR_MS, 9 * HOUR_MS, 3600.0, 9, 3000.0, 600.0)
    assert plan.allows_part(8 * HOUR_MS) and not plan.allows_part(8 * HOUR_MS + 1)
    assert not plan.is_due(8 * HOUR_MS + 1, under_way=True)
    assert plan.is_due(8 * HOUR_MS + 1, under_way=False)
    assert plan.is_due(9 * HOUR_MS, under_way=True)
