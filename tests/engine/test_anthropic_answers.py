"""Answers of Anthropic's Messages API as chat completions, whole and from streams."""

import json

import pytest
from requests.structures import CaseInsensitiveDict

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause, Outcome, Verdict
from simple_batch.engine.anthropic import translation
from simple_batch.engine.anthropic.answer_format import ANSWER_TOOL
from simple_batch.engine.anthropic.stream import MessageReader
from simple_batch.engine.classify import classify
from simple_batch.engine.stream.errors import StreamBroken, StreamError
from simple_batch.engine.stream.sse_events import EventParser, events_of
from simple_batch.engine.transport import Reply

from ..emulators.anthropic import AnthropicEmulator, Refused, event, pieces

USAGE = {
    "input_tokens": 7,
    "cache_read_input_tokens": 100,
    "cache_creation_input_tokens": 30,
    "cache_creation": {"ephemeral_5m_input_tokens": 30, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 20,
    "output_tokens_details": {"thinking_tokens": 12},
    "service_tier": "priority",
}
TEXT = {"type": "text", "text": "fine", "citations": None}
THOUGHT = {"type": "thinking", "thinking": "hm", "signature": "c2ln"}
CALL = {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": 1}}


def message(*content, reason="end_turn", **fields) -> dict:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-x",
        "content": list(content),
        "stop_reason": reason,
        "stop_sequence": None,
        "usage": USAGE,
        **fields,
    }


def reply(body, status=200, **headers) -> Reply:
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return translation.answer(Reply(status, CaseInsensitiveDict(headers), raw))


def completion(*content, **fields) -> dict:
    return json.loads(reply(message(*content, **fields)).body)


def said(*content, **fields) -> dict:
    return completion(*content, **fields)["choices"][0]["message"]


def test_a_text():
    made = completion(TEXT)
    assert made["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "fine", "refusal": None},
            "logprobs": None,
            "finish_reason": "stop",
        }
    ]
    assert (made["id"], made["object"], made["model"]) == ("msg_1", "chat.completion", "claude-x")
    assert made["service_tier"] == "priority"
    for usage, tier in (({"service_tier": "standard"}, "default"), ({"speed": "fast"}, "fast")):
        assert completion(TEXT, usage={**USAGE, **usage})["service_tier"] == tier


def test_input_includes_what_the_cache_gave_and_took():
    found = classify(reply(message(TEXT)))
    assert found.usage == Usage(137, 20, cached=100, reasoning=12, cache_write=30)
    assert found.model == "claude-x"
    without = message(TEXT, usage={"input_tokens": 7, "output_tokens": 2})
    assert classify(reply(without)).usage == Usage(7, 2)
    assert classify(reply(message(TEXT, usage=None))).usage is None


@pytest.mark.parametrize(
    ("reason", "content", "finish_reason", "outcome"),
    [
        ("end_turn", [TEXT], "stop", Outcome.OK),
        ("end_turn", [], "stop", Outcome.EMPTY),
        ("end_turn", [THOUGHT], "stop", Outcome.EMPTY),
        ("stop_sequence", [TEXT], "stop", Outcome.OK),
        ("max_tokens", [TEXT], "length", Outcome.CUT_OFF),
        ("max_tokens", [THOUGHT], "length", Outcome.CUT_OFF),
        ("model_context_window_exceeded", [TEXT], "length", Outcome.CUT_OFF),
        ("tool_use", [TEXT, CALL], "tool_calls", Outcome.TOOL_CALL),
        ("refusal", [], "content_filter", Outcome.REFUSED),
        ("refusal", [TEXT], "content_filter", Outcome.REFUSED),
        ("pause_turn", [TEXT], "pause_turn", Outcome.CUT_OFF),
        ("something_new", [TEXT], "something_new", Outcome.OK),
    ],
)
def test_how_an_answer_ended(reason, content, finish_reason, outcome):
    found = classify(reply(message(*content, reason=reason)))
    assert found.cause is None
    assert (found.finish_reason, found.outcome) == (finish_reason, outcome)


def test_thinking_calls_and_a_refusal():
    redacted = {"type": "redacted_thinking", "data": "eA=="}
    made = said(THOUGHT, redacted, CALL, reason="tool_use")
    assert made["reasoning_content"] == "hm"
    assert made["content"] is None
    function = {"name": "f", "arguments": '{"a":1}'}
    assert made["tool_calls"] == [{"id": "toolu_1", "type": "function", "function": function}]
    assert made["thinking_blocks"] == [THOUGHT, redacted]  # signed: to be sent back
    details = {"type": "refusal", "category": "bio", "explanation": "It could harm."}
    assert said(reason="refusal", stop_details=details)["refusal"] == "It could harm."


def test_the_input_of_the_answer_tool_is_the_content():
    given = {**CALL, "name": ANSWER_TOOL, "input": {"a": "ä"}}
    made = completion({**TEXT, "text": "Here:"}, given, reason="tool_use")
    assert made["choices"][0]["message"]["content"] == '{"a":"ä"}'
    assert "tool_calls" not in made["choices"][0]["message"]
    assert made["choices"][0]["finish_reason"] == "stop"


