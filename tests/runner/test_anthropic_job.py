"""Whole jobs on an endpoint of Anthropic's Messages API: by the runner, a command, a page and the Batch
API."""

import csv
import io
import json
import re
from decimal import Decimal

import openai
import pytest
import requests

from simple_batch import export, insight
from simple_batch.core import content
from simple_batch.core.domain import Outcome
from simple_batch.core.errors import UploadRejected
from simple_batch.intake import Template
from simple_batch.services import job_creation, jobs
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, JobEvent

from ..conftest import wait_until
from ..emulators.anthropic import KEY, AnthropicEmulator
from ..openai_api.conftest import client_of, line, read, submit
from ..process import flask, served
from ..sample_images import png
from .test_job_run import ENDED

BATCH_ENDED = ("completed", "failed")

SCHEMA = {
    "type": "object",
    "properties": {"topic": {"type": "string", "maxLength": 20}, "count": {"type": "integer"}},
    "required": ["topic", "count"],
    "additionalProperties": False,
}
LONG = "word " * 1_200  # 1,500 tokens by the endpoint


@pytest.fixture
def emulator():
    with AnthropicEmulator() as emulator:
        yield emulator


@pytest.fixture
def add_claude(add_config, emulator):
    """Stores a config for the endpoint."""

    def add(alias="claude", model="claude-sonnet-4-5", stream="auto", **fields):
        prices = {"input_price": Decimal(3), "output_price": Decimal(15)}
        caches = {"cached_input_price": Decimal("0.3"), "cache_write_price": Decimal("3.75")}
        fields = {"concurrency": 1, "key": KEY, **prices, **caches, **fields}
        config = add_config(emulator.url, alias, model=model, **fields)
        with connected():
            speaks = ApiConfig.update(api_format="anthropic", auth="x-api-key", stream=stream)
            speaks.where(ApiConfig.id == config.id).execute()

    return add


@pytest.fixture
def run(tmp_path, wait_for):
    """Runs a job of requests to its end; returns the job and its rows."""

    def run(requests, **options):
        path = tmp_path / "in.jsonl"
        path.write_text("".join(json.dumps(request) + "\n" for request in requests))
        with connected():
            chosen = jobs.JobOptions(config="claude", **options)
            job_id = job_creation.create_now(path, path.name, chosen).id
        job = wait_for(job_id, *ENDED)
        with connected():
            return job, [json.loads(row) for row in export.export(job_id, "jsonl")]

    return run


def chat(words, **fields) -> dict:
    return {"messages": [{"role": "user", "content": words}], **fields}


TOOL = {"type": "function", "function": {"name": "look", "parameters": SCHEMA}}


def test_answers_of_every_kind(start, add_claude, run, emulator):
    add_claude()
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    text = {"type": "text", "text": "look at this"}
    job, rows = run(
        [
            {"messages": [{"role": "system", "content": "be brief"}, *chat("hello")["messages"]]},
            chat("call it", tools=[TOOL]),
            chat([text, image]),
            chat("think", reasoning_effort="low"),
            chat("decline"),
            chat("be long", max_tokens=16),
            chat("say nothing"),
            chat("overloaded once"),
        ]
    )
    assert (job.succeeded, job.failed) == (8, 0)
    outcomes = [row["outcome"] for row in rows]
    assert outcomes == ["ok", "tool_call", "ok", "ok", "refused", "cut_off", "empty", "ok"]
    answers = [row["response"]["choices"][0] for row in rows[:6]]
    assert answers[0]["message"]["content"] == "You said: hello"
    assert emulator.bodies[0]["system"] == "be brief"
    call = answers[1]["message"]["tool_calls"][0]["function"]
    assert (call["name"], json.loads(call["arguments"])) == ("look", {"topic": "word", "count": 7})
    assert answers[3]["message"]["reasoning_content"] == "Let me think."
    assert rows[3]["usage"]["reasoning"] == 30
    assert [one["finish_reason"] for one in answers[4:]] == ["content_filter", "length"]
    assert answers[4]["message"]["refusal"] == "This request could enable cyber harm."
    assert rows[7]["attempts"] == 2
    assert len(emulator.bodies) == 9  # two for the overload
    with connected():
        table = b"".join(export.export(job.id, "csv")).decode("utf-8-sig")
        assert insight.request_detail(job.id, 3)["reasoning"] == "Let me think."
    cells = list(csv.DictReader(io.StringIO(table)))
    assert cells[0]["content"] == "You said: hello"
    assert "look" in cells[1]["content"]
    assert cells[3]["reasoning"] == "Let me think."


