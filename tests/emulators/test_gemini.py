"""The emulator of Gemini's API: Google's own client runs against the native part, OpenAI's client and our
exchange against the compatible one."""

import json

import openai
import pytest
from google import genai
from google.genai import errors, types

from simple_batch.core.domain import Cause, Defaults, Endpoint, Outcome
from simple_batch.engine import probe
from simple_batch.engine.classify import classify, classify_failure
from simple_batch.engine.exchange import Exchange
from simple_batch.engine.transport import TransportFailure

from ..engine.conftest import SETTINGS
from .gemini import BUSY, KEY, MODELS, GeminiEmulator

FLASH = "gemini-2.5-flash"


@pytest.fixture
def emulator():
    with GeminiEmulator() as emulator:
        yield emulator


def google(emulator, key=KEY) -> genai.Client:
    """Google's client; the emulator keeps it, because it closes its connections when it is collected."""
    client = genai.Client(api_key=key, http_options=types.HttpOptions(base_url=emulator.url))
    emulator.client = client
    return client


def ask(emulator, words="hi", model=FLASH, key=KEY, **config):
    made = google(emulator, key).models
    return made.generate_content(model=model, contents=words, config=config or None)


# --- Google's own client -----------------------------------------------------------------------


def test_the_client_is_answered_in_every_form_it_knows(emulator):
    assert ask(emulator).text == "You said: hi"
    assert {model.name for model in google(emulator).models.list()} == {
        f"models/{n}" for n in MODELS
    }
    schema = {"type": "OBJECT", "properties": {"word": {"type": "STRING"}}, "required": ["word"]}
    form = {"response_mime_type": "application/json", "response_schema": schema}
    assert json.loads(ask(emulator, **form).text) == {"word": "word"}
    function = {"name": "look", "parameters": {"type": "OBJECT", "properties": {}}}
    calls = ask(emulator, "call", tools=[{"function_declarations": [function]}]).function_calls
    assert [call.name for call in calls] == ["look"]
    client = google(emulator).models
    assert client.count_tokens(model=FLASH, contents="hi").total_tokens > 0
    found = client.embed_content(
        model="gemini-embedding-001", contents=["a", "b"], config={"output_dimensionality": 3}
    )
    assert [len(each.values) for each in found.embeddings] == [3, 3]


def test_thoughts_and_cached_tokens_are_counted(emulator):
    usage = ask(emulator, thinking_config={"include_thoughts": True}).usage_metadata
    assert usage.thoughts_token_count == 30
    assert usage.total_token_count == usage.prompt_token_count + usage.candidates_token_count + 30
    assert (
        ask(emulator, thinking_config={"thinking_budget": 0}).usage_metadata.thoughts_token_count
        is None
    )
    long = {"system_instruction": "word " * 1_200}
    first, second = (ask(emulator, **long).usage_metadata for _ in range(2))
    assert first.cached_content_token_count is None
    assert 1_024 < second.cached_content_token_count < second.prompt_token_count


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("unsafe", "SAFETY"),
        ("recite", "RECITATION"),
        ("be long", "MAX_TOKENS"),
        ("forbidden", "PROHIBITED_CONTENT"),
    ],
)
def test_answers_that_end_for_a_reason(emulator, words, reason):
    assert ask(emulator, words).candidates[0].finish_reason == reason


def test_a_blocked_prompt_has_no_candidates(emulator):
    blocked = ask(emulator, "block the prompt")
    assert (blocked.candidates, blocked.prompt_feedback.block_reason) == (None, "SAFETY")


def test_the_client_reads_streams(emulator):
    stream = google(emulator).models.generate_content_stream
    chunks = list(stream(model=FLASH, contents="hi"))
    assert "".join(chunk.text or "" for chunk in chunks) == "You said: hi"
    assert chunks[-1].candidates[0].finish_reason == "STOP"
    broken = list(stream(model=FLASH, contents="break off once"))
    assert broken[-1].candidates[0].finish_reason is None
    with pytest.raises(errors.APIError):
        list(stream(model=FLASH, contents="fail once"))


@pytest.mark.parametrize(
    ("status", "word", "given"),
    [
        (404, "NOT_FOUND", {"model": "gemini-nope"}),
        (400, "INVALID_ARGUMENT", {"key": "AIza-other"}),
        (429, "RESOURCE_EXHAUSTED", {"model": BUSY}),
        (429, "RESOURCE_EXHAUSTED", {"words": "day is over"}),
        (503, "UNAVAILABLE", {"words": "overloaded once"}),
        (400, "INVALID_ARGUMENT", {"temperature": 3}),
        (400, "INVALID_ARGUMENT", {"max_output_tokens": 100_000}),
        (400, "INVALID_ARGUMENT", {"http_options": {"extra_body": {"temperature": 1}}}),
        (
            400,
            "INVALID_ARGUMENT",
            {"model": "gemini-2.0-flash", "thinking_config": {"thinking_budget": 9}},
        ),
    ],
)
def test_the_client_is_refused_as_by_the_real_one(emulator, status, word, given):
    with pytest.raises(errors.APIError) as failed:
        ask(emulator, **given)
    assert (failed.value.code, failed.value.status) == (status, word)


