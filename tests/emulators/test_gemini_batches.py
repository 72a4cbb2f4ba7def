"""The emulator of Gemini's batch API, with Google's own client against it."""

import io
import json

import pytest
import requests
from google import genai
from google.genai import errors, types

from . import batch_base as base
from .batch_process import RemoteProvider
from .gemini import KEY
from .gemini_batches import GeminiBatches

FLASH = "gemini-2.5-flash"


@pytest.fixture
def provider():
    with GeminiBatches() as provider:
        yield provider


@pytest.fixture
def client(provider):
    yield genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=provider.url))


def line(key: str, words: str, **fields) -> dict:
    request = {"contents": [{"role": "user", "parts": [{"text": words}]}], **fields}
    return {"key": key, "request": request}


def uploaded(client, *lines) -> types.File:
    text = "".join(json.dumps(line) + "\n" for line in lines).encode()
    config = types.UploadFileConfig(display_name="part-1", mime_type="application/jsonl")
    return client.files.upload(file=io.BytesIO(text), config=config)


def created(client, *lines) -> types.BatchJob:
    config = {"display_name": "part-1"}
    return client.batches.create(model=FLASH, src=uploaded(client, *lines).name, config=config)


def ended(client, job) -> types.BatchJob:
    for _ in range(3):
        job = client.batches.get(name=job.name)
    return job


def results(client, job) -> list[dict]:
    return [
        json.loads(text) for text in client.files.download(file=job.dest.file_name).splitlines()
    ]


def test_the_client_runs_a_batch_from_a_file(provider, client):
    job = created(client, line("a", "one"), line("b", "fail always"), line("c", "three"))
    assert (job.state, job.display_name) == ("JOB_STATE_PENDING", "part-1")
    assert client.batches.get(name=job.name).state == "JOB_STATE_RUNNING"
    job = ended(client, job)
    assert job.state == "JOB_STATE_SUCCEEDED"
    found = results(client, job)
    assert [made["key"] for made in found] == ["a", "b", "c"]
    assert found[0]["response"]["candidates"][0]["content"]["parts"][0]["text"] == "You said: one"
    assert found[1]["error"]["code"] == 13
    assert (provider.billed["one"], provider.billed.total()) == (1, 2)
    client.batches.delete(name=job.name)
    client.files.delete(name=job.dest.file_name)
    with pytest.raises(errors.ClientError):
        client.files.download(file=job.dest.file_name)


def test_the_client_runs_an_inline_batch(provider, client):
    asked = [
        {"contents": [{"role": "user", "parts": [{"text": words}]}]} for words in ("one", "two")
    ]
    job = client.batches.create(model=FLASH, src=asked, config={"display_name": "inline"})
    made = ended(client, job).dest.inlined_responses
    assert [each.response.text for each in made] == ["You said: one", "You said: two"]


def test_an_upload_in_pieces_and_what_has_arrived(provider, client):
    name = uploaded(client, line("a", "x" * (9 << 20))).name  # the client's pieces have 8 MiB
    assert client.files.get(name=name).size_bytes > 9 << 20
    assert [file.name for file in client.files.list()] == [name]
    with pytest.raises(ValueError, match="uploaded files can't be downloaded"):
        client.files.download(file=client.files.get(name=name))


def test_the_list_has_pages_and_the_newest_first(provider, client):
    names = [created(client, line("a", f"words {number}")).name for number in range(5)]
    listed = client.batches.list(config={"page_size": 2})
    assert [job.name for job in listed] == names[::-1]


def test_it_is_cancelled_expires_and_can_fail_in_part(provider, client):
    provider.polls_to_finish = None
    first, second, third = (
        created(client, *(line(str(n), f"{p} {n}") for n in range(4))) for p in "abc"
    )
    client.batches.cancel(name=first.name)
    job = ended(client, first)
    assert (job.state, len(results(client, job))) == ("JOB_STATE_CANCELLED", 2)
    provider.clock.advance(47 * 3600)
    assert ended(client, second).state == "JOB_STATE_RUNNING"
    provider.clock.advance(3600)
    assert ended(client, second).state == "JOB_STATE_EXPIRED"
    provider.partly = True
    fourth = created(client, line("a", "good"), line("b", "bad line"))
    provider.finish()
    with pytest.warns(
        UserWarning, match="BATCH_STATE_PARTIALLY_SUCCEEDED"
    ):  # unknown to the client
        ended(client, fourth)
    provider.prefix = "JOB_STATE_"
    assert ended(client, fourth).state == "JOB_STATE_PARTIALLY_SUCCEEDED"
    assert ended(client, third).state == "JOB_STATE_EXPIRED"


def test_flat_generation_parameters_fail_their_line(provider, client):
    asked = (
        line("a", "hi", temperature=0.5),
        line("b", "ho", generation_config={"temperature": 0.5}),
    )
    found = results(client, ended(client, created(client, *asked)))
    assert 'Unknown name "temperature"' in found[0]["error"]["message"]
    assert "response" in found[1]


def test_a_line_that_is_no_request_fails_the_batch(provider, client):
    job = ended(client, created(client, line("a", "hi"), {"custom_id": "b", "body": {}}))
    assert job.state == "JOB_STATE_FAILED"
    raw = requests.get(f"{provider.url}/v1beta/{job.name}", params={"key": KEY}, timeout=10).json()
    assert "line 2" in raw["error"]["message"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"batch": {"inputConfig": {"fileName": "files/x"}}}, "display_name is required"),
        (
            {"batch": {"displayName": "d", "inputConfig": {"fileName": "files/x"}}},
            "do not have permission",
        ),
        (
            {"batch": {"displayName": "d", "completion_window": "24h"}},
            'Unknown name "completion_window"',
        ),
    ],
)
def test_what_creation_refuses(provider, body, words):
    url = f"{provider.url}/v1beta/models/{FLASH}:batchGenerateContent"
    answer = requests.post(url, json=body, headers={"x-goog-api-key": KEY}, timeout=10)
    assert answer.status_code in (400, 403)
    assert words in answer.json()["error"]["message"]


def test_a_batch_exists_though_creation_failed(provider, client):
    provider.faults.arm(base.CREATE_500_MADE)
    with pytest.raises(errors.ServerError):
        created(client, line("a", "hi"))
    assert [job.display_name for job in client.batches.list()] == ["part-1"]
    provider.faults.arm(base.ENQUEUED_LIMIT)
    with pytest.raises(errors.ClientError) as failed:
        created(client, line("a", "ho"))
    assert failed.value.status == "RESOURCE_EXHAUSTED"


def test_an_unknown_state_and_a_lost_upload(provider, client):
    job = created(client, line("a", "hi"))
    provider.faults.arm(base.UNKNOWN_STATUS)
    with pytest.warns(UserWarning, match="BATCH_STATE_REBALANCING"):
        assert client.batches.get(name=job.name).state == "BATCH_STATE_REBALANCING"
    provider.faults.arm(base.UPLOAD_LOST)
    with pytest.raises(Exception, match=r"disconnected|reset|Connection"):
        uploaded(client, line("a", "hi"))
    assert len(provider.files) == 2  # the client does not know the second


def test_it_outlives_its_callers_in_another_process():
    with RemoteProvider("gemini") as provider:
        client = genai.Client(api_key=KEY, http_options=types.HttpOptions(base_url=provider.url))
        job = created(client, line("a", "hi"))
        provider.set(polls_to_finish=None)
        provider.advance(48 * 3600)
        assert ended(client, job).state == "JOB_STATE_EXPIRED"
        assert provider.counts()["batches"] == 1
