"""The tokens that are billed: what usage objects of any shape mean, and what is estimated without them."""

import json
from decimal import Decimal

import msgspec
import pytest

from simple_batch.core.call_prices import Prices, Usage
from simple_batch.core.domain import EMBEDDINGS
from simple_batch.engine.usage import usage_of
from simple_batch.engine.usage_estimate import estimated_usage

CHAT = "/v1/chat/completions"


def read(url: str = CHAT, **usage) -> Usage | None:
    return usage_of(msgspec.Raw(json.dumps(usage).encode()), url)


def openai(sent, got, **more) -> dict:
    usage = {"prompt_tokens": sent, "completion_tokens": got, "total_tokens": sent + got}
    return {**usage, **more}


@pytest.mark.parametrize(
    ("usage", "output", "reasoning"),
    [
        # xAI; Gemini; Gemini's own names; one that no list contains
        (
            {**openai(41, 104), "total_tokens": 1161}
            | {"completion_tokens_details": {"reasoning_tokens": 1016}},
            1120,
            1016,
        ),
        ({**openai(7, 10), "total_tokens": 350}, 343, 333),
        (
            {"promptTokenCount": 7, "candidatesTokenCount": 10, "totalTokenCount": 317}
            | {"thoughtsTokenCount": 300},
            310,
            300,
        ),
        ({**openai(7, 10), "total_tokens": 90, "musing_budget_used": 73}, 83, 73),
        ({"prompt_tokens": 7, "total_tokens": 90}, 83, 83),
        # thinking without a total that is more than all of the output
        (
            {"prompt_tokens": 7, "completion_tokens": 9}
            | {"completion_tokens_details": {"reasoning_tokens": 300}},
            309,
            300,
        ),
        # … or than the total itself (Perplexity's deep research)
        (openai(7, 10, citation_tokens=900, reasoning_tokens=300), 310, 300),
        # Cohere: what is billed, beside what the model saw
        (
            {"billed_units": {"input_tokens": 7, "output_tokens": 5}}
            | {"tokens": {"input_tokens": 70, "output_tokens": 50}},
            5,
            0,
        ),
        # OpenAI, and totals that say nothing
        (openai(7, 10, completion_tokens_details={"reasoning_tokens": 4}), 10, 4),
        (openai(7, 10, reasoning_tokens=4), 10, 4),
        ({**openai(7, 10), "total_tokens": 5}, 10, 0),
        ({**openai(7, 10), "total_tokens": -1}, 10, 0),
        ({**openai(7, 10), "total_tokens": None}, 10, 0),
        ({**openai(7, 10), "total_tokens": 10**12}, 10, 0),
    ],
)
def test_output_is_what_the_total_leaves(usage, output, reasoning):
    found = read(**usage)
    assert (found.input, found.output, found.reasoning) == (
        41 if output == 1120 else 7,
        output,
        reasoning,
    )


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (openai(100, 9, prompt_tokens_details={"cached_tokens": 60}), (100, 60, 0)),
        (openai(100, 9, cached_tokens=60), (100, 60, 0)),
        (openai(100, 9, prompt_cache_hit_tokens=60, prompt_cache_miss_tokens=40), (100, 60, 0)),
        (openai(100, 9, prompt_tokens_details={"prefix_cache_tokens": 60}), (100, 60, 0)),
        (
            {"input_tokens": 100, "output_tokens": 9, "total_tokens": 109}
            | {"input_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 20}},
            (100, 60, 20),
        ),
        (
            openai(100, 9, prompt_tokens_details={"cached_tokens": 60, "cache_write_tokens": 20}),
            (100, 60, 20),
        ),
        (openai(100, 9, cache_write_tokens=20), (100, 0, 20)),
        (openai(100, 9, tokens_stored_in_cache_tokens=20), (100, 0, 20)),
        # LiteLLM: both kinds of names, and prompt_tokens includes them
        (
            openai(1210, 9, prompt_tokens_details={"cached_tokens": 1000})
            | {"cache_creation_input_tokens": 200, "cache_read_input_tokens": 1000},
            (1210, 1000, 200),
        ),
        # the parts cannot exceed the whole
        (openai(10, 9, prompt_tokens_details={"cached_tokens": 60}), (10, 10, 0)),
        (
            openai(10, 9, prompt_tokens_details={"cached_tokens": 8, "cache_write_tokens": 8}),
            (10, 8, 2),
        ),
    ],
)
def test_tokens_of_a_cache_are_parts_of_the_input(usage, expected):
    found = read(**usage)
    assert (found.input, found.cached, found.cache_write) == expected
    assert found.output == 9


