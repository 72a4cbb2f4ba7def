"""Chat completions as bodies of Anthropic's Messages API."""

import json

import pytest

from simple_batch.core.domain import ApiFormat, Cause, Defaults, Request, Verdict
from simple_batch.engine.anthropic import translation
from simple_batch.engine.anthropic.answer_format import ANSWER_TOOL
from simple_batch.engine.anthropic.model_facts import facts_of
from simple_batch.engine.anthropic.no_counterpart import left_out
from simple_batch.engine.encoder import Encoder
from simple_batch.engine.transport import TransportFailure

from ..emulators.anthropic import check_body

USER = {"role": "user", "content": "hi"}
CACHE = {"cache_control": {"type": "ephemeral"}}
SCHEMA = {
    "type": "object",
    "properties": {
        "count": {"type": "integer", "minimum": 1, "description": "how many"},
        "name": {"type": ["string", "null"], "maxLength": 9},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 2},
        "one": {"oneOf": [{"type": "string", "format": "date"}, {"const": 5}]},
    },
    "required": ["count", "name", "tags", "one"],
    "additionalProperties": False,
    "$defs": {"tag": {"enum": ["a", "b"]}},
}


def sent(**fields) -> dict:
    """The body that goes out for a chat; the endpoint takes it."""
    fields = {"model": "claude-sonnet-4-5", "messages": [USER], **fields}
    path, body = translation.request("/v1/chat/completions", json.dumps(fields).encode())
    assert path == "/v1/messages"
    made = json.loads(body)
    check_body(made, translation.VERSION)
    return made


def refusal(**fields) -> str:
    """Why a chat is not sent at all."""
    with pytest.raises(TransportFailure) as failed:
        sent(**fields)
    assert (failed.value.cause, failed.value.verdict) == (Cause.BAD_REQUEST, Verdict.FINAL)
    return str(failed.value.message)


def turns(*messages) -> list:
    return sent(messages=list(messages))["messages"]


def test_fields_that_both_apis_have():
    body = sent(
        temperature=0.5,
        top_p=0.9,
        top_k=5,
        stop=["a", "b"],
        user="u-1",
        max_completion_tokens=70,
        service_tier="default",
    )
    assert body == {
        "model": "claude-sonnet-4-5",
        "max_tokens": 70,
        "metadata": {"user_id": "u-1"},
        "service_tier": "standard_only",
        "stop_sequences": ["a", "b"],
        "messages": [USER],
        "temperature": 0.5,
        "top_p": 0.9,
        "top_k": 5,
    }
    assert sent(stop="x")["stop_sequences"] == ["x"]
    assert sent(max_tokens=5)["max_tokens"] == 5
    assert sent(metadata={"user_id": "u-2"})["metadata"] == {"user_id": "u-2"}


@pytest.mark.parametrize(
    ("model", "limit"),
    [
        ("claude-opus-5-5", 128_000),
        ("claude-sonnet-4-6", 128_000),
        ("anthropic.claude-mythos-preview", 128_000),
        ("claude-haiku-4-5-20251001", 64_000),
        ("anthropic/claude-opus-4.5", 64_000),
        ("claude-opus-4-20250514", 32_000),
        ("claude-sonnet-4-20250514", 64_000),
        ("us.anthropic.claude-3-7-sonnet-20250219-v1:0", 64_000),
        ("claude-3-5-haiku-20241022", 8_192),
        ("claude-3-opus-20240229", 4_096),
        ("deepseek-chat", 8_192),
    ],
)
def test_a_limit_of_tokens_is_required_and_so_has_a_default(model, limit):
    assert facts_of(model).max_tokens == limit


def test_system_messages_go_to_the_front_in_their_order():
    messages = [
        {"role": "system", "content": "one"},
        USER,
        {"role": "developer", "content": [{"type": "text", "text": "two", **CACHE}]},
        {"role": "system", "content": ""},
        {"role": "system", "content": "three", **CACHE},
    ]
    body = sent(messages=messages, system="zero")
    texts = [block["text"] for block in body["system"]]
    assert texts == ["zero", "one", "two", "three"]
    assert ["cache_control" in block for block in body["system"]] == [False, False, True, True]
    assert body["messages"] == [USER]
    assert sent(messages=[messages[0], USER])["system"] == "one"


