"""What a request may hold: checks of its bytes, its messages and its custom_id.

Each raises Bad saying what is wrong with the item.
"""

import re
from collections.abc import Iterator, Sequence

import msgspec

from ..core.clock import give_way
from ..core.json_faults import Path, deep_fault, kind_of_value, syntax_fault, type_fault
from ..core.messages import translatable
from .field_count import MAX_FIELDS, has_too_many_fields

TOO_LONG = translatable("longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows.")
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)  # no JSON
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
MAX_CUSTOM_ID = 512
MAX_DIGITS = 300
_fields = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_string = msgspec.json.Decoder(str).decode
# possessive, so that a missing end does not restart the search at the next quote
_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)
# from its first character on only: of many that are just short enough each is looked at once
_LONG_NUMBER = re.compile(rb"(?<![\d.eE+-])[\d.eE+-]{%d}" % MAX_DIGITS)
_SAMPLE = 30  # first pass checks one byte in this many: a long number shows as ten in a row
_LONG_IN_SAMPLE = re.compile(rb"[\d.eE+-]{%d,}" % (MAX_DIGITS // _SAMPLE - 1))
_BRACKETS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{}]', re.DOTALL)  # and strings
NONE = msgspec.Raw()  # a union of Raw and None takes null alone


class ChatMessage(msgspec.Struct):
    """A message of chat completions, as far as it is checked."""

    role: str
    content: str | list[msgspec.Raw] | None = None
    tool_calls: msgspec.Raw = NONE
    function_call: msgspec.Raw = NONE


class _LongMessage(msgspec.Struct):
    """The same, its content undecoded: it may have a million parts."""

    role: str
    content: msgspec.Raw = NONE
    tool_calls: msgspec.Raw = NONE
    function_call: msgspec.Raw = NONE


class _Role(msgspec.Struct, gc=False):
    role: str


LARGE = 200_000  # bytes of messages that are checked in pieces
_PIECE = 50_000  # bytes of messages checked at once
_SLICE = 1 << 20  # bytes searched for long numbers at once
_messages = msgspec.json.Decoder(list[ChatMessage]).decode
_long_message = msgspec.json.Decoder(_LongMessage).decode
_roles = msgspec.json.Decoder(list[_Role]).decode
_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class Bad(Exception):
    """The item is no request; ``param`` names the field that is to blame, ``path`` is that of its value in
    the item, ``at`` the byte within that value, or within the item."""

    def __init__(
        self,
        code: str,
        message: str,
        param: str | None = None,
        path: Path | None = None,
        at: int | None = None,
    ):
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.path = path if path is not None or param is None else tuple(param.split("."))
        self.at = at


_YIELD_EVERY = 50_000  # brackets and strings


def check_nesting(raw: bytes, limit: int) -> None:
    """Raises Bad where JSON is nested deeper than ``limit`` levels."""
    depth = 0
    for number, mark in enumerate(_BRACKETS.finditer(raw), 1):
        if mark[0] in (b"[", b"{"):
            depth += 1
        elif mark[0] in (b"]", b"}"):
            depth -= 1
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
            at=error.start,
        ) from None
    if b"\0" in raw:
        raise Bad(
            "invalid_json_line",
            translatable("holds a NUL byte: remove it."),
            at=raw.index(b"\0"),
        )
    if not _LONG_IN_SAMPLE.search(raw[::_SAMPLE]):
        return
    if _has_long_run(raw) and any(map(_LONG_NUMBER.search, _outside_strings(raw))):
        raise Bad(
            "invalid_json_line",
            translatable("holds a number of more than %(most)s digits.", most=MAX_DIGITS),
        )


def _has_long_run(raw: bytes) -> bool:
    for start in range(0, len(raw), _SLICE):
        if _LONG_NUMBER.search(raw, start, start + _SLICE + MAX_DIGITS):
            return True
        if len(raw) > _SLICE:
            give_way()
    return False


def _outside_strings(raw: bytes) -> Iterator[bytes]:
    """What is between the strings of JSON, where there is room for a long number."""
    end = 0
    for number, string in enumerate(_STRINGS.finditer(raw), 1):
        if string.start() - end >= MAX_DIGITS:
            yield raw[end : string.start()]
        end = string.end()
        if number % _YIELD_EVERY == 0:
            give_way()
    yield raw[end:]


def is_clean(raw: bytes) -> bool:
    """Whether ``check_text`` finds nothing."""
    try:
        check_text(raw)
    except Bad:
        return False
    return True


_ITEM = translatable("the item")