def messages_line(words, **fields) -> dict:
    body = {"max_tokens": 90, **chat(words, **fields)}
    return {"custom_id": words, "method": "POST", "url": "/v1/messages", "body": body}


def test_lines_in_the_api_s_own_form(start, add_claude, run, emulator):
    """Sent as they are, with the model and the parameters of the connection; answered as all others."""
    add_claude(model="claude-haiku-4-5", temperature=0.5)
    tool = {"name": "look", "input_schema": SCHEMA}
    thinking = {"type": "enabled", "budget_tokens": 2_000}
    job, rows = run(
        [
            messages_line("hello", system="be brief"),
            messages_line("call it", tools=[tool]),
            messages_line("think", max_tokens=4_000, thinking=thinking, temperature=1),
        ]
    )
    assert (job.succeeded, job.endpoint) == (3, "/v1/messages")
    assert [row["outcome"] for row in rows] == ["ok", "tool_call", "ok"]
    first = emulator.bodies[0]
    assert (first["system"], first["temperature"], first["max_tokens"]) == ("be brief", 0.5, 90)
    assert emulator.bodies[1]["tools"] == [tool]
    assert rows[0]["response"]["choices"][0]["message"]["content"] == "You said: hello"
    assert (rows[2]["usage"]["reasoning"], rows[2]["cost"] is not None) == (30, True)
    with connected():
        shown = insight.request_detail(job.id, 0)["messages"]
    assert [message["role"] for message in shown] == ["system", "user"]


def test_blocks_of_the_api_are_shown_as_parts():
    image = {"type": "base64", "media_type": "image/png", "data": "aGk="}
    call = {"type": "tool_use", "id": "1", "name": "look", "input": {"a": 1}}
    messages = [
        {"role": "user", "content": [{"type": "image", "source": image}]},
        {"role": "assistant", "content": [call]},
    ]
    body = {"system": [{"type": "text", "text": "be brief"}], "messages": messages}
    shown = content.conversation_of(body)
    assert [message["parts"][0]["kind"] for message in shown] == ["text", "image", "call"]
    assert shown[1]["parts"][0]["text"] == "data:image/png;base64,aGk="
    assert shown[2]["parts"][0]["text"] == 'look({"a": 1})'


def test_such_lines_need_a_connection_of_this_api(start, add_config, emulator, run):
    add_config(emulator.url, "claude", model="m", key=KEY)
    with pytest.raises(UploadRejected) as rejected:
        run([messages_line("hello")])
    assert "is Anthropic's Messages API" in str(rejected.value.faults[0])
    assert emulator.calls == 0


def test_a_field_that_the_api_has_nothing_like_is_asked_about(
    start, add_claude, run, emulator, wait_for
):
    add_claude()
    job, _rows = run([chat("hello"), chat("a seed", seed=1)])
    assert (job.status, job.status_reason, job.succeeded) == ("paused", "rejected_parameter", 1)
    assert "seed: Anthropic's Messages API has nothing like it." in job.status_detail
    assert len(emulator.bodies) == 1  # no call was made for the seed
    with connected():
        jobs.resume(job.id, leave_out=["seed"])
    assert wait_for(job.id, "completed").succeeded == 2


@pytest.mark.parametrize(
    "model", ["claude-opus-5-5", "claude-haiku-4-5", "claude-3-5-haiku-20241022"]
)
def test_a_schema_is_asked_for_as_each_model_takes_it(start, add_claude, run, emulator, model):
    add_claude(model=model)
    job, rows = run([chat("what?"), chat("and?")], schema=SCHEMA)
    assert job.succeeded == 2
    assert [row["parsed"] for row in rows] == [{"topic": "word", "count": 7}] * 2
    assert [row["outcome"] for row in rows] == [Outcome.OK] * 2
    assert ("output_config" in emulator.bodies[0]) == (model != "claude-3-5-haiku-20241022")


def test_a_schema_of_open_objects(start, add_claude, run, emulator):
    """What structured outputs cannot say is asked for with a tool."""
    add_claude()
    plain = {"type": "object", "properties": {"any": {"type": "object"}}, "required": ["any"]}
    job, rows = run([chat("what?")], schema=plain)
    assert job.succeeded == 1
    assert rows[0]["parsed"] == {"any": {}}
    assert emulator.bodies[0]["tool_choice"]["type"] == "tool"


