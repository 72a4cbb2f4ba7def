"""The emulator of OpenAI's batch API, as OpenAI's own client sees it, and what it refuses."""

import io
import json

import openai
import pytest

from . import batch_base as base
from .batch_process import RemoteProvider
from .openai_batches import KEY, OpenAIBatches

CHAT = "/v1/chat/completions"


def client_of(emulator: OpenAIBatches, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=emulator.base_url, api_key=key, max_retries=0, timeout=60)


def line(custom_id: str = "r0", url: str = CHAT, model: str = "m-1", **body) -> dict:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **body}
    return {"custom_id": custom_id, "method": "POST", "url": url, "body": body}


def uploaded(client, *lines, name: str = "in.jsonl", purpose: str = "batch"):
    data = "".join(item if isinstance(item, str) else json.dumps(item) + "\n" for item in lines)
    return client.files.create(file=(name, io.BytesIO(data.encode())), purpose=purpose)


def made(client, *lines, endpoint: str = CHAT, **more):
    file = uploaded(client, *lines)
    client.files.retrieve(file.id)  # Azure processes it first
    return client.batches.create(
        input_file_id=file.id, endpoint=endpoint, completion_window="24h", **more
    )


def flow(client, endpoint: str) -> None:
    batch = made(client, *(line(f"r{n}", endpoint) for n in range(3)), endpoint=endpoint)
    assert batch.status == "validating" and batch.request_counts.total == 0
    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.request_counts.completed) == ("completed", 3)
    rows = [json.loads(row) for row in client.files.content(batch.output_file_id).iter_lines()]
    assert {row["custom_id"] for row in rows} == {"r0", "r1", "r2"}
    assert rows[0]["response"]["body"]["usage"]["total_tokens"] > 0
    assert [one.id for one in client.batches.list(limit=1)] == [batch.id]
    assert client.files.delete(batch.input_file_id).deleted


def test_openais_client_runs_a_flow():
    with OpenAIBatches() as emulator, client_of(emulator) as client:
        flow(client, CHAT)
        cancelled = made(client, line())
        emulator.polls_to_finish = None
        assert client.batches.cancel(cancelled.id).status == "cancelling"
        assert client.batches.retrieve(cancelled.id).status == "cancelled"
        assert len(list(client.batches.list(limit=1))) == 2  # pages
        embeddings = line("r0", "/v1/embeddings", input=["a", "b"])
        del embeddings["body"]["messages"]
        emulator.polls_to_finish = 1
        batch = made(client, embeddings, endpoint="/v1/embeddings")
        output = client.files.content(client.batches.retrieve(batch.id).output_file_id)
        assert len(json.loads(output.text)["response"]["body"]["data"]) == 2


def test_azures_client_runs_a_flow():
    with (
        OpenAIBatches("azure-dated") as emulator,
        openai.AzureOpenAI(
            azure_endpoint=emulator.url, api_version="2024-10-21", api_key=KEY, max_retries=0
        ) as client,
    ):
        flow(client, "/chat/completions")
    with OpenAIBatches("azure") as emulator, client_of(emulator) as client:
        flow(client, CHAT)


@pytest.fixture(scope="module")
def emulator():
    with OpenAIBatches(max_lines=5, max_bytes=100_000) as running:
        yield running


@pytest.fixture
def client(emulator):
    with client_of(emulator) as made:
        yield made


@pytest.mark.parametrize(
    ("lines", "code", "number"),
    [
        ([line(), line()], "duplicate_custom_id", 2),
        ([line(), line("r1", "/v1/embeddings")], "url_mismatch", 2),
        ([line(), line("r1", model="m-2")], "model_mismatch", 2),
        ([line(stream=True)], "invalid_request", 1),
        ([line(), "no json\n"], "invalid_json_line", 2),
        ([line(custom_id="x" * 65)], "invalid_custom_id", 1),
        ([line(f"r{n}") for n in range(6)], "too_many_tasks", None),
        ([""], "empty_file", None),
    ],
)
def test_a_batch_fails_for_what_its_lines_hold(client, lines, code, number):
    batch = made(client, *lines)
    assert batch.status == "validating"
    batch = client.batches.retrieve(batch.id)
    assert (batch.status, batch.request_counts, batch.output_file_id) == ("failed", None, None)
    assert (batch.errors.data[0].code, batch.errors.data[0].line) == (code, number)


def test_inputs_of_embeddings_are_limited_in_all():
    rows = [line(f"r{n}", "/v1/embeddings", input=["a"] * 25_001) for n in range(2)]
    with OpenAIBatches() as emulator, client_of(emulator) as other:
        batch = made(other, *rows, endpoint="/v1/embeddings")
        assert other.batches.retrieve(batch.id).errors.data[0].code == "too_many_inputs"


@pytest.mark.parametrize(
    "fields",
    [
        {"surprise": 1},
        {"completion_window": "12h"},
        {"endpoint": "/v1/chat"},
        {"input_file_id": "file-none"},
        {"metadata": {"a": 1}},
        {"metadata": {str(n): "x" for n in range(17)}},
        {"output_expires_after": {"anchor": "created_at", "seconds": 60}},
    ],
)
def test_a_batch_is_refused_for_its_fields(client, emulator, fields):
    file = uploaded(client, line())
    body = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h", **fields}
    before = len(emulator.batches)
    with pytest.raises(openai.BadRequestError):
        client.post("/batches", body=body, cast_to=object)
    assert len(emulator.batches) == before


def test_an_upload_is_refused(client, emulator):
    with pytest.raises(openai.BadRequestError, match="jsonl"):
        uploaded(client, line(), name="in.txt")
    with pytest.raises(openai.BadRequestError, match="purpose"):
        uploaded(client, line(), purpose="assistants")
    with pytest.raises(openai.APIStatusError) as refused:
        uploaded(client, line(long="x" * 200_000))
    assert refused.value.status_code == 413
    with client_of(emulator, "sk-another") as other, pytest.raises(openai.AuthenticationError):
        uploaded(other, line())


def test_it_outlives_the_program_under_test_in_a_process_of_its_own():
    with RemoteProvider("openai", polls=1) as remote:
        base_url = f"{remote.url}/v1"
        with openai.OpenAI(base_url=base_url, api_key=KEY, max_retries=0) as client:
            remote.arm(base.CREATE_500_MADE)
            with pytest.raises(openai.InternalServerError):
                made(client, line())
            (batch,) = client.batches.list()
            client.batches.retrieve(batch.id)
        counts = remote.counts()
        assert (counts["batches"], counts["billed"], counts["created_twice"]) == (1, 1, 0)
        assert (counts["input_tokens"], counts["output_tokens"]) == (1, 2)
        remote.set(polls=None)
        state = remote._tell("state", None)
        assert [one["id"] for one in state["batches"]] == [batch.id]
        assert (state["lines_billed"], state["billed_twice"], len(state["files"])) == (1, 0, 2)
