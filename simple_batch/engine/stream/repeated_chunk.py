"""The shortest way to read a chunk: most differ from the one before in a piece of text alone.

A chunk that was decoded and adds one text is a pattern: what stands before and behind that text. A later
chunk that begins and ends alike, with neither quotes nor backslashes in between, is the same JSON with
another text.
"""

from collections.abc import Callable


class RepeatedChunk:
    """The pattern of one chunk; ``write`` takes the texts of those that follow it."""

    __slots__ = ("_after", "_before", "_begin", "_least", "write")

    def __init__(self, before: str, after: str, write: Callable[[str], object]):
        self._before, self._after, self.write = before, after, write
        self._begin, self._least = len(before), len(before) + len(after)

    def text_of(self, data: str) -> str | None:
        """The text of a chunk like this one; None for another chunk."""
        if not (data.startswith(self._before) and data.endswith(self._after)):
            return None
        if len(data) < self._least:
            return None
        text = data[self._begin : len(data) - len(self._after)]
        return None if '"' in text or "\\" in text else text


def repeated_chunk(
    data: str, name: str, text: str, write: Callable[[str], object]
) -> RepeatedChunk | None:
    """The pattern of a chunk whose field ``name`` has this text; None where it is not found once, as it
    is."""
    key = f'"{name}":'
    at = data.find(key)
    if at < 0 or data.find(key, at + 1) >= 0:
        return None
    begin = at + len(key)
    while data[begin : begin + 1] == " ":
        begin += 1
    begin += 1
    end = begin + len(text)
    if data[begin - 1 : end + 1] != f'"{text}"':
        return None
    return RepeatedChunk(data[:begin], data[end:], write)
