"""The requests of a job: pages of them, and the neighbours of one.

No page reads more than a bounded number of rows. Without conditions on results
the place of a page is arithmetic (indices have no gaps); by status an index
serves; a text search looks through a window of rows and says where to go on.
"""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypedDict

from ..core import content
from ..core.clock import give_way
from ..core.domain import RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import jobs, search, slow_reads
from ..store.models import Job, database
from ..store.request_filter import RequestFilter
from .page import Page
from .summary import live_of, outcomes, outcomes_known, pending

COUNT_CAP = 10_000
SORTED = 100_000  # rows are sorted in about 0.2 s
CANDIDATES = 200  # rows that an index names, looked at at a time
MAX_CANDIDATES = 4_000
_STRETCH = 200  # rows that a search looks through at once, to begin with
_STRETCH_S = 0.05  # about as long a stretch may take
LIVE = (RequestStatus.IN_FLIGHT, RequestStatus.RETRYING)
SORTS = {
    "index": "idx",
    "latency": "latency_ms",
    "finished": "finished_at",
    "tokens": "output_tokens",
}

_COLUMNS = (  # of _Row
    "r.idx, r.custom_id, substr(r.body, 1, 20000), x.status, x.cause, x.http_status, x.message, "
    "CASE WHEN length(x.response) < 200000 THEN x.response END, x.attempts, x.latency_ms, "
    "x.input_tokens, x.output_tokens, x.estimated, x.cost_nano, x.started_at, x.finished_at, "
    "x.config, x.model, x.outcome, x.finish_reason, x.service_tier, x.first_token_ms"
)
JOIN = "FROM request r LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx"


class _Row(NamedTuple):
    """What _COLUMNS select; the columns of the result are None where there is none."""

    idx: int
    custom_id: str
    body: bytes
    status: str | None
    cause: str | None
    http_status: int | None
    message: str | None
    response: bytes | None
    attempts: int | None
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: int | None
    cost_nano: int | None
    started_at: int | None
    finished_at: int | None
    config: str | None
    model: str | None
    outcome: str | None
    finish_reason: str | None
    service_tier: str | None
    first_token_ms: int | None


class RequestRow(TypedDict):
    """A row of the requests table. Figures of the result are None where there is none yet."""

    index: int  # from 0
    custom_id: str
    prompt: str  # one line
    status: str  # of RequestStatus
    cause: str | None  # of a failure
    http_status: int | None
    message: str
    answer: str  # one line
    attempts: int | None  # calls
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    estimated: bool  # the tokens, and so the cost
    cost_nano: int | None  # nano-units of the job's currency
    started_at: int | None  # epoch ms
    finished_at: int | None  # epoch ms
    config: str | None  # alias
    model: str | None
    outcome: str | None  # of Outcome; None where there is no answer, or it is not known yet
    finish_reason: str | None  # as the provider says it
    service_tier: str | None  # as the answer names it
    first_token_ms: int | None  # the time to it, of an answer that came as a stream


class Neighbours(NamedTuple):
    """What stands around a request; None for what is not there, or not known without looking at too many
    rows."""

    previous: int | None  # index
    following: int | None  # index
    position: int | None  # from 1
    total: int | None


def requests_page(
    job_id: int,
    wanted: RequestFilter,
    sort: str = "index",
    page: int = 1,
    per_page: int = 50,
    after: int | None = None,
) -> Page[RequestRow]:
    """Rows of the requests table. ``after`` continues a text search behind that index. Raises
    NotFound for the job, InvalidInput for the sort."""
    job, page = jobs.get(job_id), max(1, page)
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
        indices, continue_from = search_rows(job, wanted, -1 if after is None else after, per_page)
        total, exact = len(indices), continue_from is None
    elif wanted.only_status and wanted.status in LIVE:
        shown = live_indices(job, wanted.status)
        indices, total, exact = shown[offset : offset + per_page], len(shown), True
    elif wanted.only_status and wanted.status == RequestStatus.PENDING:
        indices, total, exact = _pending(job, offset, per_page), pending(job), True
    elif wanted == RequestFilter() and sort in ("index", "-index"):
        indices, total, exact = _arithmetic(job, sort, offset, per_page), job.total, True
    else:
        total, exact = count_matches(job, wanted)
        is_large = not exact or total > SORTED
        indices = _by_result(job, wanted, sort, offset, per_page, is_large)
    rows = _rows(job, indices)
    return Page(rows, page, per_page, total, exact, continue_from)


