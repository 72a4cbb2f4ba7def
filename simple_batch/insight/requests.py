"""The requests of a job: pages of them, one of them, and its neighbours.

No page reads more than a bounded number of rows. Without conditions on results
the place of a page is arithmetic (indices have no gaps); by status an index
serves; a text search looks through a window of rows and says where to go on.
"""

import time
from collections.abc import Iterator

from ..core import content
from ..core.clock import give_way
from ..core.domain import RequestStatus
from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.schema import parsed
from ..store import images, search
from ..store.filters import RequestFilter
from ..store.models import Attempt, Job, database
from .page import Page
from .summary import job_row, live_of, pending

COUNT_CAP = 10_000
LONGEST = (
    8_000_000  # bytes of an answer that a page takes apart; of a longer one it has the beginning
)
SHOWN = 100_000  # of that
CANDIDATES = 200  # rows that an index names, looked at at a time
MOST_CANDIDATES = 4_000
_STRETCH = 200  # rows that a search looks through at once, to begin with
_MOMENT_S = 0.05
SORTS = {
    "index": "idx",
    "latency": "latency_ms",
    "finished": "finished_at",
    "tokens": "output_tokens",
}

_COLUMNS = (
    "r.idx, r.custom_id, substr(r.body, 1, 20000), x.status, x.cause, x.http_status, x.message, "
    "CASE WHEN length(x.response) < 200000 THEN x.response END, x.attempts, x.latency_ms, "
    "x.input_tokens, x.output_tokens, x.cost_nano, x.started_at, x.finished_at, x.config, x.model"
)
_JOIN = "FROM request r LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx"


def requests_page(
    job_id: int,
    wanted: RequestFilter,
    sort: str = "index",
    page: int = 1,
    per_page: int = 50,
    after: int | None = None,
) -> Page:
    """Rows of the requests table. ``after`` continues a text search behind that index. Raises
    NotFound for the job, InvalidInput for the sort."""
    job, page = job_row(job_id), max(1, page)
    if sort.removeprefix("-") not in SORTS:
        raise InvalidInput(
            translatable(
                "sort=%(sort)r: use one of %(allowed)s, - before it.",
                sort=sort,
                allowed=", ".join(SORTS),
            ),
            "sort",
        )
    offset = (page - 1) * per_page
    continue_from = None
    if wanted.q:
        indices, continue_from = _search(job, wanted, -1 if after is None else after, per_page)
        total, exact = len(indices), continue_from is None
    elif wanted.status in (RequestStatus.IN_FLIGHT, RequestStatus.RETRYING):
        shown = live_of(job).get(f"{wanted.status}_idx", [])
        indices, total, exact = shown[offset : offset + per_page], len(shown), True
    elif wanted.status == RequestStatus.PENDING:
        indices, total, exact = _pending(job, offset, per_page), pending(job), True
    elif wanted == RequestFilter() and sort in ("index", "-index"):
        indices, total, exact = _arithmetic(job, sort, offset, per_page), job.total, True
    else:
        indices = _by_result(job, wanted, sort, offset, per_page)
        total, exact = _count(job, wanted)
    rows = _rows(job, indices)
    return Page(rows, page, per_page, total, exact, continue_from)


