"""What goes wrong at a provider, as the table “Faults” of docs/half-price.md says it: jobs through a strict
emulator of OpenAI's batches."""

import errno
import html

import pytest

from simple_batch.engine.batch_api import batch_calls
from simple_batch.runner import batch_jobs, batch_run
from simple_batch.services import configs, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job, JobEvent, Result

from ..conftest import wait_until
from ..emulators import batch_base as faults
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT = 8


@pytest.fixture
def overrides(overrides):
    fast = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.02}
    return {**overrides, **fast, "BATCH_CALL_TIMEOUT": 1.0}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=1) as provider:
        yield provider


@pytest.fixture
def job(add_config, make_job, app, provider, monkeypatch):
    """A job of COUNT requests through the provider, begun; its id."""
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


def notes(job_id: int) -> str:
    with connected():
        rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id)
        return "\n".join(str(row.detail) for row in rows)


def open_batch(provider):
    """A batch that runs, as the program knows it."""

    def found():
        with connected():
            part = BatchPart.get_or_none(BatchPart.state == "open")
        batch = provider.batches.get(part.provider_id) if part else None
        return batch if batch is not None and batch.phase == "running" else None

    return wait_until(found)


def judged(provider, done: Job, failed: int = 0, billed: int = COUNT) -> None:
    """Each request has one result, and no more is paid for than need be."""
    assert (done.status, done.succeeded, done.failed) == ("completed", COUNT - failed, failed)
    assert provider.created_twice() == 0
    assert provider.state()["lines_billed"] == billed
    assert provider.state()["files"] == []
    with connected():
        assert Result.select().count() == COUNT and not BatchLine.select().exists()


@pytest.mark.parametrize(
    "fault",
    [
        *(faults.UPLOAD_CUT, faults.UPLOAD_LOST, faults.UPLOAD_500),
        *(faults.CREATE_500, faults.CREATE_500_MADE, faults.CREATE_LOST, faults.CREATE_HANGS),
    ],
)
def test_an_upload_or_a_creation_that_fails_is_found_or_made_again(job, provider, wait_for, fault):
    provider.faults.arm(fault)
    judged(provider, wait_for(job(), "completed", "paused"))
    assert provider.faults.happened[fault] == 1


@pytest.mark.parametrize("fault", [faults.POLL_429, faults.POLL_500, faults.POLL_LOST])
def test_a_poll_that_fails_is_made_again_and_the_part_says_why(
    job, provider, wait_for, client, fault
):
    provider.faults.arm(fault, faults.ALWAYS)
    job_id = job()

    def why():
        with connected():
            part = BatchPart.get_or_none(BatchPart.poll_failures > 2)
        return part and str(part.detail)

    words = wait_until(why)
    assert words in html.unescape(client.get(f"/jobs/{job_id}/parts").text)
    provider.faults.clear()
    judged(provider, wait_for(job_id, "completed", "paused"))


def test_a_line_that_is_named_fails_and_the_others_are_sent_again(job, provider, wait_for):
    provider.faults.arm(faults.FAIL_LINE)
    job_id = job()
    judged(provider, wait_for(job_id, "completed", "paused"), 1, COUNT - 1)
    with connected():
        (failed,) = Result.select().where(Result.status == "failed")
    assert failed.cause == "bad_request" and failed.message


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_batch_that_ends_elsewhere_keeps_what_it_has(job, provider, wait_for, end):
    provider.polls_to_finish = None
    job_id = job()
    batch = open_batch(provider)
    if end == "expired":
        provider.clock.advance(25 * 3600)
    else:
        provider.cancel(batch)
    wait_until(lambda: batch.phase == end)
    provider.polls_to_finish = 1
    judged(provider, wait_for(job_id, "completed", "paused"))
    with connected():
        first, second = BatchPart.select().order_by(BatchPart.id)
    assert 0 < first.succeeded < COUNT and first.succeeded + second.succeeded == COUNT


def test_another_key_goes_on_with_open_batches(job, provider, wait_for):
    provider.polls_to_finish = None
    job_id = job()
    open_batch(provider)
    provider.key = "sk-another-0123456789"
    assert wait_for(job_id, "paused").status_reason == "auth"
    provider.polls_to_finish = 1
    with connected():
        config = configs.get("test")
        fields = configs.fields_of(config)
        fields.key = provider.key
        configs.update(config.id, fields)
        jobs.resume(job_id)
    judged(provider, wait_for(job_id, "completed"))


def test_a_full_disk_holds_the_results_until_there_is_room(job, provider, wait_for, monkeypatch):
    monkeypatch.setattr(batch_run, "DISK_S", 0.05)
    full, written = [1, 1], batch_calls._written

    def without_room(file, data):
        if full:
            full.pop()
            raise batch_calls._NotWritten(OSError(errno.ENOSPC, "No space left on device"))
        written(file, data)

    monkeypatch.setattr(batch_calls, "_written", without_room)
    job_id = job()
    judged(provider, wait_for(job_id, "completed", "paused"))
    assert full == []
    assert "cannot be written here (No space left on device)" in notes(job_id)
