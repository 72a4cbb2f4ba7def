"""Streams over a real socket, through the adapter of our own and through that of requests."""

import gzip
import http.client
import json
import time
import zlib

import gevent
import pytest

from simple_batch.core.domain import Cause, Defaults, Endpoint
from simple_batch.core.settings import Settings
from simple_batch.engine.answer_memory import Answers
from simple_batch.engine.classify import classify, classify_failure
from simple_batch.engine.stream.completions import CompletionsReader
from simple_batch.engine.stream.limits import StreamLimits
from simple_batch.engine.transport import Transport, TransportFailure

from ... import endpoint as e
from ...emulators import streams as s

CHAT = "/v1/chat/completions"
TEXT = "Es war einmal in 北京 🎉"
LIMITS = StreamLimits(5.0, 5.0, 5.0)


@pytest.fixture(params=["own", "stock"])
def open_transport(request, monkeypatch):
    """Makes a transport to an endpoint. The stock adapter is used where a proxy is in between."""
    opened = []

    def open_one(endpoint, answers=None, **settings) -> Transport:
        given = Settings(**settings)
        if request.param == "stock":
            monkeypatch.setattr(
                "simple_batch.engine.transport.session_has_proxies", lambda url: True
            )
            given = Settings(TRUST_ENV=True, **settings)
        config = Endpoint(1, "a", endpoint.base_url, "sk-a-key-that-is-long-enough", Defaults("m"))
        opened.append(Transport(config, given, 4, answers))
        return opened[-1]

    yield open_one
    for transport in opened:
        transport.close()


def read(transport, limits=LIMITS, **reader):
    return transport.post_stream(CHAT, b"{}", limits, CompletionsReader(**reader))


def found(open_transport, behaviour, limits=LIMITS, **settings):
    """What a streamed answer means."""
    with e.MisbehavingEndpoint(behaviour) as endpoint:
        try:
            return classify(read(open_transport(endpoint, **settings), limits))
        except TransportFailure as failure:
            return classify_failure(failure)


def text_of(finding) -> str:
    assert finding.cause is None, finding.message
    return json.loads(finding.response)["choices"][0]["message"]["content"]


