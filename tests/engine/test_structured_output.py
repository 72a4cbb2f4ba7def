"""Answers with a schema, over a real socket: requested, checked, sent back."""

import json

import msgspec
import pytest

from simple_batch.core.call_prices import Usage
from simple_batch.core.domain import Cause, RequestStatus
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
        (result,) = run.outcomes
        assert (result.status, result.cause, endpoint.calls) == (
            RequestStatus.FAILED,
            Cause.SCHEMA,
            1,
        )
        assert 'is not of type "integer" (at $.n)' in result.message
        assert result.http_status == 200
        assert b"choices" in result.response
        assert result.attempts[0].usage == Usage(7, 3, 2, 1)


def test_the_second_asking_holds_the_answer_and_the_complaint(bench):
    answers = (e.says({"n": "x"}), e.error(500), e.says("so\n`no`"), e.says({"n": 2}))
    with MisbehavingEndpoint(*answers) as endpoint:
        policy = msgspec.structs.replace(POLICY, max_retries=3)
        run = bench(endpoint, structure=shape(again=True), policy=policy)
        run.run(1)
        (result,) = run.outcomes
        assert result.status is RequestStatus.SUCCEEDED
        assert [attempt.cause for attempt in result.attempts] == [
            Cause.SCHEMA,
            Cause.SERVER_ERROR,
            Cause.SCHEMA,
            None,
        ]
        assert sum(a.usage.total for a in result.attempts if a.usage) == 20  # of both failures
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
        (result,) = run.outcomes
        assert endpoint.calls == 1 + POLICY.max_retries
        assert result.cause is Cause.SCHEMA
        assert [attempt.usage for attempt in result.attempts] == [Usage(7, 3, 2, 1)] * 3


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


def fastapi(*loc):
    fault = {"type": "literal_error", "loc": ["body", *loc], "msg": "Input should be 'text'"}
    return {"detail": [{**fault, "input": {"type": "json_schema"}}]}


REJECTIONS = (
    e.error(400, "Invalid parameter: 'response_format' of type 'json_schema' is not supported"),
    e.error(400, "This model does not support structured outputs"),
    e.error(422, "unknown field `response_format`"),
    e.http(404, {"error": {"message": "No endpoints support the parameters: response_format"}}),
    e.http(500, {"error": {"message": str(fastapi("response_format", "type")["detail"]),
                           "type": "internal_server_error"}}),  # llama-cpp-python
    e.http(422, fastapi("response_format", "type")),
    e.http(422, {"detail": [{"loc": ["body", "response_format"], "msg": "Extra inputs", "type": "x"}]}),
    e.http(400, [{"error": {"code": 400, "status": "INVALID_ARGUMENT", "message":
                 "Unknown name \"additionalProperties\" at 'generation_config.response_schema'"}}]),
    e.error(400, "The specified schema produces a constraint that has too many states for serving."),
    e.error(400, "The provided JSON schema contains features not supported by xgrammar."),
    e.error(400, "Grammar error: Unimplemented keys: [minLength]"),
    e.http(400, {"error": {"message": "not allowed here", "param": "response_format"}}),
    e.error(500, "Grammar error: Unimplemented keys: [propertyNames]"),
    e.error(501, "guided decoding is switched off"),
    e.error(403, "response_format is not part of your plan"),
    e.error(400, "该模型不支持结构化输出"),
    e.error(418, "I cannot brew to an output schema"),
    e.http(400, {"error": {"message": "Keyword oneOf is beyond me"}}),
    e.http(200, {"error": {"code": 400, "message": "json_schema: no such mode"}}),
)  # fmt: skip


@pytest.mark.parametrize("rejection", REJECTIONS)
def test_an_endpoint_that_rejects_the_parameter_is_asked_in_an_easier_way(bench, rejection):
    received = []
    script = [rejection] * 3 + [e.says({"n": 1})]
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
        assert {result.status for result in run.outcomes} == {RequestStatus.SUCCEEDED}
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
        assert {result.status for result in run.outcomes} == {RequestStatus.SUCCEEDED}
        assert received == [("json_schema", "json_object")]
        assert endpoint.calls == 10


@pytest.mark.parametrize(
    "other",
    [
        e.error(400, "temperature must be below 2"),
        e.error(400, "Invalid schema for function 'f': oneOf is not allowed"),
        e.error(400, "Invalid JSON schema for tool 'f': oneOf is not allowed"),
        e.http(422, fastapi("temperature")),
        e.http(422, {"detail": [{"loc": ["body", "n"], "msg": "too small",
                                 "input": {"response_format": {"type": "json_schema"}}}]}),
    ],
)  # fmt: skip
def test_another_rejection_is_the_requests_own(bench, other):
    with MisbehavingEndpoint(other) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(1)
        assert (endpoint.calls, run.outcomes[0].cause) == (1, Cause.BAD_REQUEST)
        assert run.structure.level == 0


@pytest.mark.parametrize(
    "failure",
    [
        e.http(400, {"error": {"code": "json_validate_failed", "failed_generation": "{'a'",
                               "message": "Generated JSON does not match the expected schema."}}),
        e.http(400, {"error": {"message": "try harder", "failed_generation": "json_schema"}}),
        e.error(422, "The model's output does not fit the JSON schema"),
        e.error(500, "generated text is not valid for response_format json_schema"),
        e.error(400, "Failed to generate JSON. Please adjust your prompt."),
    ],
)  # fmt: skip
def test_a_generation_that_fails_the_provider_s_check_is_retried_as_it_is(bench, failure):
    with MisbehavingEndpoint(failure, e.says({"n": 1})) as endpoint:
        run = bench(endpoint, structure=shape(again=True))
        run.run(1)
        assert run.outcomes[0].status is RequestStatus.SUCCEEDED
        assert endpoint.bodies[0] == endpoint.bodies[1]
        assert run.structure.level == 0


@pytest.mark.parametrize("status", [429, 401, 408, 503])
def test_a_failure_of_another_kind_that_names_the_parameter_relaxes_nothing(bench, status):
    with MisbehavingEndpoint(e.error(status, "response_format json_schema"), e.ok()) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(1)
        assert run.structure.level == 0


def test_a_request_that_says_its_own_format_keeps_it(bench):
    own = b'{"messages":[{"role":"user","content":"q"}],"response_format":{"type":"text"}}'
    with MisbehavingEndpoint(e.error(400, "response_format is wrong")) as endpoint:
        run = bench(endpoint, structure=shape())
        run.run(requests=iter([request(body=own)]))
        assert endpoint.bodies == [
            {**json.loads(own), "model": "m", "max_tokens": 50, "temperature": 0.5}
        ]
        assert run.outcomes[0].cause is Cause.BAD_REQUEST
        assert run.structure.level == 0


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
        assert "ends too early" in sent[2]["content"]


def test_without_the_schema_in_the_request_the_second_asking_names_it(bench):
    with MisbehavingEndpoint(e.says("no"), e.says({"n": 1})) as endpoint:
        run = bench(endpoint, structure=shape(mode="check", again=True))
        run.run(1)
        assert (
            json.dumps(SCHEMA, separators=(",", ":"))
            in endpoint.bodies[1]["messages"][2]["content"]
        )
