"""CSV for spreadsheets: UTF-8 with a byte-order mark, formulas neutralised (OWASP, CSV injection)."""

import csv
import io
from collections.abc import Iterable, Iterator

from ..store import text
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
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_table(rows: Iterable[Row]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    buffer.write("\ufeff")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow(_cells(row))
        yield buffer.getvalue().encode("utf-8", "replace")
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue().encode()


def safe(value: str | None) -> str:
    """A text that no spreadsheet takes for a formula."""
    value = (value or "").replace("\0", "")
    return "'" + value if value.startswith(_FORMULA) else value


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
