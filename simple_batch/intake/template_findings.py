"""What in a template looks like a mistake over a table, though it can be read: columns named in the syntax
of other tools, no column used at all, and cells compared with numbers as they are.

Each finding says what to write; ``corrected`` writes it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Literal

import msgspec
from jinja2 import TemplateSyntaxError, nodes

from ..core.clock import give_way
from ..core.json_pieces import Breaks
from ..core.lazy_pattern import lazy_pattern
from ..core.messages import Message, translatable
from .sandbox import BoundedEnvironment
from .template import FIELD, MAX_TAGS, Template, name_and_sign, tags, texts_of
from .template_faults import text_as_number

MOST = 20  # findings that are named
# What Jinja reads stays as it is: raw parts, fields, statements, comments; one that does not end is
# taken whole. Then the syntax of others; possessive, so that no text takes longer than another.
_ANY = lazy_pattern(
    r"\{%-?\s*+raw(?:(?!endraw\s*+-?%\}).)*+(?:endraw\s*+-?%\})?|"
    r"\{\{(?:(?!\}\}).)*+(?:\}\})?|\{%(?:(?!%\}).)*+(?:%\})?|\{#(?=\s)(?:(?!#\}).)*+(?:#\})?|"
    r"(?P<braces>[$#@]?\{([^{}\n]{1,240}+)\})|"
    r"(?P<other>"
    r"%\(([^()\n]{1,240}+)\)[sdrfi]|"  # Python's
    r"\[\[([^\[\]\n]{1,240}+)\]\]|"
    r"<%=?([^<>%\n]{1,240}+)%>|"  # ERB's
    r"<<([^<>\n]{1,240}+)>>|<([^<>\n]{1,240}+)>|"
    r"«([^«»\n]{1,240}+)»|"  # Word's
    r"\$([^\W\d]\w{0,200}+)|%([^\W\d]\w{0,200}+)%)",  # of shells
    re.DOTALL,
)
_CLOSED = lazy_pattern(r"</([^<>\n]{1,240}+)>")
_FORMAT = lazy_pattern(r"\s*([^!:]*?)\s*(?:![rsa])?(?::.{0,20})?")  # of Python's fields
Kind = Literal["other_syntax", "no_column", "text_as_number"]


class Finding(msgspec.Struct, frozen=True):
    """``found`` is the text in the template, ``written`` what to write in its place; ``field`` names the
    template's."""

    kind: Kind
    message: Message
    field: str = "user"
    found: str = ""
    written: str = ""


def findings(template: Template, columns: Sequence[str]) -> list[Finding]:
    """What looks like a mistake, in the order of the texts; up to MOST. Nothing of a template that cannot
    be read."""
    if tags(template) > MAX_TAGS:
        return []
    used, trees, is_readable = _used(template, columns)
    found = [
        Finding(
            "other_syntax",
            translatable(
                "%(found)s is sent as it stands: to insert the column, write %(written)s",
                found=text,
                written=_field(column),
            ),
            field,
            text,
            _field(column),
        )
        for field, text, column in _in_other_syntax(template, columns, used)
    ]
    if not used and is_readable and not template.conversation:
        found.append(Finding("no_column", _no_column(found, columns)))
    found += [
        Finding(
            "text_as_number",
            translatable("“%(name)s” is text here: write %(written)s", name=name, written=written),
        )
        for tree, variables in trees
        for name, written in text_as_number(tree, variables)
    ]
    return found[:MOST]


def corrected(template: Template, columns: Sequence[str]) -> Template:
    """The template with {{ column }} in place of the syntax of other tools."""
    used, _trees, _is_readable = _used(template, columns)
    change = partial(_replaced, columns=columns, used=used)
    return msgspec.structs.replace(
        template,
        user=change(template.user),
        system=change(template.system),
        images=[change(text) for text in template.images],
        parameters=_changed(template.parameters, change),
    )


