"""The shortest way to read chunks: most differ from the one before in a piece of text alone.

A chunk that was decoded and adds one text is a pattern: what stands before and behind that text. Later
chunks that begin and end alike, with a JSON string in between, are the same JSON with other texts. All
that follow one another are read at once.
"""

import itertools
import re
from collections.abc import Callable

import msgspec

# what a JSON string has no need to escape, and what must go the longer way: halves of surrogate pairs
_PLAIN = str.maketrans("", "", '"\\' + "".join(map(chr, range(32))))
_STRING = re.compile(r'[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+')
_decode = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class RepeatedChunk:
    """The pattern of one chunk; ``write`` takes the texts of those that follow it. ``used``: some did."""

    __slots__ = ("_after", "_before", "_between", "_write", "used")

    def __init__(self, before: str, after: str, write: Callable[[str], object]):
        self._before, self._after = before, after + "\n\n"
        self._between = self._after + before
        self._write = write
        self.used = False

    def read(self, lines: str, at: int) -> int:
        """Take the texts of the chunks like this one that begin at ``at``; returns where the next other
        event begins."""
        if not lines.startswith(self._before, at):
            return at
        texts = self._texts(lines, at + len(self._before))
        text = "".join(texts)
        if len(text.translate(_PLAIN)) != len(text):
            texts = list(itertools.takewhile(_STRING.fullmatch, texts))
            text = "".join(texts)
        if not texts:
            return at
        self.used = True
        self._write(_decode(f'"{text}"') if "\\" in text else text)
        return at + len(text) + len(texts) * len(self._between)

    def _texts(self, lines: str, begin: int) -> list[str]:
        """What stands in the place of the text in the chunks like this one, the first at ``begin``."""
        # compared where they stand: a copy of each chunk would cost more than all else
        find, is_at, between, step = lines.find, lines.startswith, self._between, len(self._between)
        texts = []
        while True:
            end = find('"', begin)
            if not is_at(between, end):
                string = _STRING.match(lines, begin)  # quotation marks in the text
                if string is not None:
                    end = string.end()
                if not is_at(between, end):
                    break
            texts.append(lines[begin:end])
            begin = end + step
        if is_at(self._after, end):
            texts.append(lines[begin:end])
        return texts


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