def neighbours(job_id: int, index: int, wanted: RequestFilter) -> Neighbours:
    """The neighbours of a request among those that match. Raises NotFound for the job."""
    job = jobs.get(job_id)
    if wanted.q:
        before, behind = _found_before(job, wanted, index), _found_behind(job, wanted, index)
        return Neighbours(before, behind, None, None)
    if wanted.only_status and wanted.status in LIVE:
        return _live_neighbours(live_indices(job, wanted.status), index)
    if wanted.only_status and wanted.status == RequestStatus.PENDING:
        before, behind = _found_before(job, wanted, index), _found_behind(job, wanted, index)
        return Neighbours(before, behind, _pending_position(job, index), pending(job))
    if wanted == RequestFilter():
        previous = index - 1 if index > 0 else None
        following = index + 1 if index + 1 < job.total else None
        return Neighbours(previous, following, index + 1, job.total)
    conditions, values = wanted.on_results()
    where = f"FROM result x WHERE x.job_id = ?{conditions}"
    previous, following = (
        _scalar(
            f"SELECT x.idx {where} AND x.idx {sign} ? ORDER BY x.idx {order} LIMIT 1",
            (job_id, *values, index),
        )
        for sign, order in (("<", "DESC"), (">", "ASC"))
    )
    total, exact = count_matches(job, wanted)
    position = None
    if exact and total <= COUNT_CAP:
        query = f"SELECT count(*) {where} AND x.idx <= ?"
        position = _scalar(query, (job_id, *values, index))
    return Neighbours(previous, following, position, total)


def live_indices(job: Job, status: str) -> list[int]:
    """The requests in a status of LIVE, as far as the live state names them, in the order of the file."""
    return sorted(live_of(job).get(f"{status}_idx", []))


def _live_neighbours(indices: list[int], index: int) -> Neighbours:
    before = [one for one in indices if one < index]
    behind = [one for one in indices if one > index]
    position = len(before) + 1 if index in indices else None
    return Neighbours(max(before, default=None), min(behind, default=None), position, len(indices))


def _pending_position(job: Job, index: int) -> int | None:
    """The place of a request among the pending ones, from 1; None where it has a result by now, or where
    too many rows would be counted."""
    if job.total > SORTED:
        return None
    query = "SELECT count(*), max(x.idx) FROM result x WHERE x.job_id = ? AND x.idx <= ?"
    ended, last = database.execute_sql(query, (job.id, index)).fetchone()
    return None if last == index else index + 1 - ended


def _scalar(query: str, values: tuple) -> int | None:
    row = database.execute_sql(query, values).fetchone()
    return row[0] if row else None


def _found_behind(job: Job, wanted: RequestFilter, index: int) -> int | None:
    found, _continue = search_rows(job, wanted, index, 1)
    return found[0] if found else None


