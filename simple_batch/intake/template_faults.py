"""Says in a user's terms why a template cannot be read or fails for a row: not in Jinja's words."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import islice, pairwise

from jinja2 import TemplateSyntaxError, UndefinedError, nodes

from ..core.lazy_pattern import lazy_pattern
from ..core.messages import Message, translatable
from ..core.nearest_name import near, nearest

_WORDS = lazy_pattern(r"[\w ]+")
_OPERATORS = frozenset({"and", "or", "not", "in", "is", "if", "else"})
_TAG = lazy_pattern(
    r"(\{\{|\{%|\{#)((?:(?!\{\{|\{%|\{#|\}\}|%\}|#\}).)*+)(\}\}|%\}|#\})?", re.DOTALL
)
_ENDS = {"{{": "}}", "{%": "%}", "{#": "#}"}
_MOST_TAGS = 200  # that are looked at
_SHOWN = 60  # characters of a tag
_BLOCK = lazy_pattern(r"innermost block that needs to be closed is '(\w+)'")
_QUOTES = "“”„‟‘’«»「」＂＇"
_CLOSES = {"endif": "if", "endfor": "for", "else": "if", "elif": "if", "endset": "set"}
_ASSIGNED = lazy_pattern(r"[^=!<>]=[^=]")


def explained(
    error: TemplateSyntaxError,
    source: str,
    columns: Collection[str],
    filters: Iterable[str],
    is_readable: Callable[[str], bool],
) -> tuple[Message, int]:
    """What is wrong in a text that Jinja refuses, and its line. ``is_readable`` says whether it takes a
    tag alone."""
    complaint = error.message or ""
    if isinstance(complaint, Message):
        return translatable("%(complaint)s.", complaint=complaint), error.lineno
    tags = list(islice(_TAG.finditer(source), _MOST_TAGS))
    for begun in tags:
        if begun[3] != _ENDS[begun[1]]:
            return _unclosed(begun), _line(source, begun.start())
    unknown = re.match(r"Encountered unknown tag '(.+?)'", complaint)
    tag = _blamed(tags, source, error.lineno, is_readable, unknown[1] if unknown else "")
    line = _line(source, tag.start()) if tag is not None else error.lineno
    return _why(complaint, tag, columns, filters), line


def _blamed(
    tags: Sequence[re.Match[str]],
    source: str,
    line: int,
    is_readable: Callable[[str], bool],
    statement: str,
) -> re.Match[str] | None:
    """The tag that a complaint is about: of those in its line that with the statement, or the first that
    cannot be read alone."""
    here = [tag for tag in tags if _line(source, tag.start()) <= line <= _line(source, tag.end())]
    for tag in here:
        if statement and tag[1] == "{%" and tag[2].strip("+- \n").split(None, 1)[0] == statement:
            return tag
    for tag in here:
        if tag[1] == "{{" and not is_readable(tag[0]):
            return tag
    return next((tag for tag in here if tag[1] == "{%"), here[0] if here else None)


def _unclosed(tag: re.Match[str]) -> Message:
    """A tag whose end is missing, or written in another way."""
    inside = tag[2].split("\n", 1)[0]
    if tag[1] != "{#":
        inside = inside.split("}", 1)[0].split("%", 1)[0]
    return translatable(
        "%(end)s is missing after %(shown)s",
        end=_ENDS[tag[1]],
        shown=_cut(tag[1] + inside.rstrip()),
    )


def _why(
    complaint: str, tag: re.Match[str] | None, columns: Collection[str], filters: Iterable[str]
) -> Message:
    shown = _cut(" ".join(tag[0].split())) if tag is not None else ""
    inside = tag[2].strip("+- \n") if tag is not None else ""
    if found := re.match(r"Encountered unknown tag '(.+?)'", complaint):
        return _unknown_statement(found[1], complaint, inside, columns)
    if found := _BLOCK.search(complaint):
        return translatable(
            "{%% end%(name)s %%} is missing: {%% %(name)s … %%} has no end", name=found[1]
        )
    if complaint.startswith("Missing end of raw"):
        return translatable("%(end)s is missing after %(shown)s", end="{% endraw %}", shown=shown)
    if found := re.match(r"No (filter|test) named '(.+?)'", complaint):
        return _unknown_filter(found[2], filters)
    if found := re.match(r"unexpected char (.+) at \d+", complaint):
        return _unexpected_character(found[1][1:-1], shown)
    return _unreadable(complaint, inside, shown, columns)


def _unknown_statement(name: str, complaint: str, inside: str, columns: Collection[str]) -> Message:
    column = next((it for it in columns if it.casefold() == inside.casefold()), None)
    if column is not None:
        return translatable(
            "{%% %(name)s %%} is no statement: write {{ %(name)s }} for the column", name=column
        )
    if name in _CLOSES:
        return translatable(
            "{%% %(name)s %%} has no {%% %(begin)s … %%} before it", name=name, begin=_CLOSES[name]
        )
    return translatable(
        "“%(name)s” is no statement of templates: there are “for”, “if” and “set”", name=name[:40]
    )


def _unknown_filter(name: str, filters: Iterable[str]) -> Message:
    nearest = near(name, [it for it in filters if not it.startswith("_")])
    if nearest is None:
        return translatable("there is no filter “%(name)s”", name=name[:40])
    return translatable(
        "there is no filter “%(name)s”; the nearest is “%(nearest)s”",
        name=name[:40],
        nearest=nearest,
    )


def _unexpected_character(character: str, shown: str) -> Message:
    if character in _QUOTES:
        return translatable(
            '%(character)s is no quote of a template, in %(shown)s: write "',
            character=character,
            shown=shown,
        )
    if character in "'\"":
        return translatable("a quote is not closed in %(shown)s", shown=shown)
    return translatable(
        "%(character)s cannot stand in %(shown)s", character=character[:20], shown=shown
    )


def _unreadable(complaint: str, inside: str, shown: str, columns: Collection[str]) -> Message:
    if inside.startswith("{") or shown.startswith("{{{"):
        return translatable("three braces in %(shown)s: write two, {{ column }}", shown=shown)
    if not inside:
        return translatable("the name of a column is missing in %(shown)s", shown=shown)
    spaced = next((it for it in columns if not it.isidentifier() and it in inside), None)
    if spaced is not None:
        return translatable(
            "%(shown)s: a name with spaces or signs beside a filter or an operator is written "
            'row["%(name)s"]',
            shown=shown,
            name=spaced,
        )
    words = inside.split()
    if len(words) > 1 and _WORDS.fullmatch(inside) and not _OPERATORS.intersection(words):
        return translatable(
            "there is no column “%(name)s”; the nearest is “%(nearest)s”",
            name=" ".join(words),
            nearest=nearest(" ".join(words), columns),
        )
    if "got '='" in complaint or ("'='" in complaint and _ASSIGNED.search(inside)):
        return translatable("%(shown)s: two values are compared by ==", shown=shown)
    if "expected token 'in'" in complaint:
        return translatable("%(shown)s: “in” is missing, as in for x in list", shown=shown)
    if found := re.search(r"unexpected '(.+?)', expected '(.+?)'", complaint):
        return translatable("%(mark)s is missing in %(shown)s", mark=found[2], shown=shown)
    if found := re.search(r"got '([^ ]+?)'\.?$", complaint):
        return translatable(
            "%(shown)s: “%(word)s” cannot stand where it does", shown=shown, word=found[1][:40]
        )
    if "end of" in complaint:
        return translatable("a value is missing in %(shown)s", shown=shown)
    return translatable("%(shown)s cannot be read", shown=shown)


def failure(error: Exception, trees: Iterable[nodes.Template], columns: dict[str, str]) -> Message:
    """Why an expression fails for a row. ``columns`` are the columns by their names in the trees."""
    complaint = getattr(error, "message", None) or (error.args[0] if error.args else "")
    numeric = isinstance(error, TypeError) or "numbers only" in str(complaint)
    if numeric:
        for tree in trees:
            for name, written in text_as_number(tree, columns):
                return translatable(
                    "“%(name)s” is text here: write %(written)s", name=name, written=written
                )
    if isinstance(complaint, Message):
        return complaint
    if isinstance(error, ZeroDivisionError):
        return translatable("a division by zero")
    if isinstance(error, UndefinedError):
        return _undefined(str(complaint))
    if isinstance(error, TypeError):
        return translatable(
            "it calculates or compares with a value of another kind: |int or |float makes a number of "
            "a text"
        )
    return translatable("an expression cannot be computed (%(kind)s)", kind=type(error).__name__)


def _undefined(complaint: str) -> Message:
    found = re.search(r"has no (?:attribute|element) '?([^']+?)'?$", complaint)
    if found:
        return translatable("there is no “%(name)s” in this value", name=found[1][:40])
    return translatable("a name has no value here")


def text_as_number(tree: nodes.Template, columns: dict[str, str]) -> Iterator[tuple[str, str]]:
    """(column, what to write) for each cell that is compared or calculated with a number as it is: cells
    are texts. ``columns`` are the columns by their names in the tree."""
    assigned = {name.name for name in tree.find_all(nodes.Name) if name.ctx in ("store", "param")}
    known = {name: it for name, it in columns.items() if name not in assigned}
    for node in tree.find_all((nodes.Compare, nodes.BinExpr)):
        if isinstance(node, nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
            signs = [_SIGNS.get(operand.op, "") for operand in node.ops]
        elif isinstance(node, nodes.BinExpr):
            sides, signs = [node.left, node.right], [getattr(node, "operator", "")]
        yield from _of_sides(list(map(_bare, sides)), signs, known)


_SIGNS = {"gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "eq": "==", "ne": "!="}


def _of_sides(
    sides: list[nodes.Node], signs: list[str], columns: dict[str, str]
) -> Iterator[tuple[str, str]]:
    for sign, (left, right) in zip(signs, pairwise(sides), strict=False):
        for one, other, turned in ((left, right, False), (right, left, True)):
            name = _column(one, columns)
            number = _number(other)
            if name is None or number is None or sign in ("", "and", "or", "~"):
                continue
            kind = "float" if "." in number else "int"
            field = name if name.isidentifier() else f'row["{name}"]'
            written = f"{field}|{kind}"
            yield name, f"{number} {sign} {written}" if turned else f"{written} {sign} {number}"


def _column(node: nodes.Node, columns: dict[str, str]) -> str | None:
    if isinstance(node, nodes.Name):
        return columns.get(node.name)
    if isinstance(node, nodes.Getitem):
        base, key = _bare(node.node), _bare(node.arg)
        if isinstance(base, nodes.Name) and base.name == "row" and isinstance(key, nodes.Const):
            return key.value if key.value in columns.values() else None
    return None


def _number(node: nodes.Node) -> str | None:
    """The number that a constant is, or an expression made by |int or |float."""
    if isinstance(node, nodes.Neg):
        inside = _number(node.node)
        return None if inside is None else f"-{inside}"
    if isinstance(node, nodes.Const) and type(node.value) in (int, float):
        return repr(node.value)
    return None


def _bare(node: nodes.Node) -> nodes.Node:
    """A node without the filters by which the sandbox counts work."""
    while isinstance(node, nodes.Filter) and node.name.startswith("_") and node.node is not None:
        node = node.node
    return node


def _line(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
