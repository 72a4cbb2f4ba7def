"""One attempt against an endpoint with every fault."""

import gzip
import json
import time

import pytest

from simple_batch.core.domain import Cause, Defaults, Endpoint, Verdict
from simple_batch.core.errors import ConfigurationError
from simple_batch.engine import probe
from simple_batch.engine.classify import classify, classify_failure
from simple_batch.engine.transport import Transport, TransportFailure

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import SETTINGS

GOOD = json.dumps(e.GOOD).encode()
KEY = "sk-planted-secret-0123456789"


def finding(behaviour, timeout_s=30.0, url="/v1/chat/completions"):
    with MisbehavingEndpoint(behaviour) as endpoint:
        transport = Transport(
            Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m")), SETTINGS, width=4
        )
        try:
            return classify(transport.post(url, b'{"x":1}', timeout_s), url)
        except TransportFailure as failure:
            return classify_failure(failure)
        finally:
            transport.close()


@pytest.mark.parametrize(
    ("behaviour", "cause", "verdict"),
    [
        (e.ok(), None, None),
        (e.gzipped(), None, None),
        (e.http(200, gzip.compress(GOOD), "Content-Encoding: gzip, GZIP"), None, None),
        (e.http(200, gzip.compress(GOOD), *["Content-Encoding: gzip"] * 2), None, None),
        (e.http(200, gzip.compress(GOOD), "Content-Encoding: identity, gzip,"), None, None),
        (e.http(200, GOOD, "Content-Encoding: Identity"), None, None),
        (e.bad_gzip(), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.gzip_bomb(), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, b"x", "Content-Encoding: br"), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.endless, Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.reset, Cause.CONNECTION, Verdict.RETRY),
        (e.truncated, Cause.CONNECTION, Verdict.RETRY),
        (e.half_headers, Cause.CONNECTION, Verdict.RETRY),
        (e.not_http, Cause.CONNECTION, Verdict.RETRY),
        (e.http(200, b""), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, b"<html>hi</html>", kind="text/html"), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, b'{"choices": [{"mess'), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, {"choices": []}), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, {"error": {"message": "x"}}), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, b"[1, 2]"), Cause.BAD_RESPONSE, Verdict.RETRY),
        (e.http(200, b"\xff\xfe{}"), Cause.BAD_RESPONSE, Verdict.RETRY),
        *[
            (e.http(status, b"this is not packed", f"Content-Encoding: {encoding}"), cause, verdict)
            for encoding in ("gzip", "deflate", "br", "zorblok")
            for status, cause, verdict in (
                (503, Cause.OVERLOADED, Verdict.RETRY),
                (401, Cause.AUTH, Verdict.STOP),
                (429, Cause.RATE_LIMIT, Verdict.WAIT),
            )
        ],
        (
            e.http(200, gzip.compress(b"{"), "Content-Encoding: GZIP"),
            Cause.BAD_RESPONSE,
            Verdict.RETRY,
        ),
        (
            e.http(200, b"{}", "Content-Encoding: gzip", "Content-Encoding: br"),
            Cause.BAD_RESPONSE,
            Verdict.RETRY,
        ),
        (
            e.http(503, b"<p>", "Content-Encoding: gzip", "Content-Encoding: br"),
            Cause.OVERLOADED,
            Verdict.RETRY,
        ),
        (
            e.http(200, b"<p>", "Content-Type: text/html", "Content-Type: text/html"),
            Cause.BAD_RESPONSE,
            Verdict.RETRY,
        ),
        (e.http(302, b"", "Location: http://127.0.0.1:1/"), Cause.NOT_FOUND, Verdict.STOP),
        (e.error(400, "bad value"), Cause.BAD_REQUEST, Verdict.FINAL),
        (e.error(400, "too long", "context_length_exceeded"), Cause.CONTEXT_LENGTH, Verdict.FINAL),
        (e.error(400, "no", "content_filter"), Cause.CONTENT_FILTER, Verdict.FINAL),
        (e.error(422), Cause.BAD_REQUEST, Verdict.FINAL),
        (e.error(401), Cause.AUTH, Verdict.STOP),
        (e.error(403), Cause.AUTH, Verdict.STOP),
        (e.error(404), Cause.NOT_FOUND, Verdict.STOP),
        (e.error(402, "Insufficient Balance"), Cause.QUOTA, Verdict.STOP),
        (e.error(429, "Slow down"), Cause.RATE_LIMIT, Verdict.WAIT),
        (e.error(429, "quota", "insufficient_quota"), Cause.QUOTA, Verdict.STOP),
        (e.error(429, "账户余额不足"), Cause.QUOTA, Verdict.STOP),
        (e.error(408), Cause.TIMEOUT, Verdict.RETRY),
        (e.error(409), Cause.SERVER_ERROR, Verdict.RETRY),
        (e.error(500), Cause.SERVER_ERROR, Verdict.RETRY),
        (e.error(503), Cause.OVERLOADED, Verdict.RETRY),
        (e.error(529), Cause.OVERLOADED, Verdict.RETRY),
    ],
)
def test_cause_and_verdict(behaviour, cause, verdict):
    found = finding(behaviour)
    assert (found.cause, found.verdict) == (cause, verdict), found
    assert bool(found.message) == (cause is not None)


