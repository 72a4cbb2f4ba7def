"""Chat completions as Gemini's own API has them, and its answers as chat completions."""

import json

import pytest

from simple_batch.engine.gemini.content_answer import chat_completion
from simple_batch.engine.gemini.content_request import content_request
from simple_batch.engine.transport import TransportFailure

from ...emulators import gemini

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def made(messages=None, model="gemini-2.5-flash", **fields) -> dict:
    messages = messages or [{"role": "user", "content": "hello"}]
    body = {"model": model, "messages": messages, **fields}
    request = json.loads(content_request(json.dumps(body).encode()))
    gemini.check_fields(request, gemini.REQUEST)
    return request


def config(**fields) -> dict:
    return made(**fields).get("generation_config", {})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_tokens": 5}, {"max_output_tokens": 5}),
        ({"max_completion_tokens": 6, "max_tokens": 5}, {"max_output_tokens": 6}),
        ({"stop": "x"}, {"stop_sequences": ["x"]}),
        ({"stop": ["x", "y"], "seed": 3}, {"stop_sequences": ["x", "y"], "seed": 3}),
        ({"n": 2, "top_p": 0.5, "top_k": 4}, {"candidate_count": 2, "top_p": 0.5, "top_k": 4}),
        ({"logprobs": True, "top_logprobs": 2}, {"response_logprobs": True, "logprobs": 2}),
        ({"response_format": {"type": "text"}}, {}),
        ({"response_format": {"type": "json_object"}}, {"response_mime_type": "application/json"}),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"response_mime_type": "application/json", "response_json_schema": SCHEMA},
        ),
        ({"reasoning_effort": "none"}, {"thinking_config": {"thinking_budget": 0}}),
        ({"reasoning_effort": "high"}, {"thinking_config": {"thinking_budget": 24_576}}),
        (
            {"reasoning_effort": "low", "model": "gemini-3-flash-preview"},
            {"thinking_config": {"thinking_level": "low"}},
        ),
        (
            {"extra_body": {"google": {"thinking_config": {"thinking_budget": 7}}}},
            {"thinking_config": {"thinking_budget": 7}},
        ),
        ({"user": "u", "metadata": {"a": "b"}, "stream": False, "service_tier": "auto"}, {}),
        ({"logit_bias": {}, "temperature": None, "parallel_tool_calls": True}, {}),
    ],
)
def test_parameters(fields, expected):
    assert config(**fields) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"logit_bias": {"1": 2}},
        {"audio": {"voice": "x"}},
        {"parallel_tool_calls": False},
        {"reasoning_effort": "huge"},
        {"response_format": {"type": "grammar"}},
        {"tools": [{"type": "custom", "custom": {"name": "x"}}]},
        {"tool_choice": {"type": "allowed_tools"}},
        {"messages": "hello"},
        {"messages": ["hello"]},
        {"messages": [{"role": "critic", "content": "x"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}]},
        {"messages": [{"role": "user", "content": [{"type": "hologram"}]}]},
    ],
)
def test_what_has_no_counterpart_is_refused_before_it_is_sent(fields):
    with pytest.raises(TransportFailure, match="Gemini"):
        made(**fields)


def test_what_neither_api_has_is_left_to_the_endpoint():
    assert json.loads(content_request(b'{"messages":[],"novelty":1}'))["novelty"] == 1


def test_system_texts_and_media():
    data = "data:image/jpg;base64,AAAA"
    parts = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": data}},
        {"type": "image_url", "image_url": {"url": "https://example.org/cat.png?x=1"}},
        {"type": "input_audio", "input_audio": {"data": "BBBB", "format": "mp3"}},
        {"type": "file", "file": {"file_data": "data:application/pdf;base64,CCCC"}},
        {"type": "text", "text": ""},
    ]
    request = made(
        [
            {"role": "system", "content": "be brief"},
            {"role": "developer", "content": [{"type": "text", "text": "and kind"}]},
            {"role": "user", "content": parts},
        ]
    )
    assert request["system_instruction"] == {"parts": [{"text": "be brief"}, {"text": "and kind"}]}
    assert request["contents"][0]["parts"] == [
        {"text": "look"},
        {"inline_data": {"mime_type": "image/jpeg", "data": "AAAA"}},
        {"file_data": {"file_uri": "https://example.org/cat.png?x=1", "mime_type": "image/png"}},
        {"inline_data": {"mime_type": "audio/mp3", "data": "BBBB"}},
        {"inline_data": {"mime_type": "application/pdf", "data": "CCCC"}},
    ]


