"""Requests as lines of a part, and what refusals show of limits."""

import base64
import json

import msgspec
import pytest

from simple_batch.core.domain import EMBEDDINGS, IMAGE, Cause, Defaults, Request
from simple_batch.engine.batch_api.batch_client import BatchLimits
from simple_batch.engine.encoder import Encoder
from simple_batch.runner.part_lines import LineMaker, Unfit, estimated_tokens
from simple_batch.runner.part_sender import learned_limit

from .fake_batches import FakeBatches


def maker(tmp_path, limits=BatchLimits(), images_in=None) -> LineMaker:
    return LineMaker(
        Encoder(Defaults("m", alias="mine")), FakeBatches(tmp_path / "p", limits=limits), images_in
    )


def test_a_line_holds_its_images_and_no_service_tier(tmp_path):
    name = f"{'a' * 64}-2x3.png"
    (tmp_path / name).write_bytes(b"pixels")
    body = {"model": "m", "service_tier": "flex", "image_url": {"url": f"{IMAGE}{name}"}}
    line = maker(tmp_path, images_in=tmp_path).make(Request(7, "mine", msgspec.json.encode(body)))
    sent = json.loads(line.data)
    data = base64.b64encode(b"pixels").decode()
    assert sent["custom_id"] == "r7" and "service_tier" not in sent["body"]
    assert sent["body"]["image_url"]["url"] == f"data:image/png;base64,{data}"
    assert (line.model, line.size) == ("m", len(line.data) + 1)
    (tmp_path / name).unlink()
    with pytest.raises(Unfit, match=name):
        maker(tmp_path, images_in=tmp_path).make(Request(7, "mine", msgspec.json.encode(body)))


@pytest.mark.parametrize(
    ("body", "model", "tier"),
    [
        (b"{}", "m", False),
        (b'{"model": "mine"}', "m", False),
        (b'{"model": "other", "service_tier": "flex"}', "other", False),
        (b'{"mod\\u0065l": "other", "service_t\\u0069er": "flex"}', "other", False),
        (b'{"model": 5, "service_tier": 5}', "", True),
        (b'{"model": null, "service_tier": null}', "", True),
        (b'{"model": "m", "service_tier": ""}', "m", True),
        (b'{"messages": [{"model": "no", "service_tier": "flex"}]}', "m", False),
    ],
)
def test_a_line_is_of_the_model_that_is_sent(tmp_path, body, model, tier):
    line = maker(tmp_path).make(Request(0, "x", body))
    sent = json.loads(line.data)["body"]
    assert line.model == model and sent["model"] == (model or json.loads(body)["model"])
    assert ("service_tier" in sent) == tier  # what is no tier is left for the provider to refuse


@pytest.mark.parametrize(
    ("given", "inputs"), [("text", 1), (["a", "b", "c"], 3), ([1, 2, 3], 1), ([[1], [2, 3]], 2)]
)
def test_inputs_of_embeddings_are_counted(tmp_path, given, inputs):
    body = msgspec.json.encode({"model": "m", "input": given})
    assert maker(tmp_path).make(Request(0, "x", body, EMBEDDINGS)).inputs == inputs
    few = BatchLimits(inputs=2)
    if inputs > 2:
        with pytest.raises(Unfit) as unfit:
            maker(tmp_path, few).make(Request(0, "x", body, EMBEDDINGS))
        assert unfit.value.cause is Cause.TOO_LARGE


def test_tokens_of_chinese_text_are_not_taken_for_english():
    assert estimated_tokens(b"x" * 400) == 101
    assert 200 < estimated_tokens("很长的文字".encode() * 40) < 300


@pytest.mark.parametrize(
    ("message", "tokens", "beside", "known", "again", "limit"),
    [
        (
            "Enqueued token limit reached … Limit: 90,000 enqueued tokens.",
            50,
            60,
            None,
            False,
            90_000,
        ),
        ("Limit: 90,000 enqueued tokens.", 120_000, 0, None, False, 90_000),
        ("Limit: 90,000 enqueued tokens.", 80_000, 0, 90_000, False, 90_000),
        ("Limit: 90,000 enqueued tokens.", 80_000, 0, 90_000, True, 64_000),
        ("Limit: 90,000 enqueued tokens.", 50, 60, 64_000, False, 64_000),
        ("too many tokens in the queue", 50_000, 70_000, None, False, 70_000),
        ("too many tokens in the queue", 50_000, 0, None, False, 25_000),
        ("too many tokens in the queue", 900, 0, None, False, 1_000),
    ],
)
def test_the_limit_that_a_refusal_shows(message, tokens, beside, known, again, limit):
    assert learned_limit(message, tokens, beside, known, again) == limit
