"""The rows that every export is made of, read by key in pages."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec

from ..core import content, max_tokens
from ..core.call_prices import NANO
from ..core.clock import give_way
from ..core.json_pieces import exceeds
from ..core.reasoning import mentions_reasoning
from ..store import rating_condition, ratings
from ..store.database import connected
from ..store.grid_columns import MAX_ANSWER, RATED, UNREAD
from ..store.models import Job, database
from ..store.ratings import UserRating
from ..store.request_filter import RequestFilter
from ..store.row_selection import Matcher, Selection

PAGE = 500
FIRST_PAGE = 16  # rows: how large they are is not known yet
BYTES = 8 << 20  # of a page, but for its last row; on PostgreSQL about
ONLY = ("all", "succeeded", "failed")
UNANSWERED = "unanswered"  # what the Batch API's error file holds
_STATUSES = {
    "succeeded": ("succeeded",),
    "failed": ("failed",),
    UNANSWERED: ("failed", "cancelled"),
}

_SELECT = (  # the fields of Row from ``index`` on
    "SELECT r.idx, r.custom_id, r.url, r.body, x.status, x.cause, x.http_status, x.message, "
    "x.response, x.model, x.config, x.attempts, x.started_at, x.finished_at, x.latency_ms, "
    "x.input_tokens, x.output_tokens, x.cached_tokens, x.reasoning_tokens, x.cache_write_tokens, "
    "x.estimated, x.cost_nano, x.outcome, x.finish_reason, x.service_tier, x.first_token_ms, r.cells "
    "FROM request r LEFT JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx "
)

_WITH_OVERRIDES = _SELECT.replace("r.body", "coalesce(o.body, r.body)").replace(
    " FROM request r", ", o.max_tokens FROM request r"
) + ("LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx ")


class Row(msgspec.Struct):
    """One request with its result, if it has one. ``body`` and ``response`` are JSON bytes, times
    epoch ms, ``cost_nano`` nano-units of ``currency``; ``cells`` a JSON array where the request was
    made from a table's row."""

    job_id: int
    currency: str
    index: int
    custom_id: str
    url: str
    body: bytes
    status: str | None
    cause: str | None
    http_status: int | None
    message: str | None
    response: bytes | None
    model: str | None
    config: str | None
    attempts: int | None
    started_at: int | None
    finished_at: int | None
    latency_ms: int | None
    input_tokens: int | None
    output_tokens: int | None
    cached_tokens: int | None
    reasoning_tokens: int | None
    cache_write_tokens: int | None
    estimated: int | None
    cost_nano: int | None
    outcome: str | None
    finish_reason: str | None
    service_tier: str | None
    first_token_ms: int | None
    cells: bytes | None
    rated: tuple[int | None, str, str] | None = None  # mean in hundredths, labels, note
    ratings: list[UserRating] = []
    # answers of jobs that read this one, as a Matcher needs them
    scored: dict[str, bytes | None] = {}

    @property
    def reasoning(self) -> str | None:
        """What the model reasoned before its answer; None where there is none."""
        response = bytes(self.response or b"")
        if not mentions_reasoning(response):
            return None
        return content.reasoning_of(content.loaded(response)) or None

    @property
    def sources(self) -> dict[str, Any]:
        """What the columns of a results grid are read from (store/grid_columns.Columns.sources)."""
        answer = (self.response or None) if len(self.response or b"") < MAX_ANSWER else UNREAD
        found = {
            "cells": self.cells,
            "fields": answer if self.status == "succeeded" else None,
            "custom_id": self.custom_id,
            "prompt": self.body if len(self.body) < MAX_ANSWER else UNREAD,
            "answer": answer,
            "outcome": self.outcome or self.status,
            "cost": self.cost_nano,
            "latency": self.latency_ms,
            "first_token": self.first_token_ms,
            "tokens_in": self.input_tokens,
            "tokens_out": self.output_tokens,
            "config": self.config,
            "model": self.model,
            "attempts": self.attempts,
            "started": self.started_at,
            "finished": self.finished_at,
            "code": self.http_status,
            "finish_reason": self.finish_reason,
            "service_tier": self.service_tier,
        }
        found.update(zip(RATED, self.rated or (None, None, None), strict=True))
        return {**found, **self.scored}

    @property
    def cost(self) -> float | None:
        return None if self.cost_nano is None else self.cost_nano / NANO


# how many fields _SELECT has: from ``index`` to ``cells``
_SELECTED = Row.__struct_fields__.index("cells") - Row.__struct_fields__.index("index") + 1


