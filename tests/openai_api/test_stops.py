"""Batches that are stopped until a user acts: the reason is in ``errors``, and results are
readable."""

from decimal import Decimal

import openai
import pytest

from simple_batch.core import clock
from simple_batch.services import batch_files, configs, job_retry, jobs
from simple_batch.services.job_options import ExtraConfig
from simple_batch.store.database import connected
from simple_batch.store.models import ApiFile, Job
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import line, read, submit

ENDED = ("completed", "failed", "expired", "cancelled")
STOPS = {  # by what the endpoint answers: the code, and what the message says
    "key": (e.error(401, "Incorrect API key"), "invalid_api_key", "Correct the connection's key"),
    "quota": (
        e.error(429, "You exceeded your current quota", "insufficient_quota"),
        "insufficient_quota",
        "Top up",
    ),
    "wait": (
        e.error(429, "slow down", None, "Retry-After: 90000"),
        "rate_limit_exceeded",
        "25 hours",
    ),
}


@pytest.fixture
def endpoint(add_config):
    """Answers everything; tests change its script."""
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(served.base_url, alias="good", model="m", concurrency=1)
        yield served


def stopped(client, endpoint, answer=STOPS["key"][0], lines=20, **more):
    """A batch that is stopped after three answers and one failure."""
    endpoint.script = [e.ok(), e.error(400, "too spicy"), e.ok(), e.ok(), answer]
    batch = submit(client, [line(f"q-{n}") for n in range(lines)], **more)
    return wait_until(lambda: (now := client.batches.retrieve(batch.id)).errors and now)


def ended(client, batch):
    return wait_until(lambda: (now := client.batches.retrieve(batch.id)).status in ENDED and now)


def ids(client, file_id) -> list[str]:
    return [row["custom_id"] for row in read(client, file_id)]


@pytest.mark.parametrize("kind", STOPS)
def test_a_stop_is_reported_and_what_finished_can_be_read(client, endpoint, kind):
    answer, code, remedy = STOPS[kind]
    batch = stopped(client, endpoint, answer)
    assert batch.status == "in_progress"
    [error] = batch.errors.data
    assert (batch.errors.object, error.code, error.param, error.line) == (
        "list",
        code,
        None,
        None,
    )
    assert remedy in error.message
    assert ("flask resume-job" in error.message) == (kind != "wait")
    assert ids(client, batch.output_file_id) == ["q-0", "q-2", "q-3"]
    assert ids(client, batch.error_file_id) == ["q-1"]
    file = client.files.retrieve(batch.output_file_id)
    assert file.bytes == len(client.files.content(file.id).content)
    assert file.purpose == "batch_output"
    assert [found.id for found in client.batches.list() if found.errors] == [batch.id]


def test_the_same_files_are_complete_after_it_was_resumed(client, endpoint):
    day = {"anchor": "created_at", "seconds": 86_400}
    batch = stopped(client, endpoint, output_expires_after=day)
    begun = client.files.retrieve(batch.output_file_id)
    assert begun.expires_at is None  # before the end nothing in it goes
    endpoint.script = [e.slow(0.5), e.ok()]
    with connected():
        ApiFile.update(created_at=1).where(ApiFile.job == 1).execute()
        jobs.resume(1)
    running = client.batches.retrieve(batch.id)
    assert (running.status, running.errors, running.output_file_id) == ("in_progress", None, None)
    done = ended(client, batch)
    assert (done.status, done.errors) == ("completed", None)
    assert (done.output_file_id, done.error_file_id) == (batch.output_file_id, batch.error_file_id)
    assert len(ids(client, done.output_file_id)) == 19
    whole = client.files.retrieve(done.output_file_id)
    assert whole.bytes == len(client.files.content(whole.id).content) > begun.bytes
    assert whole.created_at >= done.finalizing_at
    assert whole.expires_at - whole.created_at == 86_400


def test_cancelling_ends_it_with_what_has_finished(client, endpoint):
    batch = stopped(client, endpoint)
    calls = endpoint.calls
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    done = ended(client, batch)
    assert (done.status, done.errors) == ("cancelled", None)
    assert (done.output_file_id, done.error_file_id) == (batch.output_file_id, batch.error_file_id)
    assert ids(client, done.output_file_id) == ["q-0", "q-2", "q-3"]
    assert len(ids(client, done.error_file_id)) == 17
    assert endpoint.calls == calls