def test_reads_and_writes_of_the_cache_are_priced(start, add_claude, run):
    add_claude()
    system = {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [system]}, *chat("hi")["messages"]]
    job, rows = run([{"messages": messages}] * 2)
    usage = [row["usage"] for row in rows]
    assert [one["cached"] for one in usage] == [0, 1_500]
    assert usage[0]["input"] == usage[1]["input"] > 1_500
    rest = usage[0]["input"] - 1_500
    tokens = 2 * rest * 3_000 + 1_500 * 3_750 + 1_500 * 300 + 2 * 20 * 15_000
    assert job.cost_nano == tokens
    assert job.cached_tokens == 1_500


def test_answers_come_as_streams(start, add_claude, run, emulator):
    """A stream that breaks off before its end, and an error within one, are failed attempts."""
    add_claude(model="claude-opus-4-6", stream="always")
    words = "hello", "call it", "be long", "think", "decline", "break off once", "fail once"
    fields = {"call it": {"tools": [TOOL]}, "think": {"reasoning_effort": "high"}}
    job, rows = run([chat(one, **fields.get(one, {})) for one in words])
    outcomes = [row["outcome"] for row in rows]
    assert outcomes == ["ok", "tool_call", "cut_off", "ok", "refused", "ok", "ok"]
    assert [row["attempts"] for row in rows] == [1, 1, 1, 1, 1, 2, 2]
    assert all(body["stream"] for body in emulator.bodies)
    message = rows[3]["response"]["choices"][0]["message"]
    assert (message["content"], message["reasoning_content"]) == (
        "You said: think",
        "Let me think.",
    )
    call = rows[1]["response"]["choices"][0]["message"]["tool_calls"][0]["function"]
    assert json.loads(call["arguments"]) == {"topic": "word", "count": 7}
    assert (rows[3]["usage"]["output"], rows[3]["usage"]["reasoning"]) == (50, 30)
    with connected():
        (cut, _), (failed, _) = (
            insight.request_detail(job.id, index)["attempts"] for index in (5, 6)
        )
    assert "the stream ended before the answer did" in cut["message"]
    assert (failed["cause"], failed["http_status"]) == ("overloaded", 529)


def test_a_rate_limit_is_waited_for(start, add_claude, run, emulator):
    emulator.rpm, emulator.retry_after = 2, "0"
    add_claude()
    job, _rows = run([chat(f"question {n}") for n in range(4)])
    assert (job.succeeded, job.failed) == (4, 0)
    assert job.attempts > 4


def test_a_wrong_key_pauses_the_job(start, add_claude, run):
    add_claude(key="sk-other-0123456789")
    job, _rows = run([chat("hi")])
    assert (job.status, job.status_reason) == ("paused", "auth")
    assert "invalid x-api-key" in job.status_detail


def test_what_a_config_sets_is_left_out_and_noted_once(start, add_claude, run, emulator, client):
    add_claude(params={"seed": 1, "logprobs": True, "top_k": 3})
    job, _rows = run([chat("one"), chat("two")])
    assert job.succeeded == 2
    assert [body.keys() & {"seed", "logprobs", "top_k"} for body in emulator.bodies] == [
        {"top_k"}
    ] * 2
    with connected():
        (event,) = JobEvent.select().where(JobEvent.reason == "left_out")
        assert event.detail == "claude: Anthropic's Messages API has nothing like logprobs, seed"
    chinese = client.get(f"/jobs/{job.id}/events", headers={"Accept-Language": "zh"}).text
    assert "已省略参数" in chinese
    assert re.search("Anthropic Messages API 没有与 logprobs.{1,2}seed 对应的参数", chinese)


def test_a_temperature_that_the_model_rejects_is_left_out(start, add_claude, run, emulator):
    add_claude(model="claude-opus-5-5", temperature=0.7, max_tokens=500)
    job, _rows = run([chat("one"), chat("two")])
    assert job.succeeded == 2
    sent = ["temperature" in body for body in emulator.bodies]
    assert (sent[0], sent[-2:]) == (True, [False, False])
    assert emulator.bodies[-1]["max_tokens"] == 500


def test_images_of_a_table(start, add_claude, tmp_path, wait_for, emulator):
    add_claude()
    (tmp_path / "a.png").write_bytes(png(3, 3))
    (tmp_path / "t.csv").write_text("q,photo\nwhat is it?,a.png\n")
    template = Template(user="{{q}}", images=["{{photo}}"])
    with connected():
        chosen = jobs.JobOptions(config="claude", template=template)
        job_id = job_creation.create_now(tmp_path / "t.csv", "t.csv", chosen).id
    assert wait_for(job_id, *ENDED).succeeded == 1
    kinds = {block["type"] for block in emulator.bodies[0]["messages"][0]["content"]}
    assert kinds == {"text", "image"}


