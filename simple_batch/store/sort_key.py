"""Sort keys of values: numbers first, by size, then texts without regard to case, empty values last."""

import math
import re
from typing import Any, NamedTuple

from .grid_columns import text_of

NUMBER, TEXT, EMPTY = 0, 1, 2
CUT = 100  # characters of a text that its key holds
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")  # PostgreSQL and UTF-8 do not hold them
_LONGEST_NUMBER = 40  # characters


class SortKey(NamedTuple):
    """``kind``, then what values of one kind are compared by."""

    kind: int
    number: float
    text: str

    @property
    def is_cut(self) -> bool:
        """Whether the text may be longer than its key."""
        return len(self.text) >= CUT


def folded(text: str) -> str:
    """The text as it is compared: without regard to case and to spaces around it."""
    return _UNSTORABLE.sub("\ufffd", text.strip().casefold())


def number_of(text: str) -> float | None:
    """The number that a text is; None where it is none."""
    text = text.strip()
    if len(text) > _LONGEST_NUMBER or not _NUMBER.fullmatch(text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def key_of(value: Any) -> SortKey:
    """The sort key of a value of any type."""
    text = text_of(value)
    number = None if isinstance(value, bool) else number_of(text)
    shown = folded(text)
    if not shown:
        return SortKey(EMPTY, 0.0, "")
    if number is not None:
        return SortKey(NUMBER, number, shown[:CUT])
    return SortKey(TEXT, 0.0, shown[:CUT])
