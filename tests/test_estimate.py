"""Token counts, and estimates of tokens and cost: compared with real counts and past answers."""

import io
import json
import sys
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest

from simple_batch.core.call_prices import NANO
from simple_batch.engine import token_count
from simple_batch.services import configs, estimate, job_options, jobs, uploads
from simple_batch.store.database import connected
from simple_batch.store.models import ApiConfig

from . import endpoint as e
from .endpoint import MisbehavingEndpoint

EXAMPLES = Path(__file__).parent.parent / "examples"
# by tiktoken with the vocabularies o200k_base and cl100k_base
REAL = {
    "questions.jsonl": (17_257, 20_387),
    "chat.json": (99, 116),
    "messages.json": (146, 171),
    "openai_batch.jsonl": (97, 119),
}
TEXTS = {
    "Все люди рождаются свободными и равными в своём достоинстве и правах.": (18, 36),
    "人人生而自由,在尊严和权利上一律平等。他们赋有理性和良心。": (25, 34),
}


def usage(tokens_in: int, tokens_out: int, cached: int = 0, reasoning: int = 0) -> bytes:
    found = {
        "prompt_tokens": tokens_in,
        "completion_tokens": tokens_out,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    return e.http(200, {**e.GOOD, "usage": found})


def bodies(name: str) -> list[dict]:
    text = (EXAMPLES / name).read_text("utf-8")
    whole = text.lstrip().startswith("[")
    items = json.loads(text) if whole else [json.loads(line) for line in text.splitlines()]
    items = [item if isinstance(item, dict) else {"messages": item} for item in items]
    return [item.get("body", item) for item in items]


@pytest.mark.parametrize("name", REAL)
def test_tokens_by_kinds_of_characters_are_near_the_real_count(name):
    counted = sum(token_count.of_request(body, token_count.by_characters) for body in bodies(name))
    for real in REAL[name]:
        assert counted == pytest.approx(real, rel=0.2)


@pytest.mark.parametrize("text", TEXTS)
def test_other_scripts_lie_between_the_vocabularies(text):
    low, high = TEXTS[text]
    assert 0.75 * low <= token_count.by_characters(text) <= 1.25 * high


def test_everything_that_is_sent_counts_and_a_picture_is_no_text():
    def count(text: str) -> int:
        return len(text)

    parts = [
        {"type": "text", "text": "four"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 100_000}},
    ]
    body = {"messages": [{"role": "user", "content": parts}], "temperature": 0.5}
    assert token_count.of_request(body, count) == 4 + 4 + 3 + 765
    for size, tiles in (("0x0", 4), ("512x512", 1), ("2048x4096", 6), ("4000x300", 4)):
        parts[1]["image_url"]["url"] = f"image-file:{'a' * 64}-{size}.png"
        assert token_count.of_request(body, count) == 4 + 4 + 3 + 85 + 170 * tiles
    assert token_count.of_request({"input": ["one", "two"]}, count) == 6
    assert token_count.of_request({"prompt": "one"}, count) == 3
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert token_count.of_request({"messages": [], "tools": tools}, count) == 3 + len(
        json.dumps(tools)
    )
    assert token_count.of_request({"messages": "nonsense"}, count) == 3


class Tiktoken:
    """Replaces the library, and fails where the library would use the network."""

    def __init__(self, folder: Path):
        self.folder, self.fetched = folder, False

    @staticmethod
    def encoding_name_for_model(model: str) -> str:
        return {"gpt-4o": "o200k_base"}[model]

    def get_encoding(self, name: str):
        self.fetched = not list(self.folder.iterdir())
        return SimpleNamespace(encode_ordinary=str.split)


@pytest.fixture
def tiktoken(tmp_path, monkeypatch):
    library = Tiktoken(tmp_path)
    monkeypatch.setitem(sys.modules, "tiktoken", library)
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    token_count.by_vocabulary.cache_clear()
    yield library
    token_count.by_vocabulary.cache_clear()


@pytest.mark.parametrize("data", [None, b"cut off", b"whole"])
def test_a_vocabulary_is_used_only_where_it_lies_whole(tiktoken, monkeypatch, data):
    import hashlib

    monkeypatch.setitem(token_count._SHA256, "o200k_base", hashlib.sha256(b"whole").hexdigest())
    if data is not None:
        address = "https://openaipublic.blob.core.windows.net/encodings/o200k_base.tiktoken"
        (tiktoken.folder / hashlib.sha1(address.encode()).hexdigest()).write_bytes(data)
    count = token_count.by_vocabulary("gpt-4o")
    assert (count is not None) == (data == b"whole")
    assert token_count.by_vocabulary("deepseek-flash") is None
    assert not tiktoken.fetched
    if count is not None:
        assert count("three words here") == 3


