"""Invalid schemas, values that do not fit, and schemas that would take forever."""

import json
import time

import pytest

from simple_batch.core.domain import Cause
from simple_batch.core.errors import InvalidInput
from simple_batch.core.schema import MAX_BYTES, NoJson, Schema, json_of, parse

from ..standstill import LONGEST_S, Standstill

PERSON = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 0}, "born": {"format": "date"}},
    "required": ["age"],
}
BOOK = {
    "type": "object",
    "properties": {
        "title": {"type": "string"},
        "author": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/person"}]},
        "readers": {"type": "array", "items": {"$ref": "#/$defs/person"}},
    },
    "required": ["title", "author"],
    "additionalProperties": False,
    "$defs": {"person": PERSON},
}


def nested(depth: int):
    value = {}
    for _ in range(depth):
        value = {"n": value}
    return value


def doubling(count: int, part) -> dict:
    """Each definition uses the next one twice, by ``part(reference)``."""
    defs = {f"a{n}": part({"$ref": f"#/$defs/a{n + 1}"}) for n in range(count)}
    return {"$ref": "#/$defs/a0", "$defs": {**defs, f"a{count}": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "place"),
    [
        ({"type": "objct"}, "#/type: a type is one of array, boolean"),
        ({"properties": {"a/b": {"type": 5}}}, "#/properties/a~1b/type"),
        ({"required": "a"}, '#/required: "a" is not of type "array"'),
        ({"properties": {"n": {"multipleOf": 0}}}, "#/properties/n/multipleOf"),
        ({"properties": {"a": {"$ref": "#/$defs/b"}}}, "#/properties/a/$ref: there is no"),
        ({"properties": {"a": {"$ref": "http://127.0.0.1:9/b"}}}, "another document"),
        ({"$ref": "file:///etc/passwd"}, "another document"),
        ({"$schema": "http://127.0.0.1:9/x", "type": "string"}, "#/$schema: 'http://127"),
        ({"$schema": 5}, "#/$schema"),
        ({"$schema": "http://json-schema.org/draft-07/schema#", "items": 5}, "#/items"),
        ({"properties": {"a": {"pattern": "("}}}, "#/properties/a/pattern"),
        ({"pattern": "(?=a)b"}, "lookaround"),
        ({"patternProperties": {r"(a)\1": {}}}, "#/patternProperties"),
        ({"pattern": "(a{1,1000}){1,1000}"}, "#/pattern"),
        ({"$ref": "#"}, "refers to itself"),
        ({"anyOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"not": {"$ref": "#"}}}}, "itself"),
        ({"properties": {"a": {"$id": "http://x/y", "type": "string"}}}, "outermost"),
        ({}, "no keyword"),
        ({"name": "what is it", "age": 5}, "no keyword"),
        ({"name": "x", "strict": True, "schema": PERSON}, "under “schema”"),
        ({"type": "json_schema", "json_schema": {"schema": PERSON}}, "#/type"),
        (doubling(20, lambda r: {"allOf": [r, r]}), "4,194,302 parts"),
        (doubling(20, lambda r: {"properties": {"a": r, "b": r}}), "4,194,302 parts"),
        ({"type": "string", "description": "x" * MAX_BYTES}, "longer than"),
        ({"type": "string", "title": "\ud800"}, "surrogate"),
    ],
)
def test_a_schema_that_is_none_is_refused_with_its_place(schema, place):
    with pytest.raises(InvalidInput) as refused:
        Schema(schema)
    assert place in str(refused.value)
    assert refused.value.field == "schema"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"type": "string",}', "line 1, column 1[89]"),
        ('{\n "type": }', "line 2, column 10"),
        ("[]", "must be a JSON object"),
        ("true", "must be a JSON object"),
        ("", "not JSON"),
        (b"\xff\xfe", "not UTF-8"),
        ('{"properties": {"a": {}, "a": {}}}', "“a” stands twice"),
        ('{"minimum": NaN}', "NaN is no number"),
        ("[" * 100_000, "Schema"),
        (" " * (MAX_BYTES + 1), "longer than"),
    ],
)
def test_text_that_is_no_schema_is_refused_with_its_line(text, expected):
    with pytest.raises(InvalidInput, match=expected):
        parse(text)


