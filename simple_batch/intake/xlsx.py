"""Tables in XLSX workbooks, read row by row.

Read here and not by a library: openpyxl reads all texts of a workbook at once before the first row,
which would hold up everything else, calamine holds the whole sheet in memory, and both show a formula
that was never calculated as an empty cell.
"""

import functools
import re
import tempfile
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.settings import Settings
from .excel_dates import kinds_of, moment
from .source import Source
from .table import Row, no_header
from .xlsx_package import ZIP, Found, Package

_MAX_COLUMNS = 16_384
_FRESH = 4 << 20  # bytes of texts in memory
_REMEMBERED = 1_000  # texts that may come again
_WHOLE = 10**15  # digits beyond are not kept by spreadsheets
_ESCAPED = re.compile(r"_x([0-9A-Fa-f]{4})_")
_UNFIT = re.compile(r"[\0\ud800-\udfff]")
_Cell = tuple[str, object]  # its text, and what comes back in an export
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")


class Sheet:
    """One sheet as a table: ``sheet`` is its name, ``sheets`` are those that could be taken. Iterate
    over it for ``Row | Fault``; what ``Row.kept`` holds is numbers, truth values, texts, None for an
    empty cell, and {"at": ISO text} for a date.

    Raises UploadRejected for a file, a name of a sheet or a header that cannot be used.
    """

    format = "xlsx"
    encoding = ""

    def __init__(self, file: BinaryIO, settings: Settings, sheet: str = ""):
        package = Package(file, settings)
        self.sheets = [found.name for found in package.sheets]
        found = _chosen(package, sheet)
        self.sheet = found.name
        self._reader = _Cells(package, found.part, settings.MAX_REQUEST_BYTES)
        self._rows = self._reader.rows()
        self.columns = self._header()
        self._left = min(self._places)

    @property
    def header(self) -> list[str]:
        return self.columns

    def __iter__(self) -> Iterator[Row | Fault]:
        empty = True
        for line, cells, wrong in self._rows:
            if cells or wrong:
                empty = False
                yield self._row(line, cells, wrong)
        if empty:
            raise UploadRejected(
                translatable(
                    "There is no row under the header of the sheet “%(sheet)s”.%(others)s",
                    sheet=self.sheet,
                    others=self._other_sheets(),
                )
            )

    def _header(self) -> list[str]:
        for line, cells, wrong in self._rows:
            if not cells and not wrong:
                continue
            complaint: str | None
            if wrong:
                at, what = next(iter(wrong.items()))
                complaint = translatable(
                    "cell %(cell)s %(what)s", cell=f"{_letters(at)}{line}", what=what
                )
            else:
                self._places = range(min(cells), max(cells) + 1)
                names = [cells.get(at, _EMPTY)[0].strip() for at in self._places]
                complaint = no_header(names, self._letters_of)
                if complaint is None:
                    return names
            raise UploadRejected(
                translatable(
                    "Sheet “%(sheet)s”, row %(line)s, the header: %(complaint)s%(others)s",
                    sheet=self.sheet,
                    line=line,
                    complaint=complaint,
                    others=self._other_sheets(),
                ),
                [Fault(line, "invalid_header", complaint, unit="row")],
                1,
            )
        raise UploadRejected(
            translatable(
                "The sheet “%(sheet)s” is empty.%(others)s",
                sheet=self.sheet,
                others=self._other_sheets(),
            )
        )

    def _letters_of(self, number: int) -> str:
        """How a spreadsheet calls the column of this number, from 1."""
        return _letters(self._places[0] + number - 1)

    def _other_sheets(self) -> str:
        others = [f"“{name}”" for name in self.sheets if name != self.sheet]
        if not others:
            return ""
        more = ", …" if len(others) > 10 else ""
        return translatable(
            " Other sheets: %(names)s (--sheet).", names=", ".join(others[:10]) + more
        )

    def _row(self, line: int, cells: dict[int, _Cell], wrong: dict[int, str]) -> Row | Fault:
        for at in cells.keys() - self._places:
            wrong[at] = translatable(
                "stands beside the table: its column has no name in the header."
            )
        if wrong:
            at, what = min(wrong.items())
            named = f" (“{self.columns[at - self._left]}”)" if at in self._places else ""
            return Fault(
                line,
                "invalid_row",
                translatable(
                    "cell %(cell)s %(what)s", cell=f"{_letters(at)}{line}{named}", what=what
                ),
                unit="row",
            )
        found = [cells.get(at, _EMPTY) for at in self._places]
        return Row(line, [text for text, _ in found], [kept for _, kept in found], "row")


_EMPTY: _Cell = ("", None)


class _Texts:
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
        self._markup = package.markup(part, translatable("its texts"), self._start, self._end)
        self.text = functools.lru_cache(_REMEMBERED)(self._text)

    def _text(self, number: int) -> str:
        """Text ``number``. Raises IndexError where there is none, OverflowError for one over
        ``longest``."""
        while number >= len(self._ends) - 1:
            if not self._markup.step():
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
                self._markup.collect(self._pieces.append)
        elif name == "si":
            self._pieces.clear()
        elif name == "rPh":  # how a text is pronounced
            self._muted = True

    def _end(self, name: str) -> None:
        if name == "t":
            self._markup.collect(None)
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


class _Cells:
    """The rows of a sheet as (number, {column: (text, kept)}, {column: what is wrong})."""

    def __init__(self, package: Package, part: str, longest: int):
        self._longest = longest
        self._texts = _Texts(package, package.strings, longest) if package.strings else None
        styles = (
            package.elements(package.styles, translatable("its styles")) if package.styles else []
        )
        self._kinds = kinds_of(styles)
        self._epoch_1904, self._stale = package.epoch_1904, package.stale
        self._markup = package.markup(part, translatable("the sheet"), self._start, self._end)
        self._done: list[tuple[int, dict[int, _Cell], dict[int, str]]] = []
        self._row = self._column = self._size = 0
        self._cells: dict[int, _Cell] = {}
        self._wrong: dict[int, str] = {}
        self._attributes: dict[str, str] = {}
        self._pieces: list[str] = []
        self._formula = self._valued = self._muted = False
        self._columns: dict[str, int] = {}

    def rows(self) -> Iterator[tuple[int, dict[int, _Cell], dict[int, str]]]:
        while self._markup.step():
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
            self._markup.collect(self._pieces.append)
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
            self._markup.collect(None)
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

    def _cell(self) -> _Cell | None:
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

    def _number(self, text: str) -> _Cell:
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


def _chosen(package: Package, name: str) -> Found:
    """The sheet of that name; without one the first that is not hidden."""
    if not name:
        return next((found for found in package.sheets if not found.hidden), package.sheets[0])
    for found in package.sheets:
        if found.name == name:
            return found
    there = ", ".join(f"“{found.name}”" for found in package.sheets[:20])
    raise UploadRejected(
        translatable(
            "There is no sheet “%(name)s” in the workbook: it has %(there)s.",
            name=name[:80],
            there=there,
        )
    )


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


def _letters(column: int) -> str:
    text = ""
    while column:
        column, rest = divmod(column - 1, 26)
        text = chr(65 + rest) + text
    return text


def sheets(path: Path, settings: Settings) -> list[str]:
    """The names of a workbook's sheets; none where the file is no workbook."""
    source = Source(path, settings)
    try:
        if not source.peek().startswith(ZIP):
            return []
        return [found.name for found in Package(source.whole(), settings).sheets]
    finally:
        source.close()
