"""The text of a table's bytes, line by line; its encoding is detected from the bytes alone.

What cannot be decoded becomes MARK, which no clean text holds, so that a fault can name its row.
"""

import codecs
from collections.abc import Iterator

from .source import Source

MAX_DELIMITERS = 500_000  # of a row: csv holds the event loop while it makes its cells
MARK = "\udcff"
_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
WIDE = ("utf-16-le", "utf-16-be")
_LEAST_NULS = 0.05  # of UTF-16: Chinese text has them in its digits, commas and line ends alone
_LEAST_COMMON = 0.7  # of GB18030: characters of daily use; a Latin text taken for it has few
_LONGEST = 3  # bytes that one character may still lack at the end of a block


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return MARK, error.end


codecs.register_error("simple_batch.mark", _mark)


def encoding_of(head: bytes) -> str | None:
    """The encoding of what begins so; None while it is ASCII, which begins several."""
    for bom, name in _BOMS:
        if head.startswith(bom):
            return name
    if head.isascii() and b"\0" not in head:
        return None
    return _wide(head) or ("gb18030" if _is_chinese(head) else "utf-8")


def decoded(raw: bytes, encoding: str | None) -> str:
    """The beginning of a text, which may be cut off within a character."""
    return codecs.getincrementaldecoder(encoding or "utf-8")("simple_batch.mark").decode(raw)


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
        self.encoding: str | None = None
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
        """Blocks as text. While they are ASCII nothing is decided, and a few bytes are held back,
        so that the first character that is not comes whole."""
        decoder, held = None, b""
        for block in self._source.blocks():
            if decoder is not None:
                yield decoder.decode(block)
                continue
            block = held + block
            self.encoding = encoding = encoding_of(block)
            if encoding is None or (encoding not in WIDE and block[:-_LONGEST].isascii()):
                held = block[-_LONGEST:]
                yield block[:-_LONGEST].decode("ascii")
                continue
            decoder = codecs.getincrementaldecoder(encoding)("simple_batch.mark")
            yield decoder.decode(block).removeprefix("\ufeff")
        if decoder is None:
            self.encoding = encoding_of(held) or "utf-8"
            yield held.decode(self.encoding, "simple_batch.mark")
        else:
            yield decoder.decode(b"", True)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a byte-order mark: the NULs of its ASCII characters stand on one side, those
    of its line ends among them."""
    nuls = head[0::2].count(0), head[1::2].count(0)
    if sum(nuls) < _LEAST_NULS * len(head) or min(nuls) > 0.1 * max(nuls):
        return None
    name, newline = (WIDE[0], b"\n\0") if nuls[1] > nuls[0] else (WIDE[1], b"\0\n")
    return name if newline in head else None


def _is_chinese(head: bytes) -> bool:
    if _strict(head, "utf-8") is not None:
        return False
    text = _strict(head, "gb18030")
    if text is None:
        return False
    # emoji, of four bytes of which every other one is a digit, speak for it rather than against
    wide = [char for char in text if "\x7f" < char <= "\uffff"]
    return len("".join(wide).encode("gb2312", "ignore")) >= 2 * _LEAST_COMMON * len(wide)


def _strict(head: bytes, encoding: str) -> str | None:
    try:
        return codecs.getincrementaldecoder(encoding)().decode(head)
    except UnicodeDecodeError:
        return None