def test_requests_for_other_endpoints_are_refused_at_the_import(add_claude, tmp_path, emulator):
    add_claude()
    path = tmp_path / "in.jsonl"
    path.write_text(json.dumps(line("a", url="/v1/embeddings", input="x")) + "\n")
    with connected(), pytest.raises(UploadRejected) as rejected:
        job_creation.create_now(path, path.name, jobs.JobOptions(config="claude"))
    (fault,) = rejected.value.faults
    assert (fault.line, fault.code) == (1, "url_mismatch")
    assert "send /v1/embeddings to another connection" in fault.message
    assert emulator.calls == 0


def test_the_command(instance, emulator, tmp_path):
    model, key = ("--model", "claude-sonnet-4-5"), ("--key-env", "CLAUDE_KEY")
    options = *model, "--provider", "anthropic", "--base-url", emulator.url, *key
    added = flask(instance, "add-config", "claude", *options, CLAUDE_KEY=KEY)
    assert added.returncode == 0, added.stderr
    options = *model, "--api-format", "anthropic", "--base-url", emulator.url, *key
    flask(instance, "add-config", "own", *options, CLAUDE_KEY=KEY)
    assert flask(instance, "test-config", "own").returncode == 0
    path, out = tmp_path / "in.jsonl", tmp_path / "out.csv"
    path.write_text("".join(json.dumps(chat(words)) + "\n" for words in ("hello", "decline")))
    tested = flask(instance, "test-config", "claude")
    assert tested.returncode == 0, tested.stderr
    assert {one.get("x-api-key") for one in emulator.headers} == {KEY}
    assert not any("authorization" in one for one in emulator.headers)
    done = flask(instance, "run-job", str(path), "--config", "claude", "-o", str(out))
    assert done.returncode == 0, done.stderr
    assert "1 ok, 1 refused" in done.stderr
    rows = list(csv.DictReader(io.StringIO(out.read_text("utf-8-sig"))))
    assert [(row["content"], row["finish_reason"]) for row in rows] == [
        ("You said: hello", "stop"),
        ("This request could enable cyber harm.", "content_filter"),
    ]


def ended(client, batch_id: str):
    """The batch when it has ended."""

    def found():
        batch = client.batches.retrieve(batch_id)
        return batch if batch.status in BATCH_ENDED else None

    return wait_until(found)


def test_a_page_and_the_batch_api(instance, add_claude):
    add_claude()
    server = served(instance)
    try:
        with client_of(server) as client:
            made = submit(client, [line("a", "claude"), line("b", "claude", seed=3)])
            batch = ended(client, made.id)
            (good,) = read(client, batch.output_file_id)
            (bad,) = read(client, batch.error_file_id)
            body = openai.types.chat.ChatCompletion.model_validate(good["response"]["body"])
            assert body.choices[0].message.content == "You said: about a"
            assert batch.usage.output_tokens == 20
            assert "seed" in bad["error"]["message"]
            mismatch = submit(client, [line("a", "claude", "/v1/embeddings")], "/v1/embeddings")
            failed = ended(client, mismatch.id)
            assert failed.errors.data[0].code == "url_mismatch"
            page = requests.get(f"{server.url}/jobs/1/requests/0", timeout=90).text
            assert "You said: about a" in page
    finally:
        server.stop()


def test_a_shared_system_message_is_written_to_the_cache_once(start, add_claude, run, emulator):
    add_claude(concurrency=5)
    asked = [
        {"messages": [{"role": "system", "content": LONG}, *chat(f"case {n}")["messages"]]}
        for n in range(5)
    ]
    job, _rows = run([*asked, chat(LONG + "alone")])
    assert job.succeeded == 6
    marked = [body["system"][-1] for body in emulator.bodies if "system" in body]
    assert [block["cache_control"] for block in marked] == [{"type": "ephemeral"}] * 5
    assert (job.cache_write_tokens, job.cached_tokens) == (1_500, 4 * 1_500)


def test_nothing_is_marked_without_the_option_or_for_a_lone_request(
    start, add_claude, run, emulator
):
    add_claude(concurrency=5)
    system = {"role": "system", "content": LONG}
    asked = [{"messages": [system, *chat(f"case {n}")["messages"]]} for n in range(3)]
    run(asked, cache_aware=False)
    run(asked[:1])
    assert [body["system"] for body in emulator.bodies] == [LONG] * 4
