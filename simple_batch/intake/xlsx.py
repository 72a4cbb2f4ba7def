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
from .xlsx_cells import EMPTY, Cell, Cells, column_letters
from .xlsx_package import ZIP, Package, SheetEntry


class Sheet:
    """One sheet as a table: ``sheet`` is its name, ``sheets`` are those that could be taken. Iterate
    over it for ``Row | Fault``; what ``Row.kept`` holds is numbers, truth values, texts, None for an
    empty cell, and {"at": ISO text} for a date.

    Raises UploadRejected for a file, a name of a sheet or a header that cannot be used.
    """

    format = "xlsx"
    encoding = ""

    def __init__(
        self, file: BinaryIO, settings: Settings, sheet: str = "", has_header: bool = True
    ):
        package = Package(file, settings)
        self.sheets = [found.name for found in package.sheets]
        found = _chosen(package, sheet)
        self.sheet = found.name
        self._reader = Cells(package, found.part, settings.MAX_REQUEST_BYTES)
        self._rows = self._reader.rows()
        self.columns = self._header() if has_header else self._numbered()
        self._left = min(self._places)

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

    def _header(self) -> list[str]:
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
                self._places = range(min(cells), max(cells) + 1)
                names = [cells.get(at, EMPTY)[0].strip() for at in self._places]
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
        raise self._is_empty()

    def _is_empty(self) -> UploadRejected:
        return UploadRejected(
            translatable(
                "The sheet “%(sheet)s” is empty.%(others)s",
                sheet=self.sheet,
                others=self._other_sheets(),
            )
        )

    def _numbered(self) -> list[str]:
        """The columns where the first row is one like the others."""
        for line, cells, wrong in self._rows:
            if cells or wrong:
                self._rows = chain([(line, cells, wrong)], self._rows)
                there = cells.keys() | wrong.keys()
                self._places = range(min(there), max(there) + 1)
                return columns_without_header(len(self._places))
        raise self._is_empty()

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
                    "cell %(cell)s %(what)s", cell=f"{column_letters(at)}{line}{named}", what=what
                ),
                unit="row",
            )
        found = [cells.get(at, EMPTY) for at in self._places]
        return Row(line, [text for text, _ in found], [kept for _, kept in found], "row")


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
