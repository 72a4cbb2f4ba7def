"""Answers with a schema, over a real socket: requested, checked, sent back."""

import json

import msgspec
import pytest

from simple_batch.core.domain import Cause, RequestStatus, Usage
from simple_batch.core.schema import Schema
from simple_batch.engine.governor import Governor
from simple_batch.engine.structured_output import Structure

from .. import endpoint as e
from ..conftest import wait_until
from ..endpoint import MisbehavingEndpoint
from .conftest import POLICY, request

SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
LOOSE = {"type": "object", "properties": {"n": {"type": "integer"}}}
RESPONSE = {
    "output": [{"type": "message", "content": [{"type": "output_text", "text": '{"n": 1}'}]}]
}


def shape(schema=SCHEMA, mode="send", again=False, received=None):
    note = (
        (lambda *change: received.append(change))
        if received is not None
        else (lambda *change: None)
    )
    return Structure(Schema(schema), mode, again, note)


@pytest.mark.parametrize(
    ("mode", "schema", "sent"),
    [
        (
            "send", SCHEMA,
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
        ),
        (
            "send", LOOSE,
            {"type": "json_schema", "json_schema": {"name": "answer", "schema": LOOSE, "strict": False}},
        ),
        ("object", SCHEMA, {"type": "json_object"}),
        ("check", SCHEMA, None),
    ],
)  # fmt: skip
def test_an_answer_that_fits_succeeds_and_is_asked_for_as_chosen(bench, mode, schema, sent):
    with MisbehavingEndpoint(e.says('```json\n{"n": 1}\n```')) as endpoint:
        run = bench(endpoint, structure=shape(schema, mode))
        run.run(1)
        assert run.outcomes[0].status is RequestStatus.SUCCEEDED
        assert endpoint.bodies[0].get("response_format") == sent


def test_an_answer_that_does_not_fit_is_final_unless_it_is_to_be_sent_back(bench):
    with MisbehavingEndpoint(e.says({"n": "x"})) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(1)
        (outcome,) = run.outcomes
        assert (outcome.status, outcome.cause, endpoint.calls) == (
            RequestStatus.FAILED,
            Cause.SCHEMA,
            1,
        )
        assert 'is not of type "integer" (at $.n)' in outcome.message
        assert outcome.http_status == 200
        assert b"choices" in outcome.response
        assert outcome.attempts[0].usage == Usage(7, 3, 2, 1)


def test_the_second_asking_holds_the_answer_and_the_complaint(bench):
    answers = (e.says({"n": "x"}), e.error(500), e.says("so\n`no`"), e.says({"n": 2}))
    with MisbehavingEndpoint(*answers) as endpoint:
        policy = msgspec.structs.replace(POLICY, max_retries=3)
        run = bench(endpoint, structure=shape(again=True), policy=policy)
        run.run(1)
        (outcome,) = run.outcomes
        assert outcome.status is RequestStatus.SUCCEEDED
        assert [attempt.cause for attempt in outcome.attempts] == [
            Cause.SCHEMA,
            Cause.SERVER_ERROR,
            Cause.SCHEMA,
            None,
        ]
        assert sum(a.usage.total for a in outcome.attempts if a.usage) == 20  # of both failures
        first, second, third, fourth = (body["messages"] for body in endpoint.bodies)
        assert [message["role"] for message in first] == ["user"]
        assert second[:1] == first
        assert second[1] == {"role": "assistant", "content": '{"n": "x"}'}
        assert 'is not of type "integer" (at $.n)' in second[2]["content"]
        assert third == second  # no call was answered yet
        assert [message["content"] for message in fourth[:2]] == ["question 0", "so\n`no`"]
        assert len(fourth) == 3
        assert endpoint.bodies[3]["response_format"]["type"] == "json_schema"


def test_one_that_never_fits_ends_after_max_retries_each_paid_for(bench):
    with MisbehavingEndpoint(e.says([1])) as endpoint:
        run = bench(endpoint, structure=shape(again=True))
        run.run(1)
        (outcome,) = run.outcomes
        assert endpoint.calls == 1 + POLICY.max_retries
        assert outcome.cause is Cause.SCHEMA
        assert [attempt.usage for attempt in outcome.attempts] == [Usage(7, 3, 2, 1)] * 3


def test_a_long_answer_is_sent_back_cut(bench):
    with MisbehavingEndpoint(e.says("x" * 100_000), e.says({"n": 1})) as endpoint:
        run = bench(endpoint, structure=shape(again=True))
        run.run(1)
        assert len(json.dumps(endpoint.bodies[1])) < 25_000


