"""OpenAI's Batch API output lines, errors included (API reference, “The request output object”).

An HTTP failure has its status and body in ``response`` and ``error`` null; a
request that was never answered has ``response`` null and a code in ``error``.
Requests without a result have no line yet.
"""

from collections.abc import Iterable, Iterator

import msgspec

from .rows import Row, raw_json

_encode = msgspec.json.Encoder().encode
_CODES = {"cancelled": "batch_cancelled", "expired": "batch_expired"}


def as_lines(rows: Iterable[Row]) -> Iterator[bytes]:
    for row in rows:
        if row.status is not None:
            yield _encode(line(row)) + b"\n"


def line(row: Row) -> dict:
    request_id = f"batch_req_{row.job_id}_{row.index}"
    response = error = None
    if row.http_status is not None and row.cause != "bad_response":
        body = raw_json(row.response)
        if body is None:
            fault = {"message": row.message, "type": row.cause, "param": None, "code": None}
            body = {"error": fault}
        response = {"status_code": row.http_status, "request_id": request_id, "body": body}
    else:
        error = {"code": _CODES.get(row.cause, row.cause), "message": row.message}
    return {"id": request_id, "custom_id": row.custom_id, "response": response, "error": error}
