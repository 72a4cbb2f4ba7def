"""Detects formats by content and reads them.

A new format is one more branch of ``_opened``, something that yields (line, item), or another table.
"""

import re
import sqlite3
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import msgspec

from ..core.clock import give_way
from ..core.domain import Fault, Request
from ..core.errors import InvalidInput, UploadRejected
from ..core.messages import Message, translatable
from ..core.settings import Settings
from . import json_shape
from .encoding_detection import detect
from .encodings import UTF8
from .json_table import FIRST, JsonTable, are_plain
from .parquet import MAGIC, Parquet
from .prompt_lines import PromptLines
from .reading import Guess, Reading, guessed
from .renderer import Finder, Renderer
from .request_checks import Bad, is_clean
from .request_lines import Items, Rules, is_conversation, kind_of
from .source import BLOCK, Source
from .table import Table, TableReader, is_text, needs_template
from .template import Template
from .template_columns import columns_needed
from .xlsx import Sheet
from .xlsx_package import OLE, ZIP, refusal_of_ole

FORMATS = translatable(
    'a JSON array of {"messages": [...]} objects, a JSON array of message arrays, JSONL of either, '
    "OpenAI batch JSONL, tables (CSV, TSV, XLSX, Parquet, JSON or JSONL of plain objects), lines of "
    "text, or gzip of these"
)
LONGEST_STRETCH_S = 0.02  # of rendering before other greenlets have their turn
_RawItem = tuple[
    int, bytes | Bad | None, bool
]  # line; bytes, what is wrong, None if too long; whether its text is checked
# what may follow the first bracket of JSON, however broken: “[INST] …” and “{name}, …” are text
_BEGINS_JSON = re.compile(rb"""\[\s*(?:[\[{"'\d,\-\]N]|true|false|null|$)|\{\s*(?:["'}]|$)""")
GROUP = 200  # items whose custom_ids are looked up together
_NAMES = {
    ("json", "object"): "json",
    ("json", "messages"): "json-messages",
    ("jsonl", "object"): "jsonl",
    ("jsonl", "messages"): "jsonl-messages",
    ("jsonl", "batch"): "openai-batch",
    ("json", "batch"): "json-batch",
}


