"""What a request may hold: checks of its bytes, its messages and its custom_id.

Each raises Bad saying what is wrong with the item.
"""

import re
from collections.abc import Sequence

import msgspec

from ..core.clock import give_way
from ..core.messages import translatable

TOO_LONG = translatable("longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows.")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # no JSON
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
MAX_CUSTOM_ID = 512
MAX_DIGITS = 300
read_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
# possessive, so that a missing end does not restart the search at the next quote
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
_LONG_NUMBER = re.compile(rb"[\d.eE+-]{%d,}" % MAX_DIGITS)
_SAMPLE = 30  # first pass checks one byte in this many: a long number shows as ten in a row
_LONG_IN_SAMPLE = re.compile(rb"[\d.eE+-]{%d,}" % (MAX_DIGITS // _SAMPLE - 1))
_BRACKETS = re.compile(rb"[\[\]{}]")
_NONE = msgspec.Raw()  # a union of Raw and None takes null alone


class ChatMessage(msgspec.Struct):
    """A message of chat completions, as far as it is checked."""

    role: str
    content: str | list[msgspec.Raw] | None = None
    tool_calls: msgspec.Raw = _NONE
    function_call: msgspec.Raw = _NONE


_messages = msgspec.json.Decoder(list[ChatMessage]).decode


class Bad(Exception):
    """The item is no request; ``param`` names the field that is to blame."""

    def __init__(self, code: str, message: str, param: str | None = None):
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


_YIELD_EVERY = 100_000  # brackets


def check_nesting(raw: bytes, limit: int) -> None:
    """Raises Bad where JSON is nested deeper than ``limit`` levels."""
    depth = 0
    for number, mark in enumerate(_BRACKETS.finditer(_STRINGS.sub(b"", raw)), 1):
        depth += 1 if mark[0] in b"[{" else -1
        if number % _YIELD_EVERY == 0:
            give_way()
        if depth > limit:
            raise Bad(
                "invalid_json_line", translatable("nested deeper than %(most)s levels.", most=limit)
            )


def check_text(raw: bytes) -> None:
    """Raises Bad for bytes that are no clean UTF-8, and for numbers no reader should be given."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise Bad(
            "invalid_encoding",
            translatable(
                "not UTF-8 (byte %(number)s of the line): save the file as UTF-8.",
                number=error.start + 1,
            ),
        ) from None
    if b"\0" in raw:
        raise Bad("invalid_json_line", translatable("holds a NUL byte: remove it."))
    if not _LONG_IN_SAMPLE.search(raw[::_SAMPLE]):
        return
    if _LONG_NUMBER.search(raw) and _LONG_NUMBER.search(_STRINGS.sub(b'""', raw)):
        raise Bad(
            "invalid_json_line",
            translatable("holds a number of more than %(most)s digits.", most=MAX_DIGITS),
        )


def is_clean(raw: bytes) -> bool:
    """Whether ``check_text`` finds nothing."""
    try:
        check_text(raw)
    except Bad:
        return False
    return True


_ITEM = translatable("the item")


def fields_of(raw: bytes, what: str = _ITEM) -> dict[str, msgspec.Raw]:
    """The fields of an object, undecoded. Raises Bad, calling it ``what``."""
    try:
        return read_fields(raw)
    except msgspec.ValidationError:
        raise Bad(
            "invalid_request",
            translatable('%(what)s must be an object like {"messages": [...]}.', what=what),
        ) from None
    except UNREADABLE as error:
        raise not_json(error) from None


def check_messages(raw: msgspec.Raw | bytes) -> None:
    """Raises Bad for what are no messages of chat completions."""
    try:
        messages = _messages(raw)
    except msgspec.ValidationError as error:
        raise Bad(
            "invalid_request", translatable('"messages": %(error)s.', error=_plain(error))
        ) from None
    except UNREADABLE as error:
        raise not_json(error) from None
    _check_roles(messages)


def _check_roles(messages: list[ChatMessage]) -> None:
    for number, message in enumerate(messages, 1):
        if message.role not in ROLES:
            raise Bad(
                "invalid_request",
                translatable(
                    "message %(number)s: role %(role)r is unknown.",
                    number=number,
                    role=message.role[:40],
                ),
            )
    check_contents(messages)


def check_contents(messages: Sequence[ChatMessage]) -> None:
    """Raises Bad where there is no message, or one without content or calls."""
    if not messages:
        raise Bad("invalid_request", translatable('"messages" is empty.'))
    for number, message in enumerate(messages, 1):
        if message.content is None and not (
            _given(message.tool_calls) or _given(message.function_call)
        ):
            raise Bad(
                "invalid_request",
                translatable('message %(number)s: "content" is missing.', number=number),
            )


def _given(raw: msgspec.Raw) -> bool:
    return bytes(raw) not in (b"", b"null", b"[]")


def custom_id_in(raw: msgspec.Raw | None) -> str:
    """Empty where there is none. Raises Bad."""
    if raw is None or bytes(raw) == b"null":
        return ""
    text = text_in(raw, "custom_id")
    check_id(text)
    return text


def check_id(text: str) -> None:
    """Raises Bad for a custom_id that is too long or holds a NUL character."""
    if len(text) > MAX_CUSTOM_ID:
        raise Bad(
            "invalid_request",
            translatable(
                '"custom_id" is longer than %(most)s characters.',
                most=MAX_CUSTOM_ID,
            ),
        )
    if "\0" in text:
        raise Bad("invalid_request", translatable('"custom_id" holds a NUL character.'))


def text_in(raw: msgspec.Raw, name: str, param: str | None = None) -> str:
    """A field's text. Raises Bad, naming the field, where it is no text."""
    try:
        return _string(raw)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise Bad(
            "invalid_request", translatable('"%(name)s" must be a text.', name=name), param or name
        ) from None


def not_json(error: Exception) -> Bad:
    """The refusal of an item by one of UNREADABLE."""
    return Bad("invalid_json_line", translatable("not valid JSON: %(error)s.", error=_plain(error)))


def _plain(error: Exception) -> str:
    return str(error).replace("`", "").replace("JSON is malformed: ", "").rstrip(".")[:200]
