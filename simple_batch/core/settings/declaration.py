"""How a setting is declared, and how a value from outside becomes one of its kind."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple, TypeVar

from ..errors import SettingsError

Value = str | bool | int | float
_Value = TypeVar("_Value", str, bool, int, float)
_SHOWN = 60  # characters of a value in a message
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\ud800-\udfff]")


class _Kind(NamedTuple):
    name: str
    read: Callable[[Any], Value]  # raises TypeError, ValueError or OverflowError
    in_file: tuple[type, ...]  # what settings.toml may have: numbers also in quotation marks


def _as_bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    text = str(value).strip().lower()
    if text in ("1", "true", "yes", "on"):
        return True
    if text in ("0", "false", "no", "off", ""):
        return False
    raise ValueError(value)


_KINDS: dict[type, _Kind] = {
    str: _Kind("text", str, (str,)),
    bool: _Kind("yes or no", _as_bool, (bool, int, str)),
    int: _Kind("whole number", int, (int, str)),
    float: _Kind("number", float, (int, float, str)),
}


@dataclass(frozen=True)
class Declaration:
    """All that is known of a setting. Its default tells its kind; ``meaning`` is Markdown for
    docs/configuration.md; ``low`` and ``high`` are the bounds of a number in its ``unit``; the value of
    a ``secret`` stands in no message."""

    name: str
    default: Value
    meaning: str
    unit: str
    low: float | None
    high: float | None
    choices: tuple[str, ...]
    secret: bool

    @property
    def _kind(self) -> _Kind:
        return _KINDS[type(self.default)]

    def value_of(self, given: object, source: str) -> Value:
        """The value as the setting's kind. ``source`` says where it came from. Raises SettingsError for
        one of another kind, out of bounds or not among the choices."""
        shown = f"{self._shown(given)} (from {source})"
        try:
            value = self._kind.read(given)
        except (TypeError, ValueError, OverflowError):
            raise SettingsError(f"{shown}: not a {self._kind.name}.") from None
        if isinstance(value, str):
            return self._checked_text(value, shown)
        if self.low is not None and self.high is not None and not self.low <= value <= self.high:
            bounds = f"from {self.low} to {self.high} {self.unit}".rstrip()
            raise SettingsError(f"{shown}: must be {bounds}.")
        return value

    def check_kind(self, given: object, source: str) -> None:
        """A file of settings knows kinds, and what is of another one is a mistake there: texts are not
        made of lists, nor whole numbers of halves. Raises SettingsError."""
        kind = self._kind
        fits = isinstance(given, kind.in_file)
        if isinstance(given, bool) and bool not in kind.in_file:
            fits = False
        if not fits:
            quoted = " (in quotation marks)" if kind.in_file == (str,) else ""
            raise SettingsError(f"{self._shown(given)} (from {source}): not a {kind.name}{quoted}.")

    def _checked_text(self, value: str, shown: str) -> str:
        if _UNFIT.search(value):
            raise SettingsError(f"{shown}: it has characters that no text may have here.")
        if not self.choices:
            return value
        for choice in self.choices:
            if value == choice or (choice.isupper() and value.upper() == choice):
                return choice
        raise SettingsError(f"{shown}: use one of {', '.join(self.choices)}.")

    def _shown(self, given: object) -> str:
        if self.secret:
            return self.name
        text = repr(given)
        return f"{self.name}={text if len(text) <= _SHOWN else f'{text[:_SHOWN]}…'}"


def setting(
    default: _Value,
    meaning: str,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    secret: bool = False,
) -> _Value:
    """A field of the dataclass of settings: see ``Declaration``."""
    return field(
        default=default,
        metadata={
            "default": default,
            "meaning": meaning,
            "unit": unit,
            "low": low,
            "high": high,
            "choices": choices,
            "secret": secret,
        },
    )


def declarations(settings: type) -> dict[str, Declaration]:
    """The settings that a dataclass declares, by name, in their order."""
    return {
        item.name: Declaration(item.name, **item.metadata)
        for item in fields(settings)
        if item.metadata
    }
