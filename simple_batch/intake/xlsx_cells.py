"""The cells of a sheet of an XLSX workbook, and the texts that its sheets share."""

import functools
import re
import tempfile
from array import array
from collections.abc import Iterator

from ..core.messages import translatable
from .excel_dates import kinds_of, moment
from .xlsx_package import Package

_MAX_COLUMNS = 16_384
_FRESH = 4 << 20  # bytes of texts in memory
_REMEMBERED = 1_000  # texts that may come again
_WHOLE = 10**15  # digits beyond are not kept by spreadsheets
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNFIT = re.compile(r"[\0\ud800-\udfff]")
Cell = tuple[str, object]  # its text, and what comes back in an export
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
EMPTY: Cell = ("", None)


class _SharedTexts:
    """The workbook's shared texts, read as far as they are needed and kept in a file: a workbook
    may hold a million."""

    def __init__(self, package: Package, part: str, longest: int):
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed with this object)
        self._written = 0
        self._fresh = bytearray()  # what is not written yet
        self._ends = array("Q", [0])
        self._longest = longest
        self._pieces: list[str] = []
        self._muted = False
        self._too_long: set[int] = set()
        self._xml = package.xml_reader(part, translatable("its texts"), self._start, self._end)
        self.text = functools.lru_cache(_REMEMBERED)(self._text)

    def _text(self, number: int) -> str:
        """Text ``number``. Raises IndexError where there is none, OverflowError for one over
        ``longest``."""
        while number >= len(self._ends) - 1:
            if not self._xml.step():
                raise IndexError
            if sum(map(len, self._pieces)) > self._longest:
                self._too_long.add(len(self._ends) - 1)
                del self._pieces[1:]
        if number in self._too_long:
            raise OverflowError
        start, end = self._ends[number], self._ends[number + 1]
        if start >= self._written:
            raw = bytes(self._fresh[start - self._written : end - self._written])
        else:
            self._file.seek(start)
            raw = self._file.read(end - start)
        return raw.decode("utf-8", "surrogatepass")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "t":
            if not self._muted:
                self._xml.collect(self._pieces.append)
        elif name == "si":
            self._pieces.clear()
        elif name == "rPh":  # how a text is pronounced
            self._muted = True

    def _end(self, name: str) -> None:
        if name == "t":
            self._xml.collect(None)
        elif name == "si":
            self._keep(_unescaped("".join(self._pieces)).encode("utf-8", "surrogatepass"))
        elif name == "rPh":
            self._muted = False

    def _keep(self, text: bytes) -> None:
        self._fresh += text
        self._ends.append(self._written + len(self._fresh))
        if len(self._fresh) > _FRESH:
            self._file.seek(self._written)
            self._file.write(self._fresh)
            self._written += len(self._fresh)
            self._fresh.clear()