@pytest.mark.parametrize(
    "usage",
    [
        # Anthropic, with a total that counts everything or only the rest; a gateway in front of it, with
        # two totals; Bedrock; one that no list contains
        {"input_tokens": 10, "output_tokens": 9}
        | {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200}
        | {"cache_creation": {"ephemeral_5m_input_tokens": 200}, "service_tier": "standard"},
        {"input_tokens": 10, "output_tokens": 9, "total_tokens": 1219}
        | {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200},
        {"input_tokens": 10, "output_tokens": 9, "total_tokens": 19}
        | {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200},
        openai(10, 9, cache_read_input_tokens=1000, cache_creation_input_tokens=200),
        {**openai(10, 9), "total_tokens": 1219}
        | {"cache_read_input_tokens": 1000, "cache_creation_input_tokens": 200},
        {"inputTokens": 10, "outputTokens": 9, "totalTokens": 1219}
        | {"cacheReadInputTokens": 1000, "cacheWriteInputTokens": 200},
        {**openai(10, 9), "total_tokens": 1219, "cachehit_tokens": 1000, "cachestore_tokens": 200},
    ],
)
def test_an_input_that_excludes_the_cache_is_completed(usage):
    assert read(**usage) == Usage(1210, 9, 1000, 0, 200)


def test_figures_may_be_texts_and_whole_floats():
    assert read(prompt_tokens="12", completion_tokens=3.0, total_tokens="15.0") == Usage(12, 3)
    details = {"cached_tokens": "5"}
    assert read(**openai(12, 3, prompt_tokens_details=details)) == Usage(12, 3, 5)


@pytest.mark.parametrize(
    "usage",
    [
        {},
        {"prompt_tokens": 7},
        {"completion_tokens": 7},
        {"total_tokens": 7},
        {"prompt_tokens": 7, "total_tokens": 5},
        {"completion_tokens": 7, "total_tokens": 7},
        openai(0, 0),  # a placeholder
        openai(-1, 3),
        openai(7, 10**10),
        {"input_tokens": 10**8 * 6, "output_tokens": 1, "cache_read_input_tokens": 10**8 * 6},
        {"prompt_tokens": "many", "completion_tokens": 3},
    ],
)
def test_what_is_missing_or_nonsense_is_unknown(usage):
    assert read(**usage) is None


@pytest.mark.parametrize("raw", [b"", b"null", b"[]", b'"12"', b"12"])
def test_what_is_no_usage_object(raw):
    assert usage_of(msgspec.Raw(raw), CHAT) is None


def test_embeddings_have_no_output():
    assert read(EMBEDDINGS, prompt_tokens=7) == Usage(7)
    assert read(EMBEDDINGS, total_tokens=7) == Usage(7)
    assert read(EMBEDDINGS, **openai(7, 0)) == Usage(7)


@pytest.mark.parametrize(
    ("usage", "written", "for_an_hour"),
    [
        # Anthropic; the same without the sum; a relay's names; ours; a part larger than the whole
        (
            {"input_tokens": 10, "output_tokens": 9, "cache_creation_input_tokens": 300}
            | {
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 100,
                    "ephemeral_1h_input_tokens": 200,
                }
            },
            300,
            200,
        ),
        (
            {"input_tokens": 10, "output_tokens": 9, "cache_read_input_tokens": 40}
            | {
                "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 200}
            },
            200,
            200,
        ),
        (
            {"inputTokens": 310, "outputTokens": 9, "totalTokens": 319}
            | {"cacheCreation": {"ephemeral1hInputTokens": 200, "ephemeral5mInputTokens": 100}},
            300,
            200,
        ),
        (
            openai(310, 9)
            | {"prompt_tokens_details": {"cache_write_tokens": 300, "cache_write_1h_tokens": 200}},
            300,
            200,
        ),
        (openai(310, 9, cache_write_tokens=300, cache_write_1h_tokens=999), 310, 310),
        (openai(310, 9, cache_creation={"ephemeral_5m_input_tokens": 300}), 300, 0),
    ],
)
def test_cache_writes_for_an_hour_are_told_apart(usage, written, for_an_hour):
    found = read(**usage)
    assert (found.cache_write, found.cache_write_1h) == (written, for_an_hour)


