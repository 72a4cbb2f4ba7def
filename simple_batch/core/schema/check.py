"""A schema, checked and compiled; what is wrong with an answer."""

import json
from collections import Counter
from typing import Any, NoReturn

from ..domain import Cause
from ..errors import InvalidInput
from ..json_faults import syntax_fault
from ..messages import Message, translatable
from ..stored_messages import (
    CUT_OFF,
    MODEL_REFUSES,
    NO_MATCH,
    TOO_DEEP_TO_CHECK,
    TOO_MUCH_TO_CHECK,
)
from .answer import given
from .faults import Faults, Parts
from .graph import Graph, fault
from .json_text import JsonText, NoJson, json_of
from .validator import check_form, of_parts, single
from .weights import Weights
from .work import TooMuch, Work

MAX_BYTES = 200_000
_NEWEST = "https://json-schema.org/draft/2020-12/schema"
_DRAFTS = {
    _NEWEST,
    "https://json-schema.org/draft/2019-09/schema",
    "http://json-schema.org/draft-07/schema",
    "http://json-schema.org/draft-06/schema",
    "http://json-schema.org/draft-04/schema",
}
# one of these says something about values
_SAYING = frozenset(
    {
        "type",
        "properties",
        "required",
        "enum",
        "const",
        "items",
        "prefixItems",
        "allOf",
        "anyOf",
        "oneOf",
        "not",
        "if",
        "$ref",
        "$dynamicRef",
        "patternProperties",
        "pattern",
        "additionalProperties",
        "minProperties",
        "maxProperties",
        "propertyNames",
        "minItems",
        "maxItems",
        "contains",
        "uniqueItems",
        "minLength",
        "maxLength",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "dependentRequired",
        "dependentSchemas",
        "unevaluatedProperties",
    }
)
# what OpenAI's strict mode takes (Structured Outputs, “Supported schemas”)
_STRICT = frozenset(
    {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "const",
        "$ref",
        "$defs",
        "definitions",
        "title",
        "description",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "$schema",
        "$id",
    }
)


class Schema:
    """``document`` is the schema as it was given, ``strict`` whether OpenAI's strict mode takes it,
    ``columns`` are the top-level properties of an answer that fits. Raises InvalidInput, field
    ``schema``, with the place of the fault."""

    def __init__(self, document: dict[str, Any]):
        _check_document(document)
        self.document = document
        graph = Graph(document)
        graph.check()
        self._graph, self._weights = graph, Weights(graph)
        self._valid = single(document).is_valid
        self._parts = Parts(graph, of_parts(document))
        self.strict = _is_strict(graph)
        self.columns = _columns(graph)

    def complaint(self, body: bytes) -> tuple[Cause, str] | None:
        """What is wrong with an answer of chat completions, completions or responses; None where
        it fits. A refusal is the content filter's."""
        answer = given(body)
        if answer.refusal or answer.ended == "content_filter":
            return Cause.CONTENT_FILTER, MODEL_REFUSES(answer=answer.refusal or answer.text)[:400]
        try:
            found = json_of(answer.text, self._fits)
        except NoJson as error:
            why = str(error)
            if answer.ended == "length":
                why = CUT_OFF(why=why)
            return Cause.SCHEMA, NO_MATCH(why=why)
        why = self.fault(found.value, found.text)
        return None if not why else (Cause.SCHEMA, NO_MATCH(why=why))

    def json_of(self, body: bytes | None) -> JsonText | None:
        """The JSON of an answer that fits; None where there is none."""
        if not body:
            return None
        try:
            return json_of(given(bytes(body)).text, self._fits)
        except NoJson:
            return None

    def _fits(self, found: JsonText) -> bool:
        return not self.fault(found.value, found.text)

    def fault(self, value: object, text: str | None = None) -> str:
        """What does not fit in a value (``text``: the JSON that it was read from), with its place;
        empty where it does. Gives way to other greenlets where that takes long."""
        work = Work(self._graph, self._weights)
        try:
            work.check(value, text)
            return "" if self._valid(value) else Faults(self._parts, work).described(value)
        except TooMuch:
            return TOO_MUCH_TO_CHECK()
        except RecursionError:
            return TOO_DEEP_TO_CHECK()
        except ValueError as error:  # numbers beyond all bounds
            return str(error)[:200]


