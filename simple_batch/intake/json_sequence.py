"""Splitting JSON values that follow each other, each over any number of lines, as they stream by.

What jq and pretty printers write: objects with nothing, white space or a comma between them.
"""

import re
from collections.abc import Iterable, Iterator

from ..core.clock import give_way
from ..core.errors import UploadRejected
from ..core.messages import translatable

_OUTSIDE = re.compile(rb'["\[\]{}]')
_INSIDE = re.compile(rb'["\\]')
_BETWEEN = b" \t\r\n,"


class SequenceSplitter:
    """Feed it blocks, take (line, item) from it; None for an item over ``max_item`` bytes."""

    def __init__(self, max_item: int):
        self._max_item = max_item
        self._item = bytearray()
        self._too_long = False
        self._depth = 0
        self._in_string = self._escaped = False
        self._line = self._item_line = 1

    def split(self, blocks: Iterable[bytes]) -> Iterator[tuple[int, bytes | None]]:
        """Raises UploadRejected, naming the line, where anything else stands between the values, and
        where the last one does not end."""
        for block in blocks:
            yield from self._feed(block)
            give_way()
        if self._depth:
            raise UploadRejected(
                translatable(
                    "The JSON object that begins in line %(line)s does not end: a bracket or a quote is "
                    "not closed in it, or the file is cut off.",
                    line=self._item_line,
                )
            )

    def _feed(self, block: bytes) -> Iterator[tuple[int, bytes | None]]:
        start = position = 0
        while True:
            if self._escaped and position < len(block):
                self._escaped = False
                position += 1
            found = (_INSIDE if self._in_string else _OUTSIDE).search(block, position)
            if found is None:
                self._keep(block[start:])
                return
            position = found.end()
            mark = found.group()
            if mark == b"\\":
                self._escaped = True
            elif mark == b'"' and self._depth:
                self._in_string = not self._in_string
            elif mark in b"[{":
                if not self._depth:
                    self._keep(block[start : position - 1])
                    start, self._item_line = position - 1, self._line
                self._depth += 1
            elif self._depth == 1:
                self._keep(block[start:position])
                self._depth, start = 0, position
                yield self._item_line, None if self._too_long else bytes(self._item)
                self._item.clear()
                self._too_long = False
            elif not self._depth:
                raise self._stray(mark)
            else:
                self._depth -= 1

    def _keep(self, piece: bytes) -> None:
        """Add to the item, or skip what stands between two."""
        if not self._depth:
            rest = piece.lstrip(_BETWEEN)
            self._line += piece.count(b"\n", 0, len(piece) - len(rest))
            if rest:
                raise self._stray(rest)
            return
        self._line += piece.count(b"\n")
        if len(self._item) + len(piece) > self._max_item:
            self._too_long = True
            self._item.clear()
        if not self._too_long:
            self._item += piece

    def _stray(self, text: bytes) -> UploadRejected:
        return UploadRejected(
            translatable(
                "Line %(line)s: “%(text)s” stands between two JSON objects: remove it.",
                line=self._line,
                text=text[:40].decode("utf-8", "replace").split("\n")[0],
            )
        )