@pytest.mark.parametrize(
    ("value", "faults"),
    [
        ({"title": "", "author": None}, []),
        ({"title": "", "author": {"age": 3, "born": "2020-02-29"}}, []),
        ({}, ['"title" is a required property (at $)', '"author" is a required']),
        ({"title": 1, "author": None}, ['the value is not of type "string" (at $.title)']),
        ({"title": "", "author": {"age": "x"}}, ['not of type "integer" (at $.author.age)']),
        ({"title": "", "author": 5}, ["none of the 2 alternatives (at $.author)"]),
        ({"title": "", "author": None, "x": 1}, ["“x” is no property of the schema (at $)"]),
        (
            {"title": "", "author": None, "readers": [{"age": 1}, {"age": -1, "born": "1.1.1"}, 5]},
            ["minimum of 0 (at $.readers[1].age)", '"date" (at $.readers[1].born)', "readers[2]"],
        ),
        ([], ['not of type "object" (at $)']),
    ],
)
def test_what_does_not_fit_is_reported_with_its_place(value, faults):
    complaint = Schema(BOOK).fault(value)
    assert bool(complaint) == bool(faults)
    for fault in faults:
        assert fault in complaint


def test_every_keyword_gives_some_complaint():
    for schema, value in (
        ({"not": {"type": "string"}}, "x"),
        ({"oneOf": [{"type": "integer"}, {"minimum": 0}]}, 5),
        ({"if": {"required": ["a"]}, "then": {"required": ["b"]}}, {"a": 1}),
        ({"contains": {"const": 1}}, [2]),
        ({"propertyNames": {"maxLength": 1}}, {"ab": 1}),
        ({"dependentSchemas": {"a": {"required": ["b"]}}}, {"a": 1}),
        ({"patternProperties": {"^a": {"type": "string"}}}, {"ab": 1}),
        ({"type": "object", "unevaluatedProperties": False}, {"a": 1}),
        ({"prefixItems": [{"type": "string"}], "items": {"type": "integer"}}, ["a", "b"]),
        ({"properties": {"a": {"allOf": [{"type": "integer"}, {"minimum": 3}]}}}, {"a": 1}),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "maximum": 1, "exclusiveMaximum": True}, 1),
    ):  # fmt: skip
        checked = Schema(schema)
        assert checked.fault(value), schema
        assert len(checked.fault(value)) < 200


def test_patterns_and_nested_alternatives_take_no_time():
    began = time.monotonic()
    evil = Schema({"type": "string", "pattern": "^(a+)+$"})
    assert evil.fault("a" * 200_000 + "!")
    expression = Schema(
        {
            "anyOf": [
                {"type": "integer"},
                *[
                    {
                        "type": "object",
                        "properties": {"op": {"const": op}, "of": {"$ref": "#"}},
                        "required": ["op", "of"],
                    }
                    for op in "ABCDE"
                ],
            ]
        }
    )
    value = "wrong"
    for _ in range(40):
        value = {"op": "E", "of": value}
    assert "$.of.of" in expression.fault(value)
    twice = {"properties": {"n": {"$ref": "#"}}}
    assert Schema({"allOf": [twice, twice], "type": "object"}).fault(nested(200)) == ""
    assert time.monotonic() - began < 60  # of a moment; tried one by one they would take for ever


def test_a_huge_answer_to_a_huge_schema_is_not_checked_for_ever():
    properties = {f"p{n}": {"type": "string"} for n in range(4000)}
    huge = Schema({"properties": properties, "additionalProperties": {"enum": [1]}})
    value = {f"p{n}": "x" * 20 for n in range(4000)}
    assert huge.fault(value, json.dumps(value)) == ""
    every = Schema({"items": {"anyOf": [{"const": n} for n in range(4000)]}})
    assert every.fault([3999] * 100) == ""
    assert "too long" in every.fault([3999] * 1_000)


