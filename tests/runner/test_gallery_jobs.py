"""A whole job with each entry of the gallery, against an emulator of its provider: every request ends in
the right state, with the provider's own words, its usage and its cost.

The connections are those that the gallery fills in; only key, model and the host of the base URL differ.
The jobs of all providers run at the same time in one installation.
"""

import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from simple_batch import create_app, export
from simple_batch.services import configs, job_creation, jobs, provider_gallery
from simple_batch.services.connections import Connection
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig, Attempt, JobEvent

from ..conftest import wait_until
from ..emulators.anthropic import KEY as CLAUDE_KEY
from ..emulators.anthropic import AnthropicEmulator
from ..emulators.manners import MANNERS
from ..emulators.openai_batches import KEY as BATCH_KEY
from ..emulators.openai_batches import OpenAIBatches
from ..emulators.openai_compatible import KEY, SHORT_WAIT_S, STREAM_ONLY, Emulator
from ..emulators.provider_answers import ANSWER, ARGUMENTS, GOT, OVERLOADED, SENT, THINKS, THOUGHT

IN_OTHER_WAYS = {"anthropic", "simple-batch"}
PROVIDERS = [it.id for it in provider_gallery.all() if it.id not in IN_OTHER_WAYS]
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}
CALLED = ("hello", "limited once", "forbidden", "refuse", "call", "no usage")
STREAMED = ("hello", "think", "call", "forbidden", "no usage", "fail once", "break off once")
RESPONSES = ("hello again", "call again", "fail once again", "break off once again")
ENDED = ("completed", "paused", "failed", "cancelled")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A running installation; the folder for files of requests."""
    folder = tmp_path_factory.mktemp("gallery")
    app = create_app(
        DATABASE_URL=f"sqlite:///{folder / 'instance' / 'simple_batch.db'}",
        INSTANCE_PATH=str(folder / "instance"),
        LOG_DIR=str(folder / "logs"),
        REQUEST_CACHE_FLUSH_INTERVAL=0.02,
        BACKOFF_BASE=0.01,
        BACKOFF_MAX=0.05,
        BATCH_POLL_FIRST=0.02,
        BATCH_POLL_MAX=0.05,
        MAX_RUNNING_JOBS=200,
    )
    services = app.extensions["simple_batch"]
    services.start()
    yield folder
    services.close()


class Run:
    """The jobs of one provider: ``calls``, ``streams``, ``schema``, and where it has them ``responses``
    beside chat completions, and ``embeddings``."""

    def __init__(self, provider: str, folder):
        self.entry = provider_gallery.get(provider)
        self.manner = MANNERS[provider]
        self.emulator = Emulator(self.manner)
        host = urlsplit(self.emulator.base_url).netloc
        self.jobs: dict[str, int] = {}
        self.config = connected_to(self.entry, host, KEY)
        self.streaming = connected_to(self.entry, host, KEY)
        bodies = [self._asked(words) for words in CALLED]
        self.jobs["calls"] = started(folder, self.config, bodies, self.url)
        bodies = [{**self._asked(words), "model": STREAM_ONLY} for words in STREAMED]
        self.jobs["streams"] = started(folder, self.streaming, bodies, self.url)
        if self.manner.chat and self.manner.responses:
            bodies = [{"input": words, "model": STREAM_ONLY} for words in RESPONSES]
            other = connected_to(self.entry, host, KEY)
            self.jobs["responses"] = started(folder, other, bodies, "/v1/responses")
        bodies = [self._asked("fill it in")]
        self.jobs["schema"] = started(folder, self.config, bodies, self.url, schema=SCHEMA)
        if self.manner.embeddings:
            bodies = [{"input": "one"}, {"input": ["two", "three"]}]
            self.jobs["embeddings"] = started(folder, self.config, bodies, "/v1/embeddings")

    @property
    def url(self) -> str:
        return "/v1/chat/completions" if self.manner.chat else "/v1/responses"

    def _asked(self, words: str) -> dict:
        tools = {"tools": [TOOL]} if words == "call" else {}
        if not self.manner.chat:
            return {"input": words, **tools}
        return {"messages": [{"role": "user", "content": words}], **tools}

    def ended(self, name: str):
        """A job that has ended, and its rows."""
        return ended(self.jobs[name])


def started(folder, config, bodies: list[dict], url="/v1/chat/completions", **options) -> int:
    """Starts a job of these requests; returns its id."""
    lines = (
        {"custom_id": f"r{n}", "method": "POST", "url": url, "body": body}
        for n, body in enumerate(bodies)
    )
    path = folder / f"{config.id}-{len(list(folder.iterdir()))}.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return job_creation.create_now(
        path, path.name, jobs.JobOptions(config=config.alias, **options)
    ).id


def connected_to(entry, host: str, key: str, model: str = ""):
    """The connection that the gallery makes, with another host."""
    real = entry.base_url.replace("{resource}", "mine").replace("{host}", "127.0.0.1")
    real = real or "https://api.example.org/v1"
    model = model or entry.default_model or "model-a"
    fields = Connection(entry=entry, base_url=real, model=model, key=key).fields()
    fields.base_url = f"http://{host}{urlsplit(real).path}"
    return configs.create(fields)


def ended(job_id: int):
    def found():
        with connected():
            job = jobs.get(job_id)
            return job if job.status in ENDED else None

    job = wait_until(found)
    with connected():
        return job, [json.loads(row) for row in export.export(job_id, "jsonl")]


@pytest.fixture(scope="module")
def runs(folder, request):
    """The jobs of all providers that are tested, begun at once."""
    wanted = {
        item.callspec.params["provider"]
        for item in request.session.items
        if item.path == request.path and "provider" in getattr(item, "callspec", _NONE).params
    }
    with connected():
        begun = {provider: Run(provider, folder) for provider in sorted(wanted)}
    yield begun
    for run in begun.values():
        run.emulator.__exit__()


class _NONE:
    params: dict[str, Any] = {}


@pytest.fixture
def run(runs, provider) -> Run:
    return runs[provider]


EACH = pytest.mark.parametrize("provider", PROVIDERS)


def attempts(job_id: int, index: int) -> list[Attempt]:
    with connected():
        return list(Attempt.select().where(Attempt.job == job_id, Attempt.idx == index))


def text_of(row: dict) -> Any:
    """What a row's answer says."""
    response = row["response"]
    if "choices" in response:
        content = response["choices"][0]["message"]["content"]
        if isinstance(content, list):
            content = "".join(part.get("text", "") for part in content)
        return content.rpartition("</think>")[2].strip()
    return response["output"][-1]["content"][0]["text"]


