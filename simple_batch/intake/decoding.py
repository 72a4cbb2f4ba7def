"""The text of a table's bytes, line by line.

What cannot be decoded becomes MARK, which no clean text holds, so that a fault can name its row.
"""

import codecs
from collections.abc import Iterator

from .source import Source
from .transcoding import MARK

__all__ = ["MARK", "MAX_DELIMITERS", "Lines", "decoded"]

MAX_DELIMITERS = 500_000  # of a row: csv holds the event loop while it makes its cells


def decoded(raw: bytes) -> str:
    """The beginning of a text, which may be cut off within a character."""
    return codecs.getincrementaldecoder("utf-8")("simple_batch.mark").decode(raw)


class Lines:
    """Iterate over it for the lines with their ends; None in place of what makes a row longer than
    ``longest`` characters, or gives it over MAX_DELIMITERS (``begin_row`` says where one begins).

    ``unclean`` is set once a NUL or something that cannot be decoded was met.
    """

    def __init__(self, source: Source, longest: int, delimiter: str):
        self._source = source
        self._longest = longest
        self._delimiter = delimiter
        self._row = self._delimiters = 0
        self.unclean = False

    def begin_row(self) -> None:
        """Count the characters of a row from here."""
        self._row = self._delimiters = 0

    @property
    def is_crowded(self) -> bool:
        """Whether the row has too many delimiters."""
        return self._delimiters > MAX_DELIMITERS

    def _is_refused(self, line: str) -> bool:
        """Counts a line to the row. Whether the row has too much by now."""
        self._row += len(line)
        if self._row > MAX_DELIMITERS:
            self._delimiters += line.count(self._delimiter)
        return self._row > self._longest or self.is_crowded

    def __iter__(self) -> Iterator[str | None]:
        end, too_long = "", False
        begun: list[str] = []  # of a line that is not whole yet
        for text in self._decoded():
            self.unclean = self.unclean or "\0" in text or MARK in text
            # line ends of old Macs, where there are no others
            end = end or ("\r" if "\r" in text[:-1] and "\n" not in text else "\n")
            lines = text.split(end)
            rest = lines.pop()
            if lines and begun:
                lines[0] = "".join((*begun, lines[0]))
                begun = []
            for line in lines:
                yield None if self._is_refused(line) or too_long else line + "\n"
                too_long = False
            begun.append(rest)
            if sum(map(len, begun)) > self._longest:
                begun, too_long = [], True
        last = "".join(begun)
        if last or too_long:
            yield None if self._is_refused(last) or too_long else last

    def _decoded(self) -> Iterator[str]:
        """Blocks as text."""
        decoder = codecs.getincrementaldecoder("utf-8")("simple_batch.mark")
        for block in self._source.blocks():
            yield decoder.decode(block)
        yield decoder.decode(b"", True)