def test_turns_of_one_role_become_one():
    two = {"role": "user", "content": "again"}
    (turn,) = turns(USER, two)
    assert [block["text"] for block in turn["content"]] == ["hi", "again"]
    roles = [turn["role"] for turn in turns(USER, {"role": "assistant", "content": "a"}, two)]
    assert roles == ["user", "assistant", "user"]


def test_parts_of_a_content():
    parts = [
        {"type": "text", "text": "look", **CACHE},
        {"type": "image_url", "image_url": {"url": "data:image/jpg;base64,AAAA", "detail": "auto"}},
        {"type": "image_url", "image_url": "https://x.example/y.png", **CACHE},
        {"type": "image_url", "image_url": {"url": "data:image/png,%00%01"}},
        {
            "type": "file",
            "file": {"file_data": "data:application/pdf;base64,JVBE", "filename": "a"},
        },
        {"type": "file", "file": {"file_data": "data:text/plain;charset=utf-8;base64,w6Q="}},
        {"type": "document", "source": {"type": "url", "url": "https://x.example/z.pdf"}},
    ]
    (turn,) = turns({"role": "user", "content": parts})
    png = {"type": "base64", "media_type": "image/png", "data": "AAE="}
    pdf = {"type": "base64", "media_type": "application/pdf", "data": "JVBE"}
    text = {"type": "text", "media_type": "text/plain", "data": "ä"}
    assert turn["content"] == [
        parts[0],
        {"type": "image", "source": {**png, "media_type": "image/jpeg", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.example/y.png"}, **CACHE},
        {"type": "image", "source": png},
        {"type": "document", "source": pdf, "title": "a"},
        {"type": "document", "source": text},
        parts[6],
    ]


def test_a_breakpoint_in_openai_s_form_is_one_of_the_api():
    part = {"type": "text", "text": "a", "prompt_cache_breakpoint": {"mode": "explicit"}}
    (turn,) = turns({"role": "user", "content": [part]})
    assert turn["content"] == [{"type": "text", "text": "a", **CACHE}]


def test_calls_of_tools_and_their_results():
    calls = [
        {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": [1]}'}},
        {"id": "2", "type": "function", "function": {"name": "g", "arguments": ""}},
    ]
    thought = {"type": "thinking", "thinking": "hm", "signature": "s"}
    said = {"role": "assistant", "content": None, "tool_calls": calls, "thinking_blocks": [thought]}
    results = [
        {"role": "tool", "tool_call_id": "1", "content": "one", "name": "f"},
        {
            "role": "tool",
            "tool_call_id": "2",
            "content": [{"type": "text", "text": "two"}],
            **CACHE,
        },
    ]
    _, assistant, user = turns(USER, said, *results, {"role": "user", "content": "go on"})
    assert assistant["content"] == [
        thought,
        {"type": "tool_use", "id": "1", "name": "f", "input": {"a": [1]}},
        {"type": "tool_use", "id": "2", "name": "g", "input": {}},
    ]
    two = [{"type": "text", "text": "two"}]
    assert user["content"] == [
        {"type": "tool_result", "tool_use_id": "1", "content": "one"},
        {"type": "tool_result", "tool_use_id": "2", "content": two, **CACHE},
        {"type": "text", "text": "go on"},
    ]


def test_what_an_answer_holds_beside_its_text_may_be_sent_back():
    answer = {"role": "assistant", "content": "a", "reasoning_content": "r", "refusal": None}
    assert turns(USER, {**answer, "annotations": []}, USER)[1]["content"] == "a"


def tool(name="f", **fields) -> dict:
    return {"type": "function", "function": {"name": name, "description": "d", **fields}}


@pytest.mark.parametrize(
    ("given", "choice"),
    [
        ({}, None),
        ({"parallel_tool_calls": True}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none", "parallel_tool_calls": False}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "f"}}},
            {"type": "tool", "name": "f"},
        ),
        ({"tool_choice": {"type": "any"}}, {"type": "any"}),
        ({"parallel_tool_calls": False}, {"type": "auto", "disable_parallel_tool_use": True}),
    ],
)
def test_tools(given, choice):
    parameters = {"type": "object", "properties": {"a": {"type": "string"}}}
    body = sent(tools=[tool(parameters=parameters), tool("g", strict=False)], **given)
    empty = {"type": "object", "properties": {}}
    assert body["tools"] == [
        {"name": "f", "description": "d", "input_schema": parameters},
        {"name": "g", "description": "d", "input_schema": empty},
    ]
    assert body.get("tool_choice") == choice


def test_a_strict_tool_gets_a_schema_that_is_accepted():
    (made,) = sent(tools=[tool(parameters=SCHEMA, strict=True, **CACHE)])["tools"]
    assert made["strict"] is True
    assert made["cache_control"] == CACHE["cache_control"]
    assert made["input_schema"]["properties"]["count"]["type"] == "integer"


def form(schema=SCHEMA, strict=True) -> dict:
    shape = {"name": "answer", "schema": schema, "strict": strict}
    return {"response_format": {"type": "json_schema", "json_schema": shape}}


def test_a_schema_goes_into_the_output_config_without_what_is_not_supported():
    schema = sent(**form())["output_config"]["format"]["schema"]
    assert sent(**form(strict=False))["output_config"]["format"]["schema"] == schema
    properties = schema["properties"]
    assert properties["count"]["description"] == 'how many\n\n{"minimum":1}'
    assert properties["name"] == {
        "type": ["string", "null"],
        "description": '{"maxLength":9}',
    }
    assert properties["tags"]["items"] == {"$ref": "#/$defs/tag"}
    assert properties["one"]["anyOf"] == [{"type": "string", "format": "date"}, {"const": 5}]
    assert schema["additionalProperties"] is False


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "claude-3-5-haiku-20241022", **form()},
        {"model": "claude-sonnet-4-5", **form({**SCHEMA, "additionalProperties": True})},
        {"model": "claude-3-5-haiku-20241022", **form({"properties": {"a": {}}})},
    ],
)
def test_else_a_tool_is_forced_whose_input_is_the_answer(fields):
    body = sent(**fields)
    assert body["tool_choice"] == {"type": "tool", "name": ANSWER_TOOL}
    assert [one["name"] for one in body["tools"]] == [ANSWER_TOOL]
    assert "output_config" not in body


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "claude-opus-5-5", "response_format": {"type": "json_object"}},
        {"model": "claude-sonnet-4-5", "response_format": {"type": "json_object"}},
        {"model": "claude-sonnet-4-5", **form({"type": "object", "additionalProperties": {}})},
        {"model": "claude-sonnet-4-5", **form({"type": "object"}, strict=False)},
        {"model": "claude-opus-5-5", **form({"type": "object", "patternProperties": {}})},
        {
            "model": "claude-haiku-4-5",
            "reasoning_effort": "low",
            "response_format": {"type": "json_object"},
        },
        {
            "model": "claude-3-5-haiku-20241022",
            "tools": [tool()],
            **form(),
        },
    ],
)
def test_where_no_tool_can_be_forced_the_model_is_told(fields):
    body = sent(**fields)
    assert "nothing but" in json.dumps(body["system"])
    assert "tool_choice" not in body


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "config"),
    [
        ("claude-opus-5-5", "xhigh", {"type": "adaptive"}, {"effort": "xhigh"}),
        ("claude-opus-4-6", "minimal", {"type": "adaptive"}, {"effort": "low"}),
        ("claude-haiku-4-5", "low", {"type": "enabled", "budget_tokens": 1024}, None),
        ("claude-haiku-4-5", "max", {"type": "enabled", "budget_tokens": 2000}, None),
        ("claude-haiku-4-5", "none", {"type": "disabled"}, None),
    ],
)
def test_reasoning_effort(model, effort, thinking, config):
    body = sent(model=model, reasoning_effort=effort, max_tokens=4_000)
    assert (body["thinking"], body.get("output_config")) == (thinking, config)