class Reader:
    """Iterate over it for ``Request | Fault``; ``format``, and the ``columns`` of a table, are known
    once iteration has begun.

    Close it when done. ``unique`` False where the caller sees to it that no custom_id comes twice;
    ``rules`` where it is a file of the Batch API; ``template`` makes requests of the rows of a table;
    ``sheet`` is that of a workbook, where it is not the template's; ``find_image`` finds the images
    that its rows name. ``reading`` says how a text is read; what it leaves open is detected, with
    the help of ``filename``. Then ``reading`` is the whole answer, and ``is_clear`` whether it is certain.

    Raises UploadRejected or UploadTooLarge where the file cannot be read as a whole.
    """

    def __init__(
        self,
        path: Path,
        settings: Settings,
        unique: bool = True,
        rules: Rules | None = None,
        template: Template | None = None,
        sheet: str = "",
        find_image: Finder | None = None,
        reading: Reading = Reading(),
        filename: str = "",
    ):
        self._find_image = find_image
        self._settings = settings
        self._rules = rules
        self._template = template
        self._sheet = sheet or (template.sheet if template is not None else "")
        self._filename = filename
        self._asked = reading
        encoding = reading.encoding or (UTF8 if rules is not None else detect(path, settings))
        self._source = Source(path, settings, encoding)
        self._binary = self._source.peek().startswith((ZIP, MAGIC, OLE))
        self._prompts: PromptLines | None = None
        self._shape: json_shape.Shape | None = None
        self._seen = _SeenIds() if unique else None
        self._empty = True
        self.format = ""
        self.columns: list[str] = []
        self._table: TableReader | None = None
        self._notes: list[Message] = []
        self._guess = self._guessed()  # here, where the file begins

    @property
    def notes(self) -> list[Message]:
        """What was left out or read in another way than it stands; complete at the end."""
        return self._table.notes if self._table is not None else self._notes

    @property
    def conversations(self) -> list[str]:
        """The columns of a table whose cells are lists of messages."""
        return self._table.conversations if self._table is not None else []

    @property
    def encoding(self) -> str:
        """Of a text; empty for a file that is none."""
        return "" if self._binary else self._source.encoding

    @property
    def reading(self) -> Reading:
        """How the file is read."""
        guess = self._guess
        return Reading(self.encoding, guess.header, guess.lines)

    @property
    def is_clear(self) -> bool:
        """Whether what ``reading`` left open is certain."""
        return self._guess.clear

    @property
    def blank(self) -> int:
        """How many lines without a text were skipped so far, where each line is a prompt."""
        return self._prompts.blank if self._prompts is not None else 0

    @property
    def header(self) -> list[str] | list[tuple[str, str]]:
        """What a job keeps of a table's columns: their names, with their types where they have any."""
        return self._table.header if self._table is not None else []

    @property
    def sheet(self) -> str:
        """Of a workbook: the name of the one that is read."""
        return self._table.sheet if self._table is not None else ""

    @property
    def sheets(self) -> list[str]:
        """Of a workbook: the names of all."""
        return self._table.sheets if self._table is not None else []

    def close(self) -> None:
        """Close the file and forget the ids."""
        self._source.close()
        if self._seen is not None:
            self._seen.close()

    def __iter__(self) -> Iterator[Request | Fault]:
        parsed = self._found()
        yield from parsed if self._seen is None else _without_repeated(parsed, self._seen)
        if self._empty:
            raise UploadRejected(
                translatable("The file is empty: there is no request in it."),
                [Fault(None, "empty_file", translatable("The file is empty."))],
                1,
            )

    def _found(self) -> Iterator[Request | Fault]:
        if self.is_table():
            return self._rendered()
        if self._rules is None and self._guess.lines and is_text(self._source.peek()):
            return self._prompted()
        return self._parsed(*self._opened())

    def _prompted(self) -> Iterator[Request | Fault]:
        """Each line as a request."""
        if self._template is not None:
            raise UploadRejected(
                translatable(
                    "A template belongs to a table, and each line of this file is a prompt: leave the "
                    "template out."
                )
            )
        self.format = "lines"
        self._prompts = PromptLines(self._source, self._source.peek())
        for item in self._prompts:
            self._empty = False
            yield item

    def is_table(self) -> bool:
        """Asked before it is iterated over."""
        if self._rules is not None:
            return False
        head = self._source.peek()
        if self._is_json(head):
            return are_plain(self._first_items(head), self._template is not None)
        return self._binary or (is_text(head) and not self._guess.lines)

    def _is_json(self, head: bytes) -> bool:
        return not self._asked.lines and self._looks_like_json(head)

    def _guessed(self) -> Guess:
        """Whether a text is lines, and a table has a header: as was said, else as it looks."""
        asked, head = self._asked, self._source.peek()
        if self._rules is not None or self._is_json(head):
            return Guess(False, True)
        if self._binary:
            return Guess(False, asked.header is not False)
        if asked.lines is not None and (asked.lines or asked.header is not None):
            return Guess(asked.lines, asked.header is not False)
        if asked.header is not None:
            return Guess(False, asked.header)
        wanted = columns_needed(self._template) if self._template is not None else None
        guess = guessed(head, self._filename, wanted)
        return Guess(False, guess.header) if asked.lines is False else guess

    def table(self) -> TableReader:
        """The bare rows of a table. Raises UploadRejected where it, or its header, cannot be read."""
        table = self._table = self._as_table(self._source.peek())
        self.format, self.columns = table.format, table.columns
        if self._sheet and not table.sheets:
            raise UploadRejected(
                translatable(
                    "“%(sheet)s”: only XLSX files have sheets. Leave the sheet out.",
                    sheet=self._sheet[:80],
                )
            )
        return table

    def _as_table(self, head: bytes) -> TableReader:
        if head.startswith(ZIP):
            has_header = self._guess.header
            return Sheet(self._source.whole(), self._settings, self._sheet, has_header)
        if head.startswith(MAGIC):
            return Parquet(self._source.whole(), self._settings)
        if head.startswith(OLE):
            raise refusal_of_ole(self._source.whole().read(1 << 20))
        if self._looks_like_json(head):
            first = self._first_items(head)
            container, items = self._json_items(head)
            pairs = ((line, raw) for line, raw, _clean in items)
            return JsonTable(f"{container}-rows", first, pairs, self._settings, self._notes)
        return Table(self._source, self._settings, self._guess.header)

    def _rendered(self) -> Iterator[Request | Fault]:
        """The rows of a table as its template has them."""
        table = self.table()
        if self._template is None:
            raise needs_template(table)
        try:
            renderer = Renderer(self._template, table.columns, self._settings, self._find_image)
        except InvalidInput as error:
            raise UploadRejected(
                translatable("The template does not fit the table: %(error)s", error=error.text)
            ) from None
        index, yielded_at = 0, time.monotonic()
        for ordinal, row in enumerate(table, 1):
            if time.monotonic() - yielded_at > LONGEST_STRETCH_S:  # a template may be slow
                give_way()
                yielded_at = time.monotonic()
            item = row if isinstance(row, Fault) else renderer.request(row, ordinal, index)
            index += isinstance(item, Request)
            self._empty = False
            yield item

    def _parsed(self, container: str, raw_items: Iterator[_RawItem]) -> Iterator[Request | Fault]:
        """Items as they stand, indexed as if none were a duplicate."""
        items, index = None, 0
        if self._rules is not None:
            self.format = _NAMES["jsonl", "batch"]
            items = Items("batch", self._settings.MAX_NESTING, self._rules)
        limit = self._rules.max_lines if self._rules is not None else 0
        for ordinal, (line, raw, clean) in enumerate(raw_items, 1):
            if limit and ordinal > limit:
                raise _too_many(limit)
            if items is None and (kind := kind_of(raw) if isinstance(raw, bytes) else None):
                self.format = _NAMES[container, kind]
                items = Items(kind, self._settings.MAX_NESTING)
            parser = items or Items("object", self._settings.MAX_NESTING)
            item = parser.request(raw, clean, line, ordinal, index)
            index += isinstance(item, Request)
            self._empty = False
            yield item

    def _lines(self) -> Iterator[_RawItem]:
        """The lines that are not empty; their text is checked once for a block."""
        commas = self._shape is not None and self._shape.commas
        for number, lines in self._source.lines():
            if commas:
                lines = [line and json_shape.bare(line) for line in lines]
            whole = [line for line in lines if line is not None]
            clean = len(whole) == len(lines) and is_clean(b"\n".join(whole))
            for line, raw in enumerate(lines, number):
                if raw is None or raw.strip():
                    yield line, raw, clean

    def _opened(self) -> tuple[str, Iterator[_RawItem]]:
        """The container's name and its items."""
        head = self._source.peek().lstrip()
        if not head:
            return "jsonl", iter(())
        if self._rules is not None:
            return "jsonl", self._lines()
        if self._template is not None and self._looks_like_json(head):
            raise UploadRejected(
                translatable(
                    "A template belongs to a table, and this file is none: leave the template out."
                )
            )
        if self._looks_like_json(head):
            return self._json_items(head)
        shown = head[:40].decode("utf-8", "replace").splitlines()[0]
        raise UploadRejected(
            translatable(
                "Line 1: the file begins with %(shown)r, which is not JSON and no table. Read are "
                "%(formats)s.",
                shown=shown,
                formats=FORMATS,
            ),
            [Fault(1, "invalid_json_line", translatable("not JSON"))],
            1,
        )

    def _json_items(self, head: bytes) -> tuple[str, Iterator[_RawItem]]:
        shape = self._shape_of(head)
        if shape.kind == "lines":
            return "jsonl", self._lines()
        items = json_shape.items(
            shape, self._source.blocks(), self._settings.MAX_REQUEST_BYTES, self._notes
        )
        return "json", ((line, raw, False) for line, raw in items)

    def _shape_of(self, head: bytes) -> json_shape.Shape:
        if self._shape is None:
            whole = len(head) < BLOCK
            self._shape = json_shape.shape_of(head, is_conversation, whole)
        return self._shape

    def _first_items(self, head: bytes) -> list[bytes]:
        """Those that tell what JSON holds. Raises UploadRejected for columns of values."""
        shape = self._shape_of(head)
        first = json_shape.first_items(head, shape, self._settings.MAX_REQUEST_BYTES, FIRST)
        complaint = json_shape.refusal_of_columns(first) if len(first) == 1 else None
        if complaint is not None:
            raise UploadRejected(complaint, [Fault(1, "invalid_request", complaint)], 1)
        return first

    @staticmethod
    def _looks_like_json(head: bytes) -> bool:
        """Also where a broken first line stands before good ones: that is the line's fault, not the
        file's."""
        first, *following = head.lstrip().split(b"\n")[:4]
        return _BEGINS_JSON.match(first) is not None or any(map(_is_item, following))


