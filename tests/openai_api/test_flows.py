"""The documented flows, by OpenAI's own Python client against a real server process."""

import json
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from simple_batch.core import clock
from simple_batch.core.errors import Conflict
from simple_batch.services import batch_files, configs, job_retry, jobs
from simple_batch.store import column_keys
from simple_batch.store.database import connected
from simple_batch.store.models import ApiFile, GridKey, Job, Upload, database
from simple_batch.store.request_filter import RequestFilter

from .. import endpoint as e
from ..conftest import PATIENCE_S, wait_until
from ..endpoint import MisbehavingEndpoint
from ..process import ROOT, environment, served
from .conftest import CHAT, client_of, jsonl, line, read, submit

FIELDS = {
    "id",
    "object",
    "endpoint",
    "model",
    "errors",
    "input_file_id",
    "completion_window",
    "status",
    "output_file_id",
    "error_file_id",
    "created_at",
    "in_progress_at",
    "expires_at",
    "finalizing_at",
    "completed_at",
    "failed_at",
    "expired_at",
    "cancelling_at",
    "cancelled_at",
    "request_counts",
    "usage",
    "metadata",
}
ENDED = ("completed", "failed", "expired", "cancelled")


def ended(client, batch, timeout_s=PATIENCE_S):
    """Poll as the documentation does."""
    return wait_until(
        lambda: (now := client.batches.retrieve(batch.id)).status in ENDED and now, timeout_s
    )


@pytest.fixture
def endpoint(add_config):
    """Answers everything; tests change its script."""
    with MisbehavingEndpoint(e.ok()) as served:
        add_config(served.base_url, alias="good", model="m", concurrency=4, max_tokens=50)
        yield served


def test_upload_create_poll_download(client, endpoint):
    file = client.files.create(file=jsonl([line(f"q-{n}") for n in range(20)]), purpose="batch")
    assert (file.status, file.purpose, file.filename) == ("processed", "batch", "in.jsonl")
    assert file.expires_at - file.created_at == 30 * 86_400
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=CHAT,
        completion_window="24h",
        metadata={"project": "moon", "who": "me"},
    )
    raw = json.loads(batch.to_json(exclude_unset=False))
    assert set(raw) == FIELDS
    assert raw["status"] == "validating"
    assert raw["request_counts"] == {"total": 0, "completed": 0, "failed": 0}
    assert batch.expires_at - batch.created_at == 86_400

    done = ended(client, batch)
    assert (done.status, done.model, done.errors) == ("completed", "m", None)
    assert done.request_counts.to_dict() == {"total": 20, "completed": 20, "failed": 0}
    assert done.metadata == {"project": "moon", "who": "me"}
    times = (done.created_at, done.in_progress_at, done.finalizing_at, done.completed_at)
    assert list(times) == sorted(times)
    assert {done.failed_at, done.expired_at, done.cancelling_at, done.cancelled_at} == {None}
    assert done.usage.to_dict() == {
        "input_tokens": 140,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens": 60,
        "output_tokens_details": {"reasoning_tokens": 20},
        "total_tokens": 200,
    }
    assert done.error_file_id is None
    rows = read(client, done.output_file_id)
    assert [row["custom_id"] for row in rows] == [f"q-{n}" for n in range(20)]
    assert rows[0] == {
        "id": "batch_req_1_0",
        "custom_id": "q-0",
        "response": {"status_code": 200, "request_id": "batch_req_1_0", "body": e.GOOD},
        "error": None,
    }
    output = client.files.retrieve(done.output_file_id)
    assert (output.purpose, output.bytes) == (
        "batch_output",
        len(client.files.content(output.id).content),
    )
    assert output.expires_at is None
    assert client.files.content(file.id).read() == jsonl(line(f"q-{n}") for n in range(20)).read()