def test_unknown_fields_are_named_with_their_place(emulator):
    declared = {"name": "f", "parameters": {"type": "OBJECT", "properties": {"a": {"const": 1}}}}
    body = {
        "tools": [{"functionDeclarations": [declared]}],
        "contents": [{"role": "user", "text": "x"}],
    }
    with pytest.raises(errors.ClientError) as failed:
        ask(emulator, http_options={"extra_body": body})
    message = failed.value.message
    assert (
        "\"const\" at 'tools[0].function_declarations[0].parameters.properties[0].value'" in message
    )
    assert "\"text\" at 'contents[0]'" in message
    assert len(failed.value.details["error"]["details"][0]["fieldViolations"]) == 2


def test_a_limit_says_how_long_and_which(emulator):
    with pytest.raises(errors.ClientError) as failed:
        ask(emulator, "day is over")
    details = {
        detail["@type"].rsplit(".", 1)[1]: detail
        for detail in failed.value.details["error"]["details"]
    }
    assert details["RetryInfo"]["retryDelay"] == "35640s"
    assert "PerDay" in details["QuotaFailure"]["violations"][0]["quotaId"]


# --- OpenAI's client at the compatible part ----------------------------------------------------


def compatible(emulator, key=KEY) -> openai.OpenAI:
    return openai.OpenAI(api_key=key, base_url=f"{emulator.url}/v1beta/openai/", max_retries=0)


def test_openai_s_client_is_answered(emulator):
    client = compatible(emulator)
    messages = [{"role": "system", "content": "be"}, {"role": "user", "content": "hi"}]
    made = client.chat.completions.create(model=FLASH, messages=messages, reasoning_effort="low")
    assert made.choices[0].message.content == "You said: hi"
    assert made.usage.total_tokens > made.usage.prompt_tokens + made.usage.completion_tokens
    assert f"models/{FLASH}" in [model.id for model in client.models.list()]
    found = client.embeddings.create(
        model="gemini-embedding-001", input=["a", "b"], encoding_format="float"
    )
    assert len(found.data) == 2
    options = {"stream": True, "stream_options": {"include_usage": True}}
    chunks = list(client.chat.completions.create(model=FLASH, messages=messages, **options))
    assert chunks[-1].usage.total_tokens > 0


@pytest.mark.parametrize("name", ["seed", "frequency_penalty", "top_k", "reasoning", "google"])
def test_fields_that_the_compatible_part_does_not_have(emulator, name):
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(openai.BadRequestError) as failed:
        compatible(emulator).chat.completions.create(
            model=FLASH, messages=messages, extra_body={name: 1}
        )
    message = failed.value.response.json()[0]["error"]["message"]
    assert message.endswith(f'Unknown name "{name}": Cannot find field.')


# --- our exchange ------------------------------------------------------------------------------


def endpoint(emulator, model=FLASH, key=KEY) -> Endpoint:
    base_url = f"{emulator.url}/v1beta/openai"
    return Endpoint(1, "gemini", base_url=base_url, key=key, defaults=Defaults(model))


def finding(emulator, words="hi", url="/v1/chat/completions", fields=None, **of_endpoint):
    target = endpoint(emulator, **of_endpoint)
    body = {"model": target.defaults.model, "messages": [{"role": "user", "content": words}]}
    exchange = Exchange(target, SETTINGS, width=1)
    try:
        sent = json.dumps({**body, **(fields or {})}).encode()
        return classify(exchange.post(url, sent, 30), url)
    except TransportFailure as failure:
        return classify_failure(failure)
    finally:
        exchange.close()


@pytest.mark.parametrize(
    ("words", "outcome"),
    [
        ("hi", Outcome.OK),
        ("be long", Outcome.CUT_OFF),
        ("unsafe", Outcome.REFUSED),
        ("recite", Outcome.REFUSED),
        ("forbidden", Outcome.REFUSED),
        ("say nothing", Outcome.EMPTY),
    ],
)
def test_what_an_answer_is_worth(emulator, words, outcome):
    assert finding(emulator, words).outcome is outcome


@pytest.mark.parametrize(
    ("cause", "given"),
    [
        (Cause.AUTH, {"key": "AIza-other-0123456789"}),
        (Cause.NOT_FOUND, {"model": "gemini-nope"}),
        (Cause.BAD_REQUEST, {"fields": {"seed": 1}}),
        (Cause.RATE_LIMIT, {"model": BUSY}),
        (Cause.OVERLOADED, {"words": "overloaded once"}),
    ],
)
def test_errors(emulator, cause, given):
    assert finding(emulator, **given).cause is cause


def test_a_limit_per_day_is_told_apart(emulator):
    found = finding(emulator, "day is over")
    assert (found.cause, found.per_day, found.retry_after_s) == (Cause.RATE_LIMIT, True, 35_640)
    found = finding(emulator, model=BUSY)
    assert (found.per_day, found.retry_after_s) == (False, 46)


def test_the_probe_and_the_list_of_models(emulator):
    assert probe.test_connection(endpoint(emulator), SETTINGS).ok
    assert f"models/{FLASH}" in probe.list_models(endpoint(emulator), SETTINGS)
