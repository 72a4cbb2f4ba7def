"""The difference of two texts word by word, for people who change a prompt."""

import difflib
import re
from collections.abc import Iterator

from ..core.clock import give_way

# a character of a script without spaces, a word, blanks, a mark of a template, or a sign
_TOKEN = re.compile(
    r"[\u2e80-\u9fff\uf900-\ufaff\uac00-\ud7af]|\w+?(?=[\u2e80-\u9fff])|\w+|\s+|"
    r"\{\{|\}\}|\{%|%\}|.",
    re.DOTALL,
)
COMPARED = 3_000  # words of each; longer ones are compared line by line
_LINES = 2_000

Piece = tuple[str, str]  # "=", "-" or "+", and the text


def pieces(old: str, new: str) -> list[Piece]:
    """The pieces of both texts in order: the same, only in the old one, only in the new one."""
    head = _common(old, new)
    tail = min(_common(old[head:][::-1], new[head:][::-1]), len(old) - head, len(new) - head)
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    # whole words
    while head and (before or after) and _splits(old, head):
        head -= 1
    while tail and (before or after) and _splits(old, len(old) - tail):
        tail -= 1
    before, after = old[head : len(old) - tail], new[head : len(new) - tail]
    middle = _compared(_tokens(before), _tokens(after))
    found = [("=", old[:head]), *middle, ("=", old[len(old) - tail :] if tail else "")]
    give_way()
    return [piece for piece in found if piece[1]]


def _common(one: str, other: str) -> int:
    """Length of the common beginning."""
    length = min(len(one), len(other))
    low = 0
    while low < length and one[low] == other[low]:
        low += 1
    return low


def _splits(text: str, place: int) -> bool:
    """Whether a place is within a word, or between signs that belong together, such as }}."""
    if not 0 < place < len(text):
        return False
    before, after = text[place - 1], text[place]
    if before.isspace() or after.isspace():
        return False
    return before.isalnum() == after.isalnum()


def _tokens(text: str) -> list[str]:
    tokens = _TOKEN.findall(text)
    if len(tokens) <= COMPARED:
        return tokens
    lines = text.splitlines(keepends=True)
    return lines if len(lines) <= _LINES else [text]


def _compared(before: list[str], after: list[str]) -> Iterator[Piece]:
    matcher = difflib.SequenceMatcher(None, before, after, autojunk=False)
    for kind, b1, b2, a1, a2 in matcher.get_opcodes():
        if kind == "equal":
            yield "=", "".join(before[b1:b2])
            continue
        yield "-", "".join(before[b1:b2])
        yield "+", "".join(after[a1:a2])
