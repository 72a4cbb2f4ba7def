"""Requests that all fail alike stop the job, whatever the words: on a real socket."""

import json
import re

import msgspec
import pytest

from simple_batch.core.domain import Cause, RequestResult, RequestStatus
from simple_batch.engine.alike import AlikeFailures
from simple_batch.engine.failure_guard import GuardPolicy
from simple_batch.engine.governor import Governor

from .. import endpoint as e
from ..endpoint import MisbehavingEndpoint
from .conftest import POLICY
from .test_outage import watched

INVENTED = [
    e.error(400, "Your zorbloks are depleted; request {n} cannot be glimmered"),
    e.error(422, 'Field "q{n}" of body 8f3a-{n} is out of season'),
    e.http(418, b"teapots only, says node-{n}", kind="text/plain"),
    e.error(400, "此星域暂不接待访客（编号 {n}）"),
    e.error(500, "Internal confusion at 2026-11-28T12:00:{n}Z, trace abc{n}"),
]


class Numbered(MisbehavingEndpoint):
    """Puts the number of the call into each error."""

    def _next(self, head, body):
        behaviour = super()._next(head, body)
        if isinstance(behaviour, bytes) and b"{n}" in behaviour:
            head, _, text = behaviour.partition(b"\r\n\r\n")
            text = text.replace(b"{n}", str(1000 + self.calls).encode())
            lines = [line for line in head.split(b"\r\n") if b"Content-Length" not in line]
            return b"\r\n".join([*lines, b"Content-Length: %d" % len(text)]) + b"\r\n\r\n" + text
        return behaviour


def guarded(bench, endpoint, policy=None, concurrency=2):
    run = bench(endpoint, governor=Governor(concurrency=concurrency))
    run.pool._guard = type(run.pool._guard)(policy or GuardPolicy())
    return run


@pytest.mark.parametrize("error", INVENTED)
def test_ten_requests_that_fail_alike_stop_the_job(bench, error):
    with Numbered(error) as endpoint:
        run = guarded(bench, endpoint)
        stop = run.run(100)
        assert stop.reason == "same_failure"
        assert stop.detail.startswith("Requests failed in a row (10)")
        assert re.search(r"(?<!\d)1[01]\d\d(?!\d)", stop.detail)  # a real message, with its number
        assert run.outcomes == []
        assert len(run.loose) >= 10  # their attempts are noted


def test_the_message_that_is_shown_is_the_providers(bench):
    with MisbehavingEndpoint(e.error(400, "no zorbloks left")) as endpoint:
        stop = guarded(bench, endpoint).run(20)
        assert "HTTP 400: no zorbloks left" in stop.detail


def test_a_success_in_between_starts_the_count_again(bench):
    script = ([e.error(400, "out of season")] * 9 + [e.ok()]) * 6
    with MisbehavingEndpoint(*script) as endpoint:
        run = guarded(bench, endpoint, GuardPolicy(first=10, later=10), concurrency=1)
        assert run.run(60) is None
        failed = [one for one in run.outcomes if one.status is RequestStatus.FAILED]
        assert len(run.outcomes) == 60
        assert len(failed) == 54


def test_after_a_success_more_are_needed(bench):
    with MisbehavingEndpoint(e.ok(), e.error(400, "out of season")) as endpoint:
        run = guarded(bench, endpoint, GuardPolicy(first=3, later=20), concurrency=1)
        assert run.run(100).reason == "same_failure"
        assert endpoint.calls == 21
        assert [one.status for one in run.outcomes] == [RequestStatus.SUCCEEDED]
        assert sorted(run.loose) == list(range(1, 21))


@pytest.mark.parametrize(
    "error",
    [
        e.error(400, "blocked", "content_filter"),
        e.error(400, "This model's maximum context length is 10 tokens", "context_length_exceeded"),
    ],
)
def test_what_concerns_one_request_does_not_stop_the_job(bench, error):
    with MisbehavingEndpoint(error) as endpoint:
        run = guarded(bench, endpoint)
        assert run.run(40) is None
        assert len(run.outcomes) == 40