def gzipped(flush: int, *events: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return (
        b"".join(packer.compress(event) + packer.flush(flush) for event in events) + packer.flush()
    )


@pytest.mark.parametrize(
    "behaviour",
    [
        s.stream(*s.says(TEXT)),
        s.stream(*s.says(TEXT), size=1),
        s.stream(*s.says(TEXT), size=7),
        s.stream(b"".join(s.says(TEXT))),
        s.stream(*(event.replace(b"\n", b"\r\n") for event in s.says(TEXT)), size=5),
        s.stream(b": OPENROUTER PROCESSING\n\n", *s.says(TEXT)),
        s.closing(*s.says(TEXT)),
        s.closing(*s.says(TEXT)[:-1]),  # ends with a finish_reason alone
        s.closing(*s.says(TEXT)[:-1], b"data: [DONE]"),  # the last line is not ended
        s.stream(*s.says(TEXT), end=b""),  # the connection is left open behind [DONE]
        s.cut_after(*s.says(TEXT)[:-2]),  # it is cut, but all choices had ended
        s.stream(gzipped(zlib.Z_SYNC_FLUSH, *s.says(TEXT)), headers=["Content-Encoding: gzip"]),
        s.stream(gzipped(zlib.Z_SYNC_FLUSH, *s.says(TEXT)), headers=["content-encoding: GZIP"]),
        s.stream(gzipped(zlib.Z_SYNC_FLUSH, *s.says(TEXT)), headers=["Content-Encoding: gzip"] * 2),
        s.stream(
            gzipped(zlib.Z_NO_FLUSH, *s.says(TEXT)), headers=["Content-Encoding: gzip"], size=9
        ),
        e.http(200, b"".join(s.says(TEXT)), kind="application/json"),  # its kind is said wrongly
        e.says(TEXT),  # ``stream`` is ignored
        e.http(
            200, b"\n\n  \n" + json.dumps({"choices": [{"message": {"content": TEXT}}]}).encode()
        ),
        e.http(
            200,
            gzip.compress(json.dumps({"choices": [{"message": {"content": TEXT}}]}).encode()),
            "Content-Encoding: gzip",
        ),
    ],
)
def test_the_answer_is_the_one_of_a_call_without_a_stream(open_transport, behaviour):
    assert text_of(found(open_transport, behaviour)) == TEXT


@pytest.mark.parametrize(
    ("behaviour", "cause", "says"),
    [
        (s.cut_after(*s.says(TEXT)[:-3]), Cause.CONNECTION, "in the middle"),
        (s.closing(*s.says(TEXT)[:-3]), Cause.BAD_RESPONSE, "ended before"),
        (s.stream(*s.says(TEXT)[:-3]), Cause.BAD_RESPONSE, "ended before"),
        (s.stream(), Cause.BAD_RESPONSE, ""),
        (s.stream(s.event("{")), Cause.BAD_RESPONSE, "cannot be read"),
        (s.stream(*s.says(TEXT)[:3], s.event({"error": {"message": "gone", "code": 502}})),
         Cause.SERVER_ERROR, "gone"),
        (s.stream(s.event({"error": {"message": "slow down", "code": 429}})), Cause.RATE_LIMIT, "slow"),
        (s.stream(*s.says(TEXT)[:3], s.event({"message": "Overloaded", "code": 529}, "error")),
         Cause.OVERLOADED, "Overloaded"),
        (s.stream(s.chunk({"content": "a"}), s.chunk({}, finish_reason="error"), s.DONE),
         Cause.BAD_RESPONSE, "error"),
        (s.stream(s.chunk({}, finish_reason="stop"), headers=["Content-Encoding: br"]),
         Cause.BAD_RESPONSE, "br"),
        (s.stream(b"no gzip", headers=["Content-Encoding: gzip"]), Cause.BAD_RESPONSE, "damaged"),
        (s.stream(gzipped(zlib.Z_SYNC_FLUSH, *s.says(TEXT)[:-3])[:-20], headers=["Content-Encoding: gzip"]),
         Cause.BAD_RESPONSE, "truncated"),
        (e.http(503, b"no gzip", "Content-Encoding: gzip"), Cause.OVERLOADED, "HTTP 503"),
        (e.http(503, gzip.compress(b"gone away")[:-9], "Content-Encoding: gzip"), Cause.OVERLOADED, "503"),
        (e.http(401, b"x", "Content-Encoding: zorblok"), Cause.AUTH, "HTTP 401"),
        (e.error(429, "slow down", "rate_limit_exceeded"), Cause.RATE_LIMIT, "slow down"),
        (e.http(400, s.event({"error": {"message": "wrong"}}), kind="text/event-stream"),
         Cause.BAD_REQUEST, "wrong"),
        (e.http(400, b"data: is missing"), Cause.BAD_REQUEST, "data: is missing"),
        (e.reset, Cause.CONNECTION, ""),
    ],
)  # fmt: skip
def test_what_is_no_answer(open_transport, behaviour, cause, says):
    finding = found(open_transport, behaviour)
    assert finding.cause is cause
    assert says in finding.message


COMMENT = b": still here\n\n"


@pytest.mark.parametrize(
    ("behaviour", "limits", "says"),
    [
        (e.slow(0.4), StreamLimits(0.1, 9, 9), "no answer began within 0.1 s"),
        (s.stream(*s.says("abcdef")[:3], end=b""), StreamLimits(0.2, 0.1, 9),
         "the stream was silent for 0.1 s"),
        # before the first token a silence may be as long as the longer one
        (s.stream(*s.says("abc")[:1], end=b""), StreamLimits(0.2, 0.1, 9),
         "the stream was silent for 0.2 s"),
        (s.stream(*[COMMENT] * 40, wait_s=0.02), StreamLimits(0.4, 0.4, 0.3),
         "no whole answer within 0.3 s"),
    ],
)  # fmt: skip
def test_time_limits(open_transport, behaviour, limits, says):
    finding = found(open_transport, behaviour, limits)
    assert (finding.cause, finding.message) == (Cause.TIMEOUT, says)


def test_an_answer_that_is_no_stream_is_bounded_by_the_first_limit(open_transport):
    """Its length is a lie, and the connection stays open."""

    def without_end(connection):
        connection.sendall(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n{}"
        )
        gevent.sleep(20)

    began = time.monotonic()
    finding = found(open_transport, without_end, StreamLimits(0.3, 30.0, 30.0))
    assert (finding.cause, time.monotonic() - began < 10) == (Cause.TIMEOUT, True)


def test_comments_are_signs_of_life(open_transport):
    """An answer that takes longer than any silence may."""
    events = [s.chunk({"content": "a"}), *[COMMENT] * 15, *s.says("b")]
    finding = found(open_transport, s.stream(*events, wait_s=0.03), StreamLimits(0.4, 0.4, 9))
    assert text_of(finding) == "ab"


def test_a_stream_that_has_ended_but_stays_open_is_an_answer(open_transport):
    behaviour = s.stream(*s.says(TEXT)[:-2], end=b"")
    assert text_of(found(open_transport, behaviour, StreamLimits(5, 0.1, 5))) == TEXT


def test_time_to_the_first_token(open_transport):
    """The empty chunk with the role is none."""
    first, *rest = s.says(TEXT)

    def behave(connection):
        connection.sendall(s.head() + s.framed(first))
        gevent.sleep(0.15)
        connection.sendall(s.framed(b"".join(rest)) + b"0\r\n\r\n")

    with e.MisbehavingEndpoint(behave, e.ok()) as endpoint:
        transport = open_transport(endpoint)
        assert 0.15 <= read(transport).first_token_s < 3.0
        assert read(transport).first_token_s is None  # no stream


@pytest.mark.parametrize(
    "events",
    [
        [b"data: " + b"x" * 40_000],  # one event
        s.says("x" * 40_000, size=100),  # one answer
        [s.chunk({}, index=index) for index in range(400)],  # choices that were not asked for
        [gzip.compress(b"data: " + b"x" * (8 << 20))],
    ],
)
def test_too_large(open_transport, events):
    packed = ["Content-Encoding: gzip"] if events[0].startswith(b"\x1f") else []
    behaviour = s.stream(b"".join(events), headers=packed)
    finding = found(open_transport, behaviour, MAX_ANSWER_BYTES=16_384)
    assert finding.cause is Cause.BAD_RESPONSE
    assert "longer than" in finding.message


def test_the_memory_is_that_of_the_answer_not_of_its_stream(open_transport):
    """A stream of 300 bytes a token is some 60 times as long as its answer."""
    events = s.says("word " * 4_000, size=5)
    assert len(b"".join(events)) > 400_000
    finding = found(open_transport, s.stream(b"".join(events)), MAX_ANSWER_BYTES=60_000)
    assert text_of(finding) == "word " * 4_000


def test_memory_of_answers_is_freed(open_transport):
    answers = Answers(1 << 20)
    with e.MisbehavingEndpoint(s.stream(*s.says(TEXT)), s.cut_after(*s.says(TEXT)[:3])) as endpoint:
        transport = open_transport(endpoint, answers)
        reply = read(transport)
        assert answers.used == len(reply.body)
        del reply
        with pytest.raises(TransportFailure):
            read(transport)
        assert answers.used == 0


def test_connections_are_used_again(open_transport):
    with e.MisbehavingEndpoint(s.stream(*s.says(TEXT))) as endpoint:
        transport = open_transport(endpoint)
        for _ in range(3):
            read(transport)
        assert endpoint.connections == 1


def test_a_key_in_a_stream_goes_no_further(open_transport):
    finding = found(
        open_transport, s.stream(s.event({"error": {"message": "sk-a-key-that-is-long-enough"}}))
    )
    assert "sk-a-key" not in finding.message + finding.excerpt


def test_a_call_that_is_cut_closes_its_socket(open_transport):
    closed = []

    def behave(connection):
        connection.sendall(s.head() + s.framed(s.chunk({"content": "a"})))
        closed.append(connection.recv(1))  # b"" when the other side closes

    with e.MisbehavingEndpoint(behave) as endpoint:
        transport = open_transport(endpoint)
        call = gevent.spawn(read, transport)
        while not endpoint.calls:
            gevent.sleep(0.01)
        gevent.sleep(0.05)
        call.kill()
        until = time.monotonic() + 3
        while not closed and time.monotonic() < until:
            gevent.sleep(0.01)
    assert closed == [b""]


def test_the_helpers_are_http():
    """What the emulator sends is read by the standard library too."""
    with e.MisbehavingEndpoint(s.stream(*s.says(TEXT), size=11)) as endpoint:
        host = endpoint.base_url.removeprefix("http://").removesuffix("/v1")
        connection = http.client.HTTPConnection(host)
        connection.request("POST", "/v1/x", b"{}")
        assert connection.getresponse().read() == b"".join(s.says(TEXT))
        connection.close()


def test_the_openai_client_reads_the_same():
    import openai

    with e.MisbehavingEndpoint(s.stream(*s.says(TEXT), size=11)) as endpoint:
        client = openai.OpenAI(base_url=endpoint.base_url, api_key="k", max_retries=0)
        chunks = list(client.chat.completions.create(model="m", messages=[], stream=True))
        client.close()
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == TEXT
    )
    assert chunks[-1].usage.total_tokens == 10
