"""The shortest way to read chunks: most differ from the one before in a piece of text alone.

A chunk that was decoded and adds one text is a pattern: what stands before and behind that text. Later
chunks that begin and end alike, with a JSON string in between, are the same JSON with other texts. All
that follow one another are read at once.
"""

import itertools
import re
from collections.abc import Callable, Iterator
from operator import itemgetter

import msgspec

_AT_ONCE = 64  # chunks
# what a JSON string has no need to escape, and what must go the longer way: halves of surrogate pairs
_PLAIN = str.maketrans("", "", '"\\' + "".join(map(chr, range(32))))
_STRING = re.compile(r'[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+').fullmatch
_decode = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class RepeatedChunk:
    """The pattern of one chunk; ``write`` takes the texts of those that follow it. ``used``: some did."""

    __slots__ = ("_after", "_before", "_begins", "_between", "_cut", "_ends",
                 "_line", "_lines", "_write", "used")  # fmt: skip

    def __init__(self, before: str, after: str, write: Callable[[str], object]):
        self._before, self._after = before, after + "\n\n"
        self._between = self._after + before
        # an event has ``_lines`` lines; the text stands in the one with the index ``_line``
        self._line, self._lines = before.count("\n"), self._between.count("\n")
        self._begins = before.rpartition("\n")[2]
        self._ends = self._after.partition("\n")[0]
        self._cut = itemgetter(slice(len(self._begins), -len(self._ends)))
        self._write = write
        self.used = False

    def read(self, lines: str, at: int) -> int:
        """Take the texts of the chunks like this one that begin at ``at``; returns where the next other
        event begins."""
        if not lines.startswith(self._before, at):
            return at
        texts = self._texts(lines, at)
        text = "".join(texts)
        if len(text.translate(_PLAIN)) != len(text):
            texts = list(itertools.takewhile(_STRING, texts))
            text = "".join(texts)
        if not texts:
            return at
        self.used = True
        self._write(_decode(f'"{text}"') if "\\" in text else text)
        return at + len(text) + len(texts) * len(self._between)

    def _texts(self, lines: str, at: int) -> list[str]:
        """What stands in the place of the text in the chunks like this one that begin at ``at``."""
        # a single character is found several times as fast as what stands between two texts
        pieces = lines[at:].split("\n", _AT_ONCE * self._lines)[:-1]
        end = len(pieces) // self._lines * self._lines
        found = pieces[self._line : end : self._lines]
        while found and not self._has_text(found[-1]):
            found.pop()
        texts = list(map(self._cut, found))
        if lines.startswith(self._between.join(texts) + self._after, at + len(self._before)):
            return texts
        return list(self._one_by_one(pieces))

    def _has_text(self, line: str) -> bool:
        least = len(self._begins) + len(self._ends)
        return len(line) >= least and line.startswith(self._begins) and line.endswith(self._ends)

    def _one_by_one(self, pieces: list[str]) -> Iterator[str]:
        """The texts of the chunks like this one that these lines begin with."""
        before, after = len(self._before), len(self._after)
        for begin in range(0, len(pieces) - self._lines + 1, self._lines):
            chunk = "\n".join(pieces[begin : begin + self._lines]) + "\n"
            alike = chunk.startswith(self._before) and chunk.endswith(self._after)
            if not alike or len(chunk) < before + after:
                return
            yield chunk[before : len(chunk) - after]


def repeated_chunk(
    lines: str, name: str, text: str, write: Callable[[str], object]
) -> RepeatedChunk | None:
    """The pattern of a chunk whose field ``name`` has this text; None where it is not found once, as it
    is written without needless escapes. ``lines`` are those of its event."""
    key = f'"{name}":'
    at = lines.find(key)
    if at < 0 or lines.find(key, at + 1) >= 0:
        return None
    begin = at + len(key)
    while lines[begin : begin + 1] == " ":
        begin += 1
    string = _encode(text).decode()
    end = begin + len(string)
    if lines[begin:end] != string:
        return None
    return RepeatedChunk(lines[: begin + 1], lines[end - 1 :], write)