def request_detail(job_id: int, index: int) -> dict:
    """Everything about one request. Raises NotFound."""
    job = job_row(job_id)
    row = database.execute_sql(
        "SELECT r.custom_id, r.url, r.line, coalesce(o.body, r.body), x.status, x.cause, x.http_status, x.message, "
        "CASE WHEN length(x.response) > ? THEN substr(x.response, 1, ?) "
        "ELSE x.response END, x.model, x.config, x.attempts, x.started_at, x.finished_at, x.latency_ms, "
        "x.input_tokens, x.output_tokens, x.cached_tokens, x.reasoning_tokens, x.cost_nano, "
        "o.body IS NOT NULL, "
        "length(x.response), r.twin, (SELECT c.alias FROM api_config c WHERE c.id = coalesce(o.config_id, r.config_id)) "
        f"{_JOIN} LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx "
        "WHERE r.job_id = ? AND r.idx = ?",
        (LONGEST, SHOWN, job_id, index),
    ).fetchone()
    if row is None:
        raise NotFound(
            translatable("Job %(job_id)s has no request %(index)s.", job_id=job_id, index=index)
        )
    cut = row[21] if row[21] and row[21] > LONGEST else None
    response = None if cut else content.loaded(row[8])
    usage = None
    if row[15] is not None:
        usage = {
            "input": row[15],
            "output": row[16],
            "total": row[15] + row[16],
            "cached": row[17],
            "reasoning": row[18],
        }
    return {
        "index": index,
        "custom_id": row[0],
        "url": row[1],
        "line": row[2],
        "status": row[4] or _status_of(index, live_of(job)),
        "body": content.pretty(row[3]),
        "edited": bool(row[20]),
        "messages": content.conversation_of(content.loaded(row[3])),
        "pictures": images.called(job.upload_id, set(images.files_in(bytes(row[3])))),
        "response": _beginning(row[8]) if cut else content.pretty(row[8]) if row[8] else None,
        "response_bytes": cut,
        "answer": content.answer_of(response),
        "answer_parts": content.answer_parts(response),
        "reasoning": content.reasoning_of(response),
        "parsed": None if cut else _parsed(job, row[4], row[8]),
        "cause": row[5],
        "http_status": row[6],
        "message": row[7],
        "model": row[9],
        "config": row[10] or row[23],
        "twin": row[22],
        "attempts": _attempts(job_id, index, row),
        "started_at": row[12],
        "finished_at": row[13],
        "latency_ms": row[14],
        "usage": usage,
        "cost_nano": row[19],
        "currency": job.currency,
    }


def _beginning(raw) -> str:
    return bytes(raw).decode("utf-8", "ignore")


def _parsed(job: Job, status: str | None, response: bytes | None) -> list[tuple[str, str]] | None:
    """(name, value) of the fields of an answer that fits its job's schema; None for any other."""
    if not job.schema or status != RequestStatus.SUCCEEDED:
        return None
    found = parsed(response)
    if found is None or not isinstance(found.value, dict):
        return None
    return [(name, content.shown(value)) for name, value in found.value.items()]


def neighbours(job_id: int, index: int, wanted: RequestFilter) -> tuple:
    """(previous index, next index, position from 1, total) of a request among those that match;
    None for what is not there or not known without looking at too many rows."""
    job = job_row(job_id)
    if wanted.q:
        return _found_before(job, wanted, index), _found_behind(job, wanted, index), None, None
    if wanted.status in ("pending", "in_flight", "retrying") or wanted == RequestFilter():
        previous = index - 1 if index > 0 else None
        following = index + 1 if index + 1 < job.total else None
        return previous, following, index + 1, job.total
    conditions, values = wanted.on_results()
    where = f"FROM result x WHERE x.job_id = ?{conditions}"
    before, behind = (
        database.execute_sql(
            f"SELECT x.idx {where} AND x.idx {sign} ? ORDER BY x.idx {order} LIMIT 1",
            (job_id, *values, index),
        ).fetchone()
        for sign, order in (("<", "DESC"), (">", "ASC"))
    )
    total, exact = _count(job, wanted)
    position = None
    if exact and total <= COUNT_CAP:
        position = database.execute_sql(
            f"SELECT count(*) {where} AND x.idx <= ?", (job_id, *values, index)
        ).fetchone()[0]
    return (before or (None,))[0], (behind or (None,))[0], position, total


def _found_behind(job: Job, wanted: RequestFilter, index: int) -> int | None:
    found, _continue = _search(job, wanted, index, 1)
    return found[0] if found else None


