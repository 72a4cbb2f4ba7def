"""The demo endpoint answers in the shape that a request asks for."""

import json

import pytest
import requests

from simple_batch.core.schema import Schema
from simple_batch.services import answer_scores
from simple_batch.services.demo_endpoint import DemoEndpoint

TREE = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "children": {"type": "array", "items": {"$ref": "#"}},
    },
    "required": ["name", "children"],
}
OBJECT = {"type": "object", "required": ["a"]}
SCHEMAS = [
    answer_scores.SCHEMA,
    TREE,
    {**OBJECT, "properties": {"a": {"enum": ["good", "bad"]}, "b": {"const": 3}}},
    {**OBJECT, "properties": {"a": {"type": ["null", "number"], "minimum": 2, "maximum": 2.5}}},
    {**OBJECT, "properties": {"a": {"type": "integer", "exclusiveMinimum": 7, "multipleOf": 5}}},
    {**OBJECT, "properties": {"a": {"type": "number", "exclusiveMaximum": 0, "minimum": -1}}},
    {**OBJECT, "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "boolean"}]}}},
    {**OBJECT, "properties": {"a": {"allOf": [{"type": "string"}, {"maxLength": 5}]}}},
    {**OBJECT, "properties": {"a": {"type": "string", "minLength": 500}}},
    {**OBJECT, "properties": {"a": {"type": "string", "format": "date"}}},
    {**OBJECT, "properties": {"a": {"type": "array", "minItems": 4, "items": {"type": "null"}}}},
    {**OBJECT, "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "boolean"}}},
]


@pytest.fixture(scope="module")
def demo():
    endpoint = DemoEndpoint(latency=0, fail=0)
    yield endpoint
    endpoint.stop()


def asked(schema, question: str = "why?") -> dict:
    shape = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema, "strict": True}}
    return {"messages": [{"role": "user", "content": question}], "response_format": shape}


def chat(demo, body: dict):
    return requests.post(f"{demo.base_url}/chat/completions", json=body, timeout=60)


def content(answer) -> str:
    return answer.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("schema", SCHEMAS, ids=str)
def test_an_answer_fits_its_schema(demo, schema):
    for question in ("why?", "为什么？", "how far?"):
        found = json.loads(content(chat(demo, asked(schema, question))))
        assert Schema(schema).fault(found) == "", found


def test_other_shapes(demo):
    body = asked({})
    plain = content(chat(demo, {"messages": body["messages"]}))
    body["response_format"] = {"type": "json_object"}
    assert json.loads(content(chat(demo, body))) == {"answer": plain}
    body["response_format"] = {"type": "text"}
    assert content(chat(demo, body)) == plain
    form = {"type": "json_schema", "name": "x", "schema": answer_scores.SCHEMA}
    given = {"input": "why?", "text": {"format": form}}
    answer = requests.post(f"{demo.base_url}/responses", json=given, timeout=60).json()
    found = json.loads(answer["output"][0]["content"][0]["text"])
    assert set(found) == {"score", "reason"} and found["reason"] == plain


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "array", "maxItems": "many"},
        {"type": "integer", "multipleOf": 0},
        {**TREE, "required": ["next"], "properties": {"next": {"$ref": "#"}}},
        {"properties": {str(n): {"$ref": "#"} for n in range(9)}},
        {"properties": [1]},
        {"enum": 5},
    ],
    ids=str,
)
def test_a_schema_without_an_answer_is_refused(demo, schema):
    answer = chat(demo, asked(schema))
    assert answer.status_code == 400, answer.text
    assert "schema" in answer.json()["error"]["message"]
