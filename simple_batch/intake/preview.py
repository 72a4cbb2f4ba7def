"""Looking through an upload before it is launched."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from ..core.clock import give_way
from ..core.domain import Fault, Request
from ..core.errors import UploadRejected
from ..core.messages import Message, restored, translatable
from ..core.settings import Settings
from .column_texts import ColumnTexts
from .id_column import UniqueValues, candidate
from .reader import Reader
from .reading import Reading
from .renderer import Finder, Renderer
from .shared_prefixes import SharedPrefix, SharedPrefixes
from .table import Row, TableReader
from .template import Template

MAX_DISTINCT = 200_000  # bodies remembered while looking for duplicates: about 15 MB
_YIELD_EVERY = 200  # items between two chances for other greenlets to work


class _Body(msgspec.Struct):
    model: str | None = None


class _Line(msgspec.Struct):
    body: _Body


class Preview(msgspec.Struct):
    """What an upload holds: its format, how many good requests and faults, the first of each. Of a
    table without a template (``columns``, and no ``first``) the rows are counted."""

    format: str
    bytes: int
    good: int
    fault_count: int
    faults: list[Fault]
    first: list[Request]
    body_bytes: int = 0  # of all good requests
    duplicates: int = 0  # requests whose body was there before
    duplicates_exact: bool = True  # False: a lower bound, looked for only in the first ones
    shared: SharedPrefix = SharedPrefix()
    columns: list[str] = []  # of a table
    encoding: str = ""
    sheet: str = ""  # of a workbook: the one that was looked at
    sheets: list[str] = []
    reading: Reading = Reading()  # how it was read
    blank: int = 0  # lines without a text that were skipped, where each line is a prompt
    notes: list[Any] = []  # Message.kept of what was left out or read in another way
    longest: str = ""  # of a table without a template: the column with the longest texts
    id_column: str = ""  # and the one with a name of an id whose values do not repeat
    conversations: list[str] = []  # columns of a table whose cells are lists of messages

    @property
    def said(self) -> list[Message]:
        """The notes."""
        return [restored(note) for note in self.notes]


def scan(
    path: Path,
    settings: Settings,
    first: int = 5,
    faults: int = 20,
    template: Template | None = None,
    sheet: str = "",
    find_image: Finder | None = None,
    reading: Reading = Reading(),
    filename: str = "",
) -> Preview:
    """Read the whole upload once. Raises UploadRejected (with the faults) where it holds no valid
    request or cannot be read as a whole, UploadTooLarge where it unpacks to too much, EncodingUncertain
    where ``reading`` does not say the encoding and it cannot be detected."""
    preview = Preview("", path.stat().st_size, 0, 0, [], [])
    reader = Reader(
        path,
        settings,
        template=template,
        sheet=sheet,
        find_image=find_image,
        reading=reading,
        filename=filename,
    )
    try:
        bare = _BareTable(reader.table()) if template is None and reader.is_table() else None
        _count(preview, reader if bare is None else bare, first, faults)
        _note_format(preview, reader)
        if bare is not None:
            preview.id_column, preview.longest = bare.id_column(), bare.longest()
    finally:
        reader.close()
    if not preview.good:
        raise UploadRejected(
            translatable("The only item is no valid request.")
            if preview.fault_count == 1
            else translatable(
                "None of the %(count)s items is a valid request.",
                count=f"{preview.fault_count:,}",
            ),
            preview.faults,
            preview.fault_count,
            0,
        )
    return preview


def _count(
    preview: Preview, items: Iterable[Request | Row | Fault], first: int, faults: int
) -> None:
    seen: set[int] = set()
    prefixes = SharedPrefixes()
    for number, item in enumerate(items):
        if isinstance(item, Fault):
            preview.fault_count += 1
            if len(preview.faults) < faults:
                preview.faults.append(item)
        else:
            preview.good += 1
            if isinstance(item, Request):
                _note_request(preview, seen, item, first)
                prefixes.add(item)
        if number % _YIELD_EVERY == 0:
            give_way()
    preview.shared = prefixes.found()


def _note_format(preview: Preview, reader: Reader) -> None:
    preview.format, preview.columns = reader.format, reader.columns
    preview.encoding, preview.reading = reader.encoding, reader.reading
    preview.blank = reader.blank
    preview.sheet, preview.sheets = reader.sheet, reader.sheets
    preview.notes = [note.kept() for note in reader.notes]
    preview.conversations = reader.conversations


def example(
    path: Path,
    settings: Settings,
    template: Template,
    number: int,
    find_image: Finder | None = None,
    reading: Reading = Reading(),
) -> Request | Fault:
    """The request that a template makes of one row of a table (from 1). Raises InvalidInput where
    the template does not fit the table."""
    reader = Reader(path, settings, unique=False, sheet=template.sheet, reading=reading)
    try:
        table = reader.table()
        renderer = Renderer(template, table.columns, settings, find_image)
        for ordinal, row in enumerate(table, 1):
            if ordinal == number:
                return row if isinstance(row, Fault) else renderer.request(row, ordinal, 0)
            if ordinal % _YIELD_EVERY == 0:
                give_way()
    finally:
        reader.close()
    return Fault(None, "no_row", translatable("There is no row %(number)s.", number=f"{number:,}"))


def first_rows(
    path: Path, settings: Settings, count: int, reading: Reading, sheet: str = ""
) -> list[Row | Fault]:
    """The first rows of a table. Raises UploadRejected."""
    reader = Reader(path, settings, unique=False, sheet=sheet, reading=reading)
    try:
        return list(islice(reader.table(), count))
    finally:
        reader.close()


class _BareTable:
    """The rows of a table whose template is still to be written, with what that begins with."""

    def __init__(self, table: TableReader):
        self._table = table
        self._texts = ColumnTexts(table.columns)
        self._name = candidate(table.columns)
        self._values = UniqueValues()

    def __iter__(self) -> Iterator[Row | Fault]:
        place = self._table.columns.index(self._name) if self._name is not None else None
        for number, item in enumerate(self._table, 1):
            if isinstance(item, Row):
                self._texts.add(item.cells)
                if place is not None:
                    self._values.add(item.cells[place], number)
            yield item

    def id_column(self) -> str:
        """Empty where there is none, or its values repeat."""
        repeated = self._values.close()
        return self._name if self._name is not None and repeated is None else ""

    def longest(self) -> str:
        return self._texts.longest({self._name or "", *self._table.nested})


def _note_request(preview: Preview, seen: set[int], request: Request, first: int) -> None:
    preview.body_bytes += len(request.body)
    if len(preview.first) < first:
        preview.first.append(request)
    key = hash(request.body)
    if key in seen:
        preview.duplicates += 1
    elif len(seen) < MAX_DISTINCT:
        seen.add(key)
    else:
        preview.duplicates_exact = False


def first_model(path: Path) -> str | None:
    """The model that the first line of a batch file names, if it is one and does."""
    try:
        with path.open("rb") as file:
            head = file.read(1 << 20)
            if head[:2] == b"\x1f\x8b":
                head = zlib.decompressobj(31).decompress(head, 1 << 20)
        return msgspec.json.decode(head.lstrip().split(b"\n", 1)[0], type=_Line).body.model
    except (OSError, zlib.error, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
