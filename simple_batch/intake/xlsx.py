"""Tables in XLSX workbooks, read row by row.

Read here and not by a library: openpyxl reads all texts of a workbook at once before the first row,
which would hold up everything else, calamine holds the whole sheet in memory, and both show a formula
that was never calculated as an empty cell.
"""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.settings import Settings
from .source import Source
from .table import Row, columns_without_header, no_header
from .table_columns import SAMPLE, Columns
from .xlsx_cells import EMPTY, Cell, Cells, column_letters
from .xlsx_package import ZIP, Package, SheetEntry

_SAMPLE_CHARS = 1 << 20  # of the first rows that are read before the columns are known


class Sheet:
    """One sheet as a table: ``sheet`` is its name, ``sheets`` are those that could be taken. Iterate
    over it for ``Row | Fault``; what ``Row.kept`` holds is numbers, truth values, texts, None for an
    empty cell, and {"at": ISO text} for a date.

    Raises UploadRejected for a file, a name of a sheet or a header that cannot be used.
    """

    format = "xlsx"
    encoding = ""
    conversations: list[str] = []
    nested: list[str] = []

    def __init__(
        self, file: BinaryIO, settings: Settings, sheet: str = "", has_header: bool = True
    ):
        package = Package(file, settings)
        self.sheets = [found.name for found in package.sheets]
        found = _chosen(package, sheet)
        self.sheet = found.name
        self._reader = Cells(package, found.part, settings.MAX_REQUEST_BYTES)
        self._rows = self._reader.rows()
        self._found = self._header() if has_header else self._numbered()
        self.columns, self.notes = self._found.names, self._found.notes

    @property
    def header(self) -> list[str]:
        """See ``TableReader``."""
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

    def _header(self) -> Columns:
        for line, cells, wrong in self._rows:
            if not cells and not wrong:
                continue
            complaint: str | None
            if wrong:
                at, what = next(iter(wrong.items()))
                complaint = translatable(
                    "cell %(cell)s %(what)s", cell=f"{column_letters(at)}{line}", what=what
                )
            else:
                found = self._columns(cells)
                complaint = found.complaint
                if complaint is None:
                    return found
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
        raise self._is_empty()

    def _is_empty(self) -> UploadRejected:
        return UploadRejected(
            translatable(
                "The sheet “%(sheet)s” is empty.%(others)s",
                sheet=self.sheet,
                others=self._other_sheets(),
            )
        )

    def _numbered(self) -> Columns:
        """The columns where the first row is one like the others."""
        for line, cells, wrong in self._rows:
            if cells or wrong:
                self._rows = chain([(line, cells, wrong)], self._rows)
                there = cells.keys() | wrong.keys()
                self._places = range(min(there), max(there) + 1)
                names = columns_without_header(len(self._places))
                return Columns(names, [], no_header, self._letters_of)
        raise self._is_empty()

    def _columns(self, header: dict[int, Cell]) -> Columns:
        """The columns from the first named one, or from one that the first rows fill before it, to the
        last."""
        rows = self._first_rows()
        left = min(header)
        while left and rows and all(left - 1 in cells for cells in rows):
            left -= 1
        self._places = range(left, max(header) + 1)
        texts = [[cells.get(at, EMPTY)[0] for at in self._places] for cells in (header, *rows)]
        return Columns(texts[0], texts[1:], no_header, self._letters_of)

    def _first_rows(self) -> list[dict[int, Cell]]:
        """The cells of the first rows that hold any; they are read again when it is iterated."""
        taken, found, size = [], [], 0
        for item in self._rows:
            taken.append(item)
            if item[1]:
                found.append(item[1])
                size += sum(len(text) for text, _kept in item[1].values())
            if len(taken) == SAMPLE or size > _SAMPLE_CHARS:
                break
        self._rows = chain(taken, self._rows)
        return found

    def _letters_of(self, number: int) -> str:
        """How a spreadsheet calls the column of this number, from 1."""
        return column_letters(self._places[0] + number - 1)

    def _other_sheets(self) -> str:
        others = [f"“{name}”" for name in self.sheets if name != self.sheet]
        if not others:
            return ""
        more = ", …" if len(others) > 10 else ""
        return translatable(
            " Other sheets: %(names)s (--sheet).", names=", ".join(others[:10]) + more
        )

    def _row(self, line: int, cells: dict[int, Cell], wrong: dict[int, str]) -> Row | Fault:
        first = self._places[0]
        stray = cells.keys() - self._places
        if self._found.empty:
            stray |= {first + at for at in self._found.empty} & cells.keys()
        for at in stray:
            wrong[at] = translatable(
                "stands beside the table: its column has no name in the header."
            )
        if wrong:
            at, what = min(wrong.items())
            named = self._named(at)
            return Fault(
                line,
                "invalid_row",
                translatable(
                    "cell %(cell)s %(what)s", cell=f"{column_letters(at)}{line}{named}", what=what
                ),
                unit="row",
            )
        row = [cells.get(at, EMPTY) for at in self._places]
        found = row if self._found.is_whole else self._found.picked(row)
        return Row(line, [text for text, _ in found], [kept for _, kept in found], "row")

    def _named(self, at: int) -> str:
        """The column's name in brackets, where it has one."""
        place = at - self._places[0]
        if place not in self._found.places:
            return ""
        return f" (“{self.columns[self._found.places.index(place)]}”)"


def _chosen(package: Package, name: str) -> SheetEntry:
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


def sheets(path: Path, settings: Settings) -> list[str]:
    """The names of a workbook's sheets; none where the file is no workbook."""
    source = Source(path, settings)
    try:
        if not source.peek().startswith(ZIP):
            return []
        return [found.name for found in Package(source.whole(), settings).sheets]
    finally:
        source.close()