def _why_no_json(text: str | bytes) -> str:
    raw = text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")
    fault = syntax_fault(raw)
    return "" if fault is None else fault.message


def parse(text: str | bytes) -> dict[str, Any]:
    """A schema from JSON text. Raises InvalidInput with the line of a fault."""
    if len(text) > MAX_BYTES:
        raise _too_long()
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        document = json.loads(text, object_pairs_hook=_once, parse_constant=_no_number)
    except json.JSONDecodeError as error:
        raise InvalidInput(
            translatable(
                "Schema, line %(line)s, column %(column)s: not JSON: %(why)s",
                line=error.lineno,
                column=error.colno,
                why=_why_no_json(text),
            ),
            "schema",
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(translatable("Schema: the file is not UTF-8."), "schema") from None
    except (ValueError, RecursionError) as error:
        why = next((text for text in error.args if isinstance(text, Message)), str(error)[:200])
        raise InvalidInput(translatable("Schema: %(error)s.", error=why), "schema") from None
    if not isinstance(document, dict):
        raise InvalidInput(
            translatable(
                'Schema: it must be a JSON object, for example {"type": "object", '
                '"properties": {"a": {"type": "string"}}}.'
            ),
            "schema",
        )
    return document


def _too_long() -> InvalidInput:
    return InvalidInput(
        translatable("Schema: it is longer than %(most)s bytes.", most=f"{MAX_BYTES:,}"), "schema"
    )


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        counts = Counter(name for name, _value in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise ValueError(
            translatable("the name “%(name)s” stands twice in one object", name=twice[:80])
        )
    return found


def _no_number(name: str) -> NoReturn:
    raise ValueError(translatable("%(name)s is no number of JSON", name=name))


def _check_document(document: dict[str, Any]) -> None:
    """What a validator would take although it is surely not meant."""
    if not isinstance(document, dict):
        raise InvalidInput(translatable("Schema: it must be a JSON object."), "schema")
    try:
        size = len(json.dumps(document, ensure_ascii=False).encode())
    except UnicodeEncodeError:
        raise InvalidInput(
            translatable("Schema: half of a surrogate pair is no character."), "schema"
        ) from None
    if size > MAX_BYTES:
        raise _too_long()
    draft = document.get("$schema", _NEWEST)
    if not isinstance(draft, str) or draft.rstrip("#") not in _DRAFTS:
        raise fault(
            "#/$schema",
            translatable(
                "%(draft)r is no known draft; one is %(newest)s (4 to 2020-12)",
                draft=str(draft)[:100],
                newest=_NEWEST,
            ),
        )
    if not _SAYING & document.keys():
        for name in ("schema", "json_schema"):
            if isinstance(document.get(name), dict):
                raise fault(
                    "#",
                    translatable(
                        "this goes around a schema: give what stands under “%(name)s”", name=name
                    ),
                )
        raise fault(
            "#", translatable("it has no keyword of JSON Schema, so every answer would fit")
        )
    check_form(document)


def _is_strict(graph: Graph) -> bool:
    root = graph.nodes["#"]
    if isinstance(root, bool) or root.get("type") != "object" or "anyOf" in root:
        return False
    for pointer, node in graph.nodes.items():
        if node is False and pointer.endswith("/additionalProperties"):
            continue
        if isinstance(node, bool) or not node.keys() <= _STRICT:
            return False
        if node.get("type") == "object" or "properties" in node:
            names = set(node.get("properties", ()))
            closed = node.get("additionalProperties") is False
            if not closed or set(node.get("required", ())) != names:
                return False
    return True


def _columns(graph: Graph) -> list[str]:
    """The names of the top-level properties, also of alternatives, in the order of the schema."""
    found: dict[str, None] = {}
    waiting, seen = ["#"], set()
    while waiting:
        pointer = waiting.pop(0)
        node = graph.nodes[pointer]
        if pointer in seen or isinstance(node, bool):
            continue
        seen.add(pointer)
        found |= dict.fromkeys(node.get("properties", ()))
        waiting += [
            edge.pointer for edge in graph.edges[pointer] if edge.same and edge.keyword != "not"
        ]
    return list(found)
