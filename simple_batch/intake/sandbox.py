"""Sandboxed Jinja for templates that users write: no attributes but a few, no statements but `for`, `if`
and `set`, and bounds on the work of one rendering and on the size of the code. A template over its
bounds fails.

A rendering is charged before it works: by the characters it makes or looks at, the parts of a list
that it compares, hashes or writes, each with everything inside it. A unit is about 1.6 ns on a
machine of 2024, so the whole budget is a tenth of a second.
"""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import TypeGuard, cast

import msgspec
from jinja2 import StrictUndefined, TemplateSyntaxError, Undefined, meta, nodes
from jinja2.ext import Extension
from jinja2.filters import FILTERS
from jinja2.lexer import Token, TokenStream
from jinja2.runtime import LoopContext
from jinja2.sandbox import ImmutableSandboxedEnvironment, SecurityError
from jinja2.sandbox import safe_range as bounded_range
from jinja2.tests import TESTS
from jinja2.visitor import NodeTransformer

from ..core.messages import translatable

BUDGET = 64_000_000  # of one rendering: a character copied costs one
STEP = 256  # one node of a loop's body, each time round; a call of a filter; a part of a list
GREATEST = 10**30  # a number that is calculated with
MAX_BITS = 14_000  # of a whole number: 4,200 digits
MAX_TOKENS = 4_000  # of the code of a template, all its texts together
TEXT_TOKENS = 40  # what a text costs beside its tokens
MAX_DEPTH = 40  # of code inside code
_LIST = 6 * STEP  # a list or dict in what is weighed: weighing takes longer than what is done then
_PART = 24  # a part of a list that holds texts and numbers only

_STATEMENTS = (nodes.Output, nodes.For, nodes.If, nodes.Assign)
_FORBIDDEN = (nodes.Pow, nodes.MarkSafe, nodes.NSRef, nodes.FilterBlock)
_METHODS = frozenset(
    {
        "strip",
        "lstrip",
        "rstrip",
        "split",
        "splitlines",
        "upper",
        "lower",
        "title",
        "capitalize",
        "startswith",
        "endswith",
        "removeprefix",
        "removesuffix",
        "isdigit",
    }
)
_STRIPS = frozenset({"strip", "lstrip", "rstrip"})
_LOOP = frozenset({"index", "index0", "revindex", "revindex0", "first", "last", "length"})
_FILTERS = ("abs", "count", "d", "default", "first", "last", "length")
# what a character costs in filters that look at every one
_TEXT_FILTERS = {
    "capitalize": 8,
    "lower": 8,
    "upper": 8,
    "float": 8,
    "int": 8,
    "title": 150,
    "trim": 1,
    "truncate": 1,
    "wordcount": 40,
}
_METHOD = 16  # a character in methods of texts: "split" makes as many texts
_SEARCHED = 4  # a character in “in” and “not in”
_TEXT_TESTS = ("lower", "upper")
_JINJA_TESTS = cast(dict[str, Callable[..., bool]], TESTS)  # some of which jinja2 does not annotate
_TESTS = tuple(name for name in TESTS if name not in (*_TEXT_TESTS, "escaped", "filter", "test"))
_PLAIN = frozenset({str, int, float, bool, type(None)})


class _Measured(Extension):
    """Counts what the parser reads, while it reads."""

    environment: "BoundedEnvironment"

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        """The same tokens. Raises TemplateSyntaxError where a template has too many."""
        self.environment.count_tokens(TEXT_TOKENS, 1)
        for token in stream:
            self.environment.count_tokens(1, token.lineno)
            yield token


