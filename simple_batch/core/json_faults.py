"""Says in the file's terms what is wrong with JSON, and where: not in the words of its parser.

Syntax: RFC 8259. msgspec finds the byte; what stands there tells what was meant.
"""

import re
from typing import NamedTuple

import msgspec

from .json_pieces import Breaks
from .lazy_pattern import lazy_pattern
from .messages import Message, translatable

_skip = msgspec.json.Decoder(msgspec.Raw).decode
_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|[\[\]{},:]', re.DOTALL)
_CLOSING = {b"[": "]", b"{": "}"}
_BYTE = lazy_pattern(r"\(byte (\d+)\)")
_WORD = lazy_pattern(r"[-+]?[\w.$+-]+|.", re.DOTALL)
_HALF = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_WORDLIKE = re.compile(rb"[\w.+-]")
_ESCAPE = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3}|[^u]|$)", re.DOTALL)
_NOT_FINITE = lazy_pattern(r"[-+]?(?:NaN|Infinity|inf|nan)\b", re.IGNORECASE)
_PYTHON = {"none": "null", "true": "true", "false": "false", "nil": "null", "undefined": "null"}
_SPACE = b" \t\r\n"
_LOOK = 200  # bytes of what stands at the place that are looked at
_PATH = lazy_pattern(r"\.([^.\[`]+)|\[(\d+)\]")
_TYPES = {
    "object": translatable("an object"),
    "array": translatable("a list"),
    "str": translatable("text"),
    "int": translatable("a number"),
    "float": translatable("a number"),
    "bool": translatable("true or false"),
    "null": translatable("null"),
}
Path = tuple[str | int, ...]


class TypeFault(NamedTuple):
    """``what`` is said of the value of the path (“must be …”), or of a field in it that is ``missing`` or
    unknown."""

    what: Message
    path: Path
    missing: bool = False


class JsonFault(NamedTuple):
    """``at`` is the byte of the text it is found at."""

    message: Message
    at: int


def kind_of_value(raw: bytes) -> Message:
    """What a JSON value is, as a user calls it."""
    first = raw.lstrip(_SPACE)[:1]
    kind = {b"{": "object", b"[": "array", b'"': "str", b"n": "null", b"t": "bool", b"f": "bool"}
    return _TYPES[kind.get(first, "int")]


def syntax_fault(raw: bytes) -> JsonFault | None:
    """What makes a text no JSON; None where it is."""
    try:
        _skip(raw)
    except msgspec.DecodeError as error:
        found = _BYTE.search(str(error))
        if found is None:
            return _cut_off(raw)
        return _at(raw, int(found[1]), str(error))
    except RecursionError:
        return JsonFault(translatable("nested too deeply."), 0)
    return None


def decoding_fault(error: Exception, data: bytes) -> Message:
    """Why msgspec does not take a JSON text as the value that is wanted, with the line of what is no
    JSON."""
    if isinstance(error, msgspec.ValidationError):
        fault = type_fault(error)
        if not fault.path or fault.missing:
            return translatable("%(what)s.", what=fault.what)
        return translatable("“%(name)s” %(what)s.", name=fault.path[0], what=fault.what)
    return _in_line(data, syntax_fault(data) or deep_fault(data))


def text_fault(text: str) -> Message | None:
    """What makes a text no JSON, with its line; None where it is."""
    data = text.encode("utf-8", "surrogatepass")
    fault = syntax_fault(data)
    return None if fault is None else _in_line(data, fault)


def _in_line(data: bytes, fault: JsonFault) -> Message:
    line = data.count(b"\n", 0, fault.at) + 1
    return translatable("line %(line)s: %(why)s", line=line, why=fault.message)


def deep_fault(raw: bytes) -> JsonFault:
    """What is wrong in JSON whose brackets and commas are in order: a value that cannot be decoded."""
    try:
        msgspec.json.decode(raw)
    except msgspec.ValidationError as error:
        fault = type_fault(error)
        return JsonFault(
            translatable("a value %(what)s.", what=fault.what), offset_of(raw, fault.path)
        )
    except msgspec.DecodeError as error:
        found = _BYTE.search(str(error))
        return _cut_off(raw) if found is None else _at(raw, int(found[1]), str(error))
    except (UnicodeDecodeError, RecursionError):
        pass
    return JsonFault(translatable("it cannot be read."), 0)


