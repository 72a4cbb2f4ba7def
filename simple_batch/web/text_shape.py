"""What a text of a message or an answer is shown as: JSON as a tree, Markdown, and of a very long one the
beginning."""

import re
from typing import NamedTuple

import msgspec

LONGEST = 100_000  # characters of a text that a page has
LONGEST_JSON = 500_000  # the same of requests and responses, which are folded
DEEPEST = 500  # levels of a tree that a page shows
_FENCED = re.compile(
    r"\s*(`{3,}|~{3,})[ \t]*(?:json)?[ \t]*\n(.*?)\n?\1\s*", re.DOTALL | re.IGNORECASE
)
_BRACKETS = re.compile(r'"(?:[^"\\]|\\.)*"|([\[{])|([\]}])')
# a browser shows nothing for control characters: their pictures say that they are there
_PICTURES = {
    **{code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n\r"},
    127: 0x2421,
    **dict.fromkeys(range(128, 160), 0xFFFD),
}
_raw = msgspec.json.Decoder(msgspec.Raw).decode


class TextShape(NamedTuple):
    """``kind`` is json, markdown or beginning; ``text`` is what the page has, without the fence around
    JSON, and ``length`` the characters of the whole."""

    kind: str
    text: str
    length: int


def visible(text: str) -> str:
    """The text with pictures of its control characters."""
    return text.translate(_PICTURES)


def of(text: str) -> TextShape:
    """How a text is shown."""
    inside = _json_in(text)
    if len(text) > LONGEST:
        return TextShape("json" if inside else "beginning", text[:LONGEST], len(text))
    return (
        TextShape("json", inside, len(text)) if inside else TextShape("markdown", text, len(text))
    )


def _json_in(text: str) -> str:
    """The object or array that a text is, as it is written; empty for any other text."""
    found = text.strip()
    if found[:3] in ("```", "~~~"):
        fenced = _FENCED.fullmatch(text)
        found = fenced[2].strip() if fenced else ""
    if not (found.startswith(("{", "[")) and found.endswith(("}", "]"))):
        return ""
    try:
        _raw(found.encode())
    except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
        return ""
    return "" if _is_too_deep(found) else found


def _is_too_deep(found: str) -> bool:
    """Whether JSON is nested so deep that scripts could not show it. Up to Python 3.13 the decoder refuses
    that itself."""
    if found.count("[") + found.count("{") <= DEEPEST:
        return False
    depth = 0
    for bracket in _BRACKETS.finditer(found):
        depth += bool(bracket[1]) - bool(bracket[2])
        if depth > DEEPEST:
            return True
    return False
