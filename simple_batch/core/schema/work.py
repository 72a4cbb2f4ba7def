"""How much work a value makes a schema, counted before the validator does it: while that works, no
other greenlet does."""

import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from ..clock import give_way
from .graph import AGAIN, Edge, Graph, Node, name_of, repeats
from .weights import CHUNK, FAR, Weight, Weights, is_far

MAX_STEPS = 2_000_000  # of one check: about a tenth of a second
MAX_SEARCH_STEPS = 10 * MAX_STEPS  # of looking for the place of a fault, which gives way to others
_MAX_PAIRS = 300_000  # pairs of a schema and a value that are counted
_LITTLE = 64  # steps that need not be counted more closely
_STRETCH_S = 0.02  # after which others have their turn
_LONG_NUMBER = re.compile(r"\d{16}|\d[eE][-+]?\d\d")
_SMALL = 1 << 53
_BASE, _PRIME = 1_000_003, (1 << 61) - 1


class TooMuch(ValueError):
    """A value makes more work than is done for one."""


class Work:
    """Of one value: made for it, and forgotten with it."""

    def __init__(self, graph: Graph, weights: Weights):
        self._graph = graph
        self._weights = weights
        self._sizes: dict[int, tuple[int, int]] = {}
        self._marks: dict[int, tuple[int, int]] = {}
        self._costs: dict[tuple[str, int], int] = {}
        self._left = MAX_SEARCH_STEPS
        self._since = time.monotonic()

    def check(self, value: object, text: str | None) -> None:
        """``text`` is the JSON that the value was read from, where there is one: its length is often
        enough to tell. Raises TooMuch."""
        if text is not None and not self._weights.revisits and not self._may_clash(text):
            whole = self._weights.whole["#"]
            if _steps(whole, len(text) // 2 + 1, len(text)) <= MAX_STEPS:
                return
        bound = self._upper_bound("#", value)
        if (bound is None or bound > MAX_STEPS) and self.cost("#", value) > MAX_STEPS:
            raise TooMuch

    def spend(self, pointer: str, value: object) -> None:
        """Before a part of the value is checked against a part of the schema, to find a fault's
        place. Raises TooMuch."""
        self.yield_if_due()
        self._left -= self._upper_bound(pointer, value) or self.cost(pointer, value)
        if self._left < 0:
            raise TooMuch

    def yield_if_due(self) -> None:
        """Let others work, where this has taken long."""
        if time.monotonic() - self._since > _STRETCH_S:
            give_way()
            self._since = time.monotonic()

    def cost(self, pointer: str, value: object) -> int:
        """Steps that the validator takes at most, for a value and all in it. Raises TooMuch."""
        bound = self._upper_bound(pointer, value)
        if bound is not None and bound <= _LITTLE:
            return bound
        key = pointer, id(value)
        if key not in self._costs:
            self.yield_if_due()
            if len(self._costs) > _MAX_PAIRS:
                raise TooMuch
            self._costs[key] = self._counted(pointer, value, bound)
        return self._costs[key]

    def _counted(self, pointer: str, value: object, bound: int | None) -> int:
        node = self._graph.nodes[pointer]
        own, (_values, chars) = self._weights.own[pointer], self._size(value, deep=False)
        total = _steps(own, _number(value), chars) + self._by_names(node, own, value)
        if isinstance(value, list) and isinstance(node, dict) and node.get("uniqueItems") is True:
            total += self._compared(value)
        times = AGAIN if repeats(node) else 1
        limit = MAX_STEPS if bound is None else min(bound, MAX_STEPS)
        for edge, part in self._uses(pointer, value):
            total += self.cost(edge.pointer, part) * times
            if total > limit:
                break
        if total > limit:
            if bound is None or bound > MAX_STEPS:
                raise TooMuch
            return bound
        return total

    @staticmethod
    def _by_names(node: Node, own: Weight, value: object) -> int:
        """Names of an object are looked up, and matched with each pattern."""
        if not isinstance(value, dict) or not isinstance(node, dict):
            return 0
        patterns = len(node.get("patternProperties", ()))
        return len(value) * (1 + patterns) + (own.chunk if patterns else 0) * len(value)

    def _uses(self, pointer: str, value: object) -> Iterator[tuple[Edge, object]]:
        """Which parts of the schema look at which parts of the value, or may do so."""
        for edge in self._graph.edges[pointer]:
            if edge.same:
                yield edge, value
            elif edge.keyword == "properties":
                if isinstance(value, dict) and (name := name_of(edge.pointer)) in value:
                    yield edge, value[name]
            elif edge.keyword == "propertyNames":
                yield from ((edge, name) for name in (value if isinstance(value, dict) else ()))
            elif isinstance(value, dict):
                yield from ((edge, part) for part in value.values())
            elif isinstance(value, list):
                number = edge.pointer.rpartition("/")[2]
                if edge.keyword in ("prefixItems", "items") and number.isdecimal():
                    yield from ((edge, part) for part in value[int(number) : int(number) + 1])
                else:
                    yield from ((edge, part) for part in value)

    def _compared(self, items: list[Any]) -> int:
        """The items of an array that must differ are compared where their hashes are the same: the
        validator's are of all that is in them, one after another, whole numbers as floats."""
        alike = Counter(self._mark(item)[0] for item in items)
        inner = (self._size(item)[0] for item in items if isinstance(item, list | dict))
        largest = max(inner, default=1)
        pairs = sum(count * count for count in alike.values() if count > 1)
        return 3 * (self._size(items)[0] + len(items)) + 10 * pairs * largest

    def _upper_bound(self, pointer: str, value: object) -> int | None:
        """A bound that holds since no part of a schema that is written out looks at a value twice;
        None where there is none."""
        if self._weights.revisits or (self._weights.unique and isinstance(value, list | dict)):
            return None
        whole = self._weights.whole.get(pointer)
        return None if whole is None else _steps(whole, *self._size(value))

    def _size(self, value: object, deep: bool = True) -> tuple[int, int]:
        """Values in a value, itself included, and characters; a number of many digits is as many as
        its arithmetic takes."""
        if not isinstance(value, list | dict):
            return _number(value), len(value) if isinstance(value, str) else 0
        if not deep:
            return 1, 0
        key = id(value)
        if key not in self._sizes:
            self.yield_if_due()
            parts = value.values() if isinstance(value, dict) else value
            sizes = [self._size(part) for part in parts]
            values, chars = 1 + sum(size[0] for size in sizes), sum(size[1] for size in sizes)
            if isinstance(value, dict):
                values, chars = values + len(value), chars + sum(map(len, value))
            self._sizes[key] = values, chars
        return self._sizes[key]

    def _mark(self, value: object) -> tuple[int, int]:
        """The same for all values that the validator may hash to the same, and how many things are
        in it: a hash of what is in it, whatever the brackets."""
        if not isinstance(value, list | dict):
            return _hash(value), 1
        key = id(value)
        if key not in self._marks:
            self.yield_if_due()
            if isinstance(value, dict):
                named = ((name, self._mark(part)[0]) for name, part in value.items())
                self._marks[key] = sum(map(_mixed, named)) % _PRIME, 1
            else:
                found, length = 0, 0
                for part in value:
                    mark, more = self._mark(part)
                    found = (found * pow(_BASE, more, _PRIME) + mark) % _PRIME
                    length += more
                self._marks[key] = found, length
        return self._marks[key]

    def _may_clash(self, text: str) -> bool:
        """Whether there may be numbers that take long, or items that must be compared in pairs."""
        return self._weights.unique or _LONG_NUMBER.search(text) is not None


def _steps(weight: Weight, values: int, chars: int) -> int:
    return weight.value * values + weight.chunk * (chars // CHUNK + values)


def _number(value: object) -> int:
    """How many values of the common kind one takes as long as."""
    if type(value) is int and not -_SMALL < value < _SMALL:
        return 8 + value.bit_length() ** 2 // 20_000
    return FAR if type(value) is float and is_far(value) else 1


def _hash(value: object) -> int:
    if type(value) is int:
        try:
            return hash(float(value))
        except OverflowError:
            return 0
    return hash(value)


def _mixed(pair: tuple[str, int]) -> int:
    """A hash that sums of do not have in common, as they would of Python's."""
    return pow(hash(pair), 3, _PRIME)
