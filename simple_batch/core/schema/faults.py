"""Where a value does not fit a schema, in words.

The validator's own list of errors takes exponential time where alternatives are nested in a schema that
refers to itself. So the validator only decides here whether a part fits, and lists errors only of what
a schema says of one value by itself.
"""

from collections.abc import Iterator
from functools import reduce
from itertools import islice
from typing import Any

import jsonschema_rs

from ..stored_messages import (
    FAULT,
    FAULTS,
    MANY_ALTERNATIVES,
    NO_ALTERNATIVE,
    NO_FIT,
    NO_FIT_HERE,
    NOTHING_ALLOWED,
    TOO_MUCH_TO_PLACE,
    UNKNOWN_PROPERTY,
)
from .graph import Edge, Graph, name_of, step
from .validator import single
from .work import TooMuch, Work

LIMIT = 3  # faults that are named
MAX_DEPTH = 60
LENGTH = 400  # characters
_PLAIN = frozenset(
    {
        "type",
        "enum",
        "const",
        "multipleOf",
        "maximum",
        "exclusiveMaximum",
        "minimum",
        "exclusiveMinimum",
        "maxLength",
        "minLength",
        "pattern",
        "format",
        "maxItems",
        "minItems",
        "uniqueItems",
        "maxProperties",
        "minProperties",
        "required",
        "dependentRequired",
    }
)


class Parts:
    """The parts of a schema as validators. ``whole`` has one for each, by its pointer."""

    def __init__(self, graph: Graph, whole: jsonschema_rs.ValidatorMap):
        self.graph = graph
        self._whole = whole
        root = graph.nodes["#"]
        self._draft = root.get("$schema") if isinstance(root, dict) else None
        self._single: dict[str, jsonschema_rs.Validator] = {}

    def whole(self, pointer: str) -> jsonschema_rs.Validator | None:
        """What checks everything that a part says; None where there is nothing to check."""
        return self._whole.get(pointer)

    def single(self, pointer: str, schema: dict[str, Any], kind: str) -> jsonschema_rs.Validator:
        """What checks ``schema``, which is of some ``kind`` of what the part says."""
        key = f"{kind}:{pointer}"
        if key not in self._single:
            if self._draft:
                schema = {"$schema": self._draft, **schema}
            self._single[key] = single(schema)
        return self._single[key]