def test_what_is_stopped_still_expires(client, endpoint):
    batch = stopped(client, endpoint)
    with connected():
        Job.update(deadline_at=clock.now_ms()).where(Job.id == 1).execute()
    done = ended(client, batch)
    assert (done.status, done.errors) == ("expired", None)
    assert len(ids(client, done.output_file_id)) == 3


def test_files_of_a_batch_that_has_not_ended_are_not_deleted(client, endpoint):
    batch = stopped(client, endpoint)
    with pytest.raises(openai.ConflictError, match="when the batch has ended") as refused:
        client.files.delete(batch.output_file_id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    client.batches.cancel(batch.id)
    ended(client, batch)
    assert client.files.delete(batch.output_file_id).deleted


def test_a_stop_before_anything_has_finished_has_no_files(client, endpoint):
    endpoint.script = [STOPS["quota"][0]]
    batch = submit(client, [line("a")])
    now = wait_until(lambda: (now := client.batches.retrieve(batch.id)).errors and now)
    assert (now.output_file_id, now.error_file_id) == (None, None)
    assert client.files.list(purpose="batch_output").data == []
    client.batches.cancel(batch.id)
    assert ended(client, batch).output_file_id is None


def test_failures_retried_after_a_stop_leave_no_empty_file(client, endpoint):
    batch = stopped(client, endpoint)
    endpoint.script = [e.ok()]
    with connected():
        job_retry.retry(1, RequestFilter())
        batch_files.offer_so_far([Job.get_by_id(1)])
        jobs.resume(1)
    done = ended(client, batch)
    assert (done.status, done.error_file_id) == ("completed", None)
    assert len(ids(client, done.output_file_id)) == 20
    assert [file.id for file in client.files.list(purpose="batch_output")] == [done.output_file_id]


def test_a_spend_cap_is_reported(client, endpoint):
    with connected():
        config = configs.get("good")
        fields = configs.fields_of(config)
        fields.input_price, fields.output_price, fields.day_cap = map(Decimal, (1000, 1000, "0.02"))
        configs.update(config.id, fields)
    batch = submit(client, [line(f"q-{n}") for n in range(9)])
    now = wait_until(lambda: (now := client.batches.retrieve(batch.id)).errors and now)
    assert now.errors.data[0].code == "billing_hard_limit_reached"
    assert "spend cap" in now.errors.data[0].message
    assert now.request_counts.completed == len(ids(client, now.output_file_id)) > 0


def test_a_job_whose_model_is_unknown_says_so(client, server, endpoint, make_job):
    """The job was created on the pages; in a batch each line fails by itself."""
    endpoint.script = [e.error(404, "The model m does not exist", "model_not_found")]
    make_job(5, config="good")
    now = wait_until(lambda: [b for b in client.batches.list() if b.errors])[0]
    assert (now.status, now.errors.data[0].code) == ("in_progress", "model_not_found")


@pytest.mark.parametrize("action", ["pause", "reset"])
def test_what_was_paused_on_purpose_is_no_error(client, endpoint, action):
    batch = stopped(client, endpoint)
    with connected():
        if action == "reset":
            jobs.reset(1)
        else:
            endpoint.script = [e.slow(0.3)]
            jobs.resume(1)
            jobs.pause(1)
    now = client.batches.retrieve(batch.id)
    assert (now.status, now.errors, now.output_file_id) == ("in_progress", None, None)


def test_a_stop_of_a_batch_over_several_configs_names_the_one(client, endpoint, add_config):
    with MisbehavingEndpoint(STOPS["key"][0]) as bad:
        add_config(bad.base_url, alias="bad", model="model-b", concurrency=1)
        named = [line(f"q-{n}", model=("good", "bad")[n % 2]) for n in range(20)]
        batch = submit(client, named)
        now = wait_until(lambda: (now := client.batches.retrieve(batch.id)).errors and now)
    [error] = now.errors.data
    assert error.code == "invalid_api_key"
    assert error.message.startswith("“bad” (model model-b): HTTP 401: Incorrect API key")
    assert "good" not in error.message


def test_a_stop_of_all_configs_that_share_a_job_names_each(
    client, server, endpoint, add_config, make_job
):
    endpoint.script = [STOPS["key"][0]]
    with MisbehavingEndpoint(STOPS["quota"][0]) as other:
        add_config(other.base_url, alias="second", model="model-b", concurrency=1)
        make_job(20, "good", also=(ExtraConfig("second"),))
        now = wait_until(lambda: [b for b in client.batches.list() if b.errors])[0]
    first, rest = now.errors.data[0].message.split("\n")
    assert first.startswith("“good” (model m): HTTP 401")
    assert rest.startswith("“second” (model model-b): HTTP 429")
