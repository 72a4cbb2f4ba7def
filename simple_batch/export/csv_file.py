"""CSV for spreadsheets: UTF-8 with a byte-order mark, formulas neutralised (OWASP, CSV injection)."""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence

from ..core.clock import iso
from .columns import CELL, FIELD, MONEY, TEXT, TIME, Column, Table
from .rows import Row

_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?%?")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")


def as_table(
    rows: Iterable[Row], table: Table, raw: bool = False, kept: Sequence[int] | None = None
) -> Iterator[bytes]:
    """``raw``: texts as they are, for programs; a spreadsheet may take some for formulas. ``kept``: the
    places of the columns that the file has (default: all)."""
    as_text = _raw if raw else safe
    places = range(len(table.columns)) if kept is None else kept
    columns = [table.columns[place] for place in places]
    forms = [_form(column, table, as_text) for column in columns]
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow([as_text(column.name) for column in columns])
    for row in rows:
        values = table.values(row)
        writer.writerow([form(values[n]) for form, n in zip(forms, places, strict=True)])
        yield buffer.getvalue().encode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def safe(value: str | None) -> str:
    """A text that no spreadsheet takes for a formula; a number is none."""
    value = (value or "").replace("\0", "")
    if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def _raw(value: str | None) -> str:
    return (value or "").replace("\0", "")


def _form(column: Column, table: Table, as_text: Callable) -> Callable:
    """How a value of the column is written; ``as_text`` writes a text."""
    forms = {
        CELL: lambda cell: as_text(table.text_of(cell)),
        FIELD: lambda value: _field(value, as_text),
        TEXT: as_text,
        MONEY: lambda cost: "" if cost is None else f"{cost:.9f}",
        TIME: iso,
    }
    return forms.get(column.kind, lambda value: value)


def _field(value, as_text: Callable):
    """A field of an answer: as JSON has it, a text without its quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return as_text(value) if isinstance(value, str) else value
