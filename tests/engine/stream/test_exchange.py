"""When calls ask for streams."""

import json

import msgspec
import pytest

from simple_batch.core.domain import Defaults, Endpoint, StreamMode
from simple_batch.core.settings import Settings
from simple_batch.engine.error_text import read_error
from simple_batch.engine.exchange import Exchange
from simple_batch.engine.stream.choices import choices_asked
from simple_batch.engine.stream.refusals import needs_stream, refuses_options, refuses_stream
from simple_batch.engine.stream.use import StreamUse
from simple_batch.engine.transport import TransportFailure

from ... import endpoint as e
from ...emulators import streams as s
from ...emulators.streams import StreamingEndpoint

CHAT = "/v1/chat/completions"
BODY = b'{"model":"m","messages":[]}'
# said to a request without a stream
NEEDS = [
    "This model only support stream mode, please enable the stream parameter to access the model. ",
    "<400> InternalError.Algo.InvalidParameter: This model only support stream mode, please enable stream.",
    "parameter.enable_thinking only support stream call",
    "parameter.enable_thinking must be set to false for non-streaming calls",
    "enable thinking can not be support when `stream=False`.",
    "Stream must be set to true",
    "Streaming is required for operations that may take longer than 10 minutes.",
    "Non-streaming requests are not supported for this model",
    "This endpoint only supports streaming responses",
    "stream=false is not supported",
    "Requests with max_tokens > 4096 must have stream=true",
    "The model is streaming-only.",
    "Please set stream to true.",
    "该模型仅支持流式输出",
    "当前模型不支持非流式调用，请设置 stream=true",
    "此模型必须使用流式调用",
]
OTHER = [
    "upstream request failed: only 3 of 5 nodes answered",
    "The upstream must be reachable",
    "Invalid image: the image stream must be at least 28 pixels wide",
    "An audio stream is required",
    "Unknown parameter: 'stream_options'.",
    "max_tokens must be set to 4096 or less",
    "Unsupported parameter: 'temperature' is not supported with this model.",
    "bad value",
]
REFUSES = [
    "Unsupported value: 'stream' does not support true with this model. Supported values are: false.",
    "Streaming completion is not support yet, please remove 'stream' key value in the request payload.",
    "Error in `stream`: `stream` is not supported for this model",
    "Your organization must be verified to stream this model.",
    "This model does not support streaming.",
    "Streaming is disabled for this deployment",
    "该模型不支持流式输出",
]


def error(message: str, status: int = 400, param=None) -> bytes:
    return e.http(status, {"error": {"message": message, "type": "t", "param": param}})


def exchange(endpoint, mode=StreamMode.AUTO, changed=None, **fields) -> Exchange:
    config = Endpoint(1, "a", endpoint.base_url, "k", Defaults("m"), stream=mode, **fields)
    return Exchange(config, Settings(), 4, streams=StreamUse(config, changed))


def asked(endpoint) -> list[bool]:
    """Which of the calls asked for a stream."""
    return [body.get("stream", False) for body in endpoint.bodies]


def text_of(reply) -> str:
    return json.loads(reply.body)["choices"][0]["message"]["content"]


@pytest.mark.parametrize("message", NEEDS)
def test_words_that_ask_for_streams(message):
    body = json.dumps({"error": {"message": message, "param": None}}).encode()
    assert needs_stream(400, read_error(body, 400))
    assert needs_stream(500, read_error(json.dumps({"detail": message}).encode(), 500))
    assert not needs_stream(429, read_error(body, 429))


@pytest.mark.parametrize("message", OTHER)
def test_words_that_do_not(message):
    found = read_error(json.dumps({"error": {"message": message}}).encode(), 400)
    assert not needs_stream(400, found)
    assert not refuses_stream(400, found)


@pytest.mark.parametrize("message", REFUSES)
def test_words_that_refuse_streams(message):
    assert refuses_stream(
        400, read_error(json.dumps({"error": {"message": message}}).encode(), 400)
    )


def test_a_parameter_named_as_the_fault():
    found = read_error(b'{"error":{"message":"Unsupported value","param":"stream"}}', 400)
    assert needs_stream(400, found)
    assert refuses_stream(400, found)
    for text in (
        "Unknown parameter: 'stream_options.include_usage'.",
        "extraneous key [include_usage]",
    ):
        assert refuses_options(read_error(json.dumps({"message": text}).encode(), 400))


