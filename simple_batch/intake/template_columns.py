"""What a template shows without a table: its syntax, and the columns that it needs."""

import contextlib
import re
from collections.abc import Callable, Sequence
from functools import cache, partial

from jinja2 import TemplateSyntaxError, nodes

from ..core.clock import give_way
from ..core.settings import Settings
from .renderer import Renderer
from .sandbox import BoundedEnvironment
from .template import FIELD, MAX_TAGS, Template, name_and_sign, tags, texts_of

_EXPRESSION = re.compile(r'[|"\[\]{}]|__')  # what no column's name is taken to hold
_LONGEST = 300  # a field that is longer is no name
_ANY_NUMBER = 1 << 60  # of tokens: names are short, and not too many
_UNREADABLE = (TemplateSyntaxError, ValueError, RecursionError, MemoryError, OverflowError)


def check_template(template: Template, settings: Settings, columns: Sequence[str] = ()) -> None:
    """Raises InvalidInput naming the field that could be read over no table at all; ``columns`` are
    those of a table that is there, which may be called what else would be no field."""
    names = dict.fromkeys((*columns, *columns_needed(template)))
    Renderer(template, list(names), settings)


def columns_needed(template: Template) -> list[str]:
    """The columns that a template needs, as far as its text tells: only a table can say whether
    ``{{a-b}}`` is one column or two. A text that cannot be read needs none, and
    so does a template with too many fields."""
    if tags(template) > MAX_TAGS:
        return []
    env = BoundedEnvironment()
    found: dict[str, None] = {}
    is_name = cache(partial(_is_name, BoundedEnvironment(_ANY_NUMBER)))
    for text in (template.system, template.user, *template.images, *texts_of(template.parameters)):
        found |= dict.fromkeys(_needed(env, is_name, text))
    for name in (template.custom_id, template.conversation):
        if name:
            found[name] = None
    return list(found)


def _needed(env: BoundedEnvironment, is_name: Callable[[str], bool], text: str) -> list[str]:
    names = []

    def taken(field: re.Match[str]) -> str:
        name, _sign = name_and_sign(field)
        if not is_name(name):
            return field[0]
        names.append(name)
        return "{{0}}"

    rest = FIELD.sub(taken, text)
    with contextlib.suppress(*_UNREADABLE):
        tree = env.checked(rest)
        give_way()
        names += [
            part.arg.value
            for part in tree.find_all(nodes.Getitem)
            if isinstance(part.node, nodes.Name) and part.node.name == "row"
            if isinstance(part.arg, nodes.Const) and isinstance(part.arg.value, str)
        ]
        used = {node.name: None for node in tree.find_all(nodes.Name)}  # as they come
        undeclared = env.undeclared(tree) - {"row", *env.globals}
        names += [name for name in used if name in undeclared]
    return names


def _is_name(env: BoundedEnvironment, field: str) -> bool:
    """Whether a field can only be a column's name, such as ``Customer name`` or ``Price (USD)``."""
    if not field or len(field) > _LONGEST or _EXPRESSION.search(field):
        return False
    give_way()
    try:
        tree = env.checked(f"{{{{ {field} }}}}")
    except _UNREADABLE:
        return True
    calls = (call.node for call in tree.find_all(nodes.Call))
    return any(isinstance(node, nodes.Name) and node.name not in env.globals for node in calls)


def conversation_of(columns: Sequence[str]) -> str | None:
    """Of columns that hold conversations the one that is sent without a template: ``messages``, or the
    only one."""
    if "messages" in columns:
        return "messages"
    return columns[0] if len(columns) == 1 else None