@pytest.mark.parametrize(
    ("lines", "wait_s"),
    [
        (("Retry-After: 7", "retry-after: 7"), 7),
        (("Retry-After: 7", "Retry-After: 9"), 9),  # the last one holds
        (("Retry-After-Ms: 7000", "Retry-After-Ms: 7000"), 7),
        (("X-Retry-After: 7", "X-Retry-After: 7"), 7),
        (("x-ratelimit-remaining-requests: 0",) * 2, None),
        (("x-ratelimit-limit-requests: 60", "x-ratelimit-limit-requests: 70"), None),
        (("x-should-retry: true", "Set-Cookie: a=1", "Set-Cookie: b=2"), None),
        (("X-Amzn-Errortype: Throttled", "X-Amzn-Errortype: Slow"), None),
    ],
)
def test_a_header_that_comes_twice(lines, wait_s):
    found = finding(e.http(429, {"error": {"message": "slow down"}}, *lines))
    assert (found.cause, found.retry_after_s) == (Cause.RATE_LIMIT, wait_s)


def test_a_good_answer_tells_usage_and_model():
    found = finding(e.ok())
    assert found.model == "m-1"
    usage = found.usage
    assert (usage.input, usage.output, usage.cached, usage.reasoning) == (7, 3, 2, 1)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("/v1/completions", {"choices": [{"text": "b"}]}),
        ("/v1/embeddings", {"data": [{"embedding": [0.5]}]}),
        ("/v1/responses", {"output": [{"content": [{"text": "b"}]}], "error": None}),
        ("/v1/moderations", {"results": [{"flagged": False}]}),
        ("/v1/images/generations", {"data": [{"url": "http://x/y.png"}]}),
    ],
)
def test_a_good_answer_of_every_endpoint(url, answer):
    usage = {"input_tokens": 5, "output_tokens": 2}
    for body in (answer, {**answer, "usage": usage, "error": None}, {**answer, "usage": "odd"}):
        found = finding(e.http(200, body), url=url)
        assert found.cause is None, found
    assert finding(e.http(200, {"id": "x"}), url=url).cause == Cause.BAD_RESPONSE


def test_an_error_inside_a_200_is_reported():
    found = finding(e.http(200, {"error": {"message": "overloaded now"}}))
    assert "overloaded now" in found.message


def test_an_odd_usage_does_not_spoil_a_good_answer():
    found = finding(e.http(200, {**e.GOOD, "usage": {"prompt_tokens": "seven"}}))
    assert found.cause is None
    assert found.usage is None


@pytest.mark.parametrize("behaviour", [e.trickle, e.slow(100)])
def test_the_time_limit_is_on_the_whole_exchange(behaviour):
    began = time.monotonic()
    assert finding(behaviour, timeout_s=0.4).cause is Cause.TIMEOUT
    assert time.monotonic() - began < 60


def test_connection_refused():
    transport = Transport(
        Endpoint(1, "a", "http://127.0.0.1:1/v1", "", Defaults("m")), SETTINGS, width=1
    )
    with pytest.raises(TransportFailure) as failed:
        transport.post("/v1/chat/completions", b"{}", 2)
    assert failed.value.cause is Cause.CONNECTION


def test_connections_are_kept_and_a_closed_one_is_not_used_again():
    def and_close(connection):
        connection.sendall(e.http(200, e.GOOD, "Connection: close"))
        connection.close()

    with MisbehavingEndpoint(e.ok(), e.ok(), and_close, e.ok()) as endpoint:
        transport = Transport(
            Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m")), SETTINGS, width=4
        )
        for _ in range(4):
            assert transport.post("/v1/chat/completions", b"{}", 2).status == 200
        transport.close()
        assert (endpoint.calls, endpoint.connections) == (4, 2)
        assert endpoint.heads[0].startswith("POST /v1/chat/completions HTTP/1.1")
        assert f"Authorization: Bearer {KEY}" in endpoint.heads[0]


def test_a_post_is_never_sent_twice_by_the_transport():
    with MisbehavingEndpoint(e.ok(), e.reset, e.ok()) as endpoint:
        transport = Transport(
            Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m")), SETTINGS, width=4
        )
        transport.post("/v1/chat/completions", b"{}", 2)
        with pytest.raises(TransportFailure):
            transport.post("/v1/chat/completions", b"{}", 2)
        transport.close()
        assert endpoint.calls == 2


def test_a_key_quoted_back_goes_no_further():
    found = finding(e.error(401, f"Incorrect API key provided: {KEY}"))
    assert "planted" not in repr(found)
    found = finding(e.error(400, "Incorrect API key provided: sk-pla***6789"))
    assert "sk-pla" not in repr(found)


def test_the_probe_tells_what_came_of_it():
    with MisbehavingEndpoint(e.ok(), e.error(401, "wrong key"), e.reset) as endpoint:
        target = Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m", 500))
        good = probe.test_connection(target, SETTINGS)
        assert (good.ok, good.model) == (True, "m-1")
        assert endpoint.bodies[0]["max_tokens"] == 500  # as the config's calls
        bad = probe.test_connection(target, SETTINGS)
        assert (bad.ok, bad.http_status) == (False, 401)
        assert "wrong key" in bad.message
        assert not probe.test_connection(target, SETTINGS).ok


def test_the_list_of_models():
    models = e.http(200, {"data": [{"id": "b"}, {"id": "a"}]})
    with MisbehavingEndpoint(models, e.http(200, {"no": 1}), e.error(404)) as endpoint:
        target = Endpoint(1, "a", endpoint.base_url, KEY, Defaults("m"))
        assert probe.list_models(target, SETTINGS) == ["a", "b"]
        for expected in ("OpenAI's form", "404"):
            with pytest.raises(ConfigurationError, match=expected):
                probe.list_models(target, SETTINGS)