@pytest.mark.parametrize("refusal", [s.ONLY_STREAMS, e.http(200, {"error": {"message": NEEDS[2]}})])
def test_auto_switches_on_where_the_endpoint_says_so(refusal):
    changes = []
    answer = lambda body: s.stream(*s.says("yes")) if body.get("stream") else refusal  # noqa: E731
    with StreamingEndpoint(answer) as endpoint:
        calls = exchange(endpoint, changed=changes.append)
        assert text_of(calls.post(CHAT, BODY, 5)) == "yes"
        assert text_of(calls.post(CHAT, BODY, 5)) == "yes"
        assert asked(endpoint) == [False, True, True]
    assert [change.on for change in changes] == [True]
    assert changes[0].since
    assert "only with streams" in changes[0].reason


def test_auto_switches_on_after_a_time_out():
    """The call that timed out has failed; the next one is a stream."""
    with StreamingEndpoint(
        lambda body: s.stream(*s.says("x")) if body.get("stream") else e.slow(1)
    ) as endpoint:
        calls = exchange(endpoint)
        with pytest.raises(TransportFailure):
            calls.post(CHAT, BODY, 0.1)
        assert text_of(calls.post(CHAT, BODY, 5)) == "x"
        assert "0.1 s" in calls.streams.state.reason


@pytest.mark.parametrize("status", [504, 524])
def test_auto_switches_on_after_a_gateway_s_time_out(status):
    with e.MisbehavingEndpoint(e.http(status, b"<html>", kind="text/html"), e.ok()) as endpoint:
        calls = exchange(endpoint)
        assert calls.post(CHAT, BODY, 5).status == status
        calls.post(CHAT, BODY, 5)
        assert asked(endpoint) == [False, True]


@pytest.mark.parametrize(
    "behaviour",
    [
        e.ok(),
        e.error(429),
        e.error(500),
        e.error(400, "bad value"),
        e.error(503),
        e.reset,
        e.http(408, b""),
    ],
)
def test_auto_stays_off_otherwise(behaviour):
    with e.MisbehavingEndpoint(behaviour) as endpoint:
        calls = exchange(endpoint)
        for _ in range(2):
            try:
                calls.post(CHAT, BODY, 5)
            except TransportFailure:
                continue
        assert asked(endpoint) == [False, False]


def test_a_deadline_of_the_request_is_no_time_out_of_the_endpoint():
    with e.MisbehavingEndpoint(e.slow(0.5)) as endpoint:
        calls = exchange(endpoint)
        with pytest.raises(TransportFailure):
            calls.post(CHAT, BODY, 60, total_s=0.1)
        assert not calls.streams.state.on


def test_a_connection_that_is_not_made_says_nothing_of_streams():
    with e.MisbehavingEndpoint(e.ok()) as endpoint:
        gone = endpoint.base_url
    calls = Exchange(Endpoint(1, "a", gone, "k", Defaults("m")), Settings(), 1)
    with pytest.raises(TransportFailure):
        calls.post(CHAT, BODY, 0.5)
    assert not calls.streams.state.on


@pytest.mark.parametrize(
    ("mode", "path", "body", "streams"),
    [
        (StreamMode.ALWAYS, CHAT, BODY, True),
        (StreamMode.ALWAYS, "/v1/completions", b"{}", True),
        (StreamMode.ALWAYS, "/v1/responses", b"{}", True),
        (StreamMode.ALWAYS, "/v1/embeddings", b"{}", False),
        (StreamMode.ALWAYS, CHAT, b'{"modalities":["text","audio"]}', False),
        (StreamMode.NEVER, CHAT, BODY, False),
        (StreamMode.AUTO, CHAT, BODY, False),
    ],
)
def test_what_is_asked(mode, path, body, streams):
    with e.MisbehavingEndpoint(e.ok()) as endpoint:
        exchange(endpoint, mode).post(path, body, 5)
        sent = endpoint.bodies[0]
    options = {"stream_options": {"include_usage": True}} if "responses" not in path else {}
    assert sent == {**json.loads(body), **({"stream": True, **options} if streams else {})}


