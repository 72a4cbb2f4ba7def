"""The JSON in the text of an answer.

Read in this order, and the first that has any decides:

1. the whole text, without a byte-order mark;
2. the fenced blocks of Markdown (``` or ~~~) that hold JSON;
3. the objects and arrays in the prose.

Nothing is ever taken out of a larger value that cannot be read: brackets that do not pair mean that there
is no JSON. Of several values that differ the one that fits the schema is taken; if that is not
exactly one, none.
"""

import json
import re
from collections.abc import Callable

import msgspec

from ..lazy_pattern import lazy_pattern
from ..stored_messages import (
    JSON_ENDS_EARLY,
    NO_JSON,
    NO_JSON_AT,
    NO_TEXT,
    SEVERAL_FIT,
    SEVERAL_VALUES,
    TOO_DEEP_FOR_JSON,
    TOO_LONG_FOR_JSON,
    TOO_MANY_VALUES,
)

LONGEST = 4_000_000  # characters of an answer that are read as JSON: a million tokens
MAX_VALUES = 500_000  # commas and brackets of such an answer: decoding takes 0.15 s
MAX_DIFFERENT = 20  # values in one text that are compared with the schema
_MAX_PIECES = 1_000  # of a text that are read
_BLANK = "\ufeff \t\r\n"
_SPACE = lazy_pattern(rf"[{_BLANK}]*")
_FENCE = lazy_pattern(r"`{3,}|~{3,}")
_LANGUAGE = lazy_pattern(r"[ \t]*[A-Za-z][\w.+-]{0,19}(?=[\s{\[\"])")
_BRACKET = lazy_pattern(r"[\[\]{}]")
_TOKEN = lazy_pattern(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}"]', re.DOTALL)
_PLACE = lazy_pattern(r"\(byte (\d+)\)$")
_EXCERPT = 20  # bytes shown of where a text stops being JSON
_PAIRS = {"]": "[", "}": "{"}
_any = msgspec.json.Decoder().decode
_ERRORS = (msgspec.DecodeError, UnicodeError, RecursionError)


class NoJson(ValueError):
    """There is no JSON in a text; the message says why."""


class JsonText(msgspec.Struct, frozen=True):
    """JSON as it was written, and what it says."""

    text: str
    value: object


def json_of(text: str, fits: Callable[[JsonText], bool] | None = None) -> JsonText:
    """The JSON that a text is or contains. Of several different values it is the only one that
    ``fits``. Raises NoJson, also where several fit or none of several does."""
    found = _values(text)
    if len(found) == 1:
        return found[0]
    if len(found) > MAX_DIFFERENT or fits is None:
        raise NoJson(SEVERAL_VALUES(count=len(found)))
    fitting = list(filter(fits, found))
    if not fitting:
        raise NoJson(SEVERAL_VALUES(count=len(found)))
    if len(fitting) > 1:
        raise NoJson(SEVERAL_FIT(count=len(fitting)))
    return fitting[0]


def _values(text: str) -> list[JsonText]:
    """The different values in a text, at least one. Raises NoJson."""
    if len(text) > LONGEST:
        raise NoJson(TOO_LONG_FOR_JSON(characters=f"{LONGEST:,}"))
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise NoJson(TOO_MANY_VALUES(values=f"{MAX_VALUES:,}"))
    text = text.strip(_BLANK)
    try:
        return [JsonText(text, _any(text))]
    except _ERRORS as error:
        why = error
    faults: list[Exception] = []
    found = _fenced(text, faults) or _in_prose(text, faults)
    if not found:
        raise NoJson(_why(text, faults[-1] if faults else why))
    return _different(found)


def _different(found: list[JsonText]) -> list[JsonText]:
    """The first of each value; ``1`` and ``true`` are different."""
    if len(found) == 1:
        return found
    different: dict[str, JsonText] = {}
    for one in found:
        different.setdefault(_normal(one), one)
    return list(different.values())


def _normal(one: JsonText) -> str:
    try:
        return json.dumps(one.value, sort_keys=True)
    except (ValueError, RecursionError):  # a number of very many digits; too deep
        return one.text


def _fenced(text: str, faults: list[Exception]) -> list[JsonText]:
    """What the fenced blocks hold that is JSON; nothing where the last one is cut off. ``faults`` gets
    why the others are none."""
    found: list[JsonText] = []
    opening = _FENCE.search(text)
    while opening is not None:
        block = _block(text, opening)
        if block is None:
            return []
        start, end, closing = block
        if not _read(text[start:end].strip(_BLANK), found, faults) and closing is None:
            return []
        opening = _FENCE.search(text, closing.end()) if closing else None
    return found


def _block(text: str, opening: re.Match[str]) -> tuple[int, int, re.Match[str] | None] | None:
    """Where the content of a fenced block begins and ends, and its closing fence, None if it goes to the
    end of the text. None where the value in it does not end."""
    start = opening.end()
    for skipped in (_LANGUAGE, _SPACE):
        match = skipped.match(text, start)
        start = match.end() if match else start
    behind: int | None = start
    if text[start : start + 1] in ("{", "["):  # a fence in its texts is none
        behind = _balanced_end(text, start)
    if behind is None:
        return None
    closing = _FENCE.search(text, behind)
    while closing is not None and not closing[0].startswith(opening[0]):
        closing = _FENCE.search(text, closing.end())
    return start, closing.start() if closing else len(text), closing


def _in_prose(text: str, faults: list[Exception]) -> list[JsonText]:
    """The objects and arrays that stand between words; nothing where brackets do not pair."""
    found: list[JsonText] = []
    bracket = _BRACKET.search(text)
    while bracket is not None:
        end = _balanced_end(text, bracket.start()) if bracket[0] in "[{" else None
        if end is None:
            return []
        _read(text[bracket.start() : end], found, faults)
        bracket = _BRACKET.search(text, end)
    return found


def _balanced_end(text: str, start: int) -> int | None:
    """Where the bracket at ``start`` is closed; None where it is not, or by one of another kind."""
    opened: list[str] = []
    for token in _TOKEN.finditer(text, start):
        mark = token[0]
        if mark in ("[", "{"):
            opened.append(mark)
        elif mark in _PAIRS:
            if opened.pop() != _PAIRS[mark]:
                return None
            if not opened:
                return token.end()
        elif mark == '"':  # a text without an end
            return None
    return None


def _read(text: str, found: list[JsonText], faults: list[Exception]) -> bool:
    if len(found) + len(faults) == _MAX_PIECES:
        raise NoJson(SEVERAL_VALUES(count=len(found)) if found else _why(text, faults[-1]))
    try:
        found.append(JsonText(text, _any(text)))
    except _ERRORS as error:
        faults.append(error)
        return False
    return True


def _why(text: str, error: Exception) -> str:
    if not text.strip():
        return NO_TEXT()
    if isinstance(error, RecursionError):
        return TOO_DEEP_FOR_JSON()
    return _where_it_stops(text, str(error))


def _where_it_stops(text: str, error: str) -> str:
    """Where the text stops being JSON, from what msgspec says."""
    if error == "Input data was truncated":
        return JSON_ENDS_EARLY()
    place = _PLACE.search(error)
    if place is None:
        return NO_JSON(error=error.removeprefix("JSON is malformed: "))
    byte = int(place[1])
    excerpt = text.encode(errors="replace")[byte : byte + _EXCERPT].decode(errors="ignore")
    return (
        NO_JSON_AT(byte=byte, excerpt=excerpt.split("\n", 1)[0]) if excerpt else JSON_ENDS_EARLY()
    )