def test_nothing_is_lost_that_a_chat_completion_has_no_place_for():
    cited = {**TEXT, "citations": [{"type": "char_location", "cited_text": "x"}]}
    search = {"type": "server_tool_use", "id": "s", "name": "web_search", "input": {}}
    assert said(search, cited)["content_blocks"] == [search, cited]
    assert (
        completion(TEXT, reason="stop_sequence", stop_sequence="#")["choices"][0]["stop_reason"]
        == "#"
    )


@pytest.mark.parametrize(
    ("status", "kind", "words", "code", "cause", "verdict"),
    [
        (400, "invalid_request_error", "seed: Extra inputs are not permitted", None, "bad_request", "final"),
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", None, "context_length", "final"),
        (400, "invalid_request_error", "input length and `max_tokens` exceed context limit: 178959 + 64000 > 200000, decrease input length or `max_tokens` and try again", None, "context_length", "final"),
        (400, "invalid_request_error", "max_tokens: 200000 > 128000, which is the maximum allowed number of output tokens for claude-opus-4-6", None, "bad_request", "final"),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade or purchase credits.", None, "quota", "stop"),
        (400, "invalid_request_error", "Output blocked by content filtering policy", None, "content_filter", "final"),
        (400, "invalid_request_error", "messages.0.content.1.image.source.base64: image exceeds 5 MB maximum: 6000000 bytes > 5242880 bytes", None, "too_large", "final"),
        (401, "authentication_error", "invalid x-api-key", None, "auth", "stop"),
        (402, "billing_error", "There's an issue with your billing or payment information.", None, "quota", "stop"),
        (403, "permission_error", "Your API key does not have permission to use the specified resource.", None, "auth", "stop"),
        (404, "not_found_error", "model: claude-nope", None, "not_found", "stop"),
        (409, "conflict_error", "The request conflicts with the current state.", None, "server_error", "retry"),
        (413, "request_too_large", "Request exceeds the maximum size", None, "too_large", "final"),
        (429, "rate_limit_error", "This request would exceed your organization's rate limit of 30,000 input tokens per minute.", None, "rate_limit", "wait"),
        (429, "rate_limit_error", "No.", "enforced_spend_limit_reached", "quota", "stop"),
        (429, "rate_limit_error", "No.", "ramp_limit_exceeded", "rate_limit", "wait"),
        (500, "api_error", "Internal server error", None, "server_error", "retry"),
        (504, "timeout_error", "The request timed out while processing.", None, "server_error", "retry"),
        (529, "overloaded_error", "Overloaded", None, "overloaded", "retry"),
    ],
)  # fmt: skip
def test_every_documented_error(status, kind, words, code, cause, verdict):
    error = {"type": kind, "message": words, "details": {"error_code": code} if code else None}
    answered = reply({"type": "error", "error": error, "request_id": "req_1"}, status)
    found = classify(answered)
    assert (found.cause, found.verdict) == (Cause(cause), Verdict(verdict))
    assert found.message.startswith(words[:100])
    assert kind in found.message
    body = json.loads(answered.body)
    assert body["request_id"] == "req_1"
    assert (
        body["error"].items()
        >= {"message": words, "type": kind, "code": code, "param": None}.items()
    )


def test_waits_and_limits_from_the_headers():
    error = Refused(
        429, "rate_limit_error", "Number of requests has exceeded your rate limit."
    ).body
    assert classify(reply(error, 429, retry_after="17")).retry_after_s == 17
    limits = {
        "anthropic_ratelimit_requests_limit": "50",
        "anthropic_ratelimit_requests_remaining": "0",
        "anthropic_ratelimit_requests_reset": "2099-01-01T00:00:00Z",
        "anthropic_ratelimit_tokens_limit": "96000",
        "anthropic_ratelimit_tokens_remaining": "95000",
        "anthropic_ratelimit_input_tokens_remaining": "1",
    }
    found = classify(reply(message(TEXT), **limits)).limits
    assert (found.limit_requests, found.remaining_requests) == (50, 0)
    assert found.reset_requests_s > 1e8
    assert (found.limit_tokens, found.remaining_tokens) == (96_000, 95_000)
    assert classify(reply(error, 429, **limits)).retry_after_s > 1e8


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"type":"message"}', b'"x"', b"\xff"])
def test_what_is_no_message_stays_as_it_came(body):
    assert reply(body).body == body


# --- streams -----------------------------------------------------------------------------------


def read(stream: bytes) -> MessageReader:
    reader = MessageReader()
    for one in events_of(EventParser().feed(stream)):
        reader.feed(one)
    return reader


def streamed(whole: dict) -> list[bytes]:
    emulator = AnthropicEmulator()
    return list(emulator._streamed(whole, {"messages": [{"role": "user", "content": "x"}]}))


