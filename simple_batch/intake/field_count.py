"""Finds JSON objects of too many fields before these are read: a dict of millions holds the event loop."""

import re

import msgspec

from ..core.json_pieces import Breaks

MAX_FIELDS = 10_000  # OpenAI's endpoints know fewer than a hundred
_LARGE = 200_000  # bytes; what is smaller is read in some ms, whatever it holds
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{}:]', re.DOTALL)
_NONE = msgspec.Raw()


class _Usual(msgspec.Struct):
    """The fields that may be large in a request or in a line of a batch file."""

    messages: msgspec.Raw = _NONE
    input: msgspec.Raw = _NONE
    prompt: msgspec.Raw = _NONE
    tools: msgspec.Raw = _NONE
    metadata: msgspec.Raw = _NONE
    body: msgspec.Raw = _NONE


_usual = msgspec.json.Decoder(_Usual).decode


def has_too_many_fields(raw: bytes) -> bool:
    """Whether a JSON object itself has more than MAX_FIELDS. Raises msgspec.DecodeError."""
    colons = raw.count(b":") if len(raw) > _LARGE else 0
    if colons <= MAX_FIELDS:
        return False
    within = sum(value.count(b":") for value in map(bytes, msgspec.structs.astuple(_usual(raw))))
    return colons - within > MAX_FIELDS and _counted(raw) > MAX_FIELDS


def _counted(raw: bytes) -> int:
    """The fields of an object, up to MAX_FIELDS and one more."""
    breaks = Breaks()
    depth = found = 0
    for number, token in enumerate(_TOKEN.finditer(raw)):
        if number % 1_000 == 0:
            breaks.take()
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
        elif mark == b":" and depth == 1:
            found += 1
            if found > MAX_FIELDS:
                break
    return found