def arguments_of(row: dict) -> list[str]:
    """The arguments of the calls of a row's answer."""
    response = row["response"]
    if "choices" in response:
        calls = response["choices"][0]["message"]["tool_calls"]
        return [call["function"]["arguments"] for call in calls]
    return [item["arguments"] for item in response["output"] if "arguments" in item]


def longest_text(value: Any) -> str:
    """The words of an error body."""
    if isinstance(value, dict | list):
        parts = value.values() if isinstance(value, dict) else value
        return max(map(longest_text, parts), key=len, default="")
    return value if isinstance(value, str) else ""


def check_money(config, job, rows: list[dict]) -> None:
    """Each answer costs what its tokens cost; of what is not known, nothing is claimed."""
    for row in rows:
        usage, cost = row["usage"], row["cost"]
        if usage is None or config.input_price is None:
            assert cost is None, row
            continue
        plain = (usage["input"] * config.input_price + usage["output"] * config.output_price) / 1e6
        halved = "hours" in (config.price_rules or "")  # DeepSeek, off-peak
        assert round(cost["amount"] * 1e9) in {round(plain), round(plain / 2) if halved else -1}
    amounts = [row["cost"]["amount"] for row in rows if row["cost"]]
    assert job.cost_nano == round(sum(amounts) * 1e9)


def check_usage(row: dict, thinks: bool = False) -> None:
    usage = row["usage"]
    got = GOT + THINKS if thinks else GOT
    assert (usage["input"], usage["output"], usage["estimated"]) == (SENT, got, False)
    assert usage["reasoning"] == (THINKS if thinks else 0)