def _without_repeated(
    parsed: Iterator[Request | Fault], seen: "_SeenIds"
) -> Iterator[Request | Fault]:
    """With a fault in place of each request whose id was used before."""
    index = 0
    while group := list(islice(parsed, GROUP)):
        repeated = seen.note([item for item in group if isinstance(item, Request)])
        for item in group:
            if isinstance(item, Fault):
                yield item
            elif item.index in repeated:
                yield _duplicate(item, repeated[item.index])
            else:
                yield item if item.index == index else msgspec.structs.replace(item, index=index)
                index += 1


def _is_item(line: bytes) -> bool:
    line = line.strip()
    return is_conversation(line) if line[:1] == b"[" else kind_of(line) is not None


def _too_many(limit: int) -> UploadRejected:
    message = translatable(
        "A batch may have up to %(most)s requests: split the file.", most=f"{limit:,}"
    )
    return UploadRejected(message, [Fault(limit + 1, "too_many_tasks", message)], 1)


def _duplicate(request: Request, line: int) -> Fault:
    message = translatable(
        'custom_id "%(custom_id)s" is already used in line %(line)s: make it unique.',
        custom_id=request.custom_id[:80],
        line=line,
    )
    return Fault(request.line, "duplicate_custom_id", message, "custom_id")


class _SeenIds:
    """Which custom_id was used in which line, kept in a private temporary database that SQLite
    spills to disk: flat memory for millions of them."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
            "CREATE TABLE seen (custom_id TEXT PRIMARY KEY, line INTEGER, idx INTEGER) WITHOUT ROWID;"
            "BEGIN;"
        )

    def note(self, requests: list[Request]) -> dict[int, int]:
        """Note their ids; {index of each whose id was used before: the line where it was}."""
        before = self._database.total_changes
        rows = [(request.custom_id, request.line, request.index) for request in requests]
        self._database.executemany("INSERT OR IGNORE INTO seen VALUES (?, ?, ?)", rows)
        if self._database.total_changes - before == len(rows):
            return {}
        find = "SELECT line, idx FROM seen WHERE custom_id = ?"
        found = {index: self._database.execute(find, (id_,)).fetchone() for id_, _, index in rows}
        return {index: line for index, (line, first) in found.items() if first != index}

    def close(self) -> None:
        self._database.close()
