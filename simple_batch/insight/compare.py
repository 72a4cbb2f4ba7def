"""Two jobs beside each other, request by request, matched by ``custom_id``."""

import msgspec

from ..core import content
from ..store.models import Job, database
from .summary import job_row

SCANNED = 5_000  # rows looked through for one page of different ones
_CHUNK = 200
_LONGEST = 2_000  # characters of an answer on the page

_SIDE = "{0}.status, {0}.message, {0}.response, {0}.latency_ms, {0}.input_tokens, {0}.output_tokens, {0}.cost_nano"
# Rows of one job (r, x) in its order, each with its counterpart in another (s, y).
_PAIRS = f"""
SELECT r.custom_id, r.idx, s.idx, substr(r.body, 1, 20000), {_SIDE.format("x")}, {_SIDE.format("y")}
FROM request r
LEFT JOIN request s ON s.job_id = ? AND s.custom_id = r.custom_id
LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx
LEFT JOIN result y ON y.job_id = s.job_id AND y.idx = s.idx
WHERE r.job_id = ? AND r.idx > ? ORDER BY r.idx LIMIT ?
"""


class Comparison(msgspec.Struct):
    """``continue_from`` is the place to go on behind, None at the end; ``places`` is how many there
    are. The first job's rows come first, then those of the second that the first has not."""

    first: Job
    second: Job
    rows: list[dict]
    continue_from: int | None
    places: int


def compare(
    first: int, second: int, after: int = -1, only_different: bool = False, per_page: int = 50
) -> Comparison:
    """Rows of two jobs beside each other, behind the place ``after``. Raises NotFound."""
    one, other = job_row(first), job_row(second)
    places = one.total + other.total
    rows: list[dict] = []
    scanned = 0
    while len(rows) < per_page and scanned < SCANNED and after < places - 1:
        found = _chunk(one, other, after, _CHUNK if only_different else per_page)
        if not found:  # the rows are just being removed
            after = places
        for place, row in found:
            after = place
            if row is not None and not (only_different and row["same"]):
                rows.append(row)
            if len(rows) == per_page:
                break
        scanned += len(found)
    return Comparison(one, other, rows, after if after < places - 1 else None, places)


def _chunk(one: Job, other: Job, after: int, limit: int) -> list[tuple[int, dict | None]]:
    """(place, row) of the next rows; the row is None where the first job has shown it already."""
    if after < one.total - 1:
        values = (other.id, one.id, after, limit)
        return [(pair[1], _row(pair)) for pair in database.execute_sql(_PAIRS, values)]
    values = (one.id, other.id, after - one.total, _CHUNK)
    return [
        (one.total + pair[1], _row_of_second(pair) if pair[2] is None else None)
        for pair in database.execute_sql(_PAIRS, values)
    ]


def _row(pair: tuple) -> dict:
    one, other = _side(pair[4:11]), _side(pair[11:18])
    texts = one.pop("whole"), other.pop("whole")  # they may be large: no row keeps them
    return {
        **_asked(pair),
        "first_index": pair[1],
        "second_index": pair[2],
        "first": one,
        "second": other if pair[2] is not None else None,
        "same": pair[2] is not None and one["status"] == other["status"] and texts[0] == texts[1],
    }


def _row_of_second(pair: tuple) -> dict:
    return {
        **_asked(pair),
        "first_index": None,
        "second_index": pair[1],
        "first": None,
        "second": {**_side(pair[4:11]), "whole": None},
        "same": False,
    }


def _asked(pair: tuple) -> dict:
    body = content.loaded(pair[3])
    prompt = content.short(content.prompt_of(body)) if body is not None else ""
    return {"custom_id": pair[0], "prompt": prompt}


def _side(columns: tuple) -> dict:
    status, message, response, latency_ms, input_tokens, output_tokens, cost_nano = columns
    whole = content.answer_of(content.loaded(response)) if status == "succeeded" else message or ""
    return {
        "status": status or "pending",
        "whole": whole,
        "text": whole if len(whole) <= _LONGEST else whole[:_LONGEST] + "…",
        "latency_ms": latency_ms,
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "cost_nano": cost_nano,
    }