def _found_before(job: Job, wanted: RequestFilter, index: int) -> int | None:
    conditions, values = wanted.on_rows()
    for near, far in _stretches():
        row = database.execute_sql(
            f"SELECT r.idx {_JOIN} WHERE r.job_id = ? AND r.idx < ? AND r.idx >= ?{conditions} "
            "ORDER BY r.idx DESC LIMIT 1",
            (job.id, index - near, index - far, *values),
        ).fetchone()
        if row or far >= index:
            return row[0] if row else None
    return None


def _stretches() -> Iterator[tuple[int, int]]:
    """A window of rows in stretches (from, to), each of a length that SQLite has just been seen to
    look through in a moment: while it does, all greenlets of the process stand still."""
    begin, rows = 0, _STRETCH
    while begin < search.WINDOW:
        end = min(begin + rows, search.WINDOW)
        since = time.monotonic()
        yield begin, end
        took, begin = time.monotonic() - since, end
        rows = rows * 4 if took < _MOMENT_S / 4 else max(1, rows // 4) if took > _MOMENT_S else rows
        give_way()


def _arithmetic(job: Job, sort: str, offset: int, per_page: int) -> list[int]:
    if sort == "index":
        return list(range(offset, min(job.total, offset + per_page)))
    first = job.total - 1 - offset
    return list(range(first, max(-1, first - per_page), -1))


def _by_result(job: Job, wanted, sort: str, offset: int, per_page: int) -> list[int]:
    conditions, values = wanted.on_results()
    column = SORTS[sort.removeprefix("-")]
    way, nulls = ("DESC", "LAST") if sort.startswith("-") else ("ASC", "FIRST")
    rows = database.execute_sql(
        f"SELECT x.idx FROM result x WHERE x.job_id = ?{conditions} "
        f"ORDER BY x.{column} {way} NULLS {nulls}, x.idx {way} LIMIT ? OFFSET ?",
        (job.id, *values, per_page, min(offset, COUNT_CAP * 100)),
    )
    return [index for (index,) in rows]


def _count(job: Job, wanted: RequestFilter) -> tuple[int, bool]:
    """How many match: by the job's counters where they know, else counted up to COUNT_CAP."""
    if wanted.only_status:
        known = {
            None: job.succeeded + job.failed + job.cancelled,
            RequestStatus.SUCCEEDED: job.succeeded,
            RequestStatus.FAILED: job.failed,
            RequestStatus.CANCELLED: job.cancelled,
        }
        return known[wanted.status], True
    conditions, values = wanted.on_results()
    total = database.execute_sql(
        f"SELECT count(*) FROM (SELECT 1 FROM result x WHERE x.job_id = ?{conditions} LIMIT ?) AS found",
        (job.id, *values, COUNT_CAP),
    ).fetchone()[0]
    return total, total < COUNT_CAP


def _pending(job: Job, offset: int, per_page: int) -> list[int]:
    """Requests run in order, so nearly all pending ones lie behind the last result: look from the
    end."""
    left = pending(job) - offset
    if left <= 0:
        return []
    rows = database.execute_sql(
        "SELECT r.idx FROM request r WHERE r.job_id = ? AND NOT EXISTS (SELECT 1 FROM result x "
        "WHERE x.job_id = r.job_id AND x.idx = r.idx) ORDER BY r.idx DESC LIMIT ? OFFSET ?",
        (job.id, min(per_page, left), max(0, left - per_page)),
    )
    return sorted(index for (index,) in rows)


def _search(
    job: Job, wanted: RequestFilter, after: int, limit: int
) -> tuple[list[int], int | None]:
    """Indices whose custom_id, request, answer or message holds the text: by the job's full-text
    index where there is one, else in a window of rows."""
    if len(wanted.q) >= search.SHORTEST and search.progress(job) == 1:
        return _search_index(job, wanted, after, limit)
    conditions, values = wanted.on_rows()
    indices: list[int] = []
    for begin, end in _stretches():
        rows = database.execute_sql(
            f"SELECT r.idx {_JOIN} WHERE r.job_id = ? AND r.idx > ? AND r.idx <= ?{conditions} "
            "ORDER BY r.idx LIMIT ?",
            (job.id, after + begin, after + end, *values, limit - len(indices)),
        )
        indices += [index for (index,) in rows]
        if len(indices) == limit:
            return indices, indices[-1]
        if after + end >= job.total - 1:
            return indices, None
    return indices, after + search.WINDOW


def _search_index(
    job: Job, wanted: RequestFilter, after: int, limit: int
) -> tuple[list[int], int | None]:
    """What the index names is looked at: other conditions, and whether it still holds the text."""
    conditions, values = wanted.on_rows()
    indices: list[int] = []
    for _ in range(MOST_CANDIDATES // CANDIDATES):
        candidates, more = search.find(job.id, wanted.q, after, CANDIDATES)
        rows = database.execute_sql(
            f"SELECT r.idx {_JOIN} WHERE r.job_id = ? AND r.idx IN "
            f"(SELECT value FROM json_each(?)){conditions} ORDER BY r.idx LIMIT ?",
            (job.id, str(candidates), *values, limit - len(indices)),
        )
        indices += [index for (index,) in rows]
        if len(indices) == limit:
            return indices, indices[-1]
        if not more:
            return indices, None
        after = candidates[-1]
    return indices, after


def _rows(job: Job, indices: list[int]) -> list[dict]:
    if not indices:
        return []
    marks = ",".join("?" * len(indices))
    found = {
        row[0]: row
        for row in database.execute_sql(
            f"SELECT {_COLUMNS} {_JOIN} WHERE r.job_id = ? AND r.idx IN ({marks})",
            (job.id, *indices),
        )
    }
    live = live_of(job)
    return [_row(found[index], live) for index in indices if index in found]


def _row(row: tuple, live: dict) -> dict:
    return {
        "index": row[0],
        "custom_id": row[1],
        "prompt": content.short(_prompt(bytes(row[2]))),
        "status": row[3] or _status_of(row[0], live),
        "cause": row[4],
        "http_status": row[5],
        "message": row[6] or "",
        "answer": content.short(content.answer_of(content.loaded(row[7]))),
        "attempts": row[8],
        "latency_ms": row[9],
        "input_tokens": row[10],
        "output_tokens": row[11],
        "cost_nano": row[12],
        "started_at": row[13],
        "finished_at": row[14],
        "config": row[15],
        "model": row[16],
    }


def _prompt(body: bytes) -> str:
    data = content.loaded(body)
    return content.prompt_of(data) if data is not None else body[:400].decode("utf-8", "replace")


def _status_of(index: int, live: dict) -> str:
    for status in (RequestStatus.IN_FLIGHT, RequestStatus.RETRYING):
        if index in live.get(f"{status}_idx", ()):
            return status.value
    return RequestStatus.PENDING.value


def _attempts(job_id: int, index: int, row: tuple) -> list[dict]:
    """Failed attempts in order of time, then the call that succeeded."""
    rows = (
        Attempt.select()
        .where((Attempt.job == job_id) & (Attempt.idx == index))
        .order_by(Attempt.started_at, Attempt.id)
        .limit(500)
    )
    attempts = [
        {
            "number": position,
            "started_at": attempt.started_at,
            "latency_ms": attempt.latency_ms,
            "cause": attempt.cause or None,
            "http_status": attempt.http_status,
            "message": attempt.message,
            "excerpt": attempt.excerpt,
            "wait_ms": attempt.wait_ms,
        }
        for position, attempt in enumerate(rows, 1)
    ]
    if row[4] == RequestStatus.SUCCEEDED and row[14] is not None:  # a twin's was not called
        attempts.append(
            {
                "number": len(attempts) + 1,
                "started_at": row[13] - row[14],
                "latency_ms": row[14],
                "cause": None,
                "http_status": row[6],
                "message": "",
                "excerpt": "",
                "wait_ms": 0,
            }
        )
    return attempts