def stage(name="x.jsonl", count=20, **fields):
    lines = [
        json.dumps({"messages": [{"role": "user", "content": f"question {n:03}"}], **fields})
        for n in range(count)
    ]
    return uploads.stage(io.BytesIO("\n".join(lines).encode()), name)


def estimated(upload, config, params=None, tried=()):
    with connected():
        _, preview = uploads.staged(upload.id)
        new = jobs.JobOptions(config=config, params=params or {})
        return estimate.estimate(upload, preview, configs.get(config), new, tried)


def test_past_answers_set_tokens_answers_and_the_cache_right(app, add_config, make_job, wait_for):
    services = app.extensions["simple_batch"]
    services.start()
    prices = {
        "input_price": Decimal(1),
        "cached_input_price": Decimal("0.1"),
        "output_price": Decimal(2),
        "reasoning_price": Decimal(5),
    }
    with MisbehavingEndpoint(usage(100, 30, 50, 10)) as endpoint:
        add_config(endpoint.base_url, **prices)
        job = wait_for(make_job(25), "completed")
    services.stop(2)
    with connected():
        upload = stage()
        found = estimated(upload, "test")
    assert (found.input_from, found.output_from, found.answers) == ("past", "past", 25)
    # each has twenty times the tokens that its text would have; these are a little longer
    assert 2_000 <= found.input_tokens.expected <= 2_600
    assert found.output_tokens.expected == 600
    into = found.input_tokens
    # of a call: 50 tokens at 1, 50 at 0.1, 20 at 2 and 10 at 5
    assert job.cost_nano == 25 * (50 + 5 + 40 + 50) * NANO // 1_000_000
    assert found.cost.expected == pytest.approx(
        (0.55 * into.expected + 400 * 2 + 200 * 5) * NANO / 1e6, rel=1e-3
    )
    assert found.cost.high == (into.high + 5 * found.output_tokens.high) * NANO // 1_000_000


def test_cache_writes_of_past_answers_are_expected_again(app, add_config, make_job, wait_for):
    services = app.extensions["simple_batch"]
    services.start()
    prices = {
        "input_price": 1,
        "cached_input_price": "0.1",
        "cache_write_price": 3,
        "output_price": 0,
    }
    answer = {**e.GOOD, "usage": {"prompt_tokens": 100, "completion_tokens": 30}}
    details = {"cached_tokens": 50, "cache_write_tokens": 25}
    answer["usage"]["prompt_tokens_details"] = details
    with MisbehavingEndpoint(e.http(200, answer)) as endpoint:
        add_config(endpoint.base_url, **{name: Decimal(price) for name, price in prices.items()})
        wait_for(make_job(25), "completed")
    services.stop(2)
    with connected():
        found = estimated(stage(), "test")
    into = found.input_tokens
    # a quarter at 1, half at 0.1, a quarter at 3; at worst nothing is read and three quarters written
    assert found.cost.expected == pytest.approx(1.05 * into.expected * NANO / 1e6, rel=1e-3)
    assert found.cost.high == pytest.approx(2.5 * into.high * NANO / 1e6, rel=1e-3)


@pytest.fixture
def past(app, add_config, make_job, wait_for):
    """Answers of a real endpoint: of 100 tokens of input 50 were read from the cache and 25 written to it,
    20 of them for an hour; 30 of output. Returns the preview of a new upload under other rules."""
    services = app.extensions["simple_batch"]
    services.start()
    prices = {"input_price": 1, "cached_input_price": "0.1", "cache_write_price": 2}
    prices["output_price"] = 10
    details = {"cached_tokens": 50, "cache_write_tokens": 25, "cache_write_1h_tokens": 20}
    told = {"prompt_tokens": 100, "completion_tokens": 30, "prompt_tokens_details": details}
    with MisbehavingEndpoint(e.http(200, {**e.GOOD, "usage": told})) as endpoint:
        add_config(endpoint.base_url, **{name: Decimal(price) for name, price in prices.items()})
        wait_for(make_job(25), "completed")
    services.stop(2)

    def under(rules: dict, **choices) -> estimate.Estimate:
        ApiConfig.update(price_rules=json.dumps(rules)).execute()
        upload = stage()
        _, preview = uploads.staged(upload.id)
        new = jobs.JobOptions(config="test", **choices)
        return estimate.estimate(upload, preview, configs.get("test"), new)

    with connected():
        yield under