def test_cache_writes_have_a_price_of_their_own():
    usage = Usage(100, 10, 60, 0, 20)
    plain = Prices("USD", input=1_000_000, output=2_000_000)
    assert plain.cost(usage) == 100 + 20
    priced = msgspec.structs.replace(plain, cached_input=100_000, cache_write=1_250_000)
    assert priced.cost(usage) == 20 + 6 + 25 + 20


def chat(content, **message) -> bytes:
    return json.dumps({"choices": [{"message": {"content": content, **message}}]}).encode()


def asked(text: str) -> bytes:
    return json.dumps({"messages": [{"role": "user", "content": text}]}).encode()


WORDS = "The quick brown fox jumps over the lazy dog. " * 20  # 201 tokens by o200k_base
CALL = {"type": "function", "function": {"name": "f", "arguments": WORDS}}
RESPONSE = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": WORDS}]},
    {"type": "message", "content": [{"type": "output_text", "text": WORDS}]},
]


@pytest.mark.parametrize(
    ("answer", "times"),
    [
        (chat(WORDS), 1),
        (chat(None, tool_calls=[CALL, CALL]), 2),
        (chat(WORDS, reasoning_content=WORDS, reasoning=WORDS), 2),
        (chat([{"type": "text", "text": WORDS}], refusal=WORDS), 2),
        (json.dumps({"choices": [{"text": WORDS}] * 3}).encode(), 3),
        (json.dumps({"output": RESPONSE}).encode(), 2),
    ],
)
def test_tokens_are_estimated_from_the_texts(answer, times):
    found = estimated_usage(CHAT, asked(WORDS), answer)
    assert found.estimated == 1
    assert found.input == pytest.approx(201 + 7, rel=0.25)
    assert found.output == pytest.approx(201 * times, rel=0.25)


def test_what_is_told_is_not_estimated():
    def of(**usage):
        answer = {**json.loads(chat(WORDS)), "usage": usage}
        return estimated_usage(CHAT, asked(WORDS), json.dumps(answer).encode())

    rough = estimated_usage(CHAT, asked(WORDS), chat(WORDS))
    assert of(prompt_tokens=12) == Usage(12, rough.output, estimated=1)
    assert of(completion_tokens=12) == Usage(rough.input, 12, estimated=1)
    divided = of(total_tokens=9_000)
    assert (divided.total, divided.estimated) == (9_000, 1)
    assert divided.input / 9_000 == pytest.approx(rough.input / rough.total, rel=0.01)
    assert of(prompt_tokens=12, total_tokens=5) == Usage(12, rough.output, estimated=1)
    assert of(completion_tokens=12, total_tokens=40) == Usage(28, 12)
    assert of(prompt_tokens=-1, completion_tokens=5) == rough


@pytest.mark.parametrize(
    "place",
    [
        {"usageMetadata": {"promptTokenCount": 7, "candidatesTokenCount": 3}},
        {"x_groq": {"usage": openai(7, 3)}},
        {"choices": [{"message": {"content": WORDS}, "usage": openai(7, 3)}]},
    ],
)
def test_a_usage_object_at_another_place_is_found(place):
    answer = {**json.loads(chat(WORDS)), **place}
    assert estimated_usage(CHAT, asked(WORDS), json.dumps(answer).encode()) == Usage(7, 3)


def test_no_text_is_without_tokens():
    assert estimated_usage(CHAT, asked(WORDS), chat("OK")).output == 1
    assert estimated_usage(CHAT, asked(WORDS), chat("")).output == 0


def test_very_long_texts_are_scaled():
    short = estimated_usage(CHAT, asked(WORDS), chat(WORDS))
    found = estimated_usage(CHAT, asked(WORDS * 3_000), chat(WORDS * 1_000))
    assert found.input == pytest.approx(3_000 * short.input, rel=0.05)
    assert found.output == pytest.approx(1_000 * short.output, rel=0.05)


def test_inputs_given_as_tokens_and_pictures():
    vectors = b'{"data": [{"embedding": [1, 2]}]}'
    body = json.dumps({"input": [[5, 6, 7], [8, 9]]}).encode()
    assert estimated_usage(EMBEDDINGS, body, vectors) == Usage(5, 0, estimated=1)
    picture = b'{"data": [{"url": "https://example.com/1.png"}]}'
    assert estimated_usage("/v1/images/generations", b'{"prompt": "a cat"}', picture) is None


def test_prices_are_exact():
    prices = Prices("USD", input=int(Decimal("0.2") * 10**9), output=int(Decimal("0.5") * 10**9))
    found = read(**{**openai(41, 104), "total_tokens": 1161})
    assert prices.cost(found) == 41 * 200 + 1120 * 500