def test_what_was_found_out_holds_for_the_next_process():
    with e.MisbehavingEndpoint(e.ok()) as endpoint:
        exchange(endpoint, stream_since=7).post(CHAT, BODY, 5)
        exchange(endpoint, StreamMode.NEVER, stream_since=7).post(CHAT, BODY, 5)
        assert asked(endpoint) == [True, False]


@pytest.mark.parametrize(
    "refusal",
    [
        error("Unknown parameter: 'stream_options'.", param="stream_options"),
        error("extraneous key [include_usage] is not permitted", 500),
        e.http(
            422,
            {
                "detail": [
                    {"loc": ["body", "stream_options"], "msg": "Extra inputs are not permitted"}
                ]
            },
        ),
    ],
)
def test_options_that_are_refused_are_left_out(refusal):
    def answer(body):
        return refusal if "stream_options" in body else s.stream(*s.says("yes", usage=None))

    with StreamingEndpoint(answer) as endpoint:
        calls = exchange(endpoint, StreamMode.ALWAYS)
        for _ in range(2):
            reply = calls.post(CHAT, BODY, 5)
            assert text_of(reply) == "yes"
            assert "usage" not in json.loads(reply.body)
        assert endpoint.calls == 3


@pytest.mark.parametrize("message", REFUSES)
def test_auto_switches_off_where_streams_are_refused(message):
    changes = []
    with StreamingEndpoint(
        lambda body: error(message) if body.get("stream") else e.ok()
    ) as endpoint:
        calls = exchange(endpoint, changed=changes.append, stream_since=7)
        for _ in range(2):
            assert text_of(calls.post(CHAT, BODY, 5)) == "fine"
        assert asked(endpoint) == [True, False, False]
        calls.streams.timed_out(1)  # never on again, else they would alternate
        assert [change.on for change in changes] == [False]


def test_an_error_within_a_stream_is_no_refusal_of_streams():
    broken = s.stream(s.event({"error": {"message": "The stream was not completed.", "code": 400}}))
    with e.MisbehavingEndpoint(broken) as endpoint:
        calls = exchange(endpoint, stream_since=7)
        calls.post(CHAT, BODY, 5)
        assert calls.streams.state.on
        assert endpoint.calls == 1


def test_what_a_user_chose_is_kept():
    with e.MisbehavingEndpoint(error(REFUSES[0])) as endpoint:
        assert exchange(endpoint, StreamMode.ALWAYS).post(CHAT, BODY, 5).status == 400
        assert asked(endpoint) == [True]
    with e.MisbehavingEndpoint(s.ONLY_STREAMS) as endpoint:
        assert exchange(endpoint, StreamMode.NEVER).post(CHAT, BODY, 5).status == 400
        assert endpoint.calls == 1


def test_an_edited_config_keeps_what_its_model_refuses():
    config = Endpoint(1, "a", "http://x/v1", "k", Defaults("m"))
    use = StreamUse(config)
    use.without_usage = True
    assert use.renewed(config).without_usage
    assert not use.renewed(Endpoint(1, "a", "http://x/v1", "k", Defaults("n"))).without_usage


def test_what_was_found_out_is_still_to_be_noted_once_the_config_has_it():
    """The config is read again as soon as it is stored there, often before the call has its answer."""
    config = Endpoint(1, "a", "http://x/v1", "k", Defaults("m"))
    use = StreamUse(config)
    use.needed("only streams")
    stored = msgspec.structs.replace(config, stream_since=use.state.since)
    assert use.renewed(stored).state == use.state
    assert use.state.here
    assert not use.renewed(config).state.on  # switched off by the user
    assert not use.renewed(msgspec.structs.replace(config, stream_since=7)).state.here


@pytest.mark.parametrize(
    ("of_text", "body", "choices"),
    [
        (False, b'{"messages":[]}', 1),
        (False, b'{"n":3}', 3),
        (False, b'{"n":null}', 1),
        (False, b'{"n":"x"}', 1),
        (True, b'{"prompt":"a"}', 1),
        (True, b'{"prompt":["a","b"],"n":2}', 4),
        (True, b'{"prompt":[1,2,3]}', 1),
        (True, b'{"prompt":[[1,2],[3]]}', 2),
    ],
)
def test_choices_that_are_asked_for(of_text, body, choices):
    assert choices_asked(of_text, body) == choices
