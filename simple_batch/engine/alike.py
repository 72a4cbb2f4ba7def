"""Failures that are alike: of the same cause and status, with similar messages.

Providers put ids, numbers and quoted parts of the request into their messages. What is left without
them is compared word by word, so nothing here depends on the wording.
"""

import re
from difflib import SequenceMatcher

from ..core.domain import Cause, RequestResult

SIMILAR = 0.75  # share of the words that two messages have in common
_MOST_WORDS = 60
_MOST_KINDS = 32
_QUOTED = re.compile(r"`[^`]*`|\"[^\"]*\"|“[^”]*”|‘[^’]*’|«[^»]*»|「[^」]*」|(?<!\w)'[^']*'(?!\w)")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?|[\w.:/\-]*\d[\w.:/\-]*|[\u3400-\u9fff]")
_VARIES = re.compile(r"[\d@/\\_]|\w-\w")  # an id, a number, an address, a path


class AlikeFailures:
    """Counts failures by kind. Failures of other kinds in between change nothing."""

    def __init__(self) -> None:
        self._kinds: list[_Kind] = []

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
        return SequenceMatcher(None, self._words, words, autojunk=False).ratio() >= SIMILAR


def _words(message: str) -> list[str]:
    """The words of a message without what differs from request to request."""
    text = _QUOTED.sub(" ", message.lower())
    pieces = (piece for piece in text.split() if not _VARIES.search(piece.strip(".,:;!?()[]{}")))
    return _WORD.findall(" ".join(pieces))[:_MOST_WORDS]