@pytest.mark.parametrize(
    "whole",
    [
        message(TEXT),
        message(THOUGHT, TEXT, {**TEXT, "text": "more"}),
        message(THOUGHT, CALL, {**CALL, "id": "toolu_2", "input": {}}, reason="tool_use"),
        message(reason="refusal"),
    ],
)
def test_a_stream_makes_the_same_answer(whole):
    reader = read(b"".join(streamed(whole)))
    assert reader.ended
    assert reader.started == bool(whole["content"])
    assert json.loads(reader.body()) == whole


def test_usage_is_cumulative_and_may_come_at_the_end_alone():
    events = [
        event("message_start", message=message(usage={"input_tokens": 5, "output_tokens": 1})),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        event("content_block_delta", index=0, delta={"type": "text_delta", "text": "a"}),
        event("content_block_delta", index=0, delta={"type": "unheard_of", "x": 1}),
        event("content_block_delta", index=0, delta={"type": "citations_delta", "citation": {}}),
        event(
            "message_delta",
            delta={"stop_reason": "end_turn"},
            usage={"input_tokens": None, "output_tokens": 9, "cache_read_input_tokens": 3},
        ),
    ]
    made = json.loads(read(b"".join(events)).body())
    assert made["usage"] == {"input_tokens": 5, "output_tokens": 9, "cache_read_input_tokens": 3}
    assert made["content"] == [{"type": "text", "text": "a", "citations": [{}]}]


def test_a_stream_without_its_end_is_no_answer():
    parts = streamed(message(TEXT))
    for count in range(len(parts) - 3):
        with pytest.raises(StreamBroken):
            read(b"".join(parts[:count])).body()
    assert read(b"".join(parts[:-1])).body()  # the stop reason has come


def test_the_input_of_a_tool_may_be_cut_off():
    begun, _ = pieces(CALL)
    events = [
        event("message_start", message=message()),
        event("content_block_start", index=0, content_block=begun),
        event(
            "content_block_delta",
            index=0,
            delta={"type": "input_json_delta", "partial_json": '{"a": "hal'},
        ),
        event("message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 9}),
        event("message_stop"),
    ]
    found = classify(reply(read(b"".join(events)).body()))
    assert found.outcome is Outcome.CUT_OFF
    (call,) = json.loads(found.response)["choices"][0]["message"]["tool_calls"]
    assert call["function"]["arguments"] == '{"a": "hal'


def test_halves_of_a_character():
    """A token limit may cut one in two; in a stream its halves come one after the other."""
    raw = json.dumps(message(TEXT)).encode().replace(b"fine", b"a\\ud83d")
    assert json.loads(reply(raw).body)["choices"][0]["message"]["content"] == "a\ufffd"
    halves = "a\ud83d", "\ude00b\ud83d"
    deltas = [{"type": "text_delta", "text": half} for half in halves]
    events = [
        event("message_start", message=message()),
        event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
        *(event("content_block_delta", index=0, delta=delta) for delta in deltas),
        event("message_stop"),
    ]
    (block,) = json.loads(read(b"".join(events)).body())["content"]
    assert block["text"] == "a\U0001f600b\ufffd"


def test_numbers_of_a_call_stay_as_they_are_written():
    raw = (
        json.dumps(message(CALL))
        .encode()
        .replace(b'"a": 1', b'"a": [1.50, 12345678901234567890123]')
    )
    call = json.loads(reply(raw).body)["choices"][0]["message"]["tool_calls"][0]
    assert call["function"]["arguments"] == '{"a":[1.50,12345678901234567890123]}'


def test_an_error_within_a_stream():
    error = {"type": "overloaded_error", "message": "Overloaded"}
    with pytest.raises(StreamError) as failed:
        read(b"".join(streamed(message(TEXT))[:3]) + event("error", error=error))
    assert failed.value.status == 529
    found = classify(reply(failed.value.body, failed.value.status))
    assert (found.cause, found.verdict) == (Cause.OVERLOADED, Verdict.RETRY)


@pytest.mark.parametrize(
    "sent",
    [
        b'event: error\ndata: {"error": {"type": "overloaded_error", "message": "boom"}}\n\n',
        b'event: error\ndata: {"error": "boom"}\n\n',
        b'data: {"error": {"message": "boom"}}\n\n',
        b'error: {"message": "boom"}\n\n',
    ],
)
def test_an_error_of_a_gateway_within_a_stream(sent):
    with pytest.raises(StreamError) as failed:
        read(b"".join(streamed(message(TEXT))[:3]) + sent)
    assert b"boom" in failed.value.body
    assert failed.value.status == (529 if b"overloaded" in sent else None)


@pytest.mark.parametrize(
    "odd",
    [
        b"event: x\ndata: {\n\n",
        event("content_block_delta", index=4, delta={"type": "text_delta", "text": "a"}),
        event("message_delta", delta={}),
        b"data: [1]\n\n",
    ],
)
def test_a_piece_that_cannot_be_read_breaks_the_stream(odd):
    with pytest.raises(StreamBroken):
        read(odd)