class Faults:
    """Of one value, whose ``work`` is counted."""

    def __init__(self, parts: Parts, work: Work):
        self._graph = parts.graph
        self._parts = parts
        self._work = work

    def described(self, value: object) -> str:
        """The first few faults of a value that does not fit, each with its place."""
        found: list[str] = []
        try:
            for place, why in self._look("#", value, "$", 0):
                line = str(FAULT(why=why, place=place))
                if line not in found:
                    found.append(line)
                if len(found) == LIMIT:
                    break
        except TooMuch:
            if not found:
                return TOO_MUCH_TO_PLACE()
        return reduce(lambda some, more: FAULTS(some=some, more=more), found)[:LENGTH]

    def _look(
        self, pointer: str, value: object, place: str, depth: int
    ) -> Iterator[tuple[str, str]]:
        """Where and why a value does not fit the schema at ``pointer``; it does not."""
        node, explained = self._graph.nodes[pointer], False
        if isinstance(node, bool):
            yield place, NOTHING_ALLOWED()
            return
        for why in self._by_itself(pointer, node, value):
            explained = True
            yield place, why
        if depth < MAX_DEPTH:
            for edge, part, inner in self._inside(pointer, value, place):
                if not self._fits(edge.pointer, part):
                    explained = True
                    yield from self._look(edge.pointer, part, inner, depth + 1)
        if not explained:
            yield place, self._other(pointer, value)

    def _inside(
        self, pointer: str, value: object, place: str
    ) -> Iterator[tuple[Edge, object, str]]:
        """The parts of a schema that must all fit, with what each of them is about."""
        edges = self._graph.edges[pointer]
        meant = {keyword: self._meant(edges, keyword, value) for keyword in ("anyOf", "oneOf")}
        named = {edge.pointer for edge in edges if edge.keyword == "properties"}
        for edge in edges:
            if edge.keyword in ("allOf", "$ref", "$dynamicRef", "$recursiveRef"):
                yield edge, value, place
            elif edge.keyword in ("anyOf", "oneOf"):
                if edge == meant[edge.keyword]:
                    yield edge, value, place
            elif self._graph.nodes[edge.pointer] is False:
                continue  # _by_itself reports its name
            elif isinstance(value, dict):
                yield from self._properties(edge, pointer, named, value, place)
            elif isinstance(value, list):
                yield from self._items(edge, edges, value, place)

    def _properties(
        self, edge: Edge, pointer: str, named: set[str], value: dict[str, Any], place: str
    ) -> Iterator[tuple[Edge, object, str]]:
        if edge.keyword == "properties":
            name = name_of(edge.pointer)
            if name in value:
                yield edge, value[name], f"{place}.{name[:60]}"
        elif edge.keyword == "additionalProperties" and not self._has_patterns(pointer):
            for name, part in value.items():
                if f"{pointer}/properties/{step(name)}" not in named:
                    yield edge, part, f"{place}.{name[:60]}"

    @staticmethod
    def _items(
        edge: Edge, edges: list[Edge], value: list[Any], place: str
    ) -> Iterator[tuple[Edge, object, str]]:
        number = edge.pointer.rpartition("/")[2]
        if edge.keyword in ("prefixItems", "items") and number.isdecimal():
            if int(number) < len(value):
                yield edge, value[int(number)], f"{place}[{number}]"
        elif edge.keyword in ("items", "additionalItems"):
            before = sum(
                other.keyword in ("prefixItems", "items") and other != edge for other in edges
            )
            for position in range(before, len(value)):
                yield edge, value[position], f"{place}[{position}]"

    def _meant(self, edges: list[Edge], keyword: str, value: object) -> Edge | None:
        """The one alternative that a value seems to be: by its type and its constants."""
        alternatives = [edge for edge in edges if edge.keyword == keyword]
        if any(self._fits(edge.pointer, value) for edge in alternatives):
            return None
        likely = [edge for edge in alternatives if self._alike(edge.pointer, value)]
        return likely[0] if len(likely) == 1 else None

    def _alike(self, pointer: str, value: object) -> bool:
        pointer = self._graph.target(pointer)
        node = self._graph.nodes[pointer]
        if isinstance(node, bool):
            return node
        if "type" in node and not self._parts.single(
            pointer, {"type": node["type"]}, "type"
        ).is_valid(value):
            return False
        if not isinstance(value, dict):
            return True
        for name, part in node.get("properties", {}).items():
            constant = isinstance(part, dict) and ("const" in part or "enum" in part)
            own = f"{pointer}/properties/{step(name)}"
            if constant and name in value and not self._fits(own, value[name]):
                return False
        return True

    def _by_itself(self, pointer: str, node: dict[str, Any], value: object) -> list[str]:
        plain = {keyword: rule for keyword, rule in node.items() if keyword in _PLAIN}
        self._work.spend(pointer, value)
        errors = self._parts.single(pointer, plain, "plain").iter_errors(value)
        faults = [error.message[:200] for error in islice(errors, LIMIT)]
        closed = node.get("additionalProperties") is False and not self._has_patterns(pointer)
        if closed and isinstance(value, dict):
            unknown = (name for name in value if name not in node.get("properties", ()))
            faults += [UNKNOWN_PROPERTY(name=name[:60]) for name in islice(unknown, LIMIT)]
        return faults

    def _other(self, pointer: str, value: object) -> str:
        """What is left: alternatives, and keywords that no single part is to blame for."""
        edges = self._graph.edges[pointer]
        for keyword in ("anyOf", "oneOf"):
            fits = [self._fits(edge.pointer, value) for edge in edges if edge.keyword == keyword]
            if fits and not any(fits):
                return NO_ALTERNATIVE(count=len(fits))
            if keyword == "oneOf" and sum(fits) > 1:
                return MANY_ALTERNATIVES(count=sum(fits))
        others = [edge.keyword for edge in edges if edge.keyword not in ("anyOf", "oneOf")]
        keywords = ", ".join(dict.fromkeys(others))
        return NO_FIT(keywords=keywords) if keywords else NO_FIT_HERE()

    def _has_patterns(self, pointer: str) -> bool:
        """Whether names fit otherwise than by being listed: then a fault cannot be described simply."""
        node = self._graph.nodes[pointer]
        return isinstance(node, dict) and "patternProperties" in node

    def _fits(self, pointer: str, value: object) -> bool:
        validator = self._parts.whole(pointer)
        if validator is None:
            return True
        self._work.spend(pointer, value)
        return validator.is_valid(value)
