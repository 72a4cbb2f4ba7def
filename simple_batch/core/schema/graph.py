"""The parts of a schema: where they stand, what they refer to, and how much work they can make."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec

from ..errors import InvalidInput
from ..messages import translatable

MAX_STEPS = 20_000  # of a schema with everything it refers to written out
MAX_STEPS_RECURSIVE = 5_000
MAX_DEPTH = 150
AGAIN = 3  # “unevaluated…” looks at the schemas beside it again, and at theirs: 2.4 times as long
MAX_WRITTEN = 20_000_000  # characters of the pointers of all parts: names that many are in

# keywords that hold a schema, a list of them, or schemas by name; and whether these look at the
# very value that the keyword's own schema looks at, or at what is in it
_SAME = frozenset(
    {"allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies"}
)
_ONE = frozenset(
    {
        "not",
        "if",
        "then",
        "else",
        "items",
        "contains",
        "propertyNames",
        "additionalProperties",
        "additionalItems",
        "unevaluatedProperties",
        "unevaluatedItems",
    }
)
_LIST = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
_NAMED = frozenset({"properties", "patternProperties", "dependentSchemas", "dependencies"})
_KEPT = frozenset({"$defs", "definitions"})  # looked at only where something refers to them
UNEVALUATED = ("unevaluatedItems", "unevaluatedProperties")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")


Node = dict[str, Any] | bool  # a JSON Schema, or a part of one


class Edge(msgspec.Struct, frozen=True):
    """From a schema to one that it uses. ``same``: for the same value."""

    keyword: str
    pointer: str
    same: bool


class Graph:
    """``nodes`` are the schemas by their JSON pointer (“#/properties/a”)."""

    def __init__(self, schema: dict[str, Any]):
        self._root = schema
        self._anchors: dict[str, str] = {}
        self._new: list[str] = []
        self._written = 0
        self.nodes: dict[str, Node] = {}
        self.edges: dict[str, list[Edge]] = {}
        self._collect("#", schema)
        while self._new:
            pointer = self._new.pop()
            self.edges[pointer] = list(self._uses(pointer))

    def check(self) -> int:
        """How many steps a look at one value takes at most. Raises InvalidInput where that is too
        much, or without end."""
        self._find_loop()
        costs: dict[str, int] = {}
        open_: set[str] = set()
        recursive = False

        def cost(pointer: str, depth: int) -> int:
            nonlocal recursive
            if pointer in open_:
                recursive = True
                return 1
            if pointer not in costs:
                _bounded(pointer, depth)
                open_.add(pointer)
                times = AGAIN if repeats(self.nodes[pointer]) else 1
                costs[pointer] = 1 + times * sum(
                    cost(edge.pointer, depth + 1) for edge in self.edges[pointer]
                )
                open_.discard(pointer)
            return costs[pointer]

        steps = cost("#", 0)
        limit = MAX_STEPS_RECURSIVE if recursive else MAX_STEPS
        if steps > limit:
            raise InvalidInput(
                translatable(
                    "Schema: with all that it refers to written out it has %(steps)s parts; up to "
                    "%(most)s are taken.",
                    steps=f"{steps:,}",
                    most=f"{limit:,}",
                ),
                "schema",
            )
        return steps

    def target(self, pointer: str) -> str:
        """Where a chain of references leads that are all that a schema says of values."""
        seen = set()
        while pointer not in seen:
            seen.add(pointer)
            node = self.nodes.get(pointer)
            if not isinstance(node, dict) or "$ref" not in node:
                break
            pointer = next(edge.pointer for edge in self.edges[pointer] if edge.keyword == "$ref")
        return pointer

    def _find_loop(self) -> None:
        done: set[str] = set()
        open_: set[str] = set()

        def look(pointer: str, depth: int) -> None:
            if pointer in open_:
                raise fault(
                    pointer, translatable("it refers to itself without looking at anything deeper")
                )
            if pointer not in done:
                _bounded(pointer, depth)
                open_.add(pointer)
                for edge in self.edges[pointer]:
                    if edge.same:
                        look(edge.pointer, depth + 1)
                open_.discard(pointer)
                done.add(pointer)

        for pointer in self.nodes:
            look(pointer, 0)

    def _collect(self, pointer: str, schema: object) -> None:
        waiting = [(pointer, schema)]
        while waiting:
            pointer, schema = waiting.pop()
            if pointer in self.nodes or not isinstance(schema, dict | bool):
                continue
            self.nodes[pointer] = schema
            self._new.append(pointer)
            self._written += len(pointer)
            if self._written > MAX_WRITTEN:
                raise fault(pointer, translatable("too many parts are within such long names"))
            if isinstance(schema, bool):
                continue
            if pointer != "#" and isinstance(schema.get("$id", schema.get("id")), str):
                raise fault(pointer, translatable("only the outermost schema may have an $id"))
            for name in ("$anchor", "$dynamicAnchor"):
                if isinstance(schema.get(name), str):
                    self._anchors[schema[name]] = pointer
            waiting += [(place, part) for _name, place, part in _parts(pointer, schema)]

    def _uses(self, pointer: str) -> Iterator[Edge]:
        node = self.nodes[pointer]
        if isinstance(node, bool):
            return
        for keyword, place, _part in _parts(pointer, node):
            if keyword not in _KEPT and place in self.nodes:
                yield Edge(keyword, place, keyword in _SAME)
        for keyword in _REFERENCES:
            if isinstance(node.get(keyword), str):
                yield Edge(keyword, self._referred(pointer, keyword, node[keyword]), True)

    def _referred(self, pointer: str, keyword: str, reference: str) -> str:
        if not reference.startswith("#"):
            raise fault(
                f"{pointer}/{keyword}",
                translatable(
                    "“%(reference)s” is another document, and none is fetched: bring what it says "
                    "into $defs and refer to it by “#/$defs/…”",
                    reference=reference[:100],
                ),
            )
        place = "#" + unquote(reference[1:])
        place = self._anchors.get(place[1:], place)
        if place not in self.nodes:
            found = self._at(place)
            if not isinstance(found, dict | bool):
                raise fault(
                    f"{pointer}/{keyword}",
                    translatable(
                        "there is no “%(reference)s” in the schema", reference=reference[:100]
                    ),
                )
            self._collect(place, found)
        return place

    def _at(self, pointer: str) -> object:
        found: object = self._root
        for step in pointer.split("/")[1:]:
            step = step.replace("~1", "/").replace("~0", "~")
            if isinstance(found, dict):
                found = found.get(step)
            elif isinstance(found, list) and step.isdecimal() and int(step) < len(found):
                found = found[int(step)]
            else:
                return None
        return found if pointer.startswith("#/") or pointer == "#" else None


def fault(pointer: str, why: str) -> InvalidInput:
    """What is wrong at a place of a schema."""
    return InvalidInput(
        translatable("Schema, at %(pointer)s: %(why)s.", pointer=shown(pointer), why=why), "schema"
    )


def repeats(node: Node) -> bool:
    """Whether a schema looks at what the schemas beside it have looked at."""
    return isinstance(node, dict) and any(name in node for name in UNEVALUATED)


def shown(pointer: str) -> str:
    """A JSON pointer for people."""
    return pointer[:200] if pointer != "#" else translatable("its outermost level")


def step(name: object) -> str:
    """A name as it stands in a JSON pointer."""
    return str(name).replace("~", "~0").replace("/", "~1")


def name_of(pointer: str) -> str:
    """The name that a JSON pointer ends with."""
    return pointer.rpartition("/")[2].replace("~1", "/").replace("~0", "~")


def _parts(pointer: str, schema: dict[str, Any]) -> Iterator[tuple[str, str, object]]:
    """(keyword, pointer, part) of the schemas that stand in one."""
    for keyword, value in schema.items():
        place = f"{pointer}/{step(keyword)}"
        if isinstance(value, dict) and keyword in _NAMED | _KEPT:
            for name, part in value.items():
                yield keyword, f"{place}/{step(name)}", part
        elif isinstance(value, list) and keyword in _LIST:
            for number, part in enumerate(value):
                yield keyword, f"{place}/{number}", part
        elif keyword in _ONE:
            yield keyword, place, value


def _bounded(pointer: str, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise fault(
            pointer,
            translatable(
                "it is nested, or referred to, over more than %(most)s levels",
                most=MAX_DEPTH,
            ),
        )
