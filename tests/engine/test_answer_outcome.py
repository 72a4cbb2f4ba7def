"""What an answer is worth, by its finish reason and its content, in the shapes of many providers."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simple_batch.core.domain import Cause, Outcome, Verdict
from simple_batch.engine.answer_outcome import outcome_of
from simple_batch.engine.classify import classify
from simple_batch.engine.transport import Reply

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
GOOD_FINISH = [
    "stop",
    "STOP",
    "end_turn",
    "eos_token",
    "stop_sequence",
    "COMPLETE",
    "normal",
    None,
    "",
]
LIMITS = [
    *("length", "max_tokens", "MAX_TOKENS", "maxTokens", "max_output_tokens", "model_length"),
    *("model_context_window_exceeded", "ERROR_LIMIT", "FinishReason.MAX_TOKENS", "incomplete"),
    {"type": "length", "length": 20},
]
FILTERS = [
    *(
        "content_filter",
        "content_filtered",
        "SAFETY",
        "RECITATION",
        "PROHIBITED_CONTENT",
        "refusal",
    ),
    *("sensitive", "IMAGE_SAFETY", "BLOCKLIST", "SPII", "guardrail_intervened", "ERROR_TOXIC"),
    "content_filter: PROHIBITED_CONTENT",
]
FAILURES = [
    *("error", "ERROR", "network_error", "abort", "insufficient_system_resource", "timeout"),
    *(
        "MALFORMED_FUNCTION_CALL",
        "function_call_filter: MALFORMED_FUNCTION_CALL",
        "malformed_tool_use",
    ),
]


def chat(content="fine", reason="stop", choice=None, **message) -> dict:
    message = {"role": "assistant", "content": content, **message}
    return {"choices": [{"message": message, "finish_reason": reason, **(choice or {})}]}


def responses(*output, **fields) -> dict:
    return {"status": "completed", "output": list(output), **fields}


def said(*parts, **fields) -> dict:
    return {"type": "message", "content": list(parts), **fields}


def found(body: dict, url: str = CHAT):
    """The outcome; however the JSON is written."""
    whole = {"id": "x", "model": "m", **body}
    one = outcome_of(url, json.dumps(whole).encode())
    assert one == outcome_of(url, json.dumps(whole, ensure_ascii=False, indent=1).encode())
    return one


@pytest.mark.parametrize("reason", GOOD_FINISH)
def test_a_text_is_ok(reason):
    for content in (
        "fine",
        " 你好。",
        "\n1",
        "/",
        [{"type": "text", "text": "x"}],
        '{"a": 1}',
        "0",
    ):
        one = found(chat(content, reason))
        assert one == (Outcome.OK, reason or None, False), content


@pytest.mark.parametrize(
    ("reasons", "outcome"), [(LIMITS, Outcome.CUT_OFF), (FILTERS, Outcome.REFUSED)]
)
@pytest.mark.parametrize("content", ["half a", "", None, [], "<think>half"])
def test_a_finish_reason_comes_before_the_content(reasons, outcome, content):
    for reason in reasons:
        assert found(chat(content, reason)).outcome is outcome, reason
        elsewhere = chat(content, None, {"stop_reason": reason})
        assert found(elsewhere).outcome is outcome, reason
        assert found({"choices": [{"text": content, "finishReason": reason}]}).outcome is outcome


@pytest.mark.parametrize("reason", FAILURES)
def test_an_error_at_the_end_is_a_failed_attempt(reason):
    assert found(chat("half a", reason)).failed
    finding = classify(Reply(200, {}, json.dumps({**chat("half a", reason), "usage": {
        "prompt_tokens": 3, "completion_tokens": 4}}).encode()))  # fmt: skip
    assert (finding.cause is not None, finding.verdict) == (True, Verdict.RETRY)
    assert reason in finding.message
    assert finding.usage.output == 4  # it is paid for
    assert finding.outcome is None


@pytest.mark.parametrize(
    "body",
    [
        chat(choice={"error": {"code": 502, "message": "Upstream error"}}),
        chat(error={"code": 502, "message": "Upstream error"}),
        {"choices": [*chat()["choices"], *chat(choice={"error": "Upstream error"})["choices"]]},
    ],
)
def test_an_error_in_a_choice_is_a_failed_attempt(body):
    finding = classify(Reply(200, {}, json.dumps(body).encode()))
    assert finding.verdict is Verdict.RETRY
    assert "Upstream error" in finding.message


def test_a_failed_response_is_a_failed_attempt():
    for status in ("failed", "cancelled"):
        body = json.dumps(responses(said(), status=status, error=None)).encode()
        assert classify(Reply(200, {}, body), RESPONSES).cause is Cause.BAD_RESPONSE


@pytest.mark.parametrize(
    ("choice", "outcome"),
    [
        # the user's own stop sequence (vLLM), and a token's number
        ({"stop_reason": "length"}, Outcome.OK),
        ({"stop_reason": 128009}, Outcome.OK),
        ({"native_finish_reason": "SAFETY"}, Outcome.REFUSED),
        ({"native_finish_reason": "completed"}, Outcome.OK),
        ({"error": None}, Outcome.OK),
    ],
)
def test_other_names_beside_the_finish_reason(choice, outcome):
    assert found(chat(choice=choice)).outcome is outcome


@pytest.mark.parametrize(
    "content",
    [
        *("", " \n\t", None, [], "\u200b", "\ufeff \n", "　"),
        *(
            "<think>a</think>",
            "\n<think>\na</think>\n\n",
            "<think>never closed",
            "no opening</think>\n",
        ),
        *(
            [{"type": "thinking", "thinking": "a"}],
            [{"type": "text", "text": " "}],
            [{"type": "text"}],
        ),
        [{"type": "text", "text": "<think>a</think>"}],
        {},
    ],
)
def test_no_text_is_empty(content):
    assert found(chat(content)).outcome is Outcome.EMPTY
    reasons = chat(content, reasoning_content="thought", reasoning="thought", tool_calls=[])
    assert found(reasons).outcome is Outcome.EMPTY
    if isinstance(content, str):
        assert found({"choices": [{"text": content}]}).outcome is Outcome.EMPTY


@pytest.mark.parametrize(
    "content",
    [
        "<think>a</think>b",
        "first a tag: </b>",
        [{"type": "thinking", "thinking": "a"}, {"type": "text", "text": "b"}],
        [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA"}}],
        [{"type": "text", "text": {"value": "b"}}],
        ["b"],
        {"parts": [{"text": "b"}]},
        {"answer": 1},
        [{"type": ["odd"], "text": "b"}],
        [{"type": {"odd": 1}}],
        [[[[[[[["b"]]]]]]]],
        "<think>" + "a" * 2_000_000,
        0,
    ],
)
def test_content_in_other_shapes_is_ok(content):
    assert found(chat(content)).outcome is Outcome.OK


def test_content_beside_a_text_that_is_missing():
    assert found(chat(None, audio={"id": "a", "data": "AA"})).outcome is Outcome.OK
    assert found(chat("", images=[{"image_url": {"url": "data:"}}])).outcome is Outcome.OK
    assert found({"choices": [{}]}).outcome is Outcome.EMPTY
    assert found({"choices": [{"message": "a text"}]}).outcome is Outcome.OK
    assert found({"choices": ["a text"]}).outcome is Outcome.OK


@pytest.mark.parametrize(
    ("message", "outcome"),
    [
        ({"refusal": "I cannot help"}, Outcome.REFUSED),
        ({"refusal": None}, Outcome.EMPTY),
        ({"refusal": " "}, Outcome.EMPTY),
        ({"tool_calls": [CALL]}, Outcome.TOOL_CALL),
        ({"function_call": {"name": "f", "arguments": "{}"}}, Outcome.TOOL_CALL),
        ({"function_call": {"name": "", "arguments": ""}}, Outcome.EMPTY),
        ({"tool_calls": [CALL], "refusal": "no"}, Outcome.REFUSED),
        ({"content": [{"type": "refusal", "refusal": "no"}]}, Outcome.REFUSED),
        ({"content": [{"type": "tool_use", "name": "f"}]}, Outcome.TOOL_CALL),
        ({"content": "a text", "tool_calls": [CALL]}, Outcome.TOOL_CALL),
    ],
)
def test_refusals_and_tool_calls(message, outcome):
    for content in (None, "", [], *([] if outcome is Outcome.EMPTY else ["a text"])):
        assert found(chat(**{"content": content, "reason": None, **message})).outcome is outcome


def test_a_tool_call_that_is_cut_off():
    assert found(chat(None, "length", tool_calls=[CALL])).outcome is Outcome.CUT_OFF


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (responses(said({"type": "output_text", "text": "x"})), Outcome.OK),
        (responses({"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}), Outcome.EMPTY),
        (responses(said({"type": "output_text", "text": ""})), Outcome.EMPTY),
        (responses(said({"type": "refusal", "refusal": "no"})), Outcome.REFUSED),
        (responses({"type": "function_call", "name": "f", "arguments": "{}"}), Outcome.TOOL_CALL),
        (responses({"type": "custom_tool_call", "name": "f"}), Outcome.TOOL_CALL),
        (responses({"type": "computer_call"}), Outcome.TOOL_CALL),
        (responses({"type": "web_search_call"}, said({"type": "output_text", "text": "x"})), Outcome.OK),
        (responses({"type": "web_search_call"}), Outcome.EMPTY),
        (responses({"type": "mcp_list_tools", "tools": [{"name": "f"}]}), Outcome.EMPTY),
        (responses({"type": "output_text", "text": "x"}), Outcome.OK),
        (responses({"type": "output_image", "image_url": "data:"}), Outcome.OK),
        (responses("a text"), Outcome.OK),
        (responses({"type": "image_generation_call", "result": "AA"}), Outcome.OK),
        (responses(said({"text": "x"}), status="incomplete"), Outcome.CUT_OFF),
        (responses(said({"text": "x"}, status="incomplete")), Outcome.CUT_OFF),
        (responses(said({"text": "x"}), incomplete_details={"reason": "max_output_tokens"}), Outcome.CUT_OFF),
        (responses(said(), incomplete_details={"reason": "content_filter"}), Outcome.REFUSED),
        ({"output": "a text"}, Outcome.OK),
    ],
)  # fmt: skip
def test_responses(body, outcome):
    assert found(body, RESPONSES).outcome is outcome


def test_a_response_that_ended_before_any_output():
    for reason, outcome in (("max_output_tokens", "cut_off"), ("content_filter", "refused")):
        body = responses(status="incomplete", incomplete_details={"reason": reason})
        finding = classify(Reply(200, {}, json.dumps(body).encode()), RESPONSES)
        assert (finding.cause, finding.outcome) == (None, outcome)
    for body in (responses(), responses(incomplete_details=None), {}):
        finding = classify(Reply(200, {}, json.dumps(body).encode()), RESPONSES)
        assert (finding.cause, finding.outcome) == (Cause.BAD_RESPONSE, None)


def test_the_reason_of_a_response():
    body = responses(
        said(), status="incomplete", incomplete_details={"reason": "max_output_tokens"}
    )
    assert found(body, RESPONSES).finish_reason == "max_output_tokens"
    assert found(responses(said()), RESPONSES).finish_reason == "completed"


@pytest.mark.parametrize(
    ("url", "body"),
    [
        ("/v1/embeddings", {"data": [{"embedding": [1.0]}]}),
        ("/v1/images/generations", {"data": [{"b64_json": "AA"}]}),
        ("/v1/moderations", {"results": [{"flagged": True}]}),
        ("/v1/rerank", {"results": [{"index": 0}]}),
    ],
)
def test_answers_without_text_are_ok(url, body):
    assert found(body, url) == (Outcome.OK, None, False)


def test_of_several_choices_the_worst_counts():
    kinds = {
        Outcome.REFUSED: chat("", "content_filter"),
        Outcome.CUT_OFF: chat("half", "length"),
        Outcome.EMPTY: chat(""),
        Outcome.TOOL_CALL: chat(None, "tool_calls", tool_calls=[CALL]),
        Outcome.OK: chat(),
    }
    order = list(kinds)
    for place, outcome in enumerate(order):
        choices = [choice for one in order[place:] for choice in kinds[one]["choices"]]
        assert found({"choices": choices[::-1]}).outcome is outcome


def test_a_finish_reason_that_is_no_word():
    assert found(chat(reason="x" * 10_000)).finish_reason == "x" * 100
    for reason in (3, True, ["length"], {"a": 1}):
        assert found(chat(reason=reason)) == (Outcome.OK, None, False)


names = st.sampled_from(
    [
        "type",
        "text",
        "content",
        "message",
        "refusal",
        "finish_reason",
        "tool_calls",
        "status",
        "parts",
    ]
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.sampled_from(["", "x", "length", "<think>", "\u00a0"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4),
    max_leaves=8,
)


@given(
    body=st.dictionaries(
        st.sampled_from(["choices", "output", "status", "incomplete_details", "stop_reason"]),
        values,
    ),
    inner=st.none() | values,
)
@settings(max_examples=300)
def test_every_shape_has_an_outcome(body, inner):
    if inner is not None:
        body["choices"] = [{"message": inner, "finish_reason": inner}, inner]
    assert isinstance(found(body).outcome, Outcome)
