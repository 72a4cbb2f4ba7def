"""Splitting JSON arrays into their items as they stream by, with the line each begins on.

Streaming parsers build every value and know no line numbers; here only brackets,
commas and string ends are looked at, and each item goes to the decoder as bytes.
"""

import re
from collections.abc import Iterable, Iterator

from ..core.clock import give_way
from ..core.errors import UploadRejected
from ..core.messages import translatable

_OUTSIDE = re.compile(rb'["\[\]{},]')
_INSIDE = re.compile(rb'["\\]')
_SPACE = b" \t\r\n"


class ArraySplitter:
    """Feed it blocks, take (line, item) from it; None for an item over ``max_item`` bytes. Further arrays
    may follow the first, one a line, say. With ``most_rest`` there is but one: what follows it, up to that
    many bytes, is ``rest``."""

    def __init__(self, max_item: int, most_rest: int | None = None):
        self._max_item = max_item
        self._most_rest = most_rest
        self.rest = bytearray()
        self._item = bytearray()
        self._too_long = False
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._line = 1
        self._item_line = 0
        self._count = 0
        self._after_comma = False
        self._closed = False

    def skip_lines(self, count: int) -> None:
        """Count lines that came before."""
        self._line += count

    def split(self, blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
        """Raises UploadRejected, naming the line, where the array is broken or cut off."""
        for block in blocks:
            yield from self._feed(block)
            give_way()  # a block of nothing but brackets takes a tenth of a second
        if not self._closed:
            raise UploadRejected(
                translatable(
                    "The JSON array is cut off: the file ends in line %(line)s, after 1 whole "
                    "item. Upload it again, whole.",
                    line=self._line,
                )
                if self._count == 1
                else translatable(
                    "The JSON array is cut off: the file ends in line %(line)s, after %(count)s "
                    "whole items. Upload it again, whole.",
                    line=self._line,
                    count=f"{self._count:,}",
                )
            )

    def _feed(self, block: bytes) -> Iterator[tuple[int, bytes | None]]:
        start = position = 0
        if self._closed and self._most_rest is not None:
            self._add_rest(block)
            return
        while True:
            if self._escaped and position < len(block):
                self._escaped = False
                position += 1
            pattern = _INSIDE if self._in_string else _OUTSIDE
            found = pattern.search(block, position)
            if found is None:
                self._keep(block, start, len(block))
                return
            position = found.end()
            mark = found.group()
            if mark == b"\\":
                self._escaped = True
            elif mark == b'"':
                self._in_string = not self._in_string
            elif mark in b"[{":
                self._depth += 1
                if self._depth == 1:
                    if self._closed:
                        self._begin_another(mark, block[start : position - 1])
                    else:
                        self._keep(block, start, position)
                    self._item.clear()
                    self._item_line = 0
                    start = position
            elif mark in b"]}":
                self._depth -= 1
                if self._depth == 0:
                    yield from self._end(block, start, position, last=True)
                    start = position
                    if self._most_rest is not None:
                        self._add_rest(block[position:])
                        return
            elif self._depth == 1:
                yield from self._end(block, start, position, last=False)
                start = position

    def _begin_another(self, mark: bytes, between: bytes) -> None:
        """Begin a further array, with nothing but white space and a comma before it."""
        if mark != b"[" or between.strip(_SPACE) not in (b"", b","):
            raise UploadRejected(
                translatable("Line %(line)s: text follows the JSON array.", line=self._line)
            )
        self._line += between.count(b"\n")
        self._closed = self._after_comma = False

    def _add_rest(self, piece: bytes) -> None:
        self.rest += piece
        if len(self.rest) > (self._most_rest or 0):
            raise UploadRejected(
                translatable("Line %(line)s: text follows the JSON array.", line=self._line)
            )

    def _end(self, block, start, position, last) -> Iterator[tuple[int, bytes | None]]:
        self._keep(block, start, position - 1)
        item = bytes(self._item).strip(_SPACE)
        self._closed = last
        if item or self._too_long:
            self._count += 1
            yield self._item_line, None if self._too_long else item
        elif not last or self._after_comma:
            raise UploadRejected(
                translatable("Line %(line)s: an item is missing beside a comma.", line=self._line)
            )
        self._after_comma = not last
        self._item.clear()
        self._item_line = 0
        self._too_long = False

    def _keep(self, block: bytes, start: int, end: int) -> None:
        """Add to the item, count its lines, note where it begins."""
        piece = block[start:end]
        if not self._item_line:
            rest = piece.lstrip(_SPACE)
            self._line += piece.count(b"\n", 0, len(piece) - len(rest))
            if not rest:
                return
            if self._closed:
                raise UploadRejected(
                    translatable("Line %(line)s: text follows the JSON array.", line=self._line)
                )
            piece, self._item_line = rest, self._line
        self._line += piece.count(b"\n")
        if len(self._item) + len(piece) > self._max_item:
            self._too_long = True
            self._item.clear()
        if not self._too_long:
            self._item += piece
