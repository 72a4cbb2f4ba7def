"""JSON and JSONL: the result object of docs/formats.md, and OpenAI's Batch API lines, for results (API
reference, “The request output object”) and for requests that can be uploaded again."""

from collections.abc import Iterable, Iterator

import msgspec

from ..core.clock import iso
from .columns import Table
from .rows import Row, raw_json

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
    """The result object of docs/formats.md. ``parsed`` is there for jobs with a schema only, ``row`` for
    jobs made from a table only, ``ratings`` where the file has these."""
    error = usage = cost = None
    if row.cause is not None:
        error = {"cause": row.cause, "http_status": row.http_status, "message": row.message}
    if row.input_tokens is not None and row.output_tokens is not None:
        usage = {
            "input": row.input_tokens,
            "output": row.output_tokens,
            "total": row.input_tokens + row.output_tokens,
            "cached": row.cached_tokens,
            "reasoning": row.reasoning_tokens,
            "cache_write": row.cache_write_tokens,
            "estimated": bool(row.estimated),
        }
    if row.cost_nano is not None:
        cost = {"amount": row.cost, "currency": row.currency}
    return {
        "index": row.index,
        "custom_id": row.custom_id,
        "request": raw_json(row.body),
        "status": row.status or "pending",
        "response": raw_json(row.response),
        **({} if table.fields is None else {"parsed": table.fields.as_json(row)}),
        "error": error,
        "model": row.model,
        "config": row.config,
        "attempts": row.attempts or 0,
        "started_at": iso(row.started_at),
        "finished_at": iso(row.finished_at),
        "latency_ms": row.latency_ms,
        "usage": usage,
        "cost": cost,
        "outcome": row.outcome,
        "finish_reason": row.finish_reason,
        "service_tier": row.service_tier,
        "reasoning": row.reasoning,
        "first_token_ms": row.first_token_ms,
        **({"row": table.named_cells(row)} if row.cells else {}),
        **({"ratings": _ratings(row)} if table.has_ratings else {}),
    }


def _ratings(row: Row) -> list[dict]:
    """What each user says of the answer."""
    return [
        {
            "user": one.rater or None,
            "score": one.score,
            "labels": one.labels,
            "note": one.note,
            "at": iso(one.at),
        }
        for one in row.ratings
    ]


_CODES = {"cancelled": "batch_cancelled", "expired": "batch_expired"}


def as_batch_results(rows: Iterable[Row], with_ratings: bool = False) -> Iterator[bytes]:
    for row in rows:
        if row.status is not None:
            more = {"ratings": _ratings(row)} if with_ratings else {}
            yield _encode(batch_result(row) | more) + b"\n"


def batch_result(row: Row) -> dict:
    request_id = f"batch_req_{row.job_id}_{row.index}"
    response = error = None
    if row.http_status is not None and row.cause != "bad_response":
        body: msgspec.Raw | dict | None = raw_json(row.response)
        if body is None:
            fault = {"message": row.message, "type": row.cause, "param": None, "code": None}
            body = {"error": fault}
        response = {"status_code": row.http_status, "request_id": request_id, "body": body}
    else:
        error = {"code": _CODES.get(row.cause or "", row.cause), "message": row.message}
    return {"id": request_id, "custom_id": row.custom_id, "response": response, "error": error}


def as_batch_requests(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        line = {
            "custom_id": row.custom_id,
            "method": "POST",
            "url": row.url,
            "body": raw_json(row.body),
        }
        yield _encode(line) + b"\n"