class BoundedEnvironment(ImmutableSandboxedEnvironment):
    """The environment of one set of templates, which have up to ``max_tokens`` in all. Call
    ``begin`` before each rendering."""

    intercepted_binops = frozenset(["+", "-", "*", "/", "//", "%"])

    def __init__(self, max_tokens: int = MAX_TOKENS):
        super().__init__(
            extensions=[_Measured],
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
            name: self._of_text(FILTERS[name], cost) for name, cost in _TEXT_FILTERS.items()
        }
        self.filters |= {
            "int": self._int,
            "join": self._join,
            "replace": self._replace,
            "round": self._round,
            "split": self._split,
            "string": self._text,
            "tojson": self._tojson,
            "_copied": self._copied,
            "_key": self._key,
            "_looked_at": self._looked_at,
            "_searched": self._searched,
            "_steps": self._steps,
        }
        self.tests = {name: self._charged(_JINJA_TESTS[name]) for name in _TESTS}
        self.tests |= {name: self._of_text(_JINJA_TESTS[name], 8) for name in _TEXT_TESTS}
        self._left = 0
        self._tokens_left = self._max_tokens = max_tokens

    def begin(self) -> None:
        """Give a rendering its whole budget."""
        self._left = BUDGET

    def count_tokens(self, tokens: int, line: int) -> None:
        """Count tokens of the templates read here. Raises TemplateSyntaxError."""
        self._tokens_left -= tokens
        if self._tokens_left < 0:
            raise TemplateSyntaxError(
                translatable(
                    "the code of the template has more than %(most)s parts: use fewer fields and "
                    "expressions (plain text may be long)",
                    most=f"{self._max_tokens:,}",
                ),
                line,
            )

    def checked(self, source: str) -> nodes.Template:
        """The template parsed, with its loops counted. Raises TemplateSyntaxError."""
        tree = self.parse(source)
        for node in _flat(tree):
            _refuse(node)
        tree = _Counting().visit(tree)
        tree.set_environment(self)
        return tree

    def undeclared(self, tree: nodes.Template) -> set[str]:
        """The names that a checked template takes from outside."""
        finder = meta.TrackingCodeGenerator(self)
        finder.optimizer = None  # which evaluates constants, in cubic time where they are nested
        finder.visit(tree)
        return finder.undeclared_identifiers

    def charge(self, amount: int) -> None:
        """Take units from the budget. Raises SecurityError where they are used up."""
        self._left -= amount
        if self._left < 0:
            raise SecurityError(
                translatable("it does too much for one row: shorten its loops and texts")
            )

    # --- what the sandbox asks --------------------------------------------------------------------

    def is_safe_attribute(self, obj, attr: str, value) -> bool:
        if isinstance(obj, str):
            return attr in _METHODS
        return isinstance(obj, LoopContext) and attr in _LOOP

    def is_safe_callable(self, obj) -> bool:
        return obj is bounded_range or isinstance(getattr(obj, "__self__", None), str)

    def call(self, context, obj, /, *args, **kwargs):
        if not self.is_safe_callable(obj):  # before a message would write out what it is
            raise SecurityError(translatable("only methods of texts and “range” can be called"))
        self.charge(STEP)
        if isinstance(owner := getattr(obj, "__self__", None), str):
            given = [*args, *kwargs.values()]
            self._looked_at(given)
            chars = sum(len(arg) for arg in given if isinstance(arg, str))
            every = chars if obj.__name__ in _STRIPS else 0  # each may be looked for in all of them
            self.charge(len(owner) * (_METHOD + every))
        return super().call(context, obj, *args, **kwargs)

    def call_binop(self, context, operator: str, left, right):
        self.charge(STEP)
        numbers = [side for side in (left, right) if isinstance(side, int | float)]
        if operator == "+" and not numbers:
            self._copied(left)
            self._copied(right)
        elif len(numbers) < 2:
            raise SecurityError(
                translatable("“%(operator)s” is for numbers only", operator=operator)
            )
        elif any(abs(side) > GREATEST for side in numbers if operator == "*" or _is_whole(side)):
            raise SecurityError(translatable("the numbers grow too large"))
        return super().call_binop(context, operator, left, right)

    # --- filters, and what stands for operators ---------------------------------------------------

    def _charged(self, function: Callable) -> Callable:
        """A filter or test charged with all that it is given."""

        @functools.wraps(function)
        def run(*args):
            self._looked_at(args)
            return function(*args)

        return run

    def _of_text(self, function: Callable, cost: int) -> Callable:
        """A filter or test of a text, at so much a character."""
        before = 1 if function is FILTERS["truncate"] else 0  # it is given the environment too

        @functools.wraps(function)
        def run(*args):
            args = list(args)
            if not isinstance(args[before], Undefined):  # says itself what is missing
                args[before] = text = self._text(args[before])
                self._looked_at(args[before:])
                chars = args[1:2] if function is FILTERS["trim"] else ()
                every = sum(len(arg) for arg in chars if isinstance(arg, str))
                self.charge(len(text) * (cost + every))
            return function(*args)

        return run

    def _text(self, value) -> str:
        if not isinstance(value, str | int | float | None | Undefined):
            raise SecurityError(translatable("a list is no text: say how with “join” or “tojson”"))
        return str(value)

    def _int(self, value, default: int = 0, base: int = 10) -> int:
        if isinstance(value, str):
            self.charge(STEP + 8 * len(value))
        found = FILTERS["int"](value, default, base)
        if _is_whole(found) and found.bit_length() > MAX_BITS:
            raise SecurityError(translatable("the numbers grow too large"))
        return found

    def _join(self, items: Iterable, between: str = "") -> str:
        texts, between = [], self._text(between)
        for item in items:
            texts.append(self._text(item))
            self.charge(STEP + len(texts[-1]) + len(between))
        return between.join(texts)

    def _replace(self, text, old, new, count: int = -1) -> str:
        text, old, new = map(self._text, (text, old, new))
        self.charge(STEP + 10 * len(text) + len(old))
        self.charge((text.count(old) if old else len(text) + 1) * len(new))
        return text.replace(old, new, count)

    def _round(self, value, places: int = 0) -> float:
        self._looked_at(value)
        return round(float(value), max(-20, min(20, places)))

    def _split(self, text, between: str | None = None, limit: int = -1) -> list[str]:
        text = self._text(text)
        self.charge(STEP + _METHOD * len(text))
        return text.split(between, limit)

    def _tojson(self, value) -> str:
        self._weigh(value, 8)
        return msgspec.json.encode(value).decode()

    def _copied(self, value):
        """A value of which a part is copied, not what is in its parts."""
        if isinstance(value, str | list | tuple):
            self.charge(len(value) * (1 if isinstance(value, str) else 16))
        return value

    def _looked_at(self, value):
        """A value of which everything is looked at."""
        self._weigh(value, 1)
        return value

    def _searched(self, value):
        """A value that is looked for in another, or the other."""
        self._weigh(value, _SEARCHED if isinstance(value, str) else 1)
        return value

    def _key(self, value):
        """What is looked up by, or stands in a dict as a key."""
        if not isinstance(value, str | int | float | None | Undefined):
            raise SecurityError(translatable("a list is no key: look up by a text or a number"))
        return self._looked_at(value)

    def _weigh(self, value, character: int) -> None:
        """Charge what it holds, however deep: what stands in it twice counts twice, since it is
        looked at twice. Ends where the budget does."""
        if isinstance(value, str):
            self.charge(1 + character * len(value))
        elif isinstance(value, range):
            self.charge(STEP + _PART * len(value))
        elif isinstance(value, list | tuple | dict):
            self.charge(_LIST + _PART * len(value))
            parts = [*value, *value.values()] if isinstance(value, dict) else value
            if set(map(type, parts)) <= _PLAIN:
                texts = [part for part in parts if isinstance(part, str)]
                self.charge(character * sum(map(len, texts)))
                return
            for part in parts:
                self.charge(STEP)
                self._weigh(part, character)
        else:
            self.charge(1)

    def _steps(self, items: Iterable, cost: int) -> Iterator:
        """The items of a loop, each charged with what its body may do."""
        for item in items:
            self.charge(cost)
            yield item


