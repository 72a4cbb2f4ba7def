"""Jobs on several providers' batch APIs: where one takes nothing, the others do its part."""

import msgspec
import pytest

from simple_batch.core.domain import Spread
from simple_batch.runner import batch_jobs, batch_run
from simple_batch.services import configs, jobs
from simple_batch.services.job_option_fields import ExtraConfig
from simple_batch.store import batch_parts
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchLine, BatchPart, Job, JobEvent, Result

from ..conftest import wait_until
from ..emulators.batch_base import LineFault
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT, SIZE = 60, 10
LINES_TOKENS = 250  # more than a part is estimated at


@pytest.fixture
def overrides(overrides, monkeypatch):
    monkeypatch.setattr(batch_run, "LOOK_S", 0.02)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.02)
    quick = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.02}
    return {**overrides, **quick, "BATCH_PART_MAX_REQUESTS": SIZE}


@pytest.fixture
def providers():
    with OpenAIBatches() as first, OpenAIBatches() as second:
        yield first, second


@pytest.fixture
def run(add_config, make_job, providers):
    """Makes a job on both providers."""

    def run(spread: Spread, **weights) -> int:
        for provider, alias in zip(providers, ("test", "second"), strict=True):
            add_config(provider.base_url, alias, key=KEY, provider="openai")
        also = (ExtraConfig("second", weights.pop("other", 1.0)),)
        return make_job(COUNT, also=also, spread=spread, service="batch", **weights)

    return run


def lines(provider: OpenAIBatches) -> int:
    return provider.billed.total()


def notes(job_id: int) -> str:
    with connected():
        rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id)
        return "\n".join(str(row.detail) for row in rows)


def edit(alias: str, **fields) -> None:
    with connected():
        config = ApiConfig.get(alias=alias)
        configs.update(config.id, msgspec.structs.replace(configs.fields_of(config), **fields))


def check(job: Job, providers) -> None:
    """Each request has a result, and was paid for once."""
    assert (job.status, job.succeeded) == ("completed", COUNT), notes(job.id)
    assert sum(map(lines, providers)) == COUNT
    with connected():
        assert Result.select().where(Result.job == job.id).count() == COUNT
        assert not BatchLine.select().exists() and not batch_parts.any_under_way(job.id)
    assert all(provider.state()["files"] == [] for provider in providers)


@pytest.mark.parametrize(
    ("spread", "weights", "expected"),
    [
        (Spread.ORDER, {}, (COUNT, 0)),
        (Spread.FAST, {"weight": 3.0, "other": 1.0}, (30, 30)),
        (Spread.WEIGHT, {"weight": 3.0, "other": 1.0}, (45, 15)),
    ],
)
def test_who_gets_how_many(run, start, wait_for, providers, spread, weights, expected):
    check(wait_for(run(spread, **weights), "completed", "paused"), providers)
    assert tuple(map(lines, providers)) == expected


@pytest.mark.parametrize("spread", Spread)
def test_the_other_takes_the_part_of_one_whose_key_is_refused(
    run, start, wait_for, providers, spread
):
    first, second = providers
    first.key = "another"
    job = wait_for(run(spread), "completed", "paused")
    check(job, providers)
    assert lines(second) == COUNT and "test takes no batches" in notes(job.id)


def test_the_other_takes_the_part_of_one_that_refuses_each_batch(run, start, wait_for, providers):
    first, second = providers
    first.faults.arm("fail_batch", -1)
    job = wait_for(run(Spread.ORDER), "completed", "paused")
    check(job, providers)
    assert lines(second) == COUNT


@pytest.mark.parametrize(
    ("status", "message"),
    [(401, "Incorrect API key provided"), (402, "You exceeded your current quota")],
)
def test_the_other_takes_what_one_refuses_line_by_line(
    run, start, wait_for, providers, status, message
):
    first, second = providers
    first.fault_of = lambda words: LineFault(status, message)
    job = wait_for(run(Spread.ORDER), "completed", "paused")
    assert (job.status, job.succeeded) == ("completed", COUNT), notes(job.id)
    assert second.billed.total() == COUNT and "test takes no batches" in notes(job.id)


def test_the_other_takes_what_one_has_no_room_for(run, start, wait_for, providers):
    first, second = providers
    first.polls = second.polls = None
    with connected():
        job_id = run(Spread.ORDER)
        batch_parts.learn_token_limit(ApiConfig.get(alias="test").id, "m", 2 * LINES_TOKENS)
    wait_until(lambda: sum(len(one.batches) for one in providers) == COUNT // SIZE)
    assert len(first.batches) == 2 and len(second.batches) == 4
    first.polls = second.polls = 1
    check(wait_for(job_id, "completed", "paused"), providers)
    assert "test has no room" in notes(job_id)


def test_open_batches_of_a_revoked_key_wait_for_the_new_one(run, start, wait_for, providers):
    first, second = providers
    first.polls = second.polls = None
    job_id = run(Spread.WEIGHT, weight=1.0, other=1.0)
    wait_until(lambda: len(first.batches) == 3 and len(second.batches) == 3)
    first.key = "sk-renewed-0123456789"
    wait_until(lambda: "test takes no batches" in notes(job_id))
    second.polls = 1
    job = wait_for(job_id, "completed", "paused")  # only open batches of the first are left
    assert (job.status, job.status_reason, job.succeeded) == ("paused", "auth", 30)
    with connected():
        assert BatchPart.select().where(BatchPart.state == "open").count() == 3
    edit("test", key=first.key)
    with connected():
        jobs.resume(job_id)
    first.polls = 1
    check(wait_for(job_id, "completed"), providers)


def test_no_config_is_left(run, start, wait_for, providers):
    for provider in providers:
        provider.key = "another"
    job = wait_for(run(Spread.ORDER), "completed", "paused")
    assert (job.status, job.status_reason, job.succeeded) == ("paused", "auth", 0)
    assert all(provider.batches == {} for provider in providers)


def test_a_config_whose_batch_api_is_switched_off_is_continued_when_it_is_on(
    run, start, wait_for, providers
):
    first, second = providers
    first.polls = second.polls = None
    job_id = run(Spread.WEIGHT, weight=1.0, other=1.0)
    wait_until(lambda: len(first.batches) == 3 and len(second.batches) == 3)
    edit("test", batch_api="none")
    wait_until(lambda: "test takes no batches" in notes(job_id))
    first.polls = second.polls = 1
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.succeeded) == ("paused", 30)
    edit("test", batch_api="")
    with connected():
        jobs.resume(job_id)
    check(wait_for(job_id, "completed", "paused"), providers)