def test_columns_are_the_properties_in_the_order_of_the_schema():
    assert Schema(BOOK).columns == ["title", "author", "readers"]
    kinds = [{"properties": {"kind": {"const": kind}, kind: {}}} for kind in ("b", "a")]
    assert Schema({"oneOf": kinds, "properties": {"id": {}}}).columns == ["id", "kind", "b", "a"]
    assert (
        Schema({"$ref": "#/$defs/x", "$defs": {"x": BOOK, "person": PERSON}}).columns[0] == "title"
    )
    assert Schema({"type": "array", "items": PERSON}).columns == []


@pytest.mark.parametrize(
    ("change", "strict"),
    [
        ({}, True),
        ({"additionalProperties": True}, False),
        ({"required": []}, False),
        ({"properties": {"age": {"type": "integer"}, "x": {"allOf": [{}]}}}, False),
        ({"type": "array"}, False),
    ],
)
def test_strict_is_what_openais_strict_mode_takes(change, strict):
    schema = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    assert Schema({**schema, **change}).strict is strict


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (' \n[1, "二"]\n', [1, "二"]),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ('Here it is:\n\n```\n{"a": 1}\n```\nAnything else?', {"a": 1}),
        ('```{"a": 1}```', {"a": 1}),
        ('{"a": "```json\\n1\\n```"}', {"a": "```json\n1\n```"}),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('\ufeff```json\n\ufeff{"a": 1}\n```', {"a": 1}),
        ('```json {"a": 1}```', {"a": 1}),
        ('~~~json\n{"a": 1}\n~~~', {"a": 1}),
        ('~~~~\n{"a": "~~~"}\n~~~~', {"a": "~~~"}),
        ('Answer: ```JSON\r\n{"a": 1}\r\n``` ok?', {"a": 1}),
        ('```json\n{"a": "```x```"}\n```', {"a": "```x```"}),
        ('```json\n{"a": 1}', {"a": 1}),  # the closing fence is missing
        ('{"a": 1}\n```', {"a": 1}),  # the opening fence is in the prompt
        ('```python\nprint([1)\n```\n\n```json\n{"a": 1}\n```', {"a": 1}),
        ('```json\n{"a": 1}\n```\nAgain:\n```json\n{ "a" : 1 }\n```', {"a": 1}),
        ('```json\n{"a": 1}\n```\nThe [1] of {it}.', {"a": 1}),
        ('Sure! {"a": 1} Anything else?', {"a": 1}),
        ('Sure, for {name}: {"a": {"b": [1, "}"]}}. Done [1-3].', {"a": {"b": [1, "}"]}}),
        ("结果：[1, 2]。", [1, 2]),
        ("123456789012345678901234567890", 123456789012345678901234567890),
    ],
)
def test_json_is_found_alone_in_a_fence_or_between_words(text, value):
    assert json_of(text).value == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        '{"a": 1',
        "```json\n{\n```",
        "```\n1\n```\n```\n2\n```",
        "```\n1\n```\n```\ntrue\n```",
        "It is 42.",
        '{"a": 1}\n{"a": 2}',
        # a piece of something larger that cannot be read
        '[{"a": 1}, {"a": 2',
        '```json\n[{"a": 1}, {"a": 2\n```',
        '```json\n{"a": 1}\n```\n```json\n{"a": 2',
        '{"a": {"b": 1}, oops, "c": {"d": 1}}',
        '{"a": "}", oops: {"b": 1}}',
        "{'a': [1, 2]}",
        '"a": [1, 2]}',
        '{"a": [1, 2}]',
        '{"a": 1}, {"b": "x',
        "NaN",
        "1e999",
        "[" * 9999,
    ],
)
def test_what_is_no_json_is_reported(text):
    with pytest.raises(NoJson):
        json_of(text)


