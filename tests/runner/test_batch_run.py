"""Jobs that go through a provider's batch API, with a provider that outlives the process."""

import gevent
import pytest

from simple_batch.core.domain import Cause, PartState, RequestResult, RequestStatus, Verdict
from simple_batch.engine.batch_api.batch_client import BatchError, BatchLimits
from simple_batch.runner import batch_jobs
from simple_batch.runner.batch_clients import BatchClients
from simple_batch.runner.part_lines import index_of
from simple_batch.store import batch_parts, results
from simple_batch.store import jobs as job_rows
from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job, Result, database

from ..conftest import wait_until
from .fake_batches import Dies, FakeBatches, Fails, no_answer, refused

FAST = {
    "BATCH_POLL_FIRST": 0.01,
    "BATCH_POLL_MAX": 0.05,
    "BATCH_FIND_WAIT": 0.01,
    "BATCH_CANCEL_WAIT": 20.0,
}


def tiny_merge(_self, part, maker, paths):
    """What part_merger.py does, for answers that are all good."""
    records = []
    for path in paths:
        for line in maker.client.read(path):
            index = index_of(line.line_id)
            result = RequestResult(
                index, RequestStatus.SUCCEEDED, (), 1, 2, 1, response=line.reply.body
            )
            provider = maker.bodies.provider
            records.append(
                results.Recorded(part.job_id, provider.alias, provider.prices, index, (), result)
            )
    with connected():
        with database.atomic():
            results.write(records)
            batch_parts.leave(part.id, [record.index for record in records])
        while batch_parts.release_step(part.id, 1000):
            pass
        batch_parts.move(part.id, PartState.MERGED, (PartState.ENDED,))


@pytest.fixture
def overrides(overrides):
    return {**overrides, **FAST}


@pytest.fixture
def provider(tmp_path, monkeypatch):
    client = FakeBatches(tmp_path / "provider")
    monkeypatch.setattr(BatchClients, "of", lambda self, config: client)
    monkeypatch.setattr(batch_jobs._Merging, "__call__", tiny_merge)
    return client


@pytest.fixture
def batch_job(app, add_config, make_job, endpoint, provider):
    """Makes a job that goes through the provider's batches."""

    def make(count: int, service: str = "batch", **choices) -> int:
        add_config(endpoint.base_url)
        job_id = make_job(count, **choices)
        with connected():
            Job.update(service=service).where(Job.id == job_id).execute()
        return job_id

    return make


@pytest.fixture
def started(app):
    services = app.extensions["simple_batch"]

    def start():
        services.start()

    yield start
    services.stop(2)


def agrees(job_id: int) -> None:
    """Nothing is left, and each request has one result."""
    with connected():
        job = Job.get_by_id(job_id)
        assert Result.select().where(Result.job == job_id).count() == job.total
        assert job.succeeded + job.failed + job.cancelled == job.total
        assert BatchLine.select().count() == 0
        assert not batch_parts.any_under_way(job_id)


def test_parts_within_the_limits_run_to_the_end(batch_job, provider, started, wait_for):
    provider.limits = BatchLimits(requests=40)
    job_id = batch_job(100)
    started()
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", 100)
    assert [len(batch["lines"]) for batch in provider.batches()] == [40, 40, 20]
    assert sorted(provider.billed()) == sorted(f"r{n}" for n in range(100))
    assert provider.files() == []
    agrees(job_id)