class Cells:
    """The rows of a sheet as (number, {column: (text, kept)}, {column: what is wrong})."""

    def __init__(self, package: Package, part: str, longest: int):
        self._longest = longest
        self._texts = _SharedTexts(package, package.strings, longest) if package.strings else None
        styles = (
            package.elements(package.styles, translatable("its styles")) if package.styles else []
        )
        self._kinds = kinds_of(styles)
        self._epoch_1904, self._stale = package.epoch_1904, package.stale
        self._xml = package.xml_reader(part, translatable("the sheet"), self._start, self._end)
        self._done: list[tuple[int, dict[int, Cell], dict[int, str]]] = []
        self._row = self._column = self._size = 0
        self._cells: dict[int, Cell] = {}
        self._wrong: dict[int, str] = {}
        self._attributes: dict[str, str] = {}
        self._pieces: list[str] = []
        self._formula = self._valued = self._muted = False
        self._columns: dict[str, int] = {}

    def rows(self) -> Iterator[tuple[int, dict[int, Cell], dict[int, str]]]:
        """(number from 1, {column from 1: cell}, {column: what is wrong with it})."""
        while self._xml.step():
            if sum(map(len, self._pieces)) > self._longest:
                self._size += self._longest + 1
                del self._pieces[1:]
            done, self._done = self._done, []
            yield from done

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "c":
            self._attributes = attributes
            self._pieces.clear()
            self._formula = self._valued = False
        elif name == "v" or (name == "t" and not self._muted):
            self._valued = True
            self._xml.collect(self._pieces.append)
        elif name == "f":
            self._formula = True
        elif name == "row":
            number = attributes.get("r", "")
            self._row = int(number) if number.isdecimal() and len(number) < 12 else self._row + 1
            self._column = self._size = 0
            self._cells, self._wrong = {}, {}
        elif name == "rPh":
            self._muted = True

    def _end(self, name: str) -> None:
        if name in ("v", "t"):
            self._xml.collect(None)
        elif name == "c":
            self._take()
        elif name == "row":
            self._done.append((self._row, self._cells, self._wrong))
        elif name == "rPh":
            self._muted = False

    def _take(self) -> None:
        """The cell that has just ended."""
        at = self._place(self._attributes.get("r"))
        try:
            cell = self._cell()
        except ValueError as error:
            self._wrong[at] = error.args[0]
            return
        if cell is None:
            return
        self._size += len(cell[0])
        if at > _MAX_COLUMNS:
            self._wrong = {_MAX_COLUMNS: translatable("and more: a sheet has no more columns.")}
        elif self._size > self._longest:
            self._cells.clear()
            self._wrong = {
                at: translatable("makes the row longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows.")
            }
        else:
            self._cells[at] = cell

    def _place(self, reference: str | None) -> int:
        if reference is None:
            self._column += 1
            return self._column
        letters = reference.rstrip("0123456789")
        column = self._columns.get(letters)
        if column is None:
            column = self._columns[letters] = _column(letters)
        self._column = column
        return column

    def _cell(self) -> Cell | None:
        """(text, kept); None for an empty cell. Raises ValueError saying what is wrong with it."""
        kind, text = self._attributes.get("t", "n"), "".join(self._pieces)
        if self._formula and (self._stale or not (self._valued and (text or kind == "str"))):
            raise ValueError(
                translatable(
                    "holds a formula that was never calculated: open the file in a spreadsheet "
                    "program and save it, or paste values in place of formulas."
                )
            )
        if not text:
            return None
        if kind == "e":
            raise ValueError(translatable("holds the error %(text)s: correct it.", text=text[:20]))
        if kind == "n":
            return self._number(text)
        if kind == "b":
            return ("TRUE", True) if text.strip() in ("1", "true") else ("FALSE", False)
        if kind == "d":
            return text, {"at": text}
        text = self._shared(text) if kind == "s" else _unescaped(text)
        if _UNFIT.search(text):
            raise ValueError(
                translatable("holds a character that is none (a NUL or half of one): remove it.")
            )
        return (text, text) if text else None

    def _shared(self, number: str) -> str:
        try:
            if self._texts is None:
                raise IndexError
            return self._texts.text(int(number))
        except OverflowError:
            raise ValueError(
                translatable("is longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows.")
            ) from None
        except (ValueError, IndexError):
            raise ValueError(
                translatable("names a text that the file does not hold: save it again.")
            ) from None

    def _number(self, text: str) -> Cell:
        style = self._attributes.get("s")
        kind = self._kind(style) if style is not None else None
        if not _NUMBER.fullmatch(text):
            raise ValueError(
                translatable(
                    "holds %(text)r, which is no number: save the file again.", text=text[:20]
                )
            )
        value = float(text)
        if kind is not None:
            try:
                iso, dated = moment(value, kind, self._epoch_1904)
            except (ValueError, OverflowError):
                raise ValueError(
                    translatable(
                        "is formatted as a date, and %(text)s is none: change its format.",
                        text=text[:20],
                    )
                ) from None
            return iso, {"at": iso} if dated else iso
        if value.is_integer() and abs(value) <= _WHOLE:
            value = int(value)
        elif value in (float("inf"), float("-inf")):
            raise ValueError(
                translatable("holds %(text)s, which is too large a number.", text=text[:20])
            )
        return repr(value), value

    def _kind(self, style: str) -> str | None:
        number = int(style) if style.isdecimal() and len(style) < 10 else len(self._kinds)
        return self._kinds[number] if number < len(self._kinds) else None


def _unescaped(text: str) -> str:
    """Characters that XML does not take stand as _x000D_."""
    if "_x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text)


def _column(letters: str) -> int:
    number = 0
    for letter in letters[:4].upper():
        number = number * 26 + ord(letter) - 64 if "A" <= letter <= "Z" else _MAX_COLUMNS + 1
    return number or _MAX_COLUMNS + 1


def column_letters(column: int) -> str:
    """A, B, … Z, AA, … for a column from 1."""
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text