def test_fewer_requests_than_the_limit_fail(bench):
    with MisbehavingEndpoint(e.error(400, "out of season")) as endpoint:
        run = guarded(bench, endpoint)
        assert run.run(9) is None
        assert len(run.outcomes) == 9


def test_different_failures_do_not_add_up(bench):
    script = [e.error(400, text) for text in MANY_MESSAGES]
    with MisbehavingEndpoint(*script) as endpoint:
        run = guarded(bench, endpoint, GuardPolicy(first=4, later=4), concurrency=1)
        assert run.run(len(script)) is None
        assert len(run.outcomes) == len(script)


def test_excused_failures_are_recorded_first(bench):
    with MisbehavingEndpoint(e.error(400, "out of season")) as endpoint:
        run = guarded(bench, endpoint, GuardPolicy(first=5, later=5, excused=30), concurrency=1)
        assert run.run(100).reason == "same_failure"
        assert len(run.outcomes) == 30
        assert len(run.loose) == 5


MANY_MESSAGES = [
    "the field colour must be a string",
    "image cannot be decoded",
    "tool get_weather has no description",
    "too many stop sequences",
    "role banana is unknown",
    "temperature out of range",
    "duplicate keys in logit_bias",
    "audio format unsupported here",
]


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        ("no such thing 'abc'", "no such thing 'xyz and more'", True),
        ("Request req_01AbC failed", "Request req_99Zz failed", True),
        ("user anna.b@example.org is banned", "user otto@example.com is banned", True),
        ("Limit 30000, Requested 41000", "Limit 30000, Requested 55123", True),
        ("编号 12 的账户灵石不足", "编号 987 的账户灵石不足", True),
        ("", "", True),
        ("12345", "6789", True),
        (
            "The parameter messages is not understood: What is the capital of France and why so?",
            "The parameter messages is not understood: Translate this into Dutch, please: good day",
            True,
        ),
        (
            "Parsing of Tell me a very long story about a cat and its owner at sea failed here, sorry",
            "Parsing of Sum up what follows in one short line for my old uncle failed here, sorry",
            True,
        ),
        (
            "Invalid value in the request: seed of",
            "Invalid image beside the prompt: odd colours",
            False,
        ),
        ("no zorbloks left in your account", "the model foo does not exist", False),
        ("image cannot be decoded", "role banana is unknown", False),
    ],
)
def test_what_varies_between_messages_is_ignored(one, other, alike):
    failures = AlikeFailures()
    failures.add(_failed(one))
    assert failures.add(_failed(other)) == (2 if alike else 1)
    assert failures.add(_failed(one, http_status=409)) == 1
    assert failures.add(_failed(one, cause=Cause.SERVER_ERROR)) == 1


def test_a_hostile_message_is_compared_quickly():
    failures = AlikeFailures()
    for n in range(60):
        failures.add(_failed(json.dumps([f"“'`\"{n}" * 100, "a" * 300])[:500]))


def _failed(message, cause=Cause.BAD_REQUEST, http_status=400):
    return RequestResult(0, RequestStatus.FAILED, (), 0, 0, 0, None, cause, http_status, message)


def test_refusals_without_end_stop_the_job_whatever_they_say(bench):
    with MisbehavingEndpoint(e.error(429, "your zorbloks are all gone, friend")) as endpoint:
        policy = msgspec.structs.replace(POLICY, patience_s=0.5)
        run = watched(bench, endpoint, policy=policy, governor=Governor(concurrency=2))
        stop = run.run(20)
        assert stop.reason == "rate_limit"
        assert stop.until is None
        assert "your zorbloks are all gone, friend (t). The provider has accepted no" in stop.detail
        assert run.outcomes == []


def test_refusals_with_answers_in_between_do_not(bench):
    refusal = e.error(429, "slow down", None, "Retry-After: 0.15")
    with MisbehavingEndpoint(*[refusal, e.ok()] * 3) as endpoint:
        policy = msgspec.structs.replace(POLICY, patience_s=0.4)
        run = watched(bench, endpoint, policy=policy, governor=Governor(concurrency=1))
        assert run.run(3) is None
        assert len(run.outcomes) == 3