def test_tools_and_their_results():
    function = {"name": "f", "description": "d", "parameters": SCHEMA, "strict": True}
    signed = {"google": {"thought_signature": "sig"}}
    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
    request = made(
        [
            {"role": "user", "content": "go"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{**call, "extra_content": signed}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": '{"b":2}'},
            {"role": "tool", "tool_call_id": "c1", "content": "plain"},
        ],
        tools=[{"type": "function", "function": function}, {"google_search": {}}],
        tool_choice={"type": "function", "function": {"name": "f"}},
    )
    declared = {"name": "f", "description": "d", "parameters_json_schema": SCHEMA}
    assert request["tools"] == [{"function_declarations": [declared]}, {"google_search": {}}]
    chosen = {"mode": "ANY", "allowed_function_names": ["f"]}
    assert request["tool_config"] == {"function_calling_config": chosen}
    _, said, got = request["contents"]
    assert said["parts"] == [
        {"function_call": {"name": "f", "args": {"a": 1}}, "thought_signature": "sig"}
    ]
    responses = [part["function_response"]["response"] for part in got["parts"]]
    assert responses == [{"b": 2}, {"result": "plain"}]
    assert got["parts"][0]["function_response"]["name"] == "f"


def answered(**answer) -> dict:
    return json.loads(chat_completion(json.dumps(answer).encode()))


def candidate(*parts, reason="STOP") -> dict:
    return {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason}


def test_an_answer_with_thoughts_and_usage():
    made = answered(
        candidates=[candidate({"text": "hm", "thought": True}, {"text": "a"}, {"text": "b"})],
        modelVersion="gemini-2.5-flash",
        responseId="r",
        usageMetadata={
            "promptTokenCount": 10,
            "candidatesTokenCount": 3,
            "thoughtsTokenCount": 4,
            "cachedContentTokenCount": 5,
        },
    )
    (choice,) = made["choices"]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("ab", "stop")
    assert choice["message"]["reasoning_content"] == "hm" and made["id"] == "r"
    usage = made["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        10,
        7,
        17,
    )
    assert usage["prompt_tokens_details"]["cached_tokens"] == 5
    assert usage["completion_tokens_details"]["reasoning_tokens"] == 4


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("PROHIBITED_CONTENT", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "malformed_function_call"),
    ],
)
def test_finish_reasons(reason, finish):
    (choice,) = answered(candidates=[{"finishReason": reason}])["choices"]
    assert (choice["finish_reason"], choice["message"]["content"]) == (finish, "")


def test_a_blocked_prompt_is_a_refusal():
    made = answered(promptFeedback={"blockReason": "SAFETY"}, usageMetadata={"promptTokenCount": 3})
    (choice,) = made["choices"]
    assert choice["finish_reason"] == "content_filter"
    assert choice["message"]["refusal"] == "SAFETY"
    assert made["usage"]["completion_tokens"] == 0


def test_calls_of_functions():
    part = {"functionCall": {"name": "f", "args": {"x": 1.50}}, "thoughtSignature": "s"}
    (choice,) = answered(candidates=[candidate(part)])["choices"]
    (call,) = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"] == {"name": "f", "arguments": '{"x":1.5}'}
    assert call["extra_content"] == {"google": {"thought_signature": "s"}}


def test_what_is_no_answer_stays():
    assert chat_completion(b"<html>") == b"<html>"
    assert answered()["choices"] == [] and answered()["usage"] is None
