"""Conditions on the user's columns, on the fields of answers and on ratings, as URLs give them.

``col.stars=5`` (equal; several: one of them), ``col.review~=late`` (contains), ``col.stars>=3``,
``col.stars<=4``, ``empty=col.review``. Texts are compared without regard to case. ``labels=wrong`` holds
where one of the labels is that. ``answer~=late`` and ``model=small`` are about TEXTS of a request, ``cost>=0.01``
(units of the currency), ``latency<=1.5`` (s) and ``finished>=1764500000`` (s since 1970) about FIGURES.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from ..core.errors import InvalidInput
from ..core.messages import translatable
from .grid_columns import (
    CELL,
    CODE,
    FIELD,
    FIGURES,
    FILTERED,
    MOMENTS,
    RATED,
    SCALES,
    SCORED,
    TEXTS,
    Columns,
    text_of,
)
from .sort_key import CUT, EMPTY, NUMBER, SortKey, folded, key_of, number_of

EQUAL, CONTAINS, LEAST, MOST, IS_EMPTY = "=", "~", ">", "<", "empty"
MAX_TEXT = 500  # characters
MAX_CONDITIONS = 20
MAX_VALUES = 50  # of one condition
_NAMED = (*RATED, *TEXTS, *FIGURES)


class Condition(msgspec.Struct, frozen=True):
    """``column`` is its name in URLs; the ``texts`` are the values as given."""

    column: str
    sign: str
    texts: tuple[str, ...] = ()

    def matches(self, value: Any) -> bool:
        """Whether a value fulfils it."""
        key = key_of(value)
        if self.sign == IS_EMPTY:
            return key.kind == EMPTY
        if self.sign in (LEAST, MOST):
            bound = self._bound
            inside = key.number >= bound if self.sign == LEAST else key.number <= bound
            return key.kind == NUMBER and inside
        whole = folded(text_of(value))
        if self.sign == CONTAINS:
            return all(folded(text) in whole for text in self.texts)
        if self.column == "labels":
            return not set(map(folded, self.texts)).isdisjoint(whole.split(", "))
        return whole in map(folded, self._stored)

    @property
    def _bound(self) -> float:
        """The number to compare with, in the unit that the column is stored in."""
        return round((number_of(self.texts[0]) or 0.0) * SCALES.get(self.column, 1), 6)

    @property
    def _stored(self) -> tuple[str, ...]:
        """The texts as the column stores them."""
        if self.column not in FIGURES:
            return self.texts
        scale = SCALES.get(self.column, 1)
        numbers = (round((number_of(text) or 0.0) * scale, 3) for text in self.texts)
        # all of them are stored as whole numbers
        return tuple(f"{round(number)}" for number in numbers if number % 1 == 0)

    def on_keys(self, table: str) -> tuple[str, list]:
        """The same as SQL on the sort keys ``table``; a key that is cut is taken for one that may
        fulfil it."""
        if self.sign == IS_EMPTY:
            return f"{table}.kind = {EMPTY}", []
        if self.sign in (LEAST, MOST):
            way = ">=" if self.sign == LEAST else "<="
            return f"{table}.kind = {NUMBER} AND {table}.number {way} ?", [self._bound]
        if self.sign == CONTAINS:
            parts = [f"(instr({table}.text, ?) > 0 OR length({table}.text) >= {CUT})"]
            return " AND ".join(parts * len(self.texts)), [folded(text) for text in self.texts]
        keys = [key_of(text) for text in self._stored]
        if not keys:
            return "1 = 0", []
        one = f"({table}.kind = ? AND {table}.number = ? AND {table}.text = ?)"
        return "(" + " OR ".join([one] * len(keys)) + ")", [part for key in keys for part in key]

    @property
    def single_key(self) -> SortKey | None:
        """The one key that fulfils it; None where several may."""
        if self.sign == IS_EMPTY:
            return key_of(None)
        is_one = self.sign == EQUAL and len(self._stored) == 1
        return key_of(self._stored[0]) if is_one else None

    @property
    def parameter(self) -> str:
        """The name of the URL parameter."""
        if self.sign == IS_EMPTY:
            return IS_EMPTY
        return self.column if self.sign == EQUAL else f"{self.column}{self.sign}"

    @property
    def values(self) -> tuple[str, ...]:
        """The values of the URL parameter."""
        return (self.column,) if self.sign == IS_EMPTY else self.texts


def _is_named(parameter: str) -> bool:
    """Whether a URL parameter is a condition on a column; of some, only those with a sign are."""
    name = parameter.rstrip("~<>")
    is_signed = name in FILTERED and name != parameter
    return parameter.startswith((CELL, FIELD, SCORED)) or name in _NAMED or is_signed


def parse(args: Any, columns: Columns) -> tuple[Condition, ...]:
    """The conditions in URL parameters; empty ones are ignored. Raises InvalidInput naming the
    parameter, also for a column that the job does not have."""
    found: list[Condition] = []
    for name in args:
        texts = tuple(text for text in args.getlist(name) if text.strip())
        if name == IS_EMPTY:
            found += [Condition(_of_any(text, columns), IS_EMPTY) for text in dict.fromkeys(texts)]
        elif _is_named(name) and texts:
            found.append(_condition(name, texts, columns))
    if len(found) > MAX_CONDITIONS:
        raise InvalidInput(
            translatable("Use at most %(most)s conditions on columns.", most=MAX_CONDITIONS),
            found[-1].parameter,
        )
    return tuple(found)


def _condition(name: str, texts: tuple[str, ...], columns: Columns) -> Condition:
    if name in columns:
        condition = Condition(name, EQUAL, texts)
    elif name[-1] in (CONTAINS, LEAST, MOST):
        condition = Condition(_known(name[:-1], columns, name), name[-1], texts)
    else:
        condition = Condition(_known(name, columns, name), EQUAL, texts)
    if len(texts) > MAX_VALUES or any(len(text) > MAX_TEXT for text in texts):
        raise InvalidInput(
            translatable(
                "%(name)s: use up to %(values)s values of up to %(most)s characters.",
                name=name,
                values=MAX_VALUES,
                most=MAX_TEXT,
            ),
            name,
        )
    _check_numbers(condition, name)
    return condition


def _check_numbers(condition: Condition, parameter: str) -> None:
    """Figures are compared as numbers, and only as such; bounds are one number."""
    is_bound = condition.sign in (LEAST, MOST)
    if not is_bound and condition.column not in (*FIGURES, CODE):
        return
    wrong = [text for text in condition.texts if number_of(text) is None]
    if condition.sign == CONTAINS or (is_bound and len(condition.texts) > 1):
        wrong = list(condition.texts)
    if wrong:
        words = translatable(
            "%(name)s=%(value)r: not a number.", name=parameter, value=wrong[0][:60]
        )
        if condition.column in MOMENTS:
            words = translatable(
                "%(name)s=%(value)r: give seconds since 1970.", name=parameter, value=wrong[0][:60]
            )
        raise InvalidInput(words, parameter)


def _of_any(name: str, columns: Columns) -> str:
    return name if name in columns else _known(name, columns, IS_EMPTY)


def _known(name: str, columns: Columns, parameter: str) -> str:
    if name in columns.filtered:
        return name
    allowed = ", ".join(columns.filtered)
    raise InvalidInput(
        translatable(
            "%(parameter)s: this job has no column %(name)r. It has: %(allowed)s.",
            parameter=parameter,
            name=name[:80],
            allowed=allowed[:400],
        ),
        parameter,
    )


def as_args(conditions: Sequence[Condition]) -> dict[str, list[str]]:
    """The URL parameters that ``parse`` reads back."""
    args: dict[str, list[str]] = {}
    for condition in conditions:
        args.setdefault(condition.parameter, []).extend(condition.values)
    return args


def all_match(conditions: Sequence[Condition], value_of: Any) -> bool:
    """Whether a row fulfils all; ``value_of(column)`` gives its values."""
    return all(condition.matches(value_of(condition.column)) for condition in conditions)