def test_a_refusal_is_final_and_the_content_filters(bench):
    refused = e.says(None, message={"refusal": "I cannot help with that."})
    with MisbehavingEndpoint(refused) as endpoint:
        run = bench(endpoint, structure=shape(again=True))
        run.run(1)
        assert endpoint.calls == 1
        assert run.outcomes[0].cause is Cause.CONTENT_FILTER
        assert "I cannot help" in run.outcomes[0].message


REFUSALS = (
    "Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model.",
    "This model does not support structured outputs",
    "unknown field `response_format`",
)


@pytest.mark.parametrize("message", REFUSALS)
def test_an_endpoint_that_refuses_is_asked_in_an_easier_way(bench, message):
    received = []
    script = [e.error(400, message)] * 3 + [e.says({"n": 1})]
    with MisbehavingEndpoint(*script) as endpoint:
        policy = msgspec.structs.replace(POLICY, max_retries=0)
        run = bench(
            endpoint,
            structure=shape(received=received),
            governor=Governor(concurrency=1),
            policy=policy,
        )
        assert run.run(1) is None
        assert run.run(2) is None  # the result is remembered
        assert {outcome.status for outcome in run.outcomes} == {RequestStatus.SUCCEEDED}
        asked = [body.get("response_format") for body in endpoint.bodies]
        assert [form and form["type"] for form in asked] == [
            "json_schema",
            "json_schema",
            "json_object",
            None,
            None,
            None,
        ]
        assert [form["json_schema"]["strict"] for form in asked[:2]] == [True, False]
        assert received == [
            ("json_schema (strict)", "json_schema"),
            ("json_schema", "json_object"),
            ("json_object", "nothing"),
        ]


def test_refusals_that_come_at_once_ease_one_step_only(bench):
    def refuses(connection):
        wait_until(lambda: endpoint.calls >= 5)
        connection.sendall(e.error(400, "response_format is not supported"))

    with MisbehavingEndpoint(*[refuses] * 5, e.says({"n": 1})) as endpoint:
        received = []
        run = bench(
            endpoint, structure=shape(LOOSE, received=received), governor=Governor(concurrency=5)
        )
        run.run(5)
        assert {outcome.status for outcome in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert received == [("json_schema", "json_object")]
        assert endpoint.calls == 10


def test_another_400_is_the_requests_own(bench):
    with MisbehavingEndpoint(e.error(400, "temperature must be below 2")) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(1)
        assert (endpoint.calls, run.outcomes[0].cause) == (1, Cause.BAD_REQUEST)


def test_a_request_that_says_its_own_format_keeps_it(bench):
    own = b'{"messages":[{"role":"user","content":"q"}],"response_format":{"type":"text"}}'
    with MisbehavingEndpoint(e.error(400, "response_format is wrong")) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(requests=iter([request(body=own)]))
        assert endpoint.bodies == [
            {**json.loads(own), "model": "m", "max_tokens": 50, "temperature": 0.5}
        ]
        assert run.outcomes[0].cause is Cause.BAD_REQUEST
        assert run.structure.rung == 0


@pytest.mark.parametrize("given", ["hi", [{"role": "user", "content": "hi"}]])
def test_responses_are_asked_in_their_own_form(bench, given):
    wrong = {"output": [{"type": "message", "content": [{"type": "output_text", "text": "no"}]}]}
    with MisbehavingEndpoint(e.http(200, wrong), e.http(200, RESPONSE)) as endpoint:
        run = bench(endpoint, structure=shape(again=True))
        body = json.dumps({"input": given, "text": {"verbosity": "low"}}).encode()
        run.run(requests=iter([request(body=body, url="/v1/responses")]))
        assert run.outcomes[0].status is RequestStatus.SUCCEEDED
        form = {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True}
        assert endpoint.bodies[0]["text"] == {"format": form, "verbosity": "low"}
        sent = endpoint.bodies[1]["input"]
        assert [message["role"] for message in sent] == ["user", "assistant", "user"]
        assert sent[0]["content"] == "hi"
        assert "not JSON" in sent[2]["content"]


def test_without_the_schema_in_the_request_the_second_asking_names_it(bench):
    with MisbehavingEndpoint(e.says("no"), e.says({"n": 1})) as endpoint:
        run = bench(endpoint, structure=shape(mode="check", again=True))
        run.run(1)
        assert (
            json.dumps(SCHEMA, separators=(",", ":"))
            in endpoint.bodies[1]["messages"][2]["content"]
        )
