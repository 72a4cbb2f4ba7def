"""What is wrong with a request body that a user typed, and where in the text."""

from typing import NamedTuple

from ..core.errors import InvalidInput
from ..core.excerpt import excerpt
from ..core.json_faults import offset_of
from ..core.messages import Message
from .request_checks import Bad


class Place(NamedTuple):
    """A place in a text. ``line`` and ``column`` count from 1, ``at`` characters from 0; ``excerpt`` is the
    part of the line around the place, ``mark`` the index of the place in it."""

    at: int
    line: int
    column: int
    excerpt: str
    mark: int


class InvalidBody(InvalidInput):
    """A body that is no request. ``place`` is None where the body as a whole is at fault."""

    def __init__(self, message: Message, place: Place | None):
        super().__init__(message, "body")
        self.place = place


def place_of(bad: Bad, text: str, raw: bytes) -> Place | None:
    """Where a body is at fault; ``raw`` is the user's text without the space around it, in UTF-8."""
    if bad.at is None and bad.path is None:
        return None
    at = (bad.at or 0) + (offset_of(raw, bad.path) if bad.path else 0)
    before = raw[:at].decode("utf-8", "ignore")
    start = len(text) - len(text.lstrip()) + len(before)
    begin = text.rfind("\n", 0, start) + 1
    end = text.find("\n", start)
    line = text[begin : end if end >= 0 else len(text)]
    shown = excerpt(
        line.encode(errors="replace"), len(line[: start - begin].encode(errors="replace"))
    )
    return Place(start, text.count("\n", 0, start) + 1, start - begin + 1, shown.text, shown.mark)
