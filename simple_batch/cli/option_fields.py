"""Command-line options made from the declarations of services/fields.py."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from ..services.fields import Choice, Field, Kind
from .base import PRICE

_TYPES: dict[Kind, Any] = {
    Kind.INTEGER: int,
    Kind.NUMBER: float,
    Kind.CAP: PRICE,
    Kind.PRICE: PRICE,
}


def options_of(fields: Iterable[Field]) -> list[Callable]:
    """The options of the fields that have a flag; each is handed over by the name of its field, and
    as None, or False for a flag, where it is not given."""
    return [_option(field) for field in fields if field.flag]


def _option(field: Field) -> Callable:
    if field.kind is Kind.FLAG:
        return click.option(field.flag, field.name, is_flag=True, help=field.help)
    kind = _TYPES.get(field.kind, str)
    if field.kind is Kind.CHOICE:
        kind = click.Choice([word_of(choice) for choice in field.choices])
    return click.option(field.flag, field.name, type=kind, metavar=field.metavar, help=field.help)


def word_of(choice: Choice) -> str:
    """A choice as it is written on the command line."""
    return choice.word or str(choice.value)


def given(value: Any) -> bool:
    """Whether an option was given."""
    return value is not None and value is not False