def type_fault(error: msgspec.DecodeError) -> TypeFault:
    """What has another type than it should: of a ValidationError of msgspec."""
    text, _, place = str(error).partition(" - at ")
    path: Path = tuple(
        name if name else int(number) for name, number in _PATH.findall(place.replace("...", ""))
    )
    expected = re.match(r"Expected `(.+?)`, got `(\w+)`", text)
    missing = re.match(r"Object missing required field `(.+?)`", text)
    unknown = re.match(r"Object contains unknown field `(.+?)`", text)
    if expected:
        names = [_TYPES.get(name, name) for name in expected[1].split(" | ")]
        wanted = names[0]
        for name in dict.fromkeys(names[1:]):
            if name != "null" and name != wanted:
                wanted = translatable("%(one)s or %(other)s", one=wanted, other=name)
        here = _TYPES.get(expected[2], expected[2])
        what = translatable("must be %(wanted)s; here it is %(here)s", wanted=wanted, here=here)
        return TypeFault(what, path)
    if missing:
        return TypeFault(translatable('"%(name)s" is missing', name=missing[1]), path, True)
    if unknown:
        return TypeFault(translatable('there is no "%(name)s"', name=unknown[1]), path, True)
    if "out of range" in text:
        return TypeFault(translatable("is too large a number"), path)
    return TypeFault(translatable("cannot be used here"), path)


def offset_of(raw: bytes, path: Path) -> int:
    """The byte at which the value of that path begins; of what is not there, where its parent does."""
    breaks = Breaks()
    start = _past_space(raw, 0)
    for step in path:
        found = _child(raw, start, step, breaks)
        if found is None:
            break
        start = found
    return start


def _child(raw: bytes, start: int, step: str | int, breaks: Breaks) -> int | None:
    """Where the value of a name, or of an index, begins within the object or list at ``start``."""
    depth, index, name = 0, 0, b""
    if raw[start : start + 1] == b"[" and step == 0:
        return _past_space(raw, start + 1)
    wanted = msgspec.json.encode(step) if isinstance(step, str) else b""
    for number, token in enumerate(_TOKEN.finditer(raw, start)):
        if number % 1_000 == 0:
            breaks.take()
        mark = token[0]
        if mark in (b"[", b"{"):
            depth += 1
        elif mark in (b"]", b"}"):
            depth -= 1
            if depth == 0:
                return None
        elif depth == 1:
            index += mark == b","
            if mark == b":" and name == wanted and isinstance(step, str):
                return _past_space(raw, token.end())
            if mark == b"," and index == step:
                return _past_space(raw, token.end())
            name = mark
    return None


def _past_space(raw: bytes, at: int) -> int:
    while raw[at : at + 1] in (b" ", b"\t", b"\r", b"\n"):
        at += 1
    return at


def _cut_off(raw: bytes) -> JsonFault:
    """A text that ends too early: which end is missing."""
    end = len(raw.rstrip(_SPACE))
    if not end:
        return JsonFault(translatable("it is empty."), 0)
    half = _HALF.search(raw, max(0, end - _LOOK))
    opened, breaks = [], Breaks()
    for number, token in enumerate(_TOKEN.finditer(raw)):
        if number % 1_000 == 0:
            breaks.take()
        mark = token[0]
        if mark in _CLOSING:
            opened.append(_CLOSING[mark])
        elif mark in (b"]", b"}") and opened:
            opened.pop()
        elif mark[:1] == b'"' and (len(mark) == 1 or not _is_closed(mark)):
            opened.append('"')
    if half is not None and not opened:
        return JsonFault(
            translatable(
                "%(half)s is half of a character: write both halves, or the character.",
                half=half[0].decode(),
            ),
            half.start(),
        )
    begin = _past_space(raw, 0)
    if not opened and raw[begin : begin + 1] not in (b"{", b"[", b'"'):
        return JsonFault(_unexpected(_shown(raw, begin), raw, begin, ""), begin)
    if not opened:
        return JsonFault(translatable("the text ends in the middle of the JSON."), end)
    return JsonFault(
        translatable(
            "the text ends in the middle of the JSON: %(mark)s is missing.", mark=opened[-1]
        ),
        end,
    )


