"""XLSX: numbers as numbers, times as times (UTC), texts as texts, which no program takes for formulas."""

import functools
import math
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from .columns import CELL, MONEY, TIME, Table
from .rows import Row
from .temporary_file import import_lazily, run_in_thread, spooled

MAX_ROWS = 1_048_576  # of a sheet, the header among them
LONGEST_CELL = 32_767  # UTF-16 units
CUT = "… (cut)"
_EXACT = 10**15
_LONGEST_WIDE = LONGEST_CELL // 2
_UNFIT = re.compile(r"[\0\ud800-\udfff]")
_FORMATS = {
    MONEY: "0.000000000",
    TIME: "yyyy-mm-dd hh:mm:ss.000",
    "date": "yyyy-mm-dd",
    "moment": "yyyy-mm-dd hh:mm:ss",
}
_LAST_YEAR_OF_BUG = 1900  # its first two months are a day off in spreadsheets


def as_workbook(rows: Iterable[Row], table: Table, max_rows: int = MAX_ROWS) -> Iterator[bytes]:
    """A workbook with as many sheets of ``max_rows`` as the rows need."""
    return spooled(lambda path: _write(path, rows, table, max_rows))


def _write(path: Path, rows: Iterable[Row], table: Table, max_rows: int) -> None:
    options = {"constant_memory": True, "tmpdir": str(path.parent), "use_zip64": True}
    xlsxwriter = import_lazily("xlsxwriter")
    with path.open("wb") as file:
        workbook = xlsxwriter.Workbook(file, options)
        sheets = _Sheets(workbook, table, max_rows)
        for row in rows:
            sheets.append(table.values(row))
        try:
            run_in_thread(workbook.close)  # packs what was written: seconds for a large one
        except xlsxwriter.exceptions.XlsxFileError as error:
            raise OSError(str(error)) from error


class _Sheets:
    """The sheets of a workbook: rows go to the last one, or to a new one when it is full."""

    def __init__(self, workbook, table: Table, max_rows: int):
        self._workbook = workbook
        self._table = table
        self._max_rows = max_rows
        self._formats = {
            kind: workbook.add_format({"num_format": code}) for kind, code in _FORMATS.items()
        }
        self._bold = workbook.add_format({"bold": True})
        self._kinds = [column.kind for column in table.columns]
        self._count = 0
        self._next_sheet()

    def append(self, values: list) -> None:
        if self._row == self._max_rows:
            self._next_sheet()
        for place, (kind, value) in enumerate(zip(self._kinds, values, strict=True)):
            if value is not None and value != "":
                self._put(place, kind, value)
        self._row += 1

    def _next_sheet(self) -> None:
        self._count += 1
        name = "Results" if self._count == 1 else f"Results {self._count}"
        self._sheet = self._workbook.add_worksheet(name, worksheet_class=_plain_sheet())
        self._sheet.freeze_panes(1, 0)
        for place, column in enumerate(self._table.columns):
            self._sheet.write_string(0, place, fitting(column.name), self._bold)
        self._row = 1

    def _put(self, place: int, kind: str, value) -> None:
        if kind == TIME:
            moment = datetime.fromtimestamp(value / 1000, UTC).replace(tzinfo=None)
            self._sheet.write_datetime(self._row, place, moment, self._formats[TIME])
        elif kind == CELL and isinstance(value, dict) and "at" in value:
            self._put_date(place, value["at"])
        elif isinstance(value, bool):
            self._sheet.write_boolean(self._row, place, value)
        elif isinstance(value, int | float) and math.isfinite(value) and abs(value) <= _most(value):
            self._sheet.write_number(self._row, place, value, self._formats.get(kind))
        else:
            text = value if isinstance(value, str) else self._table.text_of(value)
            self._sheet.write_string(self._row, place, fitting(text))

    def _put_date(self, place: int, iso: str) -> None:
        try:
            moment = datetime.fromisoformat(iso)
        except ValueError:
            moment = None
        if moment is None or moment.tzinfo is not None or moment.year <= _LAST_YEAR_OF_BUG:
            self._sheet.write_string(self._row, place, iso)
            return
        form = self._formats["date" if len(iso) == 10 else "moment"]
        self._sheet.write_datetime(self._row, place, moment, form)


def fitting(text: str) -> str:
    """The text cut to what a cell can hold; a cut is marked."""
    text = _UNFIT.sub("", text) if _UNFIT.search(text) else text
    if len(text) <= _LONGEST_WIDE:
        return text
    raw = text.encode("utf-16-le")
    if len(raw) <= 2 * LONGEST_CELL:
        return text
    return raw[: 2 * (LONGEST_CELL - len(CUT))].decode("utf-16-le", "ignore") + CUT


def _most(value) -> float:
    """Beyond it a spreadsheet would change the digits of a whole number."""
    return _EXACT if isinstance(value, int) else math.inf


@functools.cache
def _plain_sheet() -> type:
    base = import_lazily("xlsxwriter.worksheet").Worksheet

    class PlainSheet(base):  # type: ignore[misc, valid-type]  # the library is loaded here
        """XlsxWriter takes a text from <r> to </r> for its own markup and writes it as it is, and
        rounds numbers to 16 digits, of which some need 17."""

        def _xml_rich_inline_string(self, string, attributes):
            self._xml_inline_string(string, True, attributes)

        def _xml_number_element(self, number, attributes=()):
            written = "".join(f' {name}="{value}"' for name, value in attributes)
            self.fh.write(f"<c{written}><v>{number!r}</v></c>")

    return PlainSheet