def test_thinking_in_the_api_s_own_form_is_kept():
    own = {"type": "adaptive", "display": "summarized"}
    body = sent(model="claude-opus-4-6", thinking=own, reasoning_effort="high", **form())
    assert body["thinking"] == own
    assert body["output_config"].keys() == {"effort", "format"}


@pytest.mark.parametrize(
    "neutral",
    [
        {"n": 1, "logprobs": False, "top_logprobs": 0, "seed": None, "store": False},
        {"presence_penalty": 0, "frequency_penalty": 0.0, "logit_bias": {}, "modalities": ["text"]},
        {"response_format": {"type": "text"}, "tools": [], "parallel_tool_calls": True},
        {"reasoning_effort": None, "metadata": {}, "stop": [], "service_tier": None},
    ],
)
def test_fields_that_ask_for_nothing_are_left_out(neutral):
    assert sent(**neutral) == sent()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("seed", {"seed": 3}),
        ("n", {"n": 2}),
        ("logprobs", {"logprobs": True}),
        ("presence_penalty", {"presence_penalty": 0.5}),
        ("logit_bias", {"logit_bias": {"5": 1}}),
        ("prompt_cache_key", {"prompt_cache_key": "k"}),
        ("metadata.order", {"metadata": {"order": "7"}}),
        ('service_tier "flex"', {"service_tier": "flex"}),
        ('reasoning_effort "huge"', {"reasoning_effort": "huge"}),
        ("response_format", {"response_format": {"type": "grammar"}}),
        ("tool_choice", {"tool_choice": {"type": "allowed_tools", "tools": []}}),
        ("functions", {"functions": [{"name": "f"}]}),
        ("input_audio", {"messages": [{"role": "user", "content": [{"type": "input_audio"}]}]}),
        ("messages: name", {"messages": [{**USER, "name": "anna"}]}),
        ("messages: role “function”", {"messages": [{"role": "function", "content": "1"}]}),
        ("messages: audio", {"messages": [{"role": "assistant", "audio": {"id": "1"}}]}),
        (
            'image_url.detail "low"',
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image_url",
                                "image_url": {"url": "https://x", "detail": "low"},
                            }
                        ],
                    }
                ]
            },
        ),
    ],
)
def test_a_field_of_the_user_s_own_is_never_dropped(name, fields):
    message = refusal(**fields)
    assert message.startswith(f"{name}: ")
    assert "Leave it out, or send this request to another connection." in message


