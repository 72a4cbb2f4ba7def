"""Requests of a job: written once at intake, read by key in pages when the job runs."""

from collections.abc import Sequence

import msgspec
import peewee

from ..core.domain import Request
from .duplicates import WAITING
from .models import Job, JobConfig, database

_INSERT = (
    "INSERT INTO request (job_id, idx, custom_id, url, line, body, config_id, cells, twin, prefix) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)

# The range is bounded so that a long stretch of finished requests never makes one long query.
_PENDING = """
SELECT {columns} FROM request r
WHERE r.job_id = ? AND r.idx >= ? AND r.idx < ?
  AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = r.job_id AND x.idx = r.idx)
"""
# The same where some requests of the job have another route.
_PENDING_ON_ROUTE = """
SELECT {columns} FROM request r
LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx
WHERE r.job_id = ? AND r.idx >= ? AND r.idx < ?
  AND coalesce(o.config_id, r.config_id) IS ? AND o.timeout_s IS ?
  AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = r.job_id AND x.idx = r.idx)
"""
_NOT_WAITING = f"  AND NOT ({WAITING})\n"
# of a job whose requests go through a provider's batch API: none that is in a part
_IN_NO_PART = (
    "  AND NOT EXISTS (SELECT 1 FROM batch_line b WHERE b.job_id = r.job_id AND b.idx = r.idx)\n"
)
_IN_ORDER = "ORDER BY r.idx LIMIT ?"
_COLUMNS = "r.idx, r.custom_id, r.body, r.url, r.line, r.prefix, NULL"
_COLUMNS_ON_ROUTE = (  # an edited body has another prefix
    "r.idx, r.custom_id, coalesce(o.body, r.body), r.url, r.line, "
    "CASE WHEN o.body IS NULL THEN r.prefix END, o.max_tokens"
)
_ROUTES = """
SELECT coalesce(o.config_id, r.config_id), o.timeout_s FROM override o
JOIN request r ON r.job_id = o.job_id AND r.idx = o.idx
WHERE o.job_id = ? AND (o.config_id IS NOT NULL OR o.timeout_s IS NOT NULL)
  AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = o.job_id AND x.idx = o.idx)
UNION SELECT c.config_id, NULL FROM job_config c JOIN job j ON j.id = c.job_id
WHERE c.job_id = ? AND c.place IS NULL AND c.config_id <> j.config_id
"""
# an attempt without a cause is an answer that was replaced (requeue.keep_answers)
_EDITED = (
    "SELECT idx FROM override WHERE job_id = ? AND (body IS NOT NULL OR max_tokens IS NOT NULL) "
    "AND idx IN (SELECT value FROM json_each(?)) UNION "
    "SELECT idx FROM attempt WHERE job_id = ? AND cause = '' "
    "AND idx IN (SELECT value FROM json_each(?))"
)
STRIDE = 5_000  # indices looked through at a time


class RouteKey(msgspec.Struct, frozen=True):
    """The route of requests that differ from their job: another config's id, another timeout (seconds).
    None stands for the job's value."""

    config_id: int | None = None
    timeout_s: float | None = None


OWN_WAY = RouteKey()


class RepeatedId(Exception):
    """A custom_id is in the job already."""


def insert(job_id: int, requests: list[Request]) -> None:
    """Write a chunk of requests and count them in the job, in one transaction. Raises RepeatedId,
    and writes none of them, where one has an id that is taken."""
    rows = [
        (
            job_id,
            r.index,
            r.custom_id,
            r.url,
            r.line,
            r.body,
            r.config_id,
            r.cells,
            r.twin,
            r.prefix,
        )
        for r in requests
    ]
    with database.atomic():
        try:
            database.executemany(_INSERT, rows)
        except peewee.IntegrityError as error:
            raise RepeatedId(str(error)) from error
        Job.update(total=Job.total + len(requests)).where(Job.id == job_id).execute()


def clear_step(job_id: int, chunk: int = 5_000) -> bool:
    """Remove up to ``chunk`` requests (an import that starts over); True when none are left."""
    with database.atomic():
        gone = database.execute_sql(
            "DELETE FROM request WHERE job_id = ? AND idx IN "
            "(SELECT idx FROM request WHERE job_id = ? LIMIT ?)",
            (job_id, job_id, chunk),
        ).rowcount
        JobConfig.delete().where((JobConfig.job == job_id) & JobConfig.place.is_null()).execute()
        Job.update(total=0).where(Job.id == job_id).execute()
    return gone == 0


class Share(msgspec.Struct, frozen=True):
    """A config's part of a job that is spread over several; ``place`` counts from 0."""

    config_id: int
    place: int
    weight: float


def set_shares(job_id: int, shares: Sequence[Share]) -> None:
    """Store the configs over which a new job is spread."""
    rows = [
        {"job": job_id, "config": share.config_id, "place": share.place, "weight": share.weight}
        for share in shares
    ]
    JobConfig.insert_many(rows).execute()


def shares(job_id: int) -> list[Share]:
    """The configs over which a job is spread, in order."""
    rows = JobConfig.select(JobConfig.config, JobConfig.place, JobConfig.weight).where(
        (JobConfig.job == job_id) & JobConfig.place.is_null(False)
    )
    return [Share(*row) for row in rows.order_by(JobConfig.place).tuples()]


def note_configs(job_id: int, own: int, others: set[int]) -> None:
    """Store the configs that lines of a job name besides its own."""
    if not others:
        return
    rows = [{"job": job_id, "config": config_id} for config_id in (own, *sorted(others))]
    with database.atomic():
        JobConfig.insert_many(rows).on_conflict_ignore().execute()
        Job.update(overrides=Job.overrides + 1).where(Job.id == job_id).execute()


def ways(job_id: int) -> list[RouteKey]:
    """The routes of a job's pending requests other than its own."""
    return [RouteKey(*row) for row in database.execute_sql(_ROUTES, (job_id, job_id))]


def has_cells(job_id: int) -> bool:
    """Whether the requests of a job store the rows of the table that they were made of."""
    first = "SELECT cells FROM request WHERE job_id = ? ORDER BY idx LIMIT 1"
    row = database.execute_sql(first, (job_id,)).fetchone()
    return row is not None and row[0] is not None


def are_edited(job_id: int) -> bool:
    """Whether any request of a job has another body than the upload's."""
    query = "SELECT 1 FROM override WHERE job_id = ? AND body IS NOT NULL LIMIT 1"
    return database.execute_sql(query, (job_id,)).fetchone() is not None


def edited(job_id: int, indices: list[int]) -> set[int]:
    """Those of the given requests that are sent with another body than the upload's, or again after they
    had an answer."""
    listed = msgspec.json.encode(indices).decode()
    return {index for (index,) in database.execute_sql(_EDITED, (job_id, listed) * 2)}


def pending(
    columns: str,
    job_id: int,
    low: int,
    high: int,
    route: RouteKey | None,
    skip_duplicates: bool,
    outside_parts: bool = False,
) -> tuple[str, tuple]:
    """(the query of the requests ``r`` without a result with low <= index < high, its values);
    for ``route`` and what follows see ``pending_page``."""
    query = _PENDING
    bound: tuple = job_id, low, high
    if route is not None:
        query, bound = _PENDING_ON_ROUTE, (*bound, route.config_id, route.timeout_s)
    if skip_duplicates:
        query += _NOT_WAITING
    if outside_parts:
        query += _IN_NO_PART
    return query.format(columns=columns), bound


def pending_page(
    job_id: int,
    mark: int,
    total: int,
    size: int,
    route: RouteKey | None = None,
    skip_duplicates: bool = False,
    outside_parts: bool = False,
) -> tuple[list[Request], int]:
    """Up to ``size`` requests without a result from index ``mark`` on, and the next mark. With a ``route``,
    only requests of that route, with their edits; without one, no request has another route. With
    ``skip_duplicates``, without duplicates that wait for the answer of their original; with
    ``outside_parts``, without those that are in a part of a batch (batch_parts.py).

    An empty page with a mark below ``total`` only means that this stretch is done: ask again.
    """
    high = min(total, mark + max(size, STRIDE))
    columns = _COLUMNS if route is None else _COLUMNS_ON_ROUTE
    query, bound = pending(columns, job_id, mark, high, route, skip_duplicates, outside_parts)
    rows = database.execute_sql(query + _IN_ORDER, (*bound, size + 1)).fetchall()
    page = [
        Request(idx, custom_id, bytes(body), url, line, None, None, None, limit, prefix)
        for idx, custom_id, body, url, line, prefix, limit in rows[:size]
    ]
    more = len(rows) > size
    return page, (page[-1].index + 1 if more else high)
