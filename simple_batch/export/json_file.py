"""JSON and JSONL: the result object of docs/formats.md."""

from collections.abc import Iterable, Iterator

import msgspec

from .columns import Table
from .parsed import as_json
from .rows import Row, iso, raw_json

_encode = msgspec.json.Encoder().encode


def as_lines(rows: Iterable[Row], table: Table) -> Iterator[bytes]:
    for row in rows:
        yield _encode(result(row, table)) + b"\n"


def as_array(rows: Iterable[Row], table: Table) -> Iterator[bytes]:
    before = b"[\n"
    for row in rows:
        yield before + _encode(result(row, table))
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def result(row: Row, table: Table) -> dict:
    """One result. ``request`` is what the user gave, ``response`` what the provider answered,
    ``parsed``, of jobs with a schema only, the JSON in it, ``row``, of tables only, the row."""
    error = usage = cost = None
    if row.cause is not None:
        error = {"cause": row.cause, "http_status": row.http_status, "message": row.message}
    if row.input_tokens is not None:
        usage = {
            "input": row.input_tokens,
            "output": row.output_tokens,
            "total": row.input_tokens + row.output_tokens,
            "cached": row.cached_tokens,
            "reasoning": row.reasoning_tokens,
        }
    if row.cost_nano is not None:
        cost = {"amount": row.cost, "currency": row.currency}
    return {
        "index": row.index,
        "custom_id": row.custom_id,
        "request": raw_json(row.body),
        "status": row.status or "pending",
        "response": raw_json(row.response),
        **({} if table.fields is None else {"parsed": as_json(row)}),
        "error": error,
        "model": row.model,
        "config": row.config,
        "attempts": row.attempts or 0,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "latency_ms": row.latency_ms,
        "usage": usage,
        "cost": cost,
        **({"row": table.named_cells(row)} if row.cells else {}),
    }
