"""Failures that are alike: of the same cause and status, with similar messages.

Providers put ids, numbers and quoted parts of the request into their messages. What is left without
them is compared word by word, so nothing here depends on the wording. A provider that quotes a request
without quotation marks does so within a sentence, which begins and ends alike.
"""

from collections.abc import Iterable
from difflib import SequenceMatcher

from ..core.domain import Cause, RequestResult
from ..core.lazy_pattern import lazy_pattern
from .quotes import QUOTED

SIMILAR = 0.75  # share of the words that two messages have in common
FRAME = 5  # words in common at the beginning and at the end, around what differs
_MOST_WORDS = 60
_MOST_KINDS = 32
_WORD = lazy_pattern(r"[^\W\d_]+(?:'[^\W\d_]+)?|[\w.:/\-]*\d[\w.:/\-]*|[\u3400-\u9fff]")
_VARIES = lazy_pattern(r"[\d@/\\_]|\w-\w")  # an id, a number, an address, a path


class AlikeFailures:
    """Counts failures by kind. Failures of other kinds in between change nothing."""

    def __init__(self) -> None:
        self._kinds: list[_Kind] = []

    @property
    def most(self) -> int:
        """How many failures are of the most frequent kind."""
        return max((kind.count for kind in self._kinds), default=0)

    def add(self, result: RequestResult) -> int:
        """Returns how many failures are like this one, itself included."""
        words = _words(result.message)
        for kind in self._kinds:
            if kind.covers(result, words):
                kind.count += 1
                return kind.count
        self._kinds = [*self._kinds[-_MOST_KINDS + 1 :], _Kind(result, words)]
        return 1

    def clear(self) -> None:
        self._kinds.clear()


class _Kind:
    def __init__(self, result: RequestResult, words: list[str]):
        self.count = 1
        self._cause: Cause | None = result.cause
        self._status = result.http_status
        self._words = words

    def covers(self, result: RequestResult, words: list[str]) -> bool:
        if (result.cause, result.http_status) != (self._cause, self._status):
            return False
        if words == self._words:
            return True
        if SequenceMatcher(None, self._words, words, autojunk=False).ratio() >= SIMILAR:
            return True
        return _frame(self._words, words) >= FRAME


def _frame(one: list[str], other: list[str]) -> int:
    """How many words two messages have in common at their beginnings and at their ends."""
    begin = _in_common(zip(one, other, strict=False))
    rest = min(len(one), len(other)) - begin
    end = _in_common(zip(reversed(one), reversed(other), strict=False))
    return begin + min(end, rest)


def _in_common(pairs: Iterable[tuple[str, str]]) -> int:
    count = 0
    for one, other in pairs:
        if one != other:
            break
        count += 1
    return count


def _words(message: str) -> list[str]:
    """The words of a message without what differs from request to request."""
    text = QUOTED.sub(" ", message.lower())
    pieces = (piece for piece in text.split() if not _VARIES.search(piece.strip(".,:;!?()[]{}")))
    words = _WORD.findall(" ".join(pieces))
    return (
        words
        if len(words) <= _MOST_WORDS
        else words[: _MOST_WORDS // 2] + words[-_MOST_WORDS // 2 :]
    )
