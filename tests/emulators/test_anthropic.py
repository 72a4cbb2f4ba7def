"""The emulator of Anthropic's API: Anthropic's own client runs against it, and so does our exchange."""

import json

import anthropic
import msgspec
import pytest

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import ApiFormat, Cause, Defaults, Endpoint, Outcome
from simple_batch.core.errors import ConfigurationError
from simple_batch.engine import probe
from simple_batch.engine.classify import classify, classify_failure
from simple_batch.engine.exchange import Exchange
from simple_batch.engine.transport import TransportFailure

from ..engine.conftest import SETTINGS
from .anthropic import KEY, MODELS, AnthropicEmulator

OLD = {"anthropic-version": "2023-06-01"}
TOOL = {"name": "look", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}}


@pytest.fixture
def emulator():
    with AnthropicEmulator() as emulator:
        yield emulator


def client(emulator, **options) -> anthropic.Anthropic:
    return anthropic.Anthropic(api_key=KEY, base_url=emulator.url, max_retries=0, **options)


def ask(emulator, words="hi", model="claude-opus-4-6", **fields):
    messages = [{"role": "user", "content": words}]
    fields = {"max_tokens": 4_000, "messages": messages, **fields}
    return client(emulator).messages.create(model=model, **fields)


# --- Anthropic's own client --------------------------------------------------------------------


def test_the_client_is_answered_in_every_form_it_knows(emulator):
    assert ask(emulator).content[0].text == "You said: hi"
    assert [model.id for model in client(emulator).models.list(limit=2)] == list(MODELS)
    calls = ask(emulator, "call", tools=[TOOL], thinking={"type": "adaptive"})
    assert [block.type for block in calls.content] == ["thinking", "tool_use"]
    assert calls.stop_reason == "tool_use"
    refused = ask(emulator, "decline")
    assert (refused.stop_reason, refused.stop_details.category) == ("refusal", "cyber")
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": schema}}
    assert ask(emulator, output_config=form).content[0].text == "{}"


def test_the_client_reads_its_streams(emulator):
    fields = {"thinking": {"type": "adaptive"}, "tools": [TOOL], "max_tokens": 4_000}
    messages = [{"role": "user", "content": "call"}]
    with client(emulator).messages.stream(
        model="claude-opus-4-6", messages=messages, **fields
    ) as stream:
        made = stream.get_final_message()
    assert [block.type for block in made.content] == ["thinking", "tool_use"]
    assert made.content[1].input == {"a": "word"}
    assert made.usage.output_tokens == 50


def test_the_client_counts_what_a_cache_gives(emulator):
    system = [{"type": "text", "text": "word " * 1_200, "cache_control": {"type": "ephemeral"}}]
    first, second = (ask(emulator, system=system).usage for _ in range(2))
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (1_500, 0)
    assert (second.cache_creation_input_tokens, second.cache_read_input_tokens) == (0, 1_500)
    assert first.input_tokens == second.input_tokens < 100


@pytest.mark.parametrize(
    ("error", "fields"),
    [
        (anthropic.NotFoundError, {"model": "claude-nope"}),
        (anthropic.BadRequestError, {"extra_body": {"temperature": 1}}),  # gone since 2026-10-21
        (anthropic.BadRequestError, {"extra_body": {"seed": 1}}),
        (anthropic.BadRequestError, {"model": "claude-3-5-haiku-20241022", "max_tokens": 9_000}),
        (anthropic.BadRequestError, {"messages": []}),
        (anthropic.BadRequestError, {"extra_headers": {"anthropic-version": "2020-01-01"}}),
        (anthropic.AuthenticationError, {"extra_headers": {"x-api-key": "sk-other"}}),
        (
            anthropic.BadRequestError,
            {"model": "claude-opus-5-5", "tools": [TOOL], "tool_choice": {"type": "any"}},
        ),
        (
            anthropic.BadRequestError,
            {
                "model": "claude-opus-5-5",
                "extra_body": {"temperature": 1},
                "extra_headers": OLD,
            },
        ),
    ],
)
def test_the_client_is_refused_as_by_the_real_one(emulator, error, fields):
    with pytest.raises(error) as failed:
        ask(emulator, **fields)
    assert failed.value.body["type"] == "error"


def test_an_old_version_and_model_take_a_temperature(emulator):
    fields = {"extra_body": {"temperature": 0.5}, "extra_headers": OLD}
    assert ask(emulator, model="claude-haiku-4-5", **fields).stop_reason == "end_turn"


def test_the_client_is_told_of_a_rate_limit():
    with AnthropicEmulator(rpm=1, retry_after="7") as emulator:
        ask(emulator)
        with pytest.raises(anthropic.RateLimitError) as failed:
            ask(emulator)
    assert failed.value.response.headers["retry-after"] == "7"


# --- our exchange ------------------------------------------------------------------------------