def _found_before(job: Job, wanted: RequestFilter, index: int) -> int | None:
    conditions, values = wanted.on_rows()
    for near, far in _stretches():
        row = database.execute_sql(
            f"SELECT r.idx {JOIN} WHERE r.job_id = ? AND r.idx < ? AND r.idx >= ?{conditions} "
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
        rows = _next_stretch(rows, took)
        give_way()


def _next_stretch(rows: int, took_s: float) -> int:
    if took_s < _STRETCH_S / 4:
        return rows * 4
    if took_s <= _STRETCH_S:
        return rows
    # a server that is busy takes as long for one row as for many
    return max(_STRETCH // 4 if database.server else 1, rows // 4)


def _arithmetic(job: Job, sort: str, offset: int, per_page: int) -> list[int]:
    if sort == "index":
        return list(range(offset, min(job.total, offset + per_page)))
    first = job.total - 1 - offset
    return list(range(first, max(-1, first - per_page), -1))


def _by_result(
    job: Job, wanted: RequestFilter, sort: str, offset: int, per_page: int, is_large: bool
) -> list[int]:
    """``is_large``: more than SORTED rows may match. Fewer are found by the index of a condition and
    sorted; else the database may go through the results in their order, and pass millions that do
    not match."""
    conditions, values = wanted.on_results()
    by_index = wanted.only_status and sort.endswith("index")
    sorts = not is_large and job.total > SORTED and not by_index
    read = slow_reads.rows if is_large and not by_index else _found
    rows = read(
        f"SELECT x.idx FROM result x WHERE x.job_id = ?{conditions} "
        f"ORDER BY {_order(sort, sorts)} LIMIT ? OFFSET ?",
        (job.id, *values, per_page, min(offset, COUNT_CAP * 100)),
    )
    return [index for (index,) in rows]


def _found(sql: str, values: Sequence[object]) -> list[tuple]:
    return database.execute_sql(sql, values).fetchall()


def _order(sort: str, sorts: bool) -> str:
    column = SORTS[sort.removeprefix("-")]
    way, nulls = ("DESC", "LAST") if sort.startswith("-") else ("ASC", "FIRST")
    sign = "+" if sorts else ""  # a column with a sign has no index
    if column == "idx":  # said twice, or with the place of nulls, the index of a status is not used
        return f"{sign}x.idx {way}"
    return f"{sign}x.{column} {way} NULLS {nulls}, x.idx {way}"


def count_matches(job: Job, wanted: RequestFilter) -> tuple[int, bool]:
    """How many match: by the job's counters where they know, else counted up to COUNT_CAP."""
    if wanted.only_status:
        known: dict[str | None, int] = {
            None: job.succeeded + job.failed + job.cancelled,
            RequestStatus.SUCCEEDED: job.succeeded,
            RequestStatus.FAILED: job.failed,
            RequestStatus.CANCELLED: job.cancelled,
        }
        return known[wanted.status], True
    if wanted.outcome and wanted == RequestFilter(outcome=wanted.outcome) and outcomes_known(job):
        return outcomes(job)[wanted.outcome], True  # type: ignore[literal-required]
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


def search_rows(
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
            f"SELECT r.idx {JOIN} WHERE r.job_id = ? AND r.idx > ? AND r.idx <= ?{conditions} "
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
    for _ in range(MAX_CANDIDATES // CANDIDATES):
        candidates, more = search.find(job.id, wanted.q, after, CANDIDATES)
        rows = database.execute_sql(
            f"SELECT r.idx {JOIN} WHERE r.job_id = ? AND r.idx IN "
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


def _rows(job: Job, indices: list[int]) -> list[RequestRow]:
    if not indices:
        return []
    marks = ",".join("?" * len(indices))
    query = f"SELECT {_COLUMNS} {JOIN} WHERE r.job_id = ? AND r.idx IN ({marks})"
    rows = map(_Row._make, database.execute_sql(query, (job.id, *indices)))
    found = {row.idx: row for row in rows}
    live = live_of(job)
    return [
        _shown(found[index], live) for index in content.with_breaks(indices, 1) if index in found
    ]


def _shown(row: _Row, live: dict) -> RequestRow:
    return {
        "index": row.idx,
        "custom_id": row.custom_id,
        "prompt": content.short(_prompt(bytes(row.body))),
        "status": row.status or status_of(row.idx, live),
        "cause": row.cause,
        "http_status": row.http_status,
        "message": row.message or "",
        "answer": content.short(content.answer_of(content.loaded(row.response))),
        "attempts": row.attempts,
        "latency_ms": row.latency_ms,
        "input_tokens": row.input_tokens,
        "output_tokens": row.output_tokens,
        "estimated": bool(row.estimated),
        "cost_nano": row.cost_nano,
        "started_at": row.started_at,
        "finished_at": row.finished_at,
        "config": row.config,
        "model": row.model,
        "outcome": row.outcome,
        "finish_reason": row.finish_reason,
        "service_tier": row.service_tier,
        "first_token_ms": row.first_token_ms,
    }


def _prompt(body: bytes) -> str:
    data = content.loaded(body)
    return content.prompt_of(data) if data is not None else body[:400].decode("utf-8", "replace")


def status_of(index: int, live: dict) -> str:
    """The status of a request without a result, by the live state of its job."""
    for status in (RequestStatus.IN_FLIGHT, RequestStatus.RETRYING):
        if index in live.get(f"{status}_idx", ()):
            return status.value
    return RequestStatus.PENDING.value
