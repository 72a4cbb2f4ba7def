"""What the parts of a schema cost the validator, in steps of about 0.1 µs."""

from typing import Any

import msgspec

from ..messages import translatable
from .graph import AGAIN, UNEVALUATED, Graph, Node, fault, repeats
from .patterns import Size, size_of

CHUNK = 8  # characters of a text that one step looks through
MAX_BUILT = 100_000  # states of all patterns of a schema
_FRACTION = 20  # multipleOf, in exact arithmetic
FAR = 50  # how much longer that takes for numbers of many digits or large exponents
_STATES = 4  # of a pattern that one step looks at, over a chunk
_TEXTUAL = frozenset({"format", "minLength", "maxLength", "contentEncoding", "contentMediaType"})


class Weight(msgspec.Struct, frozen=True):
    """Steps for each value, and for each chunk of text in it."""

    value: int
    chunk: int

    def __add__(self, other: "Weight") -> "Weight":
        return Weight(self.value + other.value, self.chunk + other.chunk)

    def __mul__(self, times: int) -> "Weight":
        return Weight(self.value * times, self.chunk * times)


class Weights:
    """``own`` is what each part costs by itself, ``whole`` with everything that it refers to, each
    by its pointer. ``unique``: some array's items must differ. ``revisits``: that in a schema
    that refers to itself, so that a value is hashed once for each level it is at. Raises
    InvalidInput where the patterns would take long to compile."""

    def __init__(self, graph: Graph):
        nodes = graph.nodes.values()
        parts = [node for node in nodes if isinstance(node, dict)]
        _check_patterns(graph)
        self.own = {pointer: _own(node) for pointer, node in graph.nodes.items()}
        self.unique = any(node.get("uniqueItems") is True for node in parts)
        self.whole: dict[str, Weight] = {}
        self._graph = graph
        self._open: set[str] = set()
        self._recursive = False
        self._sum("#")
        if self._recursive:  # some were summed up while they were looked at
            self.whole = dict.fromkeys(self.whole, self.whole["#"])
        self.revisits = self._recursive and self.unique

    def _sum(self, pointer: str) -> Weight:
        if pointer in self._open:
            self._recursive = True
            return Weight(1, 0)
        if pointer not in self.whole:
            self._open.add(pointer)
            whole = self.own[pointer]
            times = AGAIN if repeats(self._graph.nodes[pointer]) else 1
            for edge in self._graph.edges[pointer]:
                whole += self._sum(edge.pointer) * (times if edge.keyword not in UNEVALUATED else 1)
            self._open.discard(pointer)
            self.whole[pointer] = whole
        return self.whole[pointer]


def is_far(number: object) -> bool:
    """Whether a number is far from what is common, so that exact arithmetic takes long."""
    return isinstance(number, int | float) and not (
        number == 0 or 1e-30 < abs(number) < 1e30  # nor infinite
    )


def _own(node: Node) -> Weight:
    """Without what depends on the kind of the value: patternProperties, uniqueItems."""
    if isinstance(node, bool):
        return Weight(1, 0)
    value, chunk = 1 + len(node), 0
    value += len(node["required"]) if isinstance(node.get("required"), list) else 0
    for keyword in ("dependentRequired", "dependencies"):
        lists = node[keyword].values() if isinstance(node.get(keyword), dict) else ()
        value += sum(1 + (len(names) if isinstance(names, list) else 0) for names in lists)
    if isinstance(node.get("enum"), list):
        value += _compared(node["enum"])
    if isinstance(node.get("const"), dict | list):
        value += contents(node["const"])
    if "multipleOf" in node:
        value += _FRACTION * (FAR if is_far(node["multipleOf"]) else 1)
    chunk += sum(keyword in node for keyword in _TEXTUAL)
    for pattern in _patterns(node):
        chunk += 1 + size_of(pattern).passed // _STATES * CHUNK // 8
    return Weight(value, chunk)


def _compared(values: list[Any]) -> int:
    """Steps for finding a value in an enum: texts, and small numbers, are found by their hash."""
    kinds = {type(value) for value in values}
    small = kinds == {str} or (kinds == {int} and all(abs(value) < 1 << 53 for value in values))
    return 1 if small else sum(4 * contents(value) for value in values)


def contents(value: object) -> int:
    """How many values there are in a value, itself included."""
    waiting: list[object] = [value]
    count = 0
    while waiting:
        value = waiting.pop()
        count += 1
        if isinstance(value, dict):
            waiting += value.values()
            count += len(value)
        elif isinstance(value, list):
            waiting += value
    return count


def _patterns(node: dict[str, Any]) -> list[str]:
    found = [node["pattern"]] if isinstance(node.get("pattern"), str) else []
    return [*found, *node.get("patternProperties", ())]


def _check_patterns(graph: Graph) -> None:
    found = [
        (sum(map(size_of, _patterns(node)), Size()).built, pointer)
        for pointer, node in graph.nodes.items()
        if isinstance(node, dict)
    ]
    built = sum(size for size, _pointer in found)
    if built > MAX_BUILT:
        pointer = max(found)[1]
        node = graph.nodes[pointer]
        simple = isinstance(node, dict) and "pattern" in node
        keyword = "pattern" if simple else "patternProperties"
        raise fault(
            f"{pointer}/{keyword}",
            translatable(
                "with its repeats written out, and all other patterns, it has about %(built)s "
                "parts; up to %(most)s are taken (make repeats such as {1,200} smaller, or check "
                "lengths by minLength and maxLength)",
                built=f"{built:,}",
                most=f"{MAX_BUILT:,}",
            ),
        )
