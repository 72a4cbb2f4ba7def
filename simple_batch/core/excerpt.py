"""The part of a line around a fault, for people: short, without keys, with control characters visible."""

import re
from typing import NamedTuple

from .redaction import redact
from .terminal import shown_line

BEFORE, AFTER = 40, 60  # characters that are shown on either side of the place
_MARGIN = 4_000  # bytes on either side that are read: a key that reaches into what is shown is found whole
_C0 = re.compile("[\x00-\x1f\x7f]")
_PICTURES = 0x2400  # Unicode's block of control pictures, in the order of the C0 codes


class Excerpt(NamedTuple):
    """``mark`` is the index in ``text`` of the character at the place; that behind the last one where a
    line ends too early."""

    text: str
    mark: int


def excerpt(line: bytes, at: int) -> Excerpt:
    """The surroundings of byte ``at`` of a line."""
    at = max(0, min(at, len(line)))
    start, end = max(0, at - _MARGIN), at + _MARGIN
    return excerpt_of_text(_text(line[start:at]), _text(line[at:end]), start > 0, end < len(line))


def excerpt_of_text(
    before: str, after: str, cut_before: bool = False, cut_after: bool = False
) -> Excerpt:
    """The same of a text that is parted at the place; ``cut_`` where more of it follows that is not
    given."""
    before, after = _without_keys(before, after)
    head, tail = _visible(before[-BEFORE:]), _visible(after[:AFTER])
    if cut_before or len(before) > BEFORE:
        head = "…" + head
    if cut_after or len(after) > AFTER:
        tail += "…"
    return Excerpt(head + tail, len(head))


def _without_keys(before: str, after: str) -> tuple[str, str]:
    """Both without keys; one that lies across the place ends before it."""
    masked = redact(before), redact(after)
    whole = redact(before + after)
    if whole == "".join(masked):
        return masked
    same = next(
        (place for place, pair in enumerate(zip(whole, before, strict=False)) if len({*pair}) > 1),
        len(before),
    )
    return whole[:same], whole[same:]


def _text(piece: bytes) -> str:
    return piece.decode("utf-8", "backslashreplace")


def _visible(text: str) -> str:
    return shown_line(_C0.sub(_picture, text))


def _picture(found: re.Match[str]) -> str:
    code = ord(found[0])
    return chr(_PICTURES + (0x21 if code == 0x7F else code))