@EACH
def test_a_job_of_calls(run):
    job, rows = run.ended("calls")
    assert job.status == "completed", job.status_detail
    hello, limited, forbidden, refused, called, unknown = rows
    assert [text_of(hello), text_of(limited), text_of(unknown)] == [ANSWER] * 3
    for row in (hello, limited, refused, called):
        check_usage(row)
    assert unknown["usage"]["estimated"] and unknown["usage"]["output"] > 0
    assert (hello["outcome"], hello["attempts"], hello["first_token_ms"]) == ("ok", 1, None)
    assert (refused["outcome"], called["outcome"]) == ("refused", "tool_call")
    assert arguments_of(called) == list(ARGUMENTS)
    check_limit(run, job, limited)
    status, body = run.manner.forbidden
    if status == 200:
        assert (forbidden["status"], forbidden["outcome"]) == ("succeeded", "refused")
    else:
        error = forbidden["error"]
        assert (error["cause"], error["http_status"]) == ("content_filter", status)
        assert longest_text(body) in error["message"]
    assert (forbidden["attempts"], job.failed) == (1, int(status != 200))
    check_money(run.config, job, rows)


def check_limit(run: Run, job, row: dict) -> None:
    """A refusal by a limit is waited out as long as the provider says, and fails nothing."""
    (refusal,) = attempts(job.id, 1)
    words, _code, _headers = run.manner.limit(SHORT_WAIT_S)
    assert (row["status"], row["attempts"], refusal.cause) == ("succeeded", 2, "rate_limit")
    assert words.strip() in refusal.message
    if run.manner.says_wait:
        # some name the moment of the reset: the way of the answer is part of the wait then
        assert refusal.latency_ms + refusal.wait_ms >= SHORT_WAIT_S * 800


@EACH
def test_a_job_of_streams(run):
    """A model that answers streams only switches them on; they are put together whatever their form."""
    job, rows = run.ended("streams")
    assert (job.status, job.failed) == ("completed", 0), job.status_detail
    hello, thought, called, forbidden, unknown, failed, broken = rows
    for row in (hello, thought, unknown, failed, broken):
        assert text_of(row) == ANSWER
        assert row["first_token_ms"] is not None
    for row in (hello, called, failed, broken):
        check_usage(row)
    check_usage(thought, thinks=True)
    assert thought["reasoning"] == THOUGHT
    assert arguments_of(called) == list(ARGUMENTS)
    assert (called["outcome"], forbidden["outcome"]) == ("tool_call", "refused")
    assert unknown["usage"]["estimated"]
    assert [row["attempts"] for row in rows] == [1, 1, 1, 1, 1, 2, 2]
    (failure,), (cut,) = attempts(job.id, 5), attempts(job.id, 6)
    assert OVERLOADED in failure.message or "network_error" in failure.message
    assert "the stream ended before the answer did" in cut.message
    check_money(run.config, job, rows)
    assert wait_until(lambda: noted(run, job)).stream_since is not None


def noted(run: Run, job) -> ApiConfig | None:
    """The connection once it and the history of the job say what the provider said about streams."""
    words = run.manner.stream_only
    with connected():
        config = ApiConfig.get_by_id(run.streaming.id)
        found = JobEvent.select().where(JobEvent.job == job.id, JobEvent.reason == "streams")
        told = any(words in str(event.detail) for event in found)
    return config if told and words in str(config.stream_reason) else None


@pytest.mark.parametrize(
    "provider", [one for one in PROVIDERS if MANNERS[one].chat and MANNERS[one].responses]
)
def test_a_job_of_streamed_responses(run):
    """Errors within a stream have the shape that the provider gives them everywhere."""
    job, rows = run.ended("responses")
    assert (job.status, job.failed) == ("completed", 0), job.status_detail
    hello, called, failed, broken = rows
    assert [text_of(row) for row in (hello, failed, broken)] == [ANSWER] * 3
    assert arguments_of(called) == list(ARGUMENTS)
    for row in rows:
        check_usage(row)
    (failure,), (cut,) = attempts(job.id, 2), attempts(job.id, 3)
    assert OVERLOADED in failure.message
    assert "the stream ended before the answer did" in cut.message
    check_money(run.config, job, rows)


