"""JSON of any size, decoded without holding the event loop: the whole in pieces, or its beginning.

What decoding takes depends on how many values there are, not on the bytes: an image of several MB is
one value. Values are counted by their marks: commas, colons and brackets.
"""

import json
import re
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, TypeVar

import msgspec

from .clock import give_way

MARKS = 20_000  # decoded, indented and shown at once: about 30 ms
MAX_DEPTH = 100  # levels of the beginning: json.dumps takes longer the deeper a value stands
STRETCH_S = 0.02  # of work, after which others have their turn
_BREAK_EVERY = 5_000  # items
_PIECE = 50_000  # bytes of small values that are decoded at once
_MAX_COMMAS = 2_000_000  # of an array that msgspec divides: 0.1 s where each is between two items
_AS_TEXT = frozenset({"input", "prompt"})  # fields that are shown as JSON anyway
_LEVELS = 6  # that are taken apart: answer, choices, choice, message, content, part
_SLICE = 1 << 20
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[\[\]{},:]', re.DOTALL)
_CLOSING = {b"[": b"]", b"{": b"}"}
_NONE = msgspec.Raw()
T = TypeVar("T")
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Breaks:
    """Lets other greenlets work once in STRETCH_S of this one's work."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def take(self) -> None:
        """Give way where it is due."""
        if time.monotonic() - self._since > STRETCH_S:
            give_way()
            self._since = time.monotonic()


def with_breaks(items: Iterable[T], every: int = _BREAK_EVERY) -> Iterator[T]:
    """The items; after each ``every`` of them others have their turn where it is due."""
    breaks = Breaks()
    for number, item in enumerate(items, 1):
        if number % every == 0:
            breaks.take()
        yield item


class _Known(msgspec.Struct):
    """The fields that are read of requests and answers; of a large object the others are skipped."""

    messages: msgspec.Raw = _NONE
    input: msgspec.Raw = _NONE
    prompt: msgspec.Raw = _NONE
    instructions: msgspec.Raw = _NONE
    choices: msgspec.Raw = _NONE
    output: msgspec.Raw = _NONE
    results: msgspec.Raw = _NONE
    data: msgspec.Raw = _NONE
    output_format: msgspec.Raw = _NONE
    message: msgspec.Raw = _NONE
    role: msgspec.Raw = _NONE
    type: msgspec.Raw = _NONE
    content: msgspec.Raw = _NONE
    text: msgspec.Raw = _NONE
    refusal: msgspec.Raw = _NONE
    reasoning: msgspec.Raw = _NONE
    reasoning_content: msgspec.Raw = _NONE
    reasoning_text: msgspec.Raw = _NONE
    reasoning_details: msgspec.Raw = _NONE
    thinking: msgspec.Raw = _NONE
    thinking_blocks: msgspec.Raw = _NONE
    thought: msgspec.Raw = _NONE
    summary: msgspec.Raw = _NONE
    tool_calls: msgspec.Raw = _NONE
    function_call: msgspec.Raw = _NONE
    function: msgspec.Raw = _NONE
    name: msgspec.Raw = _NONE
    arguments: msgspec.Raw = _NONE
    image_url: msgspec.Raw = _NONE
    url: msgspec.Raw = _NONE
    b64_json: msgspec.Raw = _NONE
    flagged: msgspec.Raw = _NONE
    categories: msgspec.Raw = _NONE
    index: msgspec.Raw = _NONE
    embedding: msgspec.Raw = _NONE


_known = msgspec.json.Decoder(_Known).decode


def exceeds(raw: bytes, limit: int = MARKS) -> bool:
    """Whether JSON has more than ``limit`` marks, those in its texts included."""
    if len(raw) <= limit:
        return False
    found = 0
    for start in range(0, len(raw), _SLICE):
        found += sum(raw.count(mark, start, start + _SLICE) for mark in b",:[{")
        if found > limit:
            return True
    return False


def beginning(raw: bytes, limit: int = MARKS) -> bytes | None:
    """The first ``limit`` texts and marks of JSON, closed so that it can be decoded; None where that is
    all of it and nowhere too deep."""
    if not exceeds(raw, limit) and raw.count(b"[") + raw.count(b"{") <= MAX_DEPTH:
        return None
    opened: list[bytes] = []
    end, closing = 0, b""
    for token in islice(_TOKEN.finditer(raw), limit):
        mark = token[0][:1]
        if mark in (b"[", b"{"):
            opened.append(mark)
            if len(opened) > MAX_DEPTH:
                break
        elif mark in (b"]", b"}"):
            if opened:
                opened.pop()
        elif mark == b",":
            end = token.start()
            closing = b"".join(_CLOSING[one] for one in reversed(opened))
    else:
        if not opened:
            return None
    return raw[:end] + closing


def decoded(raw: bytes) -> Any:
    """JSON as Python values. Of a large object only the fields of requests and answers are there; a
    large input, and what is large below the content of messages, is its JSON text. Raises ValueError,
    RecursionError."""
    return _decoded(raw, 0)


def _decoded(raw: bytes, level: int) -> Any:
    if not exceeds(raw):
        return json.loads(raw)
    give_way()
    first = raw.lstrip()[:1]
    if first not in (b"{", b"["):
        return json.loads(raw)
    try:
        if level < _LEVELS and first == b"{":
            return _object(raw, level)
        if level < _LEVELS:
            return list(_array(raw, level))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ValueError(str(error)) from None
    return raw.decode()


def _object(raw: bytes, level: int) -> dict[str, Any]:
    fields = _known(raw)
    found: dict[str, Any] = {}
    for name in _Known.__struct_fields__:
        value = bytes(getattr(fields, name))
        if value:
            as_text = name in _AS_TEXT and value[:1] != b'"' and exceeds(value)
            found[name] = value.decode() if as_text else _decoded(value, level + 1)
    return found


def _array(raw: bytes, level: int) -> Iterator[Any]:
    """The items; small ones are decoded together. An array in an array is its JSON text: nothing is
    read in it, and millions of lists keep the garbage collector busy."""
    group: list[bytes] = []
    size = 0
    for item in _divided(raw):
        if size + len(item) > _PIECE:
            yield from json.loads(b"[%s]" % b",".join(group))
            give_way()
            group, size = [], 0
        if item[:1] == b"[":
            item = msgspec.json.encode(item.decode())
        if len(item) > _PIECE:
            yield _decoded(item, level + 1)
        else:
            group.append(item)
            size += len(item)
    yield from json.loads(b"[%s]" % b",".join(group))


def _divided(raw: bytes) -> Iterator[bytes]:
    """The items of an array, which msgspec has read before; slower where there may be millions."""
    if raw.count(b",") <= _MAX_COMMAS:
        yield from map(bytes, _items(raw))
        return
    breaks = Breaks()
    depth, start = 0, raw.index(b"[") + 1
    for number, token in enumerate(_TOKEN.finditer(raw)):
        if number % 1_000 == 0:
            breaks.take()
        mark = token[0][:1]
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
        if depth == 0 or (depth == 1 and mark == b","):
            yield raw[start : token.start()]
            start = token.end()