def _is_closed(string: bytes) -> bool:
    """Whether a string that begins with a quote has its closing one."""
    body = string[1:]
    return body.endswith(b'"') and (len(body[:-1]) - len(body[:-1].rstrip(b"\\"))) % 2 == 0


def _at(raw: bytes, at: int, complaint: str) -> JsonFault:
    """What is wrong at a byte, by what stands there."""
    if "escape" in complaint:
        return _escape(raw, at)
    here = _shown(raw, at)
    if "trailing comma" in complaint:
        comma = raw.rindex(b",", 0, at + 1) if b"," in raw[: at + 1] else at
        return JsonFault(
            translatable("a comma stands before %(mark)s: remove it.", mark=here[:1]), comma
        )
    if "trailing characters" in complaint:
        return JsonFault(translatable("more text follows the end of the JSON."), at - 1)
    if here[:1] and here[0] < " ":
        return JsonFault(_control(here[0]), at)
    return JsonFault(_unexpected(here, raw, at, complaint), _word_start(raw, at))


def _shown(raw: bytes, at: int) -> str:
    return raw[at : at + _LOOK].decode("utf-8", "replace")


def _unexpected(here: str, raw: bytes, at: int, complaint: str) -> Message:
    start = _word_start(raw, at)
    found = _WORD.match(_shown(raw, start))
    word = found[0] if found else here[:1]
    if _NOT_FINITE.fullmatch(word):
        return translatable("%(word)s is not JSON: write null, or leave it out.", word=word)
    if (word.lower() in _PYTHON and not word.islower()) or word in ("nil", "undefined"):
        return translatable(
            "%(word)s is not JSON: write %(right)s.", word=word, right=_PYTHON[word.lower()]
        )
    if here[:1] in "'`":
        return translatable(
            "%(mark)s is not a quote of JSON: put names and texts in double quotes.", mark=here[:1]
        )
    if here[:1] in "“”„‟«»「」‘’＂":
        return translatable('%(mark)s is not a quote of JSON: write ".', mark=here[:1])
    if here.startswith(("//", "/*", "#")):
        return translatable("JSON has no comments: remove it.")
    if here[:1] in "：，；":
        return translatable(
            "%(mark)s is a full-width character: write it in half width.", mark=here[:1]
        )
    if "expected ':'" in complaint:
        return translatable("a colon is missing after a name.")
    if "expected ','" in complaint:
        return translatable(
            'a comma is missing before %(word)s, or a " within a text is not written \\".',
            word=word[:40],
        )
    if "'\"'" in complaint and _WORDLIKE.match(raw, at):
        return translatable("%(word)s must be in double quotes.", word=word[:40])
    if "number" in complaint or word[:1] in "+-.0123456789":
        return translatable("%(word)s is not a number of JSON.", word=word[:40])
    if here[:1] in ("]", "}", ",", ":"):
        return translatable("a value is missing before %(mark)s.", mark=here[:1])
    if word[:1].isalpha() or word[:1] in "_$":
        return translatable("%(word)s must be in double quotes.", word=word[:40])
    return translatable("%(mark)s cannot stand here.", mark=here[:1])


def _word_start(raw: bytes, at: int) -> int:
    """Of the word that a byte lies in, outside of texts."""
    while _WORDLIKE.match(raw, at) and at and _WORDLIKE.match(raw, at - 1):
        at -= 1
    return at


def _control(character: str) -> Message:
    names = {"\n": translatable("a line break"), "\t": translatable("a tab")}
    names["\r"] = names["\n"]
    named = names.get(character, f"U+{ord(character):04X}")
    written = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character, f"\\u{ord(character):04x}")
    return translatable(
        "%(what)s stands in a text: write %(written)s.", what=named, written=written
    )


def _escape(raw: bytes, at: int) -> JsonFault:
    """An escape that JSON does not have: msgspec names a byte in it or behind it."""
    begin = raw.rfind(b"\\", max(0, at - 8), at + 1)
    begin = max(begin, 0)
    found = _ESCAPE.match(raw, begin)
    text = found[0].decode("utf-8", "replace") if found else "\\"
    if text.startswith("\\u"):
        return JsonFault(translatable("\\u needs four hexadecimal digits, as in \\u00e9."), begin)
    return JsonFault(
        translatable("%(text)s is not an escape of JSON: write \\\\ for a backslash.", text=text),
        begin,
    )