@EACH
def test_a_job_with_a_schema(run):
    job, (row,) = run.ended("schema")
    assert (job.status, row["status"]) == ("completed", "succeeded"), row["error"]
    assert row["parsed"] == {"word": "OK"}


@pytest.mark.parametrize("provider", [one for one in PROVIDERS if MANNERS[one].embeddings])
def test_a_job_of_embeddings(run):
    job, rows = run.ended("embeddings")
    assert (job.status, job.succeeded) == ("completed", 2)
    assert [len(row["response"]["data"]) for row in rows] == [1, 2]
    assert all(row["usage"]["input"] and not row["usage"]["output"] for row in rows)


def test_a_job_of_calls_and_one_of_streams_with_anthropic(folder):
    """Its own API; streams are chosen, as it answers either way."""
    with AnthropicEmulator(retry_after=str(SHORT_WAIT_S)) as emulator:
        entry = provider_gallery.get("anthropic")
        host = urlsplit(emulator.url).netloc
        with connected():
            called = connected_to(entry, host, CLAUDE_KEY, "claude-sonnet-4-5")
            streamed = connected_to(entry, host, CLAUDE_KEY, "claude-sonnet-4-5")
            ApiConfig.update(stream="always").where(ApiConfig.id == streamed.id).execute()
            begun = [
                started(folder, config, [claude(f"{words}, {config.id}") for words in CLAUDE_ASKED])
                for config in (called, streamed)
            ]
        check_claude(called, *begun)
        emulator.rpm = 1
        with connected():
            last = started(folder, called, [claude(f"hello {n}") for n in range(3)])
        job, _rows = ended(last)
    assert (job.status, job.succeeded) == ("completed", 3)
    with connected():
        refusals = list(Attempt.select().where(Attempt.job == last))
    assert refusals and {it.cause for it in refusals} == {"rate_limit"}
    assert all("rate limit of 30,000 input tokens per minute" in it.message for it in refusals)


CLAUDE_ASKED = ("hello", "think", "call it", "decline", "overloaded once", "fail once")


def claude(words: str) -> dict:
    more = {"think": {"reasoning_effort": "low"}, "call it": {"tools": [TOOL]}}
    body = {"messages": [{"role": "user", "content": words}]}
    return body | more.get(words.partition(",")[0], {})


def check_claude(config, *job_ids: int) -> None:
    for job_id in job_ids:
        job, rows = ended(job_id)
        assert (job.status, job.succeeded) == ("completed", 6), job.status_detail
        outcomes = [row["outcome"] for row in rows]
        assert outcomes == ["ok", "ok", "tool_call", "refused", "ok", "ok"]
        assert (rows[1]["reasoning"], rows[1]["usage"]["reasoning"]) == ("Let me think.", 30)
        assert not any(row["usage"]["estimated"] for row in rows)
        (overload,) = attempts(job_id, 4)
        assert (overload.cause, overload.http_status) == ("overloaded", 529)
        check_money(config, job, rows)
    assert [it.http_status for it in attempts(job_ids[1], 5)] == [529]  # within the stream
    assert attempts(job_ids[0], 5) == []


def test_a_job_with_another_simple_batch(folder):
    """It answers batches only; a request that fails there keeps its words."""
    provider = OpenAIBatches(polls_to_finish=1)
    with provider, connected():
        entry = provider_gallery.get("simple-batch")
        config = connected_to(entry, urlsplit(provider.base_url).netloc, BATCH_KEY)
        bodies = [{"messages": [{"role": "user", "content": f"question {n}"}]} for n in range(12)]
        job, rows = ended(started(folder, config, bodies, service="batch"))
    assert (job.status, job.succeeded) == ("completed", 12), job.status_detail
    assert [text_of(row) for row in rows] == [f"re: question {n}" for n in range(12)]
    assert {(row["usage"]["input"], row["usage"]["output"]) for row in rows} == {(2, 3)}
    check_money(config, job, rows)
