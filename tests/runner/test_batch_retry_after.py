"""A provider that takes no file or no batch now, and says when: the part waits so long, and says so."""

import html
import time

import pytest

from simple_batch.insight.parts import part_json
from simple_batch.runner import batch_jobs, batch_run
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job

from ..conftest import wait_until
from ..emulators import openai_batches as faults
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT = 4
WAIT_S = 2
FAULTS = {
    faults.UPLOAD_LATER_429: "upload",
    faults.UPLOAD_LATER_503: "upload",
    faults.CREATE_LATER_429: "create",
    faults.CREATE_LATER_503: "create",
    faults.CREATE_FULL: "create",
}


@pytest.fixture
def overrides(overrides):
    fast = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.02}
    return {**overrides, **fast}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=1) as provider:
        provider.retry_after_s = WAIT_S
        yield provider


@pytest.fixture
def begin(add_config, make_job, app, provider, monkeypatch):
    monkeypatch.setattr(batch_run, "LOOK_S", 0.02)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.02)
    services = app.extensions["simple_batch"]

    def begin() -> int:
        add_config(provider.base_url, key=KEY, provider="openai")
        job_id = make_job(COUNT, hold=True)
        with connected():
            Job.update(service="batch").where(Job.id == job_id).execute()
            jobs.resume(job_id)
        services.start()
        return job_id

    yield begin
    services.stop(2)


def waiting(job_id: int) -> dict | None:
    """The part of the job, if it waits."""
    with connected():
        part = BatchPart.get_or_none(BatchPart.job == job_id)
        if part is None or not part.detail or part.not_before is None:
            return None
        return part_json(part)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_part_waits_as_long_as_the_provider_says(begin, provider, wait_for, client, fault):
    provider.faults.arm(fault)
    job_id = begin()
    part = wait_until(lambda: waiting(job_id))
    page = html.unescape(client.get(f"/jobs/{job_id}/parts").text)
    assert str(part["detail"]) in page and "next attempt at" in page
    assert part["next_attempt_at"] is not None
    with connected():
        assert Job.get_by_id(job_id).status == "running"
    done = wait_for(job_id, "completed", "paused")
    assert (done.status, done.succeeded) == ("completed", COUNT)
    first, second = provider.asked_at[FAULTS[fault]]
    assert WAIT_S <= second - first < WAIT_S + 5
    assert provider.created_twice() == 0 and provider.billed.total() == COUNT


@pytest.mark.parametrize("fault", FAULTS)
def test_a_job_that_waits_can_be_cancelled(begin, provider, wait_for, fault):
    provider.retry_after_s = 3_600
    provider.faults.arm(fault)
    job_id = begin()
    wait_until(lambda: waiting(job_id))
    began = time.monotonic()
    with connected():
        jobs.cancel(job_id)
    assert wait_for(job_id, "cancelled").cancelled == COUNT
    assert time.monotonic() - began < 30
    assert provider.batches == {} and provider.files == {}
    with connected():
        assert not BatchLine.select().exists()


def test_a_job_that_waits_can_be_paused_and_waits_on(begin, provider, wait_for):
    provider.faults.arm(faults.UPLOAD_LATER_503)
    job_id = begin()
    wait_until(lambda: waiting(job_id))
    with connected():
        jobs.pause(job_id)
    wait_for(job_id, "paused")
    with connected():
        jobs.resume(job_id)
    assert wait_for(job_id, "completed").succeeded == COUNT
    first, second = provider.asked_at["upload"]
    assert second - first >= WAIT_S - 0.01  # until a time of day, in milliseconds
