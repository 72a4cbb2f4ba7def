"""*Send the rest now* through a strict emulator: batches are cancelled, what they have finished is kept, and
each other request is sent by one call."""

from collections import Counter
from contextlib import suppress
from decimal import Decimal

import pytest

from simple_batch.core.call_prices import NANO
from simple_batch.core.errors import Conflict
from simple_batch.services import jobs
from simple_batch.store import batch_parts
from simple_batch.store.database import connected
from simple_batch.store.models import BatchLine, BatchPart, Job, Result

from ..conftest import wait_until
from ..emulators import batch_base as base
from ..emulators.openai_batches import KEY, OpenAIBatches
from ..process import flask

COUNT, SIZE = 50, 10
ROOM = 500  # estimated tokens at the provider: two parts
CALL = 80_000  # nano-units: 2 tokens in, 3 out


@pytest.fixture
def overrides(overrides):
    quick = {"BATCH_POLL_FIRST": 0.02, "BATCH_POLL_MAX": 0.05, "BATCH_FIND_WAIT": 0.02}
    return {**overrides, **quick, "BATCH_PART_MAX_REQUESTS": SIZE}


@pytest.fixture
def provider():
    """Its batches do not end by themselves; a cancelled one is half done."""
    with OpenAIBatches(polls_to_finish=None) as emulator:
        yield emulator


@pytest.fixture
def job_id(add_config, make_job, provider, start):
    """One part is merged, two are open, one waits for room, and the last is not cut yet."""
    config = add_config(
        provider.base_url,
        key=KEY,
        input_price=Decimal(10),
        output_price=Decimal(20),
        batch_discount=0.5,
        provider="openai",
        max_tokens=10,
    )
    with connected():
        batch_parts.learn_token_limit(config.id, config.model, ROOM)
    job_id = make_job(COUNT, service="batch")
    wait_until(lambda: states(job_id)["open"] == 2)
    provider.finish(next(iter(provider.batches)))
    wait_until(lambda: states(job_id) >= Counter(merged=1, open=2))
    wait_until(lambda: sum(states(job_id).values()) > 3)
    return job_id


def states(job_id: int) -> Counter:
    with connected():
        rows = BatchPart.select(BatchPart.state).where(BatchPart.job == job_id)
        return Counter(str(row.state) for row in rows)


def check(job: Job, provider: OpenAIBatches) -> None:
    """Each request was paid for once: those of the merged batch and half of the two others in batches."""
    batched = 2 * SIZE
    assert (job.status, job.succeeded, job.attempts) == ("completed", COUNT, COUNT)
    assert (len(provider.called), provider.billed.total()) == (COUNT - batched, COUNT)
    assert provider.billed_twice() == [] and provider.state()["files"] == []
    assert provider.counts()["phases"] == {"completed": 1, "cancelled": 2}
    assert job.cost_nano == batched * CALL // 2 + (COUNT - batched) * CALL
    assert (job.saved_batch_calls, job.saved_batch_nano) == (batched, batched * CALL // 2)
    with connected():
        assert Result.select().where(Result.job == job.id).count() == COUNT
        assert not BatchLine.select().exists()
        assert all(part.reserved_nano == 0 for part in BatchPart.select())


def by_page(client, instance, job_id: int) -> None:
    page = client.get(f"/jobs/{job_id}").text
    token = page.split('name="csrf_token" value="')[1].split('"')[0]
    answer = client.post(f"/jobs/{job_id}/send_rest_now", data={"csrf_token": token})
    assert answer.status_code == 303


def by_command(client, instance, job_id: int) -> None:
    ended = flask(instance, "send-rest-now", str(job_id), "--yes")
    assert ended.returncode == 0, ended.stderr
    assert f"The rest of job {job_id} is sent now" in ended.stderr


@pytest.mark.parametrize(
    ("send", "fault"),
    [(by_page, None), (by_page, base.CANCEL_500), (by_page, base.POLL_LOST), (by_command, None)],
)
def test_the_rest_of_a_job_with_parts_of_all_states(
    job_id, provider, client, instance, wait_for, send, fault
):
    if fault:
        provider.faults.arm(fault, 3)
    send(client, instance, job_id)
    check(wait_for(job_id, "completed", "paused"), provider)


def test_a_cap_holds_for_the_rest_and_a_higher_one_lets_it_go_on(
    job_id, provider, client, instance, wait_for
):
    cap = 25 * CALL
    with connected():
        Job.update(spend_cap=cap).where(Job.id == job_id).execute()
    by_page(client, instance, job_id)
    job = wait_for(job_id, "completed", "paused")
    assert (job.status, job.status_reason) == ("paused", "spend_cap")
    assert job.cost_nano <= cap
    wait_until(lambda: states(job_id).keys() <= {"merged", "released"})
    with connected():
        Job.update(spend_cap=NANO).where(Job.id == job_id).execute()
        with suppress(Conflict):  # it goes on by itself, as soon as the scheduler has seen the cap
            jobs.resume(job_id)
    check(wait_for(job_id, "completed"), provider)