@pytest.mark.parametrize(
    ("why", "fields"),
    [
        ("messages: it cannot be sent", {"messages": "hi"}),
        ("not an object", {"messages": ["hi"]}),
        ("above 1,024", {"model": "claude-haiku-4-5", "reasoning_effort": "low", "max_tokens": 9}),
        (
            "“arguments” is not a JSON object",
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": "[1]"}}],
                    }
                ]
            },
        ),
        (
            "its data URL cannot be read",
            {
                "messages": [
                    {"role": "user", "content": [{"type": "image_url", "image_url": "data:xyz"}]}
                ]
            },
        ),
    ],
)
def test_what_cannot_be_translated_says_why(why, fields):
    assert why in refusal(**fields)


def test_fields_of_neither_api_are_sent_on():
    _path, body = translation.request(
        "/v1/chat/completions", json.dumps({"messages": [USER], "enable_thinking": True}).encode()
    )
    assert json.loads(body)["enable_thinking"] is True


@pytest.mark.parametrize("body", [b'{"messages": "\\ud83d"}', b'{"temperature": 1e999}', b"[]"])
def test_a_body_that_cannot_be_read_is_refused(body):
    with pytest.raises(TransportFailure) as failed:
        translation.request("/v1/chat/completions", body)
    assert failed.value.cause is Cause.BAD_REQUEST
    assert failed.value.message.startswith("body: it cannot be sent")


@pytest.mark.parametrize("url", ["/v1/embeddings", "/v1/completions", "/v1/responses"])
def test_other_endpoints_are_refused_before_a_call(url):
    with pytest.raises(TransportFailure) as failed:
        translation.request(url, b"{}")
    assert (failed.value.cause, failed.value.verdict) == (Cause.BAD_REQUEST, Verdict.FINAL)
    assert url in failed.value.message


def test_what_a_config_sets_is_left_out_and_named():
    params = {"seed": 1, "n": 1, "top_k": 4, "metadata": {"team": "x", "user_id": "u"}}
    defaults = Defaults("claude-sonnet-4-5", 50, 0.5, params, api_format=ApiFormat.ANTHROPIC)
    defaults = defaults.under({"logprobs": True})
    assert left_out(defaults.params | defaults.own) == ["logprobs", "metadata.team", "seed"]
    body = json.loads(Encoder(defaults).encode(Request(0, "a", b'{"messages":[]}')))
    assert body == {
        "messages": [],
        "model": "claude-sonnet-4-5",
        "top_k": 4,
        "metadata": {"user_id": "u"},
        "max_tokens": 50,
        "temperature": 0.5,
    }
    own = Request(0, "a", b'{"messages":[],"seed":5}')
    assert json.loads(Encoder(defaults).encode(own))["seed"] == 5
