"""Command-line options made from the declarations of services/fields.py."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click

from ..core.nearest_name import near
from ..services.fields import Choice, Field, Kind
from .base import PRICE


class Several(click.ParamType):
    """Any of some choices, as a text with commas between them; their values as a tuple."""

    name = "list"

    def __init__(self, choices: Sequence[Choice]):
        self._values = {word_of(choice): choice.value for choice in choices}

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple:
        if isinstance(value, tuple):
            return value
        words = [word.strip() for word in value.replace("，", ",").split(",")]
        for word in filter(None, words):
            if word not in self._values:
                self.fail(self._unknown(word), param, ctx)
        return tuple(dict.fromkeys(self._values[word] for word in words if word))

    def _unknown(self, word: str) -> str:
        close = near(word, self._values)
        hint = f" The nearest is {close}." if close else ""
        return f"{word[:40]!r} is not one of {', '.join(self._values)}.{hint}"


_TYPES: dict[Kind, Any] = {
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.CAP: PRICE,
    Kind.PRICE: PRICE,
}


class Cleared:
    """What an option says that is given with an empty value: remove what is stored."""


CLEARED = Cleared()


class _Clearable(click.ParamType):
    """A type that takes an empty value too, as CLEARED."""

    def __init__(self, kind: Any):
        self._kind = click.types.convert_type(kind)
        self.name = self._kind.name

    def get_metavar(self, param: Any, ctx: Any) -> str | None:
        return self._kind.get_metavar(param, ctx)

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "" or value is CLEARED:
            return CLEARED
        return self._kind.convert(value, param, ctx)


def options_of(fields: Iterable[Field], clearable: bool = False) -> list[Callable]:
    """The options of the fields that have a flag; each is handed over by the name of its field, and
    as None, or False for a flag, where it is not given. ``clearable`` ones may be empty: CLEARED."""
    return [_option(field, clearable) for field in fields if field.flag]


def _option(field: Field, clearable: bool) -> Callable:
    if field.kind is Kind.FLAG:
        return click.option(field.flag, field.name, is_flag=True, help=field.help)
    if field.kind is Kind.SWITCH:
        both = f"{field.flag}/--no-{field.flag.removeprefix('--')}"
        return click.option(both, field.name, default=None, help=field.help)
    kind = _TYPES.get(field.kind, str)
    if field.kind is Kind.CHOICE:
        kind = click.Choice([word_of(choice) for choice in field.choices])
    if field.kind is Kind.CHOICES:
        kind = Several(field.choices)
    if clearable:
        kind = _Clearable(kind)
    if field.several:
        return click.option(
            field.flag, field.name, multiple=True, metavar=field.metavar, help=field.help
        )
    return click.option(field.flag, field.name, type=kind, metavar=field.metavar, help=field.help)


def word_of(choice: Choice) -> str:
    """A choice as it is written on the command line."""
    return choice.word or str(choice.value)


def chosen(field: Field, word: str) -> Any:
    """The choice that is written so on the command line."""
    return {word_of(choice): choice.value for choice in field.choices}[word]


def given(value: Any, kind: Kind = Kind.FLAG) -> bool:
    """Whether an option was given."""
    return value not in (None, ()) and (value is not False or kind is Kind.SWITCH)
