"""Several jobs share the limit of enqueued tokens of one connection: parts wait for each other and none fails."""

import html

import pytest

from simple_batch.runner import batch_jobs, batch_run, part_sender
from simple_batch.services import jobs
from simple_batch.store import batch_parts
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, BatchPart, Job

from ..conftest import wait_until
from ..emulators.openai_batches import KEY, OpenAIBatches

COUNT = 12
IN_PART = 6
TOKENS = 200  # that the provider lets be enqueued: those of one part, and not of two


@pytest.fixture
def overrides(overrides):
    fast = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_PART_MAX_REQUESTS": IN_PART}
    return {**overrides, **fast}


@pytest.fixture
def provider():
    with OpenAIBatches(polls_to_finish=None) as provider:
        provider.enqueued_tokens_limit = TOKENS
        yield provider


@pytest.fixture
def begin(add_config, make_job, app, provider, monkeypatch):
    """Starts jobs through the provider, one after the other; gives their ids."""
    monkeypatch.setattr(batch_run, "LOOK_S", 0.02)
    monkeypatch.setattr(batch_jobs, "LOOK_S", 0.02)
    monkeypatch.setattr(part_sender, "TURN_S", 0.2)
    add_config(provider.base_url, key=KEY, provider="openai")
    services = app.extensions["simple_batch"]
    made: list[int] = []

    def begin(count: int = COUNT) -> int:
        made.append(count)
        # other parameters, else the provider takes both for one
        job_id = make_job(count, hold=True, params={"seed": len(made)})
        with connected():
            Job.update(service="batch").where(Job.id == job_id).execute()
            jobs.resume(job_id)
        services.start()
        return job_id

    yield begin
    services.stop(2)


def refusals(provider) -> int:
    return sum(batch.phase == "failed" for batch in provider.batches.values())


def running(provider) -> list:
    return [batch for batch in provider.batches.values() if not batch.ended]


def waiting(job_id: int) -> str | None:
    """Why a part of the job waits, if one does."""
    with connected():
        mine = (BatchPart.job == job_id) & (BatchPart.not_before.is_null(False))
        unsent = BatchPart.state.in_(batch_parts.BEFORE_CREATE)
        part = BatchPart.get_or_none(mine & unsent)
    return part and str(part.detail)


def judged(provider, done: Job) -> None:
    assert (done.status, done.succeeded, done.failed) == ("completed", done.total, 0)
    assert provider.created_twice() <= refusals(provider)  # a part that was refused


def test_a_part_waits_for_the_other_job_and_the_limit_is_known_to_both(
    begin, provider, wait_for, client
):
    first = begin()
    words = wait_until(lambda: waiting(first))
    assert refusals(provider) == 1  # the second part: so the limit was learned
    with connected():
        limit = batch_parts.token_limit(ApiConfig.get().id, ApiConfig.get().model)
    assert limit is not None
    second = begin()
    words = wait_until(lambda: waiting(second))
    page = html.unescape(client.get(f"/jobs/{second}/parts").text)
    assert "waits until the provider has room" in words and words in page
    with connected():
        assert Job.get_by_id(second).status == "running"
    assert [batch.total for batch in running(provider)] == [IN_PART]
    provider.polls_to_finish = 1
    for job_id in (first, second):
        judged(provider, wait_for(job_id, "completed", "paused"))
    assert provider.billed.total() == 2 * COUNT
    assert refusals(provider) == 1, "one job has learned it, and the other has not asked"


def test_jobs_take_turns(begin, provider, wait_for):
    first = begin(4 * IN_PART)
    wait_until(lambda: waiting(first))
    second = begin(IN_PART)
    wait_until(lambda: waiting(second))
    provider.polls_to_finish = 1
    judged(provider, wait_for(second, "completed", "paused"))
    with connected():
        assert Job.get_by_id(first).status == "running"  # the other did not wait for all of it
    judged(provider, wait_for(first, "completed", "paused"))
    assert provider.billed.total() == 5 * IN_PART


@pytest.mark.parametrize("ends", ["cancel", "pause"])
def test_a_job_that_stops_lets_the_other_go_on(begin, provider, wait_for, ends):
    first = begin()
    wait_until(lambda: waiting(first))
    second = begin(IN_PART)
    wait_until(lambda: waiting(second))
    with connected():
        jobs.cancel(first) if ends == "cancel" else jobs.pause(first)
    if ends == "cancel":
        wait_until(lambda: len(provider.batches) > 2)
    provider.polls_to_finish = 1  # of the other too, which is paused: its batch is at the provider
    judged(provider, wait_for(second, "completed", "paused"))
