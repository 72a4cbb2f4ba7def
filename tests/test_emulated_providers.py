"""A config made from each entry of the gallery, run against an emulator of its provider: a call, JSON
Schema, embeddings, a wrong key, a rejected parameter and a rate limit. Real clients call the same
emulators, which keeps these honest."""

import json

import openai
import pytest

from simple_batch.core import context
from simple_batch.core.domain import Cause, Request
from simple_batch.engine import probe
from simple_batch.engine.structured_output import structure_of
from simple_batch.services import configs, connections, provider_gallery
from simple_batch.services.connections import Connection
from simple_batch.store.configs import endpoint_of
from simple_batch.store.database import connected

from .emulators.manners import MANNERS
from .emulators.mistral_client import mistral_client
from .emulators.openai_compatible import BUSY, KEY, Emulator

OTHER_EMULATORS = {"anthropic", "simple-batch"}
SCHEMA = {
    "type": "object",
    "properties": {"word": {"type": "string"}},
    "required": ["word"],
    "additionalProperties": False,
}
CHAT = b'{"messages":[{"role":"user","content":"Say OK."}]}'
EACH = pytest.mark.parametrize("provider", MANNERS)


def sent(config, *requests: Request, structure=None) -> list[probe.Tried]:
    return probe.send(
        endpoint_of(config, context.vault()), context.settings(), list(requests), structure
    )


def made(provider: str, emulator: Emulator, key: str = KEY):
    """The config that the gallery makes, with the emulator's base URL."""
    entry = provider_gallery.get(provider)
    return connections.connect(
        Connection(entry=entry, base_url=emulator.base_url, model="model-a", key=key)
    )


@pytest.fixture(autouse=True)
def in_database(db):
    with connected():
        yield


def test_every_provider_has_an_emulator():
    ids = {entry.id for entry in provider_gallery.all()}
    assert ids - OTHER_EMULATORS == set(MANNERS)


@EACH
def test_a_config_from_the_gallery_answers(provider):
    entry, manner = provider_gallery.get(provider), MANNERS[provider]
    with Emulator(manner) as emulator:
        config = made(provider, emulator)
        tested = configs.test(config.id)
        assert tested.ok, tested.message
        assert set(emulator.bodies[-1]) <= {"model", "messages", "input"}
        listed = configs.models(config.id)
        assert listed == sorted(manner.models)
        if "/v1/embeddings" in entry.endpoints:
            given = Request(0, "a", b'{"input":"x"}', "/v1/embeddings")
            (answer,) = sent(config, given)
            assert (answer.cause, answer.usage.input) == (None, 4)


@pytest.mark.parametrize("provider", [name for name in MANNERS if MANNERS[name].chat])
def test_a_schema_is_answered_also_where_it_is_not_accepted(provider):
    structure = structure_of(json.dumps(SCHEMA), "send", False)
    with Emulator(MANNERS[provider]) as emulator:
        (answer,) = sent(made(provider, emulator), Request(0, "a", CHAT), structure=structure)
        assert answer.cause is None, answer.message
        asked = [body.get("response_format", {}).get("type") for body in emulator.bodies]
        assert asked[0] == "json_schema"
        assert (asked[-1] == "json_schema") == MANNERS[provider].schema


@EACH
def test_a_refused_call_has_the_right_cause(provider):
    manner = MANNERS[provider]
    path = "/v1/chat/completions" if manner.chat else "/v1/responses"
    question = CHAT if manner.chat else b'{"input":"Say OK."}'
    with Emulator(manner) as emulator:
        config = made(provider, emulator)
        busy = question[:-1] + f',"model":"{BUSY}"}}'.encode()
        (answer,) = sent(config, Request(0, "a", busy, path))
        assert answer.cause is Cause.RATE_LIMIT, answer.message
        for name in manner.rejected.keys() - {"stream_options"}:  # never sent by itself
            (answer,) = sent(
                config, Request(0, "a", question[:-1] + f',"{name}":1}}'.encode(), path)
            )
            if name == "max_tokens":  # it has another name
                assert (answer.cause, emulator.bodies[-1]["max_completion_tokens"]) == (None, 1)
                continue
            assert answer.cause is Cause.BAD_REQUEST, answer.message
            assert answer.http_status == manner.rejected_status
        if manner.auth != "none":
            wrong = made(provider, emulator, key="sk-wrong-0123456789")
            tested = configs.test(wrong.id)
            assert (tested.ok, tested.cause) == (False, Cause.AUTH), tested.message
            assert "sk-wrong" not in tested.message


def test_a_report_says_what_the_model_accepts():
    with Emulator(MANNERS["openai"]) as emulator:
        found = configs.report(made("openai", emulator).id)
        assert (found.result.ok, found.result.model) == (True, "model-a")
        accepted = {it.name: it.accepted for it in found.parameters}
        assert accepted == {
            "temperature": True,
            "max_tokens": False,
            "max_completion_tokens": True,
        }
        assert "Unsupported parameter" in found.rejected[0].message
        assert (found.schema.accepted, found.stream.accepted) == (True, True)
        assert found.first_token_ms is not None
        assert found.calls == len(emulator.bodies) == 6
    with Emulator(MANNERS["deepseek"]) as emulator:
        found = configs.report(made("deepseek", emulator).id)
        assert found.schema.accepted is False
        assert (found.rejected, found.calls) == ([], 5)
        wrong = configs.report(made("deepseek", emulator, key="sk-wrong-0123456789").id)
        assert (wrong.result.ok, wrong.parameters, wrong.calls) == (False, (), 1)


@pytest.mark.parametrize("provider", ["openai", "gemini", "groq", "dashscope", "llama.cpp", "vllm"])
def test_openais_client_is_content_with_the_emulator(provider):
    manner = MANNERS[provider]
    with Emulator(manner) as emulator:
        client = openai.OpenAI(api_key=KEY, base_url=emulator.base_url, max_retries=0)
        messages = [{"role": "user", "content": "Say OK."}]
        chat = client.chat.completions.create(model="model-a", messages=messages)
        assert chat.choices[0].message.content == "OK"
        chunks = list(
            client.chat.completions.create(
                model="model-a",
                messages=messages,
                stream=True,
                stream_options={"include_usage": True},
            )
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "OK"
        assert chunks[-1].usage.total_tokens == 12
        assert {model.id for model in client.models.list()} == set(manner.models)
        if manner.embeddings:
            made = client.embeddings.create(model="e", input=["a"], encoding_format="float")
            assert made.data[0].embedding == [0.5, 0.25]
        if manner.responses:
            assert client.responses.create(model="model-a", input="Say OK.").output_text == "OK"
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model=BUSY, messages=messages)
        for name in manner.rejected:
            with pytest.raises(openai.BadRequestError):
                client.chat.completions.create(
                    model="model-a", messages=messages, extra_body={name: 1}
                )


def test_mistrals_client_is_content_with_the_emulator():
    with (
        Emulator(MANNERS["mistral"]) as emulator,
        mistral_client(emulator.base_url.removesuffix("/v1"), KEY) as client,
    ):
        messages = [{"role": "user", "content": "Say OK."}]
        chat = client.chat.complete(model="model-a", messages=messages)
        assert chat.choices[0].message.content == "OK"
        made = client.embeddings.create(model="e", inputs=["a"])
        assert made.data[0].embedding == [0.5, 0.25]
        assert [body["model"] for body in emulator.bodies] == ["model-a", "e"]
