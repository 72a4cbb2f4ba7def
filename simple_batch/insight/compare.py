"""Two jobs beside each other, request by request, matched by ``custom_id``."""

import msgspec

from ..store import text
from ..store.models import Job, database
from .summary import job_row

SCANNED = 5_000  # rows looked through for one page of different ones
_CHUNK = 200
_LONGEST = 2_000  # characters of an answer on the page

_PAIRS = """
SELECT ra.custom_id, ra.idx, rb.idx, substr(ra.body, 1, 20000),
  xa.status, xa.message, xa.response, xa.latency_ms, xa.input_tokens, xa.output_tokens, xa.cost_nano,
  xb.status, xb.message, xb.response, xb.latency_ms, xb.input_tokens, xb.output_tokens, xb.cost_nano
FROM request ra
LEFT JOIN request rb ON rb.job_id = ? AND rb.custom_id = ra.custom_id
LEFT JOIN result xa ON xa.job_id = ra.job_id AND xa.idx = ra.idx
LEFT JOIN result xb ON xb.job_id = rb.job_id AND xb.idx = rb.idx
WHERE ra.job_id = ? AND ra.idx > ? ORDER BY ra.idx LIMIT ?
"""


class Comparison(msgspec.Struct):
    """``continue_from`` is the index (of the first job) to go on behind, None at the end."""

    first: Job
    second: Job
    rows: list[dict]
    continue_from: int | None


def compare(
    first: int, second: int, after: int = -1, only_different: bool = False, per_page: int = 50
) -> Comparison:
    """Rows of the first job in its order, each with its counterpart in the second, where it has one.
    Raises NotFound."""
    one, other = job_row(first), job_row(second)
    rows: list[dict] = []
    scanned = 0
    while len(rows) < per_page and scanned < SCANNED:
        wanted = _CHUNK if only_different else per_page
        found = database.execute_sql(_PAIRS, (second, first, after, wanted)).fetchall()
        for pair in found:
            after = pair[1]
            row = _row(pair)
            if not (only_different and row["same"]):
                rows.append(row)
            if len(rows) == per_page:
                break
        scanned += len(found)
        if len(found) < wanted:
            break
    return Comparison(one, other, rows, after if after < one.total - 1 and scanned else None)


def _row(pair: tuple) -> dict:
    one, other = _side(pair[4:11]), _side(pair[11:18])
    body = text.loaded(pair[3])
    return {
        "custom_id": pair[0],
        "first_index": pair[1],
        "second_index": pair[2],
        "prompt": text.short(text.prompt_of(body)) if body is not None else "",
        "first": one,
        "second": other if pair[2] is not None else None,
        "same": pair[2] is not None
        and (one["status"], one["whole"]) == (other["status"], other["whole"]),
    }


def _side(columns: tuple) -> dict:
    status, message, response, latency_ms, input_tokens, output_tokens, cost_nano = columns
    whole = text.answer_of(text.loaded(response)) if status == "succeeded" else message or ""
    return {
        "status": status or "pending",
        "whole": whole,
        "text": whole if len(whole) <= _LONGEST else whole[:_LONGEST] + "…",
        "latency_ms": latency_ms,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_nano": cost_nano,
    }