def test_of_several_values_the_one_that_fits_is_taken():
    schema = Schema({"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}})

    def read(text):
        found = schema.json_of(answer(choices=[{"message": {"content": text}}]))
        return found and found.value

    assert read('See [1]: {"a": 1}') == {"a": 1}
    assert read('```json\n{"a": "x"}\n```\n```json\n{"a": 1}\n```') == {"a": 1}
    assert read('{"a": 1} or {"a": 2}') is None
    assert read('{"b": 1} or {"b": 2}') is None
    assert read("".join(f'{{"a": "{n}"}}' for n in range(2_000)) + '{"a": 1}') is None


def test_an_answer_with_several_values_that_fit_is_complained_of():
    schema = Schema({"type": "object", "required": ["a"]})
    body = answer(choices=[{"message": {"content": '{"a": 1} or {"a": 2}'}}])
    assert schema.complaint(body) == (
        Cause.SCHEMA,
        "the answer does not fit the schema: it contains 2 different JSON values that fit",
    )


@pytest.mark.parametrize(
    "message",
    [
        {"content": '<think>Not {"age": "x"}</think>\n\n{"age": 1}'},
        {"content": 'So {"age": "x"}?\n</think>\n```json\n{"age": 1}\n```'},
        {"content": [{"type": "reasoning", "text": '{"age": 2}'}, {"type": "text", "text": '{"age": 1}'}]},
        {"content": '{"age": 1}', "reasoning_content": '{"age": 2}'},
    ],
)  # fmt: skip
def test_json_in_reasoning_is_no_answer(message):
    schema = Schema({"properties": {"age": {"type": "integer"}}, "required": ["age"]})
    found = schema.json_of(answer(choices=[{"message": message}]))
    assert found is not None and found.value == {"age": 1}


def test_reasoning_that_is_cut_off_holds_no_answer():
    schema = Schema({"properties": {"age": {"type": "integer"}}})
    body = answer(
        choices=[{"message": {"content": '<think>{"age": 1}'}, "finish_reason": "length"}]
    )
    assert schema.complaint(body) == (
        Cause.SCHEMA,
        "the answer does not fit the schema: it is empty; it was cut off at max_tokens",
    )


@pytest.mark.parametrize(
    "text",
    [
        "```{" * 1_000_000,
        "```\n" * 1_000_000,
        "{x} " * 400_000 + "[",
        "[ ] " * 400_000,
        "~~~````" * 500_000,
        '{"' * 200_000,
        "{" * 250_000 + "}" * 250_000,
    ],
)
def test_json_is_looked_for_quickly(text):
    with Standstill() as held, pytest.raises(NoJson):
        json_of(text + "x")
    assert held.longest_s < LONGEST_S


def answer(**fields) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("body", "cause", "expected"),
    [
        (answer(choices=[{"message": {"content": '{"age": 1}'}}]), None, ""),
        (answer(choices=[{"message": {"content": [{"type": "text", "text": '{"age": 1}'}]}}]), None, ""),
        (answer(choices=[{"text": '{"age": 1}'}]), None, ""),
        (
            answer(output=[{"type": "reasoning", "summary": []}, {"type": "message", "content": [
                {"type": "output_text", "text": '{"age": 1}'}]}]),
            None, "",
        ),
        (answer(choices=[{"message": {"content": None, "refusal": "I won't"}}]), Cause.CONTENT_FILTER, "I won't"),
        (answer(output=[{"content": [{"type": "refusal", "refusal": "no"}]}]), Cause.CONTENT_FILTER, "no"),
        (answer(choices=[{"message": {"content": ""}, "finish_reason": "content_filter"}]), Cause.CONTENT_FILTER, ""),
        (answer(choices=[{"message": {"content": '{"age": '}, "finish_reason": "length"}]), Cause.SCHEMA, "cut off"),
        (answer(output=[{"content": [{"text": "{"}]}], incomplete_details={"reason": "max_output_tokens"}), Cause.SCHEMA, "cut off"),
        (answer(choices=[{"message": {"content": "Sure!"}}]), Cause.SCHEMA, "not JSON (byte 0: Sure!)"),
        (answer(choices=[{"message": {"content": '{"a": [1,'}}]), Cause.SCHEMA, "ends too early"),
        (answer(choices=[{"message": {"content": None, "tool_calls": [{}]}}]), Cause.SCHEMA, "it is empty"),
        (answer(choices=[5]), Cause.SCHEMA, "it is empty"),
    ],
)  # fmt: skip
def test_an_answer_is_judged(body, cause, expected):
    complaint = Schema(PERSON).complaint(body)
    assert (complaint[0] if complaint else None) == cause
    assert expected in (complaint[1] if complaint else "")
