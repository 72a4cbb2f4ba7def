"""Declarations of what a user enters: one Field for an option of a job or a field of an API config.

A field stands as an annotation at its attribute of a msgspec struct. Web forms, command-line options,
recipes, columns and the checks of the bounds derive from it.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from functools import cache
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import msgspec

from ..core import context
from ..core.errors import InvalidInput
from ..core.messages import Message, translatable
from . import validation


class Kind(Enum):
    """What a value is: its form field, its type on the command line, and its form in a column."""

    TEXT = auto()
    LONG_TEXT = auto()  # of several lines; cut at ``max_length``
    INTEGER = auto()
    NUMBER = auto()
    FLAG = auto()
    SWITCH = auto()  # on, off, or None: as ``choices`` name them
    CHOICE = auto()  # one of ``choices``
    CHOICES = auto()  # a tuple of any of ``choices``; stored as text with commas
    MOMENT = auto()  # epoch milliseconds
    CAP = auto()  # money, over 0; stored in nano-units
    PRICE = auto()  # money, from 0; stored in nano-units
    JSON = auto()  # an object; stored as text
    PAIRS = auto()  # names with values, as lines that ``read`` takes apart; stored as a JSON object
    LIST = auto()  # a text to users, which ``read`` takes apart and ``write`` puts together


@dataclass(frozen=True)
class Choice:
    """A value that can be chosen; ``word`` is the value on the command line, if it is another."""

    value: Any
    label: Message
    word: str = ""


@dataclass(frozen=True, kw_only=True)
class Field:
    """``low`` and ``high`` bound a number, both included; ``high`` may name a setting. A text with
    a ``max_length`` is required. ``usual`` names the setting that stands for None."""

    kind: Kind
    label: Message  # in errors, and on the page unless ``form_label`` says more
    low: float = 0
    high: float | str = 0
    max_length: int = 0
    usual: str = ""
    choices: tuple[Choice, ...] = ()
    read: Callable[[str], Any] = str
    write: Callable[[Any], str] = str
    parameter: str = ""  # of the requests: what this sets is refused among a job's ``params``
    column: bool = True  # stored in the column of its name, as ``stored`` returns it
    # the page: where the field stands in the form, and what is written below it
    form_label: Message | None = None
    hint: Message | None = None
    group: str = ""
    placeholder: str = ""
    in_details: bool = False  # named on the page of a job that sets it
    # the command line, which speaks English; without a flag there is no option
    flag: str = ""
    help: str | None = None
    metavar: str | None = None
    several: bool = False  # a list whose option can be repeated
    # a recipe: the JSON key, if it is kept; with ``recipe_if`` only where that field is set
    recipe: str = ""
    recipe_if: str = ""
    editable: bool = False  # a job that runs may change it
    # of the annotated attribute
    name: str = ""
    type: Any = None
    default: Any = None


@cache
def declared(struct: type[msgspec.Struct]) -> dict[str, Field]:
    """The fields of a struct by name, in its order; attributes without one are left out."""
    hints = get_type_hints(struct, include_extras=True)
    found = {}
    for attribute in msgspec.structs.fields(struct):
        hint = hints[attribute.name]
        if get_origin(hint) is Annotated:
            plain, field = get_args(hint)
            found[attribute.name] = replace(
                field, name=attribute.name, type=plain, default=_default(attribute)
            )
    return found


def _default(attribute: msgspec.structs.FieldInfo) -> Any:
    if attribute.default_factory is not msgspec.NODEFAULT:
        return attribute.default_factory()
    return None if attribute.default is msgspec.NODEFAULT else attribute.default


def stored(field: Field, value: Any) -> Any:
    """The value as its column holds it. Raises InvalidInput naming the field."""
    if value is None and field.usual:
        value = getattr(context.settings(), field.usual)
    if field.kind in (Kind.INTEGER, Kind.NUMBER):
        return validation.within(value, field.name, field.low, _highest(field), field.label)
    if field.kind is Kind.CAP:
        return validation.cap_nano(value, field.name, field.label)
    if field.kind is Kind.PRICE:
        return validation.price_nano(value, field.name, field.label)
    if field.kind is Kind.CHOICE:
        return _chosen(field, value)
    if field.kind is Kind.CHOICES:
        wanted = {_chosen(field, one) for one in value}
        return ",".join(one.value for one in field.choices if one.value in wanted)
    if field.kind is Kind.TEXT and field.max_length:
        return validation.required_text(value, field.name, field.max_length, field.label)
    if field.kind is Kind.LONG_TEXT:
        return value[: field.max_length]
    if field.kind is Kind.PAIRS:
        return json.dumps(value, ensure_ascii=False)
    if field.kind is Kind.LIST:
        return field.write(field.read(field.write(value)))
    return value


def restored(field: Field, value: Any) -> Any:
    """The value of a column as users enter it."""
    if field.kind in (Kind.CAP, Kind.PRICE):
        return validation.units(value)
    if field.kind is Kind.JSON:
        return json.loads(value) if value else None
    if field.kind is Kind.PAIRS:
        return json.loads(value)
    if field.kind is Kind.CHOICES:
        return tuple(one.value for one in field.choices if one.value in value.split(","))
    if field.kind is Kind.LIST:
        return field.read(value)
    return value


def _highest(field: Field) -> float:
    if isinstance(field.high, str):
        return getattr(context.settings(), field.high)
    return field.high


def _chosen(field: Field, value: Any) -> Any:
    allowed = [choice.value for choice in field.choices]
    if value not in allowed:
        raise InvalidInput(
            translatable(
                "%(label)s: %(value)r is not one of %(allowed)s.",
                label=field.label,
                value=value[:40] if isinstance(value, str) else value,
                allowed=", ".join(map(str, allowed)),
            ),
            field.name,
        )
    return value
