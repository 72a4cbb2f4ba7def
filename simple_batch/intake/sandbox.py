"""Jinja for strangers: no attributes but a few, no statements but `for`, `if` and `set`, and a bound
on what one rendering may do. A template that would run away fails instead.
"""

import functools
from collections.abc import Callable, Iterable, Iterator

import msgspec
from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, nodes
from jinja2.filters import FILTERS
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.sandbox import safe_range as bounded_range
from jinja2.visitor import NodeTransformer

from ..wording import said

BUDGET = 64_000_000  # of one rendering: a character made costs one
STEP = 256  # one node of a loop's body, each time round
GREATEST = 10**30  # a number that is multiplied

_STATEMENTS = (nodes.Output, nodes.For, nodes.If, nodes.Assign)
_FORBIDDEN = (nodes.Pow, nodes.MarkSafe, nodes.NSRef, nodes.FilterBlock)
_METHODS = frozenset(
    {
        *("strip", "lstrip", "rstrip", "split", "splitlines", "upper", "lower", "title"),
        *("capitalize", "startswith", "endswith", "removeprefix", "removesuffix", "isdigit"),
    }
)
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "first", "float", "int", "last", "length"),
    *("lower", "title", "trim", "truncate", "upper", "wordcount"),
)


class Bounded(ImmutableSandboxedEnvironment):
    """The environment of one set of templates. Call ``begin`` before each rendering."""

    intercepted_binops = frozenset(["+", "*", "%"])

    def __init__(self):
        super().__init__(
            undefined=StrictUndefined,
            finalize=self._text,
            optimized=False,
            trim_blocks=True,
            lstrip_blocks=True,
            keep_trailing_newline=True,
            cache_size=0,
        )
        self.globals = {"range": bounded_range}
        self.filters = {name: self._charged(FILTERS[name]) for name in _FILTERS}
        self.filters |= {
            "join": self._join,
            "replace": self._replace,
            "round": self._round,
            "split": self._split,
            "string": self._text,
            "tojson": self._tojson,
            "_looked_at": self._charged(lambda value: value),
            "_steps": self._steps,
        }
        self._left = 0

    def begin(self) -> None:
        self._left = BUDGET

    def checked(self, source: str) -> nodes.Template:
        """The template parsed, with its loops counted. Raises TemplateSyntaxError."""
        tree = self.parse(source)
        for node in tree.find_all(nodes.Node):
            bad_statement = isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS)
            if bad_statement or isinstance(node, _FORBIDDEN):
                raise TemplateSyntaxError(
                    said(
                        "“%(name)s” is not for templates of requests: use fields, filters, “for”, "
                        "“if” and “set”",
                        name=type(node).__name__.lower(),
                    ),
                    node.lineno,
                )
        tree = _Counting().visit(tree)
        tree.set_environment(self)
        return tree

    def charge(self, amount: int) -> None:
        self._left -= amount
        if self._left < 0:
            raise SecurityError(said("it does too much for one row: shorten its loops and texts"))

    # --- what the sandbox asks --------------------------------------------------------------------

    def is_safe_attribute(self, obj, attr: str, value) -> bool:
        if isinstance(obj, str):
            return attr in _METHODS
        return isinstance(obj, LoopContext) and attr in _LOOP

    def is_safe_callable(self, obj) -> bool:
        return obj is bounded_range or isinstance(getattr(obj, "__self__", None), str)

    def call(self, context, obj, /, *args, **kwargs):
        if isinstance(owner := getattr(obj, "__self__", None), str):
            self.charge(10 * len(owner))  # "split" makes as many objects
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context, operator: str, left, right):
        if operator == "+":
            self.charge(_size(left) + _size(right))
        elif not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(said("“%(operator)s” is for numbers only", operator=operator))
        elif max(abs(left), abs(right)) > GREATEST:
            raise SecurityError(said("the numbers grow too large"))
        return super().call_binop(context, operator, left, right)

    # --- filters, and what stands for operators ---------------------------------------------------

    def _charged(self, function: Callable) -> Callable:
        """A filter charged with the texts it is given."""

        @functools.wraps(function)
        def run(*args):
            self.charge(sum(map(_size, args)))
            return function(*args)

        return run

    def _text(self, value) -> str:
        if not isinstance(value, str | int | float | None | Undefined):
            raise SecurityError(said("a list is no text: say how with “join” or “tojson”"))
        return str(value)

    def _join(self, items: Iterable, between: str = "") -> str:
        texts, between = [], self._text(between)
        for item in items:
            texts.append(self._text(item))
            self.charge(len(texts[-1]) + len(between) + 1)
        return between.join(texts)

    def _replace(self, text, old, new, count: int = -1) -> str:
        text, old, new = map(self._text, (text, old, new))
        self.charge(len(text) + (text.count(old) if old else len(text) + 1) * len(new))
        return text.replace(old, new, count)

    def _round(self, value, places: int = 0) -> float:
        return round(float(value), max(-20, min(20, places)))

    def _split(self, text, between: str | None = None, most: int = -1) -> list[str]:
        self.charge(10 * len(text))
        return text.split(between, most)

    def _tojson(self, value) -> str:
        self._weigh(value)
        return msgspec.json.encode(value).decode()

    def _weigh(self, value) -> None:
        if not isinstance(value, list | tuple | dict):
            self.charge(_size(value))
            return
        self.charge(STEP)
        for part in value.items() if isinstance(value, dict) else value:
            self._weigh(part)

    def _steps(self, items: Iterable, cost: int) -> Iterator:
        """The items of a loop, each charged with what its body may do."""
        for item in items:
            self.charge(cost)
            yield item


class _Counting(NodeTransformer):
    """Has charged what the sandbox does not ask about: loops, concatenations, slices, comparisons."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        cost = STEP * (1 + sum(1 for part in node.body for _ in part.find_all(nodes.Node)))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_steps", nodes.Const(cost))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes), "join")

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, "_looked_at")
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        node.expr = _filtered(node.expr, "_looked_at")
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, "_looked_at")
        return node


def _filtered(node: nodes.Expr, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno or 1)


def _size(value) -> int:
    return len(value) if isinstance(value, str | list | tuple) else 1
