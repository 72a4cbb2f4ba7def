"""CSV for spreadsheets: UTF-8 with a byte-order mark, formulas neutralised (OWASP, CSV injection)."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from ..store import text
from .parsed import Fields
from .rows import Row, iso

COLUMNS = (
    "index",
    "custom_id",
    "status",
    "prompt",
    "content",
    "error_cause",
    "error_message",
    "http_status",
    "model",
    "config",
    "attempts",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "cost",
    "currency",
    "started_at",
    "finished_at",
)
_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)*([eE][-+]?\d+)?%?")
_decode = msgspec.json.Decoder(list[str]).decode
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_table(
    rows: Iterable[Row], header: list[str] | None = None, fields: Fields | None = None
) -> Iterator[bytes]:
    """Our columns; before them those of the table that a job was made from (``header``), with the
    answer beside them; behind the answer the fields of a schema. Of two columns of one name the
    user's keeps it, then ours."""
    order = list(range(len(COLUMNS)))
    if header is not None:
        order.sort(key=lambda place: COLUMNS[place] != "content")
    header = header or []
    ours = [_free(COLUMNS[place], header) for place in order]
    theirs: list[str] = []
    for name in fields.names if fields else ():
        theirs.append(_free(name, [*header, *ours, *theirs]))
    split = order.index(COLUMNS.index("content")) + 1

    def cells(row: Row) -> list:
        own = _decode(bytes(row.cells)) if row.cells else [""] * len(header)
        found = _cells(row)
        parts = map(_cell, fields.values(row)) if fields else ()
        places = order[:split], order[split:]
        before, behind = ([found[place] for place in part] for part in places)
        return [*map(safe, own), *before, *parts, *behind]

    names = [*header, *ours[:split], *theirs, *ours[split:]]
    return _written([*map(safe, names)], map(cells, rows))


def safe(value: str | None) -> str:
    """A text that no spreadsheet takes for a formula; a number is none."""
    value = (value or "").replace("\0", "")
    if value.startswith(_FORMULA) and not _NUMBER.fullmatch(value):
        return "'" + value
    return value


def _written(header: Sequence[str], rows: Iterable[list]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(header)
    for row in rows:
        writer.writerow(row)
        yield buffer.getvalue().encode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def _free(name: str, taken: list[str]) -> str:
    while name in taken:
        name = f"result_{name}"
    return name


def _cell(value):
    """A field of an answer: as JSON has it, a text without its quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return safe(value) if isinstance(value, str) else value


def _cells(row: Row) -> list:
    return [
        row.index,
        safe(row.custom_id),
        row.status or "pending",
        safe(text.prompt_of(text.loaded(row.body))),
        safe(text.answer_of(text.loaded(row.response))),
        row.cause or "",
        safe(row.message if row.cause else ""),
        row.http_status,
        safe(row.model),
        safe(row.config),
        row.attempts or 0,
        row.latency_ms,
        row.input_tokens,
        row.output_tokens,
        "" if row.cost_nano is None else f"{row.cost:.9f}",
        "" if row.cost_nano is None else row.currency,
        iso(row.started_at),
        iso(row.finished_at),
    ]
