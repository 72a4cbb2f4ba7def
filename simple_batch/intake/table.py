"""Tables with a header: detects the dialect, yields rows with the lines they begin on.

The readers of other kinds of tables (xlsx.py, parquet.py, json_table.py) have the same interface,
``TableReader``.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any, Literal, Protocol, cast

import msgspec

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.excerpt import Excerpt, excerpt_of_text
from ..core.messages import Message, translatable
from ..core.settings import Settings
from . import decoding
from .encodings import label
from .source import Source
from .table_columns import Columns, sampled

DELIMITERS = {
    ",": translatable("comma"),
    "\t": translatable("tab"),
    ";": translatable("semicolon"),
    "|": translatable("pipe"),
}
MAX_COLUMNS = 1_000
MAX_NAME = 200
_SAMPLE_ROWS = 100
_SAMPLE_CHARS = 64_000
_SEPARATOR = re.compile(r"sep=(.)\r?\n")  # Excel's own line before the header
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff]")
_NUMBER = re.compile(r"[-+]?[\d.,]+%?")


class Row(msgspec.Struct, gc=False):
    """A row of a table and the line it begins on (or its number, where there are no lines: ``unit``
    says which). ``kept`` are its cells as they come back in an export, where they are more than
    texts."""

    line: int
    cells: list[str]
    kept: list[Any] | None = None
    unit: Literal["line", "row"] = "line"


class TableReader(Protocol):
    """A table of any kind: iterate over it for its rows, and faults in place of bad ones. ``header`` is
    the columns as a job keeps them: names, or (name, type). ``sheet`` and ``sheets`` are empty but for
    workbooks. ``notes`` say what is left out or read in another way than it stands, ``nested`` names the
    columns whose cells are lists or objects, ``conversations`` those that are lists of messages."""

    format: str
    columns: list[str]
    notes: list[Message]
    conversations: list[str]
    nested: list[str]

    @property
    def encoding(self) -> str: ...

    @property
    def header(self) -> list[str] | list[tuple[str, str]]: ...

    @property
    def sheet(self) -> str: ...

    @property
    def sheets(self) -> list[str]: ...

    def __iter__(self) -> Iterator[Row | Fault]: ...


class Dialect(msgspec.Struct, frozen=True):
    """How the cells of a line are parted. ``named`` where a line before the header says so."""

    delimiter: str = ","
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
    named: bool = False


_DIALECTS = (
    *(Dialect(delimiter) for delimiter in DELIMITERS),
    Dialect("\t", csv.QUOTE_NONE),  # many a TSV takes a quote for a letter
)


class Table:
    """Iterate over it for ``Row | Fault``. Raises UploadRejected for a header that names no
    columns, and where there is no row at all."""

    sheet = ""
    sheets: list[str] = []
    conversations: list[str] = []
    nested: list[str] = []

    def __init__(self, source: Source, settings: Settings, has_header: bool = True):
        self._source = source
        sample = _sample(source.peek())
        dialect = _sniffed(sample)
        self._sample = sampled(sample, dialect.delimiter, dialect.quoting, int(dialect.named))
        self._longest = settings.MAX_REQUEST_BYTES
        self._delimiter = dialect.delimiter
        self._lines = decoding.Lines(source, self._longest, dialect.delimiter)
        csv.field_size_limit(self._longest)
        self._reader = csv.reader(
            cast(Iterable[str], self._lines),  # csv raises for None: the row is too long
            delimiter=dialect.delimiter,
            quoting=dialect.quoting,
            strict=True,
        )
        self.format = "tsv" if dialect.delimiter == "\t" else "csv"
        self._rows: Iterator[Row | Fault] = self._records()
        if dialect.named:
            next(self._rows, None)
        self._found = self._header() if has_header else self._numbered()
        self.columns, self.notes = self._found.names, self._found.notes

    @property
    def header(self) -> list[str]:
        """See ``TableReader``."""
        return self.columns

    @property
    def encoding(self) -> str:
        """What the file is in."""
        return self._source.encoding

    def __iter__(self) -> Iterator[Row | Fault]:
        width, empty = self._found.width, True
        is_whole = self._found.is_whole
        for item in self._rows:
            empty = False
            if isinstance(item, Row):
                if len(item.cells) != width or not is_whole:
                    item = self._fitted(item)
                if self._lines.unclean and isinstance(item, Row):
                    item = self._checked(item)
            yield item
        if empty:
            raise UploadRejected(
                translatable(
                    "There is no row under the header: the first line names the columns, each "
                    "further one is a row."
                )
            )

    def _records(self) -> Iterator[Row | Fault]:
        """What csv makes of the lines, less rows without any text."""
        reader, begin_row = self._reader, self._lines.begin_row
        while True:
            line = reader.line_num + 1
            begin_row()
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Fault(line, "invalid_row", self._why(str(error)))
                continue
            if any(cells):
                yield Row(line, cells)

    def _header(self) -> Columns:
        item = next(self._rows, Fault(1, "invalid_header", translatable("the file is empty")))
        if isinstance(item, Row):
            rows, quoted = self._sample
            found = Columns(item.cells, rows, no_header, quoted=quoted)
            if found.complaint is None:
                return found
            item = Fault(item.line, "invalid_header", found.complaint)
        raise UploadRejected(
            translatable(
                "Line %(line)s, the header: %(message)s", line=item.line, message=item.text
            ),
            [item],
            1,
        )

    def _numbered(self) -> Columns:
        """The columns where the first row is one like the others."""
        first = next(self._rows, None)
        if first is None:
            raise UploadRejected(translatable("The file is empty: there is no row in it."))
        self._rows = chain([first], self._rows)
        width = len(first.cells) if isinstance(first, Row) else 1
        return Columns(columns_without_header(width), [], no_header)

    def _fitted(self, row: Row) -> Row | Fault:
        """The cells of the columns that are used. Empty cells may follow the last column, and what is
        left out may be missing."""
        cells, found = row.cells, self._found
        if len(cells) > found.width and not any(map(str.strip, cells[found.width :])):
            cells = cells[: found.width]
        if len(cells) > found.width or len(cells) <= found.places[-1]:
            return self._ragged(row)
        stray = found.stray(cells)
        if stray is not None:
            return Fault(
                row.line,
                "invalid_row",
                translatable(
                    "column %(number)s has no name, but a text in this row: name it in the header, or "
                    "remove the text.",
                    number=stray,
                ),
            )
        return Row(row.line, found.picked(cells), row.kept, row.unit)

    def _ragged(self, row: Row) -> Fault:
        count, found = len(row.cells), self._found
        width = found.width if count > found.width else found.places[-1] + 1
        what = (
            translatable("%(count)s cells", count=count) if count != 1 else translatable("1 cell")
        )
        remedy = translatable(
            "put a cell that holds a %(delimiter)s or a line end in quotes.",
            delimiter=DELIMITERS[self._delimiter],
        )
        if count < width:
            missing = next(n for n, place in enumerate(found.places) if place >= count)
            remedy = translatable(
                "“%(name)s” and what follows it are missing.", name=self.columns[missing]
            )
        shown = self._shown(row, min(count, width))
        return Fault(
            row.line,
            "ragged_row",
            translatable(
                "%(what)s where the header has %(width)s: %(remedy)s",
                what=what,
                width=width,
                remedy=remedy,
            ),
            excerpt=shown.text,
            mark=shown.mark,
        )

    def _shown(self, row: Row, at: int) -> Excerpt:
        """A row with the place of a cell, from 0, or its end."""
        before = "".join(f"{cell}{self._delimiter}" for cell in row.cells[:at])
        after = self._delimiter.join(row.cells[at : at + 20])
        return excerpt_of_text(before[-4_000:] if after else before[-4_000:-1], after[:4_000])

    def _checked(self, row: Row) -> Row | Fault:
        for name, cell in zip(self.columns, row.cells, strict=True):
            if "\0" in cell:
                return Fault(
                    row.line,
                    "invalid_row",
                    translatable("column “%(name)s” holds a NUL character: remove it.", name=name),
                )
            if decoding.MARK in cell:
                return Fault(
                    row.line,
                    "invalid_encoding",
                    translatable(
                        "column “%(name)s” is not %(encoding)s text: save the file as UTF-8.",
                        name=name,
                        encoding=label(self.encoding),
                    ),
                )
        return row

    def _why(self, error: str) -> str:
        if "unexpected end" in error:
            return translatable(
                "a quote that is opened in this row is never closed: close it, or double it."
            )
        if "expected after" in error:
            return translatable(
                'text follows a closing quote: write a quote within a quoted cell twice ("").'
            )
        if self._lines.is_crowded:
            return translatable(
                "more than %(most)s delimiters in one row.", most=f"{decoding.MAX_DELIMITERS:,}"
            )
        if "limit" in error or "iterator should return" in error:
            return translatable(
                "longer than SIMPLE_BATCH_MAX_REQUEST_BYTES allows: is a quote opened and never "
                "closed?"
            )
        return translatable("not readable: %(error)s.", error=error)


def is_text(head: bytes) -> bool:
    """Whether a file that begins so and is no JSON can be a table, or lines of text."""
    first, _, _rest = _sample(head).partition("\n")
    return bool(first.strip()) and not _CONTROL.search(first)


def first_rows(head: bytes) -> tuple[str, str, list[list[str]]]:
    """The text at the beginning of a file, what divides its cells, and its first rows (one at least)."""
    sample = _sample(head)
    dialect = _sniffed(sample)
    rows = list(islice(filter(None, _rows_of(sample, dialect)), _SAMPLE_ROWS))
    return sample, dialect.delimiter, rows[dialect.named :] or [[""]]


def columns_without_header(width: int) -> list[str]:
    """The names of the columns of a table that has no header."""
    return [f"column_{number}" for number in range(1, width + 1)]


def needs_template(table: TableReader) -> UploadRejected:
    """The refusal of a table that comes without one."""
    shown = ", ".join(table.columns[:10]) + (", …" if len(table.columns) > 10 else "")
    what = translatable("This is a table")
    if table.format.endswith("-rows"):
        what = translatable("These are plain objects")
    form = table.format.removesuffix("-rows").upper()
    return UploadRejected(
        translatable(
            "%(what)s (%(format)s; columns: %(shown)s): a template is needed that makes a request of "
            "each row. Give one with --template FILE, or upload the table on the page “New job”, "
            "which leads to it.%(lines)s",
            what=what,
            format=form,
            shown=shown,
            lines=translatable(" With --lines each line is a prompt.")
            if table.format == "csv" and len(table.columns) == 1
            else "",
        )
    )


def _sample(head: bytes) -> str:
    """The first whole lines (all, where there is but one), with \\n at their ends."""
    text = decoding.decoded(head)[:_SAMPLE_CHARS]
    text = text.replace("\r\n", "\n").replace("\r", "\n").lstrip("\ufeff\n")
    return text[: text.rfind("\n") + 1] if len(head) > _SAMPLE_CHARS and "\n" in text else text


def _sniffed(sample: str) -> Dialect:
    """The dialect by which the header has several cells and most rows have as many."""
    separator = _SEPARATOR.match(sample)
    if separator:
        return Dialect(separator[1], named=True)

    def fitness(dialect: Dialect) -> tuple[bool, bool, float, int]:
        header, *rows = _widths(sample, dialect)
        fit = sum(row == header for row in rows) / len(rows) if rows else 1.0
        # one faulty quote in a file of one column does not make letters of all quotes
        quoted = header > 1 or dialect.quoting == csv.QUOTE_MINIMAL
        return header > 1, quoted, fit, header

    return max(_DIALECTS, key=fitness)


def _widths(sample: str, dialect: Dialect) -> list[int]:
    """How many cells the first rows have; -1 for one that cannot be read."""
    rows = _rows_of(sample, dialect)
    widths = (-1 if row is None else len(row) for row in rows)
    return list(islice(filter(None, widths), _SAMPLE_ROWS)) or [0]


def _rows_of(sample: str, dialect: Dialect) -> Iterator[list[str] | None]:
    """The rows of a text; None for one that cannot be read."""
    reader = csv.reader(
        io.StringIO(sample, newline=""),
        delimiter=dialect.delimiter,
        quoting=dialect.quoting,
        strict=True,
    )
    while True:
        try:
            yield next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield None


def no_header(names: list[str], label: Callable[[int], str | int] = lambda n: n) -> str | None:
    """Why these cannot be the names of columns; None where they can. ``label`` is how column n (from
    1) is called."""
    if all(_NUMBER.fullmatch(name) for name in names):
        return translatable("it holds numbers only. The first row must name the columns.")
    if len(names) > MAX_COLUMNS:
        return translatable(
            "%(count)s columns, more than %(most)s.",
            count=f"{len(names):,}",
            most=f"{MAX_COLUMNS:,}",
        )
    for number, name in enumerate(names, 1):
        if not name:
            return translatable(
                "column %(number)s has no name. Name every column, or remove it.",
                number=label(number),
            )
        if len(name) > MAX_NAME or "\n" in name or _CONTROL.search(name):
            return translatable(
                "column %(number)s has no name but a text (%(name)r…). The first row must name the "
                "columns.",
                number=label(number),
                name=name[:40],
            )
        if name in names[: number - 1]:
            first = label(names.index(name) + 1)
            return translatable(
                "columns %(first)s and %(number)s are both named “%(name)s”. Rename one.",
                first=first,
                number=label(number),
                name=name,
            )
    return None