def fields_of(raw: bytes, what: str = _ITEM, path: Path = ()) -> dict[str, msgspec.Raw]:
    """The fields of an object, undecoded. Raises Bad, calling it ``what``; ``path`` is where it stands in
    the item."""
    try:
        check_width(raw)
        return _fields(raw)
    except msgspec.ValidationError:
        raise Bad(
            "invalid_request",
            translatable(
                '%(what)s must be an object like {"messages": [...]}; here it is %(here)s.',
                what=what,
                here=kind_of_value(raw),
            ),
            path=path,
        ) from None
    except UNREADABLE:
        raise not_json(raw, path) from None


def check_width(raw: bytes) -> None:
    """Raises Bad where an object has too many fields, msgspec.DecodeError where it is none."""
    if has_too_many_fields(raw):
        raise Bad(
            "invalid_request",
            translatable("has more than %(most)s fields.", most=f"{MAX_FIELDS:,}"),
        )


def check_messages(raw: msgspec.Raw | bytes, path: Path = ("messages",)) -> None:
    """Raises Bad for what are no messages of chat completions; ``path`` is where they stand in the
    item."""
    raw = bytes(raw)
    first = 0  # index of the first message of the piece
    try:
        if len(raw) <= LARGE:
            _check_roles(_messages(raw), path=path)
            return
        for messages in _in_pieces(raw):
            _check_roles(messages, first, path)
            first += len(messages)
            give_way()
    except msgspec.ValidationError as error:
        raise _wrong_message(error, first, path) from None
    except UNREADABLE:
        raise not_json(raw, path) from None
    if not first and len(raw) > LARGE:
        check_contents((), path=path)


def _wrong_message(error: msgspec.ValidationError, first: int, path: Path) -> Bad:
    """What has a wrong type in messages, of which ``first`` were checked before."""
    what, place, missing = type_fault(error)
    if not place or not isinstance(place[0], int):
        text = translatable("“messages” %(what)s.", what=what)
        return Bad("invalid_request", text, path=path)
    number = place[0] + first
    where = translatable("message %(number)s", number=number + 1)
    if len(place) > 1:
        where = translatable("%(where)s: “%(name)s”", where=where, name=place[1])
    text = (
        translatable("%(where)s: %(what)s.", where=where, what=what)
        if missing
        else translatable("%(where)s %(what)s.", where=where, what=what)
    )
    return Bad("invalid_request", text, path=(*path, number, *place[1:]))


def _in_pieces(raw: bytes) -> Iterator[list[ChatMessage]]:
    """The messages of a large array. That each has a role is seen first: of what is no message there
    may be millions."""
    _roles(raw)
    give_way()
    group: list[bytes] = []
    size = 0
    for item in map(bytes, _items(raw)):
        if group and size + len(item) > _PIECE:
            yield _messages(b"[%s]" % b",".join(group))
            group, size = [], 0
        group.append(item if len(item) <= _PIECE else _shortened(item))
        size += len(group[-1])
    if group:
        yield _messages(b"[%s]" % b",".join(group))


def _shortened(raw: bytes) -> bytes:
    """A long message without what is in the array of its content, which is not checked."""
    try:
        message = _long_message(raw)
    except msgspec.ValidationError:
        return raw
    if bytes(message.content)[:1] != b"[":
        return raw
    fields = {"role": message.role, "content": []}
    return msgspec.json.encode(fields)


def _check_roles(messages: list[ChatMessage], before: int = 0, path: Path = ("messages",)) -> None:
    """``before`` is how many messages were checked already."""
    for number, message in enumerate(messages, before + 1):
        if message.role not in ROLES:
            raise Bad(
                "invalid_request",
                translatable(
                    "message %(number)s: role %(role)r is unknown.",
                    number=number,
                    role=message.role[:40],
                ),
                path=(*path, number - 1, "role"),
            )
    check_contents(messages, before, path)


def check_contents(
    messages: Sequence[ChatMessage], before: int = 0, path: Path = ("messages",)
) -> None:
    """Raises Bad where there is no message, or one without content or calls."""
    if not messages:
        raise Bad("invalid_request", translatable('"messages" is empty.'), path=path)
    for number, message in enumerate(messages, before + 1):
        if message.content is None and not (
            _given(message.tool_calls) or _given(message.function_call)
        ):
            raise Bad(
                "invalid_request",
                translatable('message %(number)s: "content" is missing.', number=number),
                path=(*path, number - 1),
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
    except msgspec.ValidationError:
        raise Bad(
            "invalid_request",
            translatable(
                '"%(name)s" must be text; here it is %(here)s.',
                name=name,
                here=kind_of_value(bytes(raw)),
            ),
            param or name,
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise not_json(bytes(raw), tuple((param or name).split("."))) from None


def not_json(raw: bytes, path: Path = ()) -> Bad:
    """The refusal of an item, or of the value of that path in it, that msgspec cannot read."""
    fault = syntax_fault(raw) or deep_fault(raw)
    message = translatable("not valid JSON: %(why)s", why=fault.message)
    return Bad("invalid_json_line", message, path=path, at=fault.at)
