"""Schemas and answers made to keep the server busy: refused, or checked in a bounded number of
steps."""

import json
import time
from functools import reduce

import pytest

from simple_batch.core.errors import InvalidInput
from simple_batch.core.schema import NoJson, Schema, json_of, parse, work
from simple_batch.core.schema.graph import Graph
from simple_batch.core.schema.patterns import size_of
from simple_batch.core.schema.weights import Weights

HANG_S = 5  # a guard against a hang: all of these take well under 0.2 s where nothing else runs
NAMES = [f"n{n}" for n in range(9_000)]
SHORT = [{"a": n} for n in range(9_000)]
TREE = {"properties": {"c": {"$ref": "#"}}}
UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")


def nested(depth: int) -> dict:
    return reduce(lambda inside, _: {"c": inside}, range(depth), {})


def brackets(count: int) -> list:
    """All arrays of arrays that are written with this number of bracket pairs."""
    found = [[[]]]
    for size in range(1, count + 1):
        found.append(
            [[one, *rest] for n in range(size) for one in found[n] for rest in found[size - 1 - n]]
        )
    return found[count]


TOO_LONG = {
    "dependentRequired": ({"items": {"dependentRequired": {n: ["x"] for n in NAMES}}}, [{}] * 50_000),
    "dependentRequired of many": ({"items": {"dependentRequired": {"a": NAMES}}}, [{"a": 1}] * 50_000),
    "dependencies of draft 7": (
        {"$schema": "http://json-schema.org/draft-07/schema#", "items": {"dependencies": {n: ["x"] for n in NAMES}}},
        [{}] * 50_000,
    ),
    "required": ({"items": {"required": NAMES}}, [{}] * 50_000),
    "multipleOf": ({"items": {"multipleOf": 1e-300}}, [1e300 + n * 1e290 for n in range(50_000)]),
    "multipleOf of great numbers": ({"items": {"multipleOf": 0.01}}, [int("9" * 4_000)] * 250),
    "multipleOf with exponents": ({"items": {"multipleOf": 0.5}}, [1e308, 1.5e-300] * 25_000),
    "minimum of great numbers": ({"items": {"minimum": int("7" * 4_000)}}, [int("9" * 4_000)] * 250),
    "enum of objects": ({"items": {"enum": SHORT}}, [{"a": 8_999}] * 50_000),
    "enum of all kinds": ({"items": {"enum": [*NAMES, 1.5, [1]]}}, ["n8999"] * 50_000),
    "enum of great numbers": ({"items": {"enum": [10**20 + n for n in range(8_000)]}}, [10**20] * 900),
    "alternatives": ({"items": {"anyOf": [{"const": n} for n in range(4_000)]}}, [3_999] * 30_000),
    "const": ({"items": {"anyOf": [{"const": [SHORT[:4_000]]}] * 2}}, [[SHORT[:4_000]]] * 100),
    "uniqueItems of great numbers": ({"uniqueItems": True}, [10**30 + n for n in range(30_000)]),
    "uniqueItems of 64 bits": ({"uniqueItems": True}, [2**63 + n for n in range(20_000)]),
    "uniqueItems of 62 bits": ({"uniqueItems": True}, [2**62 + n for n in range(20_000)]),
    "uniqueItems of brackets": ({"uniqueItems": True}, brackets(10)),
    "uniqueItems deep inside": (
        {"type": "array", "uniqueItems": True, "items": {"$ref": "#"}},
        [[2**63 + n] for n in range(5_000)],
    ),
    "a pattern of many states": ({"pattern": "[ab]*a[ab]{500}[cd]"}, "ab" * 100_000),
    "a pattern of alternatives": ({"pattern": "^(.*a.{60}){8}[^a-z]"}, "ab" * 100_000),
    "names and patterns": (
        {"items": {"patternProperties": {f"a{n}.*b$": True for n in range(1_000)}}},
        [{"k": 1}] * 30_000,
    ),
    "contains and what is left": (
        {"anyOf": [{"contains": {"enum": SHORT[:50]}}] * 20, "unevaluatedItems": {"type": "string"}},
        list(range(50_000)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", TOO_LONG)
def test_an_answer_that_would_hold_the_server_is_not_checked(name):
    schema, value = TOO_LONG[name]
    checked = Schema(schema)
    text = json.dumps(value)
    began = time.thread_time()
    assert checked.fault(value, text) == "it is too long to be checked against this schema"
    assert checked.fault(value) == "it is too long to be checked against this schema"
    assert time.thread_time() - began < HANG_S


def deep(depth: int, keyword: str, inside: dict) -> dict:
    return reduce(lambda inner, _: {"allOf": [inner], keyword: False}, range(depth), inside)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        *((deep(20, keyword, {"type": "array"}), "parts; up to 20,000") for keyword in UNEVALUATED),
        ({"properties": {n: {"pattern": r"(\w{1,9}\pL){3}" + n} for n in NAMES[:2_000]}}, "its repeats written out"),
        ({"patternProperties": {rf"^\w{{9}}{n}": True for n in NAMES[:3_000]}}, "at #/patternProperties"),
        ({"properties": {"a": {"pattern": "(a{1,1000}){1,1000}"}}}, "at #/properties/a/pattern"),
        (
            {"properties": {"a" * 90_000: {"properties": {n: {} for n in NAMES[:5_000]}}}, "type": "object"},
            "within such long names",
        ),
    ],
)  # fmt: skip
def test_a_schema_that_would_take_long_is_refused(schema, expected):
    began = time.thread_time()
    with pytest.raises(InvalidInput, match=expected):
        Schema(schema)
    assert time.thread_time() - began < HANG_S


def test_a_name_that_stands_twice_behind_many_is_found_in_a_moment():
    names = ",".join(f'"{n}":1' for n in range(18_000))
    began = time.thread_time()
    with pytest.raises(InvalidInput, match="“last” stands twice"):
        parse(f'{{"enum": [{{{names}, "last": 1, "last": 2}}]}}')
    assert time.thread_time() - began < HANG_S


FITTING = {
    "prices": ({"items": {"multipleOf": 0.01}}, [12.34] * 10_000),
    "ids of 18 digits": ({"uniqueItems": True}, [10**17 + 7_919 * n for n in range(1_000)]),
    "names that differ": ({"uniqueItems": True}, [f"name {n}" for n in range(50_000)]),
    "rows that differ": ({"uniqueItems": True}, [{"id": n, "of": [n, {"a": -n}]} for n in range(9_000)]),
    "dates": ({"items": {"pattern": r"^\d{4}-\d{2}-\d{2}$"}}, ["2026-01-31"] * 20_000),
    "an address": ({"pattern": r"^[\w.+-]{1,64}@[\w-]{1,63}(\.[\w-]{2,63}){1,4}$"}, "a@example.org"),
    "a hundred words": ({"items": {"enum": NAMES[:100]}}, NAMES[:100] * 300),
    "a tree with nothing else in it": ({**TREE, "unevaluatedProperties": False}, nested(200)),
    "a deep tree by reference": ({"allOf": [TREE, TREE], "unevaluatedProperties": False}, nested(200)),
    "many rows": (
        {"items": {"properties": {n: {"type": "integer"} for n in NAMES[:50]}, "required": NAMES[:50],
                   "additionalProperties": False}},
        [dict.fromkeys(NAMES[:50], 1)] * 300,
    ),
    "one of many properties": ({"properties": {n: {"type": "string"} for n in NAMES[:4_000]}}, {"n1": "x" * 900_000}),
}  # fmt: skip


@pytest.mark.parametrize("name", FITTING)
def test_answers_as_there_are_still_fit(name):
    schema, value = FITTING[name]
    checked = Schema(schema)
    assert checked.fault(value, json.dumps(value)) == ""
    assert checked.fault(value) == ""


def steps(schema: dict, value) -> int:
    graph = Graph(schema)
    graph.check()
    return work.Work(graph, Weights(graph)).cost("#", value)


def test_work_grows_with_the_value_and_with_the_schema():
    each = {"items": {"dependentRequired": {n: ["x"] for n in NAMES[:200]}}}
    more = {"items": {"dependentRequired": {n: ["x"] for n in NAMES[:400]}}}
    assert 1.9 < steps(each, [{}] * 200) / steps(each, [{}] * 100) < 2.1
    assert 1.9 < steps(more, [{}] * 100) / steps(each, [{}] * 100) < 2.1
    unique = {"uniqueItems": True}
    few, many = ([2**63 + n for n in range(count)] for count in (100, 200))
    assert steps(unique, many) > 3.5 * steps(unique, few)


def test_places_are_looked_for_within_bounds_and_others_work_meanwhile(monkeypatch):
    turns = []
    monkeypatch.setattr(work, "give_way", lambda: turns.append(None))
    monkeypatch.setattr(work, "_STRETCH_S", 0)
    many = {
        "oneOf": [{"$ref": f"#/$defs/{n}"} for n in range(2_000)],
        "$defs": {str(n): {"const": n} for n in range(2_000)},
    }
    assert Schema(many).fault("x", '"x"') == "it fits none of the 2000 alternatives (at $)"
    assert turns
    monkeypatch.setattr(work, "MAX_SEARCH_STEPS", 10)
    assert "too long for the place" in Schema(many).fault("x", '"x"')


def test_a_pattern_is_as_large_as_its_repeats_written_out():
    assert size_of("a{10}").passed - size_of("").passed == 10
    assert size_of("(ab{2,3}){1,50}").passed > 150
    assert size_of(r"\{9999\}[{9999}]a{x}").passed < 50
    assert size_of("(" * 50_000 + "a{99}" + "){99}" * 50_000).built > 10**8
    assert size_of("a{999999999999999999999").passed < 100


def test_an_answer_that_no_model_writes_is_not_read():
    with pytest.raises(NoJson, match="longer than 4,000,000"):
        json_of("[" + "1," * 2_000_000 + "1]")
