"""The emulator of Mistral's batch API, with Mistral's own client against it."""

import json

import pytest
from mistralai.client import errors

from . import batch_base as base
from .mistral_batches import KEY, MistralBatches
from .mistral_client import mistral_client

SMALL = "mistral-small-latest"
CHAT = "/v1/chat/completions"


@pytest.fixture
def provider():
    with MistralBatches() as provider:
        yield provider


@pytest.fixture
def client(provider):
    with mistral_client(provider.url, KEY) as client:
        yield client


def line(custom_id: str, words: str, **fields) -> dict:
    body = {"messages": [{"role": "user", "content": words}], **fields}
    return {"custom_id": custom_id, "body": body}


def uploaded(client, *lines):
    content = "".join(json.dumps(line) + "\n" for line in lines).encode()
    return client.files.upload(
        file={"file_name": "part-1.jsonl", "content": content}, purpose="batch"
    )


def created(client, *lines, **options):
    file = uploaded(client, *lines)
    options = {"endpoint": CHAT, "model": SMALL, "metadata": {"part": "1"}, **options}
    return client.batch.jobs.create(input_files=[file.id], **options)


def ended(client, job):
    for _ in range(3):
        job = client.batch.jobs.get(job_id=job.id)
    return job


def results(client, file_id) -> dict:
    text = client.files.download(file_id=file_id).read()
    return {made["custom_id"]: made for made in map(json.loads, text.splitlines())}


def test_the_client_runs_a_batch(provider, client):
    lines = line("a", "one"), line("b", "fail always"), line("c", "three"), line("d", "x", seed=1)
    job = created(client, *lines)
    assert (job.status, job.total_requests, job.metadata) == ("QUEUED", 0, {"part": "1"})
    assert client.batch.jobs.get(job_id=job.id).status == "RUNNING"
    job = ended(client, job)
    assert (job.status, job.succeeded_requests, job.failed_requests) == ("SUCCESS", 2, 2)
    good, bad = results(client, job.output_file), results(client, job.error_file)
    assert list(good) == ["a", "c"]
    text = good["a"]["response"]["body"]["choices"][0]["message"]["content"]
    assert text == "You said: one"
    assert {name: made["response"]["status_code"] for name, made in bad.items()} == {
        "b": 500,
        "d": 422,
    }
    assert provider.billed.total() == 2
    assert client.files.delete(file_id=job.output_file).deleted
    assert client.batch.jobs.delete(job_id=job.id).deleted
    with pytest.raises(errors.SDKError):
        client.files.download(file_id=job.output_file)


def test_the_client_runs_an_inline_batch(client):
    job = client.batch.jobs.create(
        requests=[line("a", "one"), line("b", "two")], endpoint=CHAT, model=SMALL
    )
    ended(client, job)
    outputs = client.batch.jobs.get(job_id=job.id, inline=True).outputs
    assert sorted(made["custom_id"] for made in outputs) == ["a", "b"]


def test_embeddings(client):
    asked = {"custom_id": "a", "body": {"input": ["x", "y"]}}
    job = ended(client, created(client, asked, endpoint="/v1/embeddings", model="mistral-embed"))
    assert len(results(client, job.output_file)["a"]["response"]["body"]["data"]) == 2


def test_jobs_are_listed_cancelled_and_time_out(provider, client):
    provider.polls_to_finish = None
    jobs = [
        created(client, *(line(str(n), f"{part} {n}") for n in range(4)), timeout_hours=hours)
        for part, hours in (("a", 24), ("b", 48))
    ]
    assert [job.id for job in client.batch.jobs.list(page_size=1, page=1).data] == [jobs[0].id]
    assert client.batch.jobs.cancel(job_id=jobs[0].id).status == "CANCELLATION_REQUESTED"
    job = ended(client, jobs[0])
    assert (job.status, job.succeeded_requests) == ("CANCELLED", 2)
    provider.clock.advance(47 * 3600)
    assert ended(client, jobs[1]).status == "RUNNING"
    provider.clock.advance(3600)
    assert ended(client, jobs[1]).status == "TIMEOUT_EXCEEDED"


@pytest.mark.parametrize(
    "lines",
    [
        [{"custom_id": "a", "method": "POST", "url": CHAT, "body": {}}],
        [line("a", "x"), line("a", "y")],
    ],
)
def test_an_input_that_fails_the_job(client, lines):
    job = ended(client, created(client, *lines))
    assert (job.status, job.output_file) == ("FAILED", None)
    assert "line" in job.errors[0].message


@pytest.mark.parametrize(
    "options", [{"requests": [line("b", "y")]}, {"model": "gpt-4o"}, {"input_files": ["file-nope"]}]
)
def test_what_creation_refuses(client, options):
    options = {"endpoint": CHAT, "model": SMALL, **options}
    options.setdefault("input_files", [uploaded(client, line("a", "x")).id])
    with pytest.raises(errors.MistralError):
        client.batch.jobs.create(**options)


def test_faults_and_the_key(provider, client):
    provider.faults.arm(base.CREATE_500_MADE)
    with pytest.raises(errors.SDKError):
        created(client, line("a", "x"))
    found = client.batch.jobs.list()
    assert (found.total, found.data[0].metadata) == (1, {"part": "1"})
    provider.faults.arm(base.UNKNOWN_STATUS)
    assert client.batch.jobs.get(job_id=found.data[0].id).status == "REBALANCING"
    provider.faults.arm(base.KEY_REVOKED)
    with pytest.raises(errors.SDKError) as failed:
        client.batch.jobs.list()
    assert failed.value.status_code == 401
