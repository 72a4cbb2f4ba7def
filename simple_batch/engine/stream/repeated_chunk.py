"""The shortest way to read chunks: most differ from the one before in a piece of text alone.

A chunk that was decoded and adds one text is a pattern: what stands before and behind that text. Later
chunks that begin and end alike, with a JSON string in between, are the same JSON with other texts. All
that follow one another are read at once.
"""

import itertools
import re
from collections.abc import Callable

import msgspec

_AT_ONCE = 64  # chunks
_SOUGHT = 12  # characters
# what a JSON string has no need to escape, and what must go the longer way: halves of surrogate pairs
_PLAIN = str.maketrans("", "", '"\\' + "".join(map(chr, range(32))))
_STRING = re.compile(r'[^"\\\x00-\x1f]*+(?:\\["\\/bfnrt][^"\\\x00-\x1f]*+)*+').fullmatch
_decode = msgspec.json.Decoder(str).decode
_encode = msgspec.json.Encoder().encode


class RepeatedChunk:
    """The pattern of one chunk; ``write`` takes the texts of those that follow it. ``used``: some did."""

    __slots__ = ("_after", "_before", "_between", "_stop", "_write", "used")

    def __init__(self, before: str, after: str, write: Callable[[str], object]):
        after += "\n\n"
        # a short string is found several times as fast as all of what stands behind the text
        self._before, self._after, self._stop = before, after[:-_SOUGHT], after[-_SOUGHT:]
        self._between = after + before
        self._write = write
        self.used = False

    def read(self, lines: str, at: int) -> int:
        """Take the texts of the chunks like this one that begin at ``at``; returns where the next other
        event begins."""
        if not lines.startswith(self._before, at):
            return at
        texts = self._texts(lines, at)
        text, count = _strings(texts)
        if not count:
            return at
        self.used = True
        self._write(text)
        return at + sum(map(len, texts[:count])) + count * len(self._between)

    def _texts(self, lines: str, at: int) -> list[str]:
        """What stands in the place of the text in the chunks like this one that begin at ``at``."""
        chunks = lines[at:].split(self._stop, _AT_ONCE)[:-1]
        while chunks and not self._matches(chunks[-1]):
            chunks.pop()
        before, after = len(self._before), len(self._after)
        texts = [chunk[before : len(chunk) - after] for chunk in chunks]
        begin = at + before
        joined = self._between.join(texts)
        if lines[begin : begin + len(joined)] == joined:
            return texts
        alike = len(list(itertools.takewhile(self._matches, chunks)))
        return texts[:alike]

    def _matches(self, chunk: str) -> bool:
        return (
            chunk.startswith(self._before)
            and chunk.endswith(self._after)
            and len(chunk) >= len(self._before) + len(self._after)
        )


def _strings(pieces: list[str]) -> tuple[str, int]:
    """The text of the first pieces that are JSON strings, and their number."""
    text = "".join(pieces)
    if len(text.translate(_PLAIN)) == len(text):
        return text, len(pieces)
    count = next((n for n, piece in enumerate(pieces) if not _STRING(piece)), len(pieces))
    text = "".join(pieces[:count])
    return (_decode(f'"{text}"') if "\\" in text else text), count


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