def test_an_estimate_follows_the_price_rules(past):
    """Each figure against a plain calculation from the estimated tokens."""
    night = {"windows": [{"hours": "08:00-20:00", "factor": "1"}], "otherwise": "0.5"}
    at_night, at_noon = 4_070_919_600_000, 4_070_952_000_000  # 2099-01-01, 03:00 and 12:00
    flex = {"flex": {"input": "0.5", "output": "0.25"}}
    long = {"above": 50, "input": "2", "output": "1.5"}
    for rules, choices, into_by, out_by, hour_write, low_by, high_by in (
        ({}, {}, 1, 1, 2, (1, 1), (1, 1)),
        ({"hours": night}, {"start_at": at_night}, 0.5, 0.5, 2, (0.5, 0.5), (1, 1)),
        ({"hours": night}, {"start_at": at_noon}, 1, 1, 2, (0.5, 0.5), (1, 1)),
        ({"tiers": flex}, {"service_tier": "flex"}, 0.5, 0.25, 2, (0.5, 0.25), (1, 1)),
        ({"long_context": [long]}, {}, 2, 1.5, 2, (2, 1.5), (2, 1.5)),
        ({"long_context": [{**long, "above": 1_000}]}, {}, 1, 1, 2, (1, 1), (1, 1)),
        ({"cache_write_1h": "4"}, {}, 1, 1, 4, (1, 1), (1, 1)),
    ):
        found = past(rules, **choices)
        into, out = found.input_tokens, found.output_tokens
        a_token = 0.25 + 0.5 * 0.1 + 0.05 * 2 + 0.2 * hour_write
        expected = into_by * a_token * into.expected + out_by * 10 * out.expected
        assert found.cost.expected == pytest.approx(expected * NANO / 1e6, rel=1e-2), rules
        low = low_by[0] * a_token * into.low + low_by[1] * 10 * out.low
        assert found.cost.low == pytest.approx(low * NANO / 1e6, rel=1e-2), rules
        # at worst nothing is read and three quarters are written, for an hour
        high = high_by[0] * (0.25 + 0.75 * hour_write) * into.high + high_by[1] * 10 * out.high
        assert found.cost.high == pytest.approx(high * NANO / 1e6, rel=1e-2), rules
    assert past({}, service_tier="flex").cost is None


def test_answer_tokens_are_assumed_until_seen_and_bounded_by_each_request(app, add_config):
    add_config("http://127.0.0.1:9/v1", max_tokens=1_000)
    with connected():
        plain, bounded = stage(), stage(max_tokens=10)
        found = estimated(plain, "test")
        assert (found.input_from, found.output_from, found.answers) == ("assumed", "assumed", 0)
        assert (found.output_tokens.low, found.output_tokens.high) == (1_000, 20_000)
        assert found.cost is None
        assert estimated(bounded, "test").output_tokens.high == 200
        assert estimated(plain, "test", {"max_tokens": 20}).output_tokens.high == 400


def test_embeddings_have_no_answer_tokens(app, add_config):
    add_config("http://127.0.0.1:9/v1", input_price=Decimal(1), output_price=Decimal(1))
    line = {
        "custom_id": "a",
        "method": "POST",
        "url": "/v1/embeddings",
        "body": {"model": "m", "input": "some text to embed"},
    }
    with connected():
        upload = uploads.stage(io.BytesIO(json.dumps(line).encode()), "x.jsonl")
        found = estimated(upload, "test")
    assert found.output_tokens.high == 0
    assert found.cost.expected == found.input_tokens.expected * NANO // 1_000_000


def test_over_several_configs_the_cost_spans_cheapest_to_dearest(app, add_config):
    prices = [{"input_price": Decimal(n), "output_price": Decimal(n)} for n in (2, 1, 5)]
    made = [
        add_config("http://127.0.0.1:9/v1", alias, **price)
        for alias, price in zip("abc", prices, strict=True)
    ]
    bare = add_config("http://127.0.0.1:9/v1", "d")
    with connected():
        upload = stage()
        _, preview = uploads.staged(upload.id)

        def over(config, *others):
            also = tuple(job_options.ExtraConfig(other.id) for other in others)
            new = jobs.JobOptions(config=config.id, also=also)
            return estimate.estimate(upload, preview, config, new)

        alone = [over(config) for config in made]
        found = over(*made)
        assert found.cost.low == alone[1].cost.low
        assert found.cost.expected == alone[0].cost.expected
        assert found.cost.high == alone[2].cost.high
        assert over(made[0], bare).cost is None


def test_a_schema_that_is_sent_along_is_input_too(app, add_config):
    add_config("http://127.0.0.1:9/v1")
    schema = {"type": "object", "properties": {"answer": {"type": "string"}}}
    with connected():
        upload = stage()
        _, preview = uploads.staged(upload.id)
        plain = estimate.estimate(
            upload, preview, configs.get("test"), jobs.JobOptions(config="test")
        )
        new = jobs.JobOptions(config="test", schema=schema)
        shaped = estimate.estimate(upload, preview, configs.get("test"), new)
        assert shaped.input_tokens.expected > plain.input_tokens.expected + 20 * 15
