"""Jobs through a strict emulator of OpenAI's batches whose results are faulty: each request gets its answer
once, and none is paid for twice without need."""

import pytest

from simple_batch.core.clock import now_ms
from simple_batch.services import jobs
from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job, JobEvent, Result

from ..emulators import batch_base as faults
from ..emulators import openai_batches as openai
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT = 20


@pytest.fixture
def overrides(overrides):
    return {**overrides, "BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.02}


@pytest.fixture
def run(add_config, make_job, wait_for, app):
    """Runs a job of COUNT requests through a provider to its end; returns it."""
    services = app.extensions["simple_batch"]

    def run(provider: OpenAIBatches, service: str = "batch", **more) -> Job:
        add_config(provider.base_url, key=KEY, provider="openai")
        job_id = make_job(COUNT, hold=True)
        with connected():
            Job.update(service=service, **more).where(Job.id == job_id).execute()
            jobs.resume(job_id)
        services.start()
        return wait_for(job_id, "completed", "paused")

    yield run
    services.stop(2)


def notes(job_id: int) -> str:
    with connected():
        rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id)
        return "\n".join(str(row.detail) for row in rows)


# fault, how often, lines that are billed once more than needed, what the history says
FAULTY = [
    (faults.MISSING_LINE, 1, 1, "requests without a result are sent again (1)"),
    (faults.LINE_TWICE, 1, 0, "further results of the same requests were left out (1)"),
    (faults.FOREIGN_LINE, 1, 0, "results of requests that are not in it were left out (1)"),
    (faults.BROKEN_LINE, 1, 1, "lines that are no results (1)"),
    (openai.STATUS_ZERO, 1, 1, ""),
    (openai.EMPTY_ERROR_ID, faults.ALWAYS, 0, ""),
    (openai.NO_COUNTS, faults.ALWAYS, 0, ""),
    (openai.REDIRECTED, 1, 0, ""),
    (faults.DOWNLOAD_500, 1, 0, ""),
    (faults.RESULT_CUT, 1, 0, ""),
    (faults.RESULT_ENDS_EARLY, 1, 0, ""),
    (faults.RESULT_ENDS_EARLY, 4, None, "lines that are no results (1)"),
    (faults.RESULT_GZIP, 1, 0, ""),
    (faults.RESULT_MARKED, 1, 0, ""),
    (faults.RESULT_CAPITALS, 1, 0, ""),
    (faults.NO_RESULTS, 1, COUNT, "requests without a result are sent again (20)"),
    (faults.RESULT_GONE, 1, COUNT, "gone"),
    (openai.RESULT_410, 1, COUNT, "gone"),
]


@pytest.mark.parametrize(("fault", "times", "again", "said"), FAULTY)
def test_faulty_results_lose_nothing_and_record_nothing_twice(run, fault, times, again, said):
    with OpenAIBatches(polls_to_finish=1) as provider:
        provider.faults.arm(fault, times)
        job = run(provider)
        assert provider.faults.happened[fault] or provider.faults.armed(fault)
        billed = provider.state()["lines_billed"]
        assert provider.state()["files"] == []
    assert (job.status, job.succeeded, job.failed) == ("completed", COUNT, 0), notes(job.id)
    assert said in notes(job.id)
    if again is not None:
        assert billed == COUNT + again
    with connected():
        assert Result.select().count() == COUNT and not BatchLine.select().exists()
        parts = list(BatchPart.select())
    assert sum(part.succeeded for part in parts) == COUNT
    assert {part.state for part in parts} <= {"merged", "released"}


def test_files_that_are_too_large_are_cut_smaller(run):
    with OpenAIBatches(polls_to_finish=1) as provider:
        provider.max_bytes = -9_200  # of a whole upload: its form has more than the file
        job = run(provider)
        assert provider.state()["lines_billed"] == COUNT and provider.state()["files"] == []
    assert (job.status, job.succeeded) == ("completed", COUNT), notes(job.id)
    with connected():
        assert BatchPart.select().where(BatchPart.state == "merged").count() > 1
        assert BatchPart.select().where(BatchPart.state == "released").count() < 6


def test_single_lines_that_are_too_large_fail(run):
    with OpenAIBatches(polls_to_finish=1) as provider:
        provider.max_bytes = -9_900
        job = run(provider)
        assert provider.state()["batches"] == []
    assert (job.status, job.failed) == ("completed", COUNT), notes(job.id)
    with connected():
        assert {row.cause for row in Result.select()} == {"too_large"}


def test_single_lines_that_are_too_large_go_by_a_call_where_the_job_may(run):
    with OpenAIBatches(polls_to_finish=1) as provider:
        provider.max_bytes = -9_900
        job = run(provider, "batch-then-now", deadline_at=now_ms() + 3_600_000)
        assert provider.state()["batches"] == []
    assert (job.status, job.succeeded, job.failed) == ("completed", COUNT, 0), notes(job.id)