def test_the_async_client(server, endpoint):
    program = f"""
import asyncio, io, json, openai

async def main():
    client = openai.AsyncOpenAI(base_url={server.url + "/v1"!r}, api_key="x", max_retries=0)
    lines = {[line(f"a-{n}") for n in range(5)]!r}
    data = "\\n".join(json.dumps(item) for item in lines).encode()
    file = await client.files.create(file=("in.jsonl", data), purpose="batch")
    batch = await client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    while batch.status not in ("completed", "failed"):
        await asyncio.sleep(0.1)
        batch = await client.batches.retrieve(batch.id)
    content = await client.files.content(batch.output_file_id)
    ids = [json.loads(text)["custom_id"] for text in content.text.splitlines()]
    listed = [found.id async for found in client.batches.list()]
    print(json.dumps([batch.status, ids, listed == [batch.id]]))

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == ["completed", [f"a-{n}" for n in range(5)], True]


def test_a_bad_file_fails_with_its_lines(client, endpoint):
    bad = [
        line("ok"),
        "{not json",
        line("ok"),
        line("x", url="/v1/embeddings", input="a"),
        line("y", model="unheard-of"),
        {"custom_id": "z", "method": "POST", "url": CHAT},
        line("s", stream=True),
        {**line("g"), "method": "GET"},
    ]
    failed = ended(client, submit(client, bad))
    assert failed.status == "failed"
    assert failed.failed_at is not None
    assert failed.errors.object == "list"
    found = [(fault.line, fault.code, fault.param) for fault in failed.errors.data]
    assert found == [
        (2, "invalid_json_line", None),
        (3, "duplicate_custom_id", "custom_id"),
        (4, "url_mismatch", "url"),
        (5, "model_not_found", "body.model"),
        (6, "missing_required_parameter", "body"),
        (7, "invalid_request", "body.stream"),
        (8, "invalid_method", "method"),
    ]
    assert "'unheard-of'" in failed.errors.data[3].message
    assert failed.request_counts.to_dict() == {"total": 0, "completed": 0, "failed": 0}
    assert (failed.output_file_id, failed.error_file_id, endpoint.calls) == (None, None, 0)
    empty = ended(client, submit(client, []))
    assert [fault.code for fault in empty.errors.data] == ["empty_file"]


def test_lines_for_several_models_go_to_their_configs(client, endpoint, add_config):
    with MisbehavingEndpoint(e.ok()) as second, MisbehavingEndpoint(e.ok()) as third:
        add_config(second.base_url, alias="fast", model="m-fast", max_tokens=77)
        add_config(third.base_url, alias="other", model="m-3", currency="CNY")
        names = ("m", "fast", "m-3", "good")
        lines = [line(f"r-{n}", model=names[n % 4]) for n in range(40)]
        done = ended(client, submit(client, lines))
        assert (done.status, done.request_counts.completed, done.model) == ("completed", 40, None)
        assert (endpoint.calls, second.calls, third.calls) == (20, 10, 10)
        assert {body["model"] for body in endpoint.bodies} == {"m"}
        assert {(body["model"], body["max_tokens"]) for body in second.bodies} == {("m-fast", 77)}
        assert {body["model"] for body in third.bodies} == {"m-3"}
        ids = [row["custom_id"] for row in read(client, done.output_file_id)]
        assert ids == [f"r-{n}" for n in range(40)]
    with connected():
        job = Job.get_by_id(1)
        assert (job.currency, job.unpriced) == ("USD", 40)
        for config in configs.list_all():
            with pytest.raises(Conflict, match="used by"):
                configs.delete(config.id)
        jobs.reset(job.id)
        jobs.resume(job.id)
    again = ended(client, done)
    assert again.request_counts.completed == 40


def test_http_errors_are_lines_of_the_error_file(client, endpoint):
    endpoint.script = [e.error(400, "too spicy", "content_filter"), e.reset, e.ok()]
    with connected():
        config = configs.get("good")
        fields = configs.fields_of(config)
        fields.concurrency = 1
        configs.update(config.id, fields)
    batch = submit(client, [line(f"q-{n}") for n in range(4)])
    with connected():
        Job.update(max_retries=0).where(Job.id == 1).execute()
    done = ended(client, batch)
    assert done.status == "completed"
    failed = read(client, done.error_file_id)
    assert done.request_counts.failed == len(failed) >= 1
    assert failed[0]["error"] is None
    assert failed[0]["response"]["status_code"] == 400
    assert failed[0]["response"]["body"]["error"]["message"] == "too spicy"
    assert len(read(client, done.output_file_id)) == 4 - len(failed)
    assert client.files.retrieve(done.error_file_id).filename == "batch_1_error.jsonl"


def test_a_batch_whose_every_line_fails_is_completed(client, endpoint):
    endpoint.script = [e.error(400, "no")]
    done = ended(client, submit(client, [line("a"), line("b")]))
    assert (done.status, done.output_file_id) == ("completed", None)
    assert len(read(client, done.error_file_id)) == 2


def test_cancel_in_mid_run_keeps_what_finished(client, endpoint):
    endpoint.script = [e.ok()] * 10 + [e.slow(0.4)]
    batch = submit(client, [line(f"q-{n}") for n in range(200)])
    wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 8)
    assert client.batches.cancel(batch.id).status in ("cancelling", "cancelled")
    assert client.batches.cancel(batch.id).id == batch.id  # twice does no harm
    done = ended(client, batch)
    assert done.status == "cancelled"
    assert done.cancelling_at <= done.cancelled_at
    rows, left = read(client, done.output_file_id), read(client, done.error_file_id)
    assert len(rows) >= 8
    assert len(rows) + len(left) == 200
    assert {row["error"]["code"] for row in left} == {"batch_cancelled"}
    assert {row["response"] for row in left} == {None}
    with pytest.raises(openai.ConflictError) as refused:
        client.batches.cancel(batch.id)
    assert "status 'cancelled'" in refused.value.body["message"]
    assert refused.value.response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("state", ["running", "paused"])
def test_what_is_left_at_the_deadline_expires(client, endpoint, state):
    endpoint.script = [e.ok()] * 10 + [e.slow(0.2)]
    batch = submit(client, [line(f"q-{n}") for n in range(200)])
    wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 8)
    with connected():
        if state == "paused":
            jobs.pause(1)
        Job.update(deadline_at=clock.now_ms()).where(Job.id == 1).execute()
    done = ended(client, batch)
    assert (done.status, done.completed_at) == ("expired", None)
    assert done.finalizing_at <= done.expired_at
    rows, left = read(client, done.output_file_id), read(client, done.error_file_id)
    assert len(rows) + len(left) == 200
    assert {row["error"]["code"] for row in left} == {"batch_expired"}
    # what expired may still be sent from the pages, and its files are recreated
    endpoint.script = [e.ok()]
    with connected():
        job_retry.retry(1, RequestFilter(status="cancelled"))
    again = ended(client, batch)
    assert (again.status, again.request_counts.completed, again.expired_at) == (
        "completed",
        200,
        None,
    )
    assert len(read(client, again.output_file_id)) == 200


def test_windows_of_hours_and_minutes(client, endpoint):
    file = client.files.create(file=jsonl([line("a")]), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="90m")
    assert batch.expires_at - batch.created_at == 5_400
    assert batch.completion_window == "90m"


def test_killed_in_mid_batch_it_completes(instance, app, endpoint):
    endpoint.script = [e.slow(0.03)]
    server = served(instance)
    client = client_of(server)
    batch = submit(client, [line(f"q-{n}") for n in range(300)])
    wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 50)
    server.kill()
    server = served(instance)
    try:
        client = client_of(server)
        done = ended(client, batch)
        rows = read(client, done.output_file_id)
        assert [row["custom_id"] for row in rows] == [f"q-{n}" for n in range(300)]
    finally:
        server.stop()


def test_lists_page_over_250_batches(client, endpoint):
    file = client.files.create(file=jsonl([line("a")]), purpose="batch")
    for _ in range(3):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    with connected():
        row = Job.select().where(Job.id == 1).dicts().get()
        row.pop("id")
        with database.atomic():
            for _ in range(247):
                Job.insert(**{**row, "status": "completed"}).execute()
    first = client.batches.list(limit=100)
    assert len(first.data) == 100
    assert first.has_more
    everything = [batch.id for batch in client.batches.list(limit=100)]
    assert everything == [f"batch_{n}" for n in range(250, 0, -1)]
    assert len(client.batches.list().data) == 20
    behind = client.batches.list(after="batch_3")
    assert ([batch.id for batch in behind.data], behind.has_more) == (["batch_2", "batch_1"], False)


def test_files_are_listed_by_purpose_and_order(client, endpoint):
    for purpose in ("batch", "user_data", "batch"):
        client.files.create(file=jsonl([line("a")]), purpose=purpose)
    assert [file.id for file in client.files.list()] == ["file-3", "file-2", "file-1"]
    assert [file.id for file in client.files.list(purpose="batch")] == ["file-3", "file-1"]
    assert [file.id for file in client.files.list(limit=1, order="asc")] == [
        "file-1",
        "file-2",
        "file-3",
    ]


def test_deletion_is_real(client, endpoint):
    endpoint.script = [e.error(500, "half an answer"), e.ok()]
    batch = ended(client, submit(client, [line("a", "m"), line("b", "m")]))
    with connected():
        path = Upload.get_by_id(1).path
        column_keys.want(Job.get(), "answer")  # they hold the beginnings of the answers
        assert GridKey.select().count() == 2
    for file_id in (batch.input_file_id, batch.output_file_id):
        gone = client.files.delete(file_id)
        assert (gone.id, gone.deleted, gone.object) == (file_id, True, "file")
        with pytest.raises(openai.NotFoundError):
            client.files.retrieve(file_id)
        with pytest.raises(openai.NotFoundError):
            client.files.content(file_id)
    after = client.batches.retrieve(batch.id)
    assert (after.output_file_id, after.input_file_id) == (None, batch.input_file_id)
    wait_until(lambda: _kept(path) == (0, 0, 0, 0, 0))


def _kept(path) -> tuple:
    with connected():
        answers = database.execute_sql(
            "SELECT (SELECT count(*) FROM result WHERE response IS NOT NULL) "
            "+ (SELECT count(*) FROM attempt WHERE excerpt <> '')"
        ).fetchone()[0]
        files = Path(path).exists(), Upload.select().count(), ApiFile.select().count()
        return *files, answers, GridKey.select().count()


def test_what_expires_is_deleted(client, endpoint):
    file = client.files.create(
        file=jsonl([line("a")]),
        purpose="batch",
        expires_after={"anchor": "created_at", "seconds": 3_600},
    )
    assert file.expires_at - file.created_at == 3_600
    batch = client.batches.create(
        input_file_id=file.id,
        endpoint=CHAT,
        completion_window="24h",
        output_expires_after={"anchor": "created_at", "seconds": 7_200},
    )
    done = ended(client, batch)
    output = client.files.retrieve(done.output_file_id)
    assert output.expires_at - output.created_at == 7_200
    with connected():
        path = Upload.get_by_id(1).path
        ApiFile.update(expires_at=clock.now_ms()).execute()
    assert client.files.list().data == []
    with pytest.raises(openai.NotFoundError):
        client.files.content(output.id)
    batch_files.sweep()  # the server's own comes within half a minute
    assert _kept(path) == (0, 0, 0, 0, 0)


def test_a_file_that_is_too_large(instance, app, endpoint):
    server = served(
        instance, SIMPLE_BATCH_BATCH_MAX_FILE_BYTES="5000", SIMPLE_BATCH_BATCH_MAX_REQUESTS="3"
    )
    try:
        client = client_of(server)
        with pytest.raises(openai.APIStatusError) as refused:
            client.files.create(file=jsonl([line("a", note="x" * 6_000)]), purpose="batch")
        assert refused.value.status_code == 413
        assert refused.value.body["code"] == "file_too_large"
        with pytest.raises(openai.APIStatusError) as refused:
            client.files.create(file=jsonl([line("a", note="x" * 3_000_000)]), purpose="batch")
        assert refused.value.status_code == 413
        assert client.files.list().data == []
        assert list((instance / "uploads").glob("*")) == []
        batch = ended(client, submit(client, [line(f"q-{n}") for n in range(4)]))
        assert (batch.status, batch.errors.data[0].code) == ("failed", "too_many_tasks")
    finally:
        server.stop()


def test_a_create_sent_again_makes_nothing_more(client, endpoint):
    key = {"Idempotency-Key": "k-1"}
    first = client.files.create(file=jsonl([line("a")]), purpose="batch", extra_headers=key)
    again = client.files.create(file=jsonl([line("a")]), purpose="batch", extra_headers=key)
    assert first.id == again.id
    asked = {"input_file_id": first.id, "endpoint": CHAT, "completion_window": "24h"}
    key = {"Idempotency-Key": "k-2"}
    made = {client.batches.create(**asked, extra_headers=key).id for _ in range(3)}
    assert made == {"batch_1"}
    with pytest.raises(openai.ConflictError, match="idempotency key"):
        client.batches.create(**{**asked, "completion_window": "1h"}, extra_headers=key)
    assert client.batches.create(**asked).id == "batch_2"
    assert len(client.batches.list().data) == 2


def test_every_endpoint(client, endpoint):
    for url, body, answer in (
        ("/v1/completions", {"prompt": "a"}, {"choices": [{"text": "b"}]}),
        ("/v1/embeddings", {"input": "a"}, {"data": [{"embedding": [0.5]}]}),
        ("/v1/responses", {"input": "a"}, {"output": [{"content": [{"text": "b"}]}]}),
        ("/v1/moderations", {"input": "a"}, {"results": [{"flagged": False}]}),
        ("/v1/images/generations", {"prompt": "a"}, {"data": [{"url": "http://x/y.png"}]}),
    ):
        endpoint.script = [e.http(200, answer)]
        done = ended(client, submit(client, [line("a", url=url, **body)], endpoint=url))
        assert (done.status, done.endpoint) == ("completed", url)
        assert f"POST {url} " in endpoint.heads[-1]
        assert read(client, done.output_file_id)[0]["response"]["body"] == answer
        limits = {"/v1/completions": "max_tokens", "/v1/responses": "max_output_tokens"}
        defaults = {limits[url]: 50} if url in limits else {}
        assert endpoint.bodies[-1] == {"model": "m", **body, **defaults}


def test_what_the_endpoint_lacks_fails_per_line(client, endpoint):
    endpoint.script = [e.error(404, "no such path")]
    lines = [line(f"q-{n}", url="/v1/moderations", input="a") for n in range(2)]
    done = ended(client, submit(client, lines, endpoint="/v1/moderations"))
    assert (done.status, done.request_counts.failed) == ("completed", 2)
    errors = [row["response"] for row in read(client, done.error_file_id)]
    assert {error["status_code"] for error in errors} == {404}


REFUSED = (
    ({"endpoint": "/v1/else"}, "endpoint"),
    ({"completion_window": "soon"}, "completion_window"),
    ({"completion_window": "0h"}, "completion_window"),
    ({"input_file_id": "file-99"}, "input_file_id"),
    ({"input_file_id": "nonsense"}, "input_file_id"),
    ({"metadata": {str(n): "x" for n in range(17)}}, "metadata"),
    ({"metadata": {"k" * 65: "x"}}, f"metadata.{'k' * 64}"),
    ({"metadata": {"k": "v" * 513}}, "metadata.k"),
    ({"metadata": {"k": 1}}, "metadata"),
    ({"output_expires_after": {"anchor": "created_at", "seconds": 60}}, "output_expires_after"),
    ({"output_expires_after": {"anchor": "x", "seconds": 3600}}, "output_expires_after.anchor"),
)


def test_what_a_create_does_not_take(client, endpoint):
    file = client.files.create(file=jsonl([line("a")]), purpose="batch")
    good = {"input_file_id": file.id, "endpoint": CHAT, "completion_window": "24h"}
    for fields, param in REFUSED:
        with pytest.raises(openai.BadRequestError) as refused:
            client.batches.create(**{**good, **fields})
        assert set(refused.value.body) == {"message", "type", "param", "code"}
        assert refused.value.param == param
    assert client.batches.list().data == []


def test_what_an_upload_does_not_take(client, endpoint):
    wrong = (
        ({"purpose": "batch", "file": ("in.txt", b"{}")}, "file"),
        ({"purpose": "nonsense", "file": ("in.jsonl", b"{}")}, "purpose"),
        (
            {
                "purpose": "batch",
                "file": ("in.jsonl", b"{}"),
                "expires_after": {"anchor": "created_at", "seconds": 5},
            },
            "expires_after",
        ),
    )
    for fields, param in wrong:
        with pytest.raises(openai.BadRequestError) as refused:
            client.files.create(**fields)
        assert refused.value.param == param
    other = client.files.create(purpose="user_data", file=("notes.txt", b"hello"))
    assert other.expires_at is None
    with pytest.raises(openai.BadRequestError, match="purpose"):
        client.batches.create(input_file_id=other.id, endpoint=CHAT, completion_window="24h")


def test_jobs_from_pages_and_commands_are_batches_too(client, server, endpoint, make_job):
    make_job(3, config="good")
    batch = wait_until(lambda: client.batches.list().data)[0]
    done = ended(client, batch)
    assert (done.status, done.endpoint, done.expires_at) == ("completed", CHAT, None)
    assert len(read(client, done.output_file_id)) == 3
    assert client.files.retrieve(done.output_file_id).bytes > 100
    models = client.models.list().data
    assert [(model.id, model.owned_by) for model in models] == [("good", "m")]
    assert client.models.retrieve("m").id == "good"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("unheard-of")


def test_without_any_config_a_create_says_so(client):
    file = client.files.create(file=jsonl([line("a")]), purpose="batch")
    with pytest.raises(openai.BadRequestError, match="connection"):
        client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")


def test_create_answers_at_once_whatever_the_size(client, endpoint):
    """Only the first line of the file is read before the answer."""
    lines = [line(f"q-{n}") for n in range(49_000)]
    file = client.files.create(file=jsonl([*lines, "{broken"]), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=CHAT, completion_window="24h")
    assert batch.status == "validating"
    failed = ended(client, batch)
    assert failed.errors.data[0].line == 49_001


def test_commands_and_pages_steer_a_batch(client, instance, server, endpoint):
    endpoint.script = [e.slow(0.05)]
    batch = submit(client, [line(f"q-{n}") for n in range(600)])
    wait_until(lambda: client.batches.retrieve(batch.id).request_counts.completed >= 3)
    paused = subprocess.run(
        [sys.executable, "-m", "flask", "pause-job", "1"], cwd=ROOT, env=environment(instance)
    )
    assert paused.returncode == 0
    assert client.batches.retrieve(batch.id).status == "in_progress"
    with connected():
        jobs.resume(1)
    assert ended(client, batch).status == "completed"