class _Counting(NodeTransformer):
    """Has charged what the sandbox does not ask about: loops, concatenations, slices, comparisons."""

    def visit_For(self, node: nodes.For) -> nodes.For:
        every = [*node.body, *filter(None, [node.test])]
        cost = STEP * (1 + sum(1 for part in every for _ in _flat(part)))
        self.generic_visit(node)
        node.iter = _filtered(node.iter, "_steps", nodes.Const(cost))
        return node

    def visit_Concat(self, node: nodes.Concat) -> nodes.Filter:
        self.generic_visit(node)
        return _filtered(nodes.List(node.nodes), "join")

    def visit_Getitem(self, node: nodes.Getitem) -> nodes.Getitem:
        self.generic_visit(node)
        if isinstance(node.arg, nodes.Slice):
            node.node = _filtered(node.node, "_copied")
        elif not isinstance(node.arg, nodes.Const):
            node.arg = _filtered(node.arg, "_key")
        return node

    def visit_Pair(self, node: nodes.Pair) -> nodes.Pair:
        self.generic_visit(node)
        if not isinstance(node.key, nodes.Const):
            node.key = _filtered(node.key, "_key")
        return node

    def visit_Compare(self, node: nodes.Compare) -> nodes.Compare:
        self.generic_visit(node)
        searches = any(operand.op in ("in", "notin") for operand in node.ops)
        name = "_searched" if searches else "_looked_at"
        node.expr = _filtered(node.expr, name)
        for operand in node.ops:
            operand.expr = _filtered(operand.expr, name)
        return node


def _flat(tree: nodes.Node) -> Iterator[nodes.Node]:
    """Everything in a tree, itself first. Raises TemplateSyntaxError where it is nested too deeply
    for what compiles it."""
    level, depth = [tree], 0
    while level:
        yield from level
        level = [part for node in level for part in node.iter_child_nodes()]
        depth += 1
        if level and depth > MAX_DEPTH:
            raise TemplateSyntaxError(
                translatable("it is nested over more than %(most)s levels", most=MAX_DEPTH),
                level[0].lineno or 1,
            )


def _refuse(node: nodes.Node) -> None:
    """Raises TemplateSyntaxError for what is not for templates of requests."""
    bad_statement = isinstance(node, nodes.Stmt) and not isinstance(node, _STATEMENTS)
    if bad_statement or isinstance(node, _FORBIDDEN):
        raise TemplateSyntaxError(
            translatable(
                "“%(name)s” is not for templates of requests: use fields, filters, “for”, "
                "“if” and “set”",
                name=type(node).__name__.lower(),
            ),
            node.lineno,
        )
    number = node.value if isinstance(node, nodes.Const) else None
    if _is_whole(number) and number.bit_length() > MAX_BITS:
        raise TemplateSyntaxError(translatable("the numbers grow too large"), node.lineno)


def _filtered(node: nodes.Node, name: str, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno or 1)


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int)