def endpoint(emulator, model="claude-sonnet-4-5", **fields) -> Endpoint:
    fields = {"base_url": emulator.url, "key": KEY, "api_format": ApiFormat.ANTHROPIC, **fields}
    return Endpoint(1, "claude", defaults=Defaults(model), **fields)


def finding(emulator, words="hi", url="/v1/chat/completions", fields=None, **of_endpoint):
    target = endpoint(emulator, **of_endpoint)
    body = {
        "model": target.defaults.model,
        "messages": [{"role": "user", "content": words}],
        **(fields or {}),
    }
    exchange = Exchange(target, SETTINGS, width=1)
    try:
        return classify(exchange.post(url, json.dumps(body).encode(), 30), url)
    except TransportFailure as failure:
        return classify_failure(failure)
    finally:
        exchange.close()


@pytest.mark.parametrize("path", ["", "/", "/v1"])
def test_the_path_and_the_version_are_right_whatever_the_base_url(emulator, path):
    found = finding(emulator, base_url=emulator.url + path)
    assert (found.cause, found.outcome, found.model) == (None, Outcome.OK, "claude-sonnet-4-5")
    assert found.usage.output == 20
    assert emulator.headers[0]["anthropic-version"] == "2023-06-01"
    finding(emulator, headers=(("Anthropic-Version", "2026-10-21"),))
    assert emulator.headers[1]["anthropic-version"] == "2026-10-21"


def test_a_conversation_with_tools(emulator):
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one"},
        {"role": "user", "content": "two"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "1", "content": "done"},
        {"role": "user", "content": "call again"},
    ]
    tools = [{"type": "function", "function": {"name": "f"}}]
    found = finding(emulator, fields={"messages": messages, "tools": tools})
    assert found.outcome is Outcome.TOOL_CALL, found


def test_thinking_is_counted(emulator):
    found = finding(emulator, fields={"reasoning_effort": "low"}, model="claude-opus-5-5")
    assert found.usage.reasoning == 30
    message = json.loads(found.response)["choices"][0]["message"]
    assert message["reasoning_content"] == "Let me think."


def test_reads_and_writes_of_a_cache_are_part_of_the_input(emulator):
    block = {"type": "text", "text": "word " * 1_200, "cache_control": {"type": "ephemeral"}}
    messages = [{"role": "system", "content": [block]}, {"role": "user", "content": "hi"}]
    first, second = (finding(emulator, fields={"messages": messages}).usage for _ in range(2))
    assert (first.cache_write, second.cached) == (1_500, 1_500)
    assert first.input == second.input > 1_500


@pytest.mark.parametrize(
    ("cause", "given"),
    [
        (Cause.AUTH, {"key": "sk-other-0123456789"}),
        (Cause.NOT_FOUND, {"model": "claude-nope"}),
        (Cause.BAD_REQUEST, {"fields": {"enable_thinking": True}}),
        (Cause.CONTEXT_LENGTH, {"words": "word " * 180_000}),
        (Cause.RATE_LIMIT, {"words": "hi", "rpm": 0}),
        (Cause.OVERLOADED, {"words": "overloaded once"}),
    ],
)
def test_errors(emulator, cause, given):
    emulator.rpm = given.pop("rpm", 1_000)
    found = finding(emulator, **given)
    assert found.cause is cause, found


def test_no_call_is_made_for_what_the_api_has_nothing_like(emulator):
    assert finding(emulator, fields={"seed": 1}).cause is Cause.BAD_REQUEST
    assert finding(emulator, url="/v1/embeddings").cause is Cause.BAD_REQUEST
    assert emulator.calls == 0


def test_the_probe_and_the_list_of_models(emulator):
    assert probe.test_connection(endpoint(emulator), SETTINGS).model == "claude-sonnet-4-5"
    assert probe.list_models(endpoint(emulator), SETTINGS) == sorted(MODELS)
    thinking = Defaults(
        "claude-haiku-4-5", params={"reasoning_effort": "low"}, api_format=ApiFormat.ANTHROPIC
    )
    target = msgspec.structs.replace(endpoint(emulator), defaults=thinking)
    assert probe.test_connection(target, SETTINGS).ok
    wrong = endpoint(emulator, key="sk-other-0123456789")
    assert "invalid x-api-key" in probe.test_connection(wrong, SETTINGS).message
    with pytest.raises(ConfigurationError, match="invalid x-api-key"):
        probe.list_models(wrong, SETTINGS)


def test_an_endpoint_of_another_api_is_not_called_with_such_a_body(emulator):
    found = finding(emulator, url="/v1/messages", api_format=ApiFormat.OPENAI)
    assert (found.cause, emulator.calls) == (Cause.BAD_REQUEST, 0)


def test_a_body_in_the_api_s_own_form_is_sent_as_it_is(emulator):
    found = finding(emulator, url="/v1/messages", fields={"max_tokens": 5, "system": "be"})
    assert found.cause is None, found
    assert found.usage == Usage(found.usage.input, 20)
    assert emulator.bodies[0]["system"] == "be"
