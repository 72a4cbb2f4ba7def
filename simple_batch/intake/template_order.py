"""Where in a template text that is the same in each request stands behind a column: a prompt cache holds
only what stands before the first difference (core/prompt_prefix.py).
"""

import re
from collections.abc import Iterator, Sequence

import msgspec
from jinja2 import TemplateSyntaxError, nodes

from ..core.clock import give_way
from .sandbox import BoundedEnvironment
from .template import FIELD, MAX_TAGS, Template, name_and_sign, tags, texts_of

_UNREADABLE = (TemplateSyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


class FixedText(msgspec.Struct, frozen=True):
    """The texts of a template that are the same in each request: ``before`` the first column and behind
    it; ``column`` is its name."""

    before: str
    behind: str
    column: str


def fixed_text(template: Template, columns: Sequence[str]) -> FixedText | None:
    """None where no column is used, or where the template cannot be read."""
    if tags(template) > MAX_TAGS:
        return None
    before: list[str] = []
    behind: list[str] = []
    first = ""
    try:
        for text, column in _parts(template, columns):
            if column:
                first = first or column
            elif first:
                behind.append(text)
            else:
                before.append(text)
    except _UNREADABLE:
        return None
    return FixedText("".join(before), "".join(behind), first) if first else None


def _parts(template: Template, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(fixed text, "") or ("", the column that stands there), in the order in which a prompt is read."""
    for text in texts_of(template.parameters.get("tools", [])):
        yield from _parts_of(text, columns)
    yield from _parts_of(template.system, columns)
    if template.conversation:
        yield "", template.conversation
    yield from _parts_of(template.user, columns)


def _parts_of(text: str, columns: Sequence[str]) -> Iterator[tuple[str, str]]:
    if "{" not in text:
        yield text, ""
        return
    env = BoundedEnvironment()
    variables = {f"column_{place}_": column for place, column in enumerate(columns)}
    by_column = {column: name for name, column in variables.items()}

    def named(field: re.Match[str]) -> str:
        name, _sign = name_and_sign(field)
        return field[0] if name not in by_column else f"{{{{ {by_column[name]} }}}}"

    tree = env.checked(FIELD.sub(named, text))
    give_way()
    known = {**{column: column for column in columns}, **variables}
    for node in tree.body:
        for part in node.nodes if isinstance(node, nodes.Output) else [node]:
            if isinstance(part, nodes.TemplateData):
                yield part.data, ""
            else:
                names = _names(part)
                yield (
                    "",
                    next((known.get(name, name) for name in names if name not in env.globals), ""),
                )


def _names(node: nodes.Node) -> list[str]:
    """The names that an expression or a statement uses; of row["…"] its key."""
    found = [node, *node.find_all((nodes.Name, nodes.Const))]
    keys = [one.value for one in found if isinstance(one, nodes.Const)]
    names = [one.name for one in found if isinstance(one, nodes.Name)]
    if names[:1] == ["row"]:
        names = [key for key in keys if isinstance(key, str)] or names
    return names