def rows(
    job: Job,
    only: str,
    wanted: RequestFilter,
    selection: Selection | None = None,
    with_ratings: bool = False,
) -> Iterator[Row]:
    """Rows in input order that match the filter and the selection; ``all`` without a filter has those
    without a result too. Memory does not grow with the job, and no connection is held between two
    pages."""
    selection = selection or Selection()
    on_ratings, _others = rating_condition.split(selection.conditions)
    with connected():
        matcher = Matcher(job, selection.conditions)
    found = _rows(job, only, wanted, selection, with_ratings or bool(on_ratings), matcher)
    if not selection.conditions:
        yield from found
        return
    for row in found:
        if matcher.matches(row.sources):
            yield row


def _rows(
    job: Job,
    only: str,
    wanted: RequestFilter,
    selection: Selection,
    with_ratings: bool,
    matcher: Matcher,
) -> Iterator[Row]:
    select, mark = _SELECT, -1
    bound: list = []
    if job.overrides:  # as the request was sent, where a user changed it
        select = _WITH_OVERRIDES
    if statuses := _only_statuses(only, wanted):
        condition = f" AND r.idx IN ({_next_in(statuses)})"
    else:
        if only != "all":
            wanted = msgspec.structs.replace(wanted, status=only)
        condition, bound = wanted.on_rows()
    if selection.indices:
        condition += " AND r.idx IN (SELECT value FROM json_each(?))"
        bound = [*bound, selection.listed()]
    if rating_condition.want_rated(selection.conditions):
        on_rated, values = rating_condition.on_rated(
            rating_condition.split(selection.conditions)[0]
        )
        condition += (
            f" AND r.idx IN (SELECT g.idx FROM rated_answer g WHERE g.job_id = ?{on_rated})"
        )
        bound = [*bound, job.id, *values]
    query = f"{select} WHERE r.job_id = ?1 AND r.idx > ?2{condition} ORDER BY r.idx LIMIT "
    limit = FIRST_PAGE
    while True:
        with connected():
            page, size = _page(job, f"{query}{limit}", (job.id, mark, *bound))
            if with_ratings:
                _add_ratings(job, page)
            scored = matcher.scored([row.index for row in page])
            for row in page if scored else ():
                row.scored = scored.get(row.index, {})
        if not page:
            return
        mark, count = page[-1].index, len(page)
        page.reverse()
        while page:  # each is dropped once it is written
            yield page.pop()
        limit = max(1, min(PAGE, 4 * limit, BYTES * count // max(1, size)))
        give_way()  # lets other greenlets work between two pages


def _page(job: Job, query: str, bound: tuple) -> tuple[list[Row], int]:
    """The next rows, up to BYTES of them, and their size in bytes."""
    page: list[Row] = []
    size = 0
    cursor = database.execute_sql(query, bound)
    for columns in cursor:
        row = _row(job, *columns)
        page.append(row)
        size += len(row.body) + len(row.response or b"") + len(row.cells or b"")
        if size >= BYTES:
            break
    cursor.close()
    return page, size


def _add_ratings(job: Job, page: list[Row]) -> None:
    indices = [row.index for row in page]
    sums, each = ratings.sums(job.id, indices), ratings.of_answers(job.id, indices)
    for row in page:
        row.rated, row.ratings = sums.get(row.index), each.get(row.index, [])


def _row(job: Job, *columns: Any) -> Row:
    """A row of _SELECT, or of _WITH_OVERRIDES, which has the limit of tokens behind the others."""
    row = Row(job.id, job.currency, *columns[:_SELECTED])
    limit = columns[_SELECTED] if len(columns) > _SELECTED else None
    if limit is not None:
        row.body = max_tokens.limited(bytes(row.body), row.url, limit)
    return row


def _only_statuses(only: str, wanted: RequestFilter) -> tuple[str, ...]:
    """The statuses asked for, where nothing but the status is."""
    if only in _STATUSES and wanted == RequestFilter():
        return _STATUSES[only]
    return _STATUSES.get(wanted.status or "", ()) if only == "all" and wanted.only_status else ()


def _next_in(statuses: tuple[str, ...]) -> str:
    """The next indices of results in these statuses, each by the index on the status."""
    return " UNION ALL ".join(
        "SELECT * FROM (SELECT idx FROM result WHERE job_id = ?1 AND status = "
        f"'{status}' AND idx > ?2 ORDER BY idx LIMIT {PAGE}) AS {status}"
        for status in statuses
    )


def raw_json(data: bytes | None) -> msgspec.Raw | None:
    """JSON bytes to be embedded as they are, on one line."""
    if not data:
        return None
    data = bytes(data)
    if exceeds(data):  # too many values to be decoded at once; a line end in JSON is but space
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    elif b"\n" in data or b"\r" in data:
        data = json.dumps(json.loads(data), ensure_ascii=False, separators=(",", ":")).encode()
    return msgspec.Raw(data)