def _changed(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {name: _changed(part, change) for name, part in value.items()}
    return [_changed(part, change) for part in value] if isinstance(value, list) else value


def _field(column: str) -> str:
    return f"{{{{ {column} }}}}"


def _no_column(found: list[Finding], columns: Sequence[str]) -> Message:
    if found:
        return translatable("no column is used: all requests would be the same")
    return translatable(
        "no column is used: all requests would be the same. Insert one, for example %(written)s",
        written=_field(columns[0]) if columns else "{{ column }}",
    )


# --- which columns are used -----------------------------------------------------------------------


def _used(
    template: Template, columns: Sequence[str]
) -> tuple[set[str], list[tuple[nodes.Template, dict[str, str]]], bool]:
    """The columns that the texts use, their trees with the columns by the names in them, and whether all
    texts can be read over these columns."""
    env = BoundedEnvironment()
    variables = {f"column_{place}_": column for place, column in enumerate(columns)}
    by_column = {column: name for name, column in variables.items()}
    used: set[str] = set()
    trees, is_readable = [], True

    def named(field: re.Match[str]) -> str:
        name, _sign = name_and_sign(field)
        return field[0] if name not in by_column else f"{{{{ {by_column[name]} }}}}"

    for _name, text in _texts(template):
        if "{" not in text:
            continue
        try:
            tree = env.checked(FIELD.sub(named, text))
        except (TemplateSyntaxError, ValueError, RecursionError, MemoryError, OverflowError):
            is_readable = False
            continue
        give_way()
        known = {**{column: column for column in columns}, **variables}
        names = env.undeclared(tree)
        is_readable = is_readable and names <= {*known, *env.globals, "row"}
        used |= {known[name] for name in names if name in known}
        if "row" in names:
            used |= _by_key(tree, columns)
        trees.append((tree, known))
    return used, trees, is_readable


def _by_key(tree: nodes.Template, columns: Sequence[str]) -> set[str]:
    """The columns of row["…"]; all where a row is used in another way."""
    keys = {
        node.value
        for node in tree.find_all(nodes.Const)
        if isinstance(node.value, str) and node.value in columns
    }
    return keys or set(columns)


# --- the syntax of other tools --------------------------------------------------------------------


def _texts(template: Template) -> Iterator[tuple[str, str]]:
    yield "system", template.system
    yield "user", template.user
    yield from (("images", text) for text in template.images)
    yield from (("parameters", text) for text in texts_of(template.parameters))


def _in_other_syntax(
    template: Template, columns: Sequence[str], used: set[str]
) -> Iterator[tuple[str, str, str]]:
    """(field, text, column) for each, but once for each text."""
    seen = set()
    for field, text in _texts(template):
        for found, column in _found_in(text, columns, used):
            if found not in seen:
                seen.add(found)
                yield field, found, column
        give_way()


def _found_in(text: str, columns: Sequence[str], used: set[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    _replaced(text, columns, used, found)
    return found


def _replaced(
    text: str,
    columns: Sequence[str],
    used: set[str],
    found: list[tuple[str, str]] | None = None,
) -> str:
    """The text with fields for what is found outside of what Jinja reads; the first of it are added to
    ``found``. Left as it stands is what only one tool writes so where the column is used already, and a
    tag that is closed further on."""
    by_name = {column.casefold(): column for column in reversed(columns)}
    closed = {name.strip() for name in _CLOSED.findall(text)}
    breaks = Breaks()

    def written(match: re.Match[str]) -> str:
        if match.lastgroup is None:
            return match[0]
        breaks.take()
        name = next(filter(None, match.groups()[1 if match["braces"] else 3 :]), "")
        column = _column_of(name, by_name)
        if column is None or (match["other"] and (column in used or name.strip() in closed)):
            return match[0]
        if found is not None and len(found) < MOST * 10:
            found.append((match[0], column))
        return _field(column)

    return _ANY.sub(written, text)


def _column_of(name: str, by_name: dict[str, str]) -> str | None:
    column = by_name.get(name.strip().casefold())
    format_ = _FORMAT.fullmatch(name) if column is None and ("!" in name or ":" in name) else None
    return by_name.get(format_[1].casefold()) if format_ is not None else column
