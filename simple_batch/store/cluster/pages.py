"""Pages of requests: the unit in which workers divide a job among themselves. PostgreSQL only.

A page is created over requests that have no result, and is deleted when all of them have one. Only the
worker that holds it changes; rows of requests are not touched.
"""

import msgspec

from ...core.domain import JobStatus, Request, Service
from .. import requests as request_rows
from ..models import Job, Page, database, lock_job
from ..requests import STRIDE, RouteKey

SIZE = 50  # maximum number of requests in a page
_PIECES = 40  # minimum number of pages of a job, if it has enough requests

_LAST_INDEX = (
    "SELECT coalesce(max(last), -1) FROM page WHERE job_id = ? AND config_id = ? AND timeout_s = ?"
)
_CREATE = """
INSERT INTO page (job_id, config_id, timeout_s, first, last)
SELECT ?, ?, ?, min(idx), max(idx) FROM (
  SELECT idx, (row_number() OVER (ORDER BY idx) - 1) / ? AS number FROM ({pending}) AS pending
) AS numbered GROUP BY number
"""
_CLAIM = """
UPDATE page SET worker_id = ? WHERE id = ANY(ARRAY(
  SELECT id FROM page WHERE job_id = ? AND config_id = ? AND timeout_s = ? AND worker_id IS NULL
  AND first >= ? ORDER BY first LIMIT ? FOR UPDATE SKIP LOCKED))
RETURNING id, first, last
"""
_DONE = "DELETE FROM page WHERE id IN (SELECT value FROM json_each(?))"
_GIVE_BACK = "UPDATE page SET worker_id = NULL WHERE worker_id = ? AND job_id = ?"
_GIVE_BACK_WAY = f"{_GIVE_BACK} AND config_id = ? AND timeout_s = ?"
_OTHER_WAYS = (
    "SELECT DISTINCT config_id, timeout_s FROM page WHERE job_id = ? AND worker_id IS NULL "
    "AND (config_id, timeout_s) > (0, 0) ORDER BY config_id, timeout_s"
)
_FREE = (
    "SELECT count(*) FROM (SELECT 1 FROM page WHERE job_id = ? AND worker_id IS NULL LIMIT ?) AS f"
)


_ASKED = Job.id, Job.overrides, Job.ask_once, Job.service


class Claimed(msgspec.Struct, frozen=True):
    """A page that a worker claimed, and its requests to send."""

    id: int
    first: int
    requests: list[Request]


def size_for(total: int) -> int:
    """Number of requests per page for a job with ``total`` requests."""
    return max(1, min(SIZE, total // _PIECES))


def create_step(job_id: int, way: RouteKey, mark: int) -> int | None:
    """Create pages for the next stretch of a running job's pending requests of one route, from index ``mark``
    on, where there are none yet. Returns the next mark; None: done, or the job does not run."""
    with database.atomic():
        lock_job(job_id)  # two processes that create pages of the same job take turns
        job = Job.get_or_none((Job.id == job_id) & Job.deleted_at.is_null())
        if job is None or job.status != JobStatus.RUNNING:
            return None
        place = job_id, *_columns(way)
        mark = max(mark, 1 + database.execute_sql(_LAST_INDEX, place).fetchone()[0])
        if mark >= job.total:
            return None
        high = min(job.total, mark + STRIDE)
        asked = way if job.overrides else None
        parts = Service(job.service) is not Service.NOW
        pending, bound = request_rows.pending(
            "r.idx", job_id, mark, high, asked, job.ask_once, parts
        )
        database.execute_sql(_CREATE.format(pending=pending), (*place, size_for(job.total), *bound))
    return high


def claim(
    worker_id: str, job_id: int, way: RouteKey, mark: int, count: int, finished: list[int]
) -> list[Claimed]:
    """Claim up to ``count`` free pages of a route whose first index is not below ``mark``, in order, and
    delete those ``finished`` (ids, see ``done``), in one transaction. Raises peewee.IntegrityError if this
    worker was declared dead."""
    place = job_id, *_columns(way)
    with database.atomic():
        if finished:
            done(finished)
        rows = database.execute_sql(_CLAIM, (worker_id, *place, mark, count)).fetchall()
        if not rows:
            return []
        job = Job.select(*_ASKED).where(Job.id == job_id).get()
        return [
            Claimed(id_, first, _requests(job, first, last, way))
            for id_, first, last in sorted(rows, key=lambda row: row[1])
        ]


def _requests(job: Job, first: int, last: int, way: RouteKey) -> list[Request]:
    asked = way if job.overrides else None
    parts = Service(job.service) is not Service.NOW
    found, _mark = request_rows.pending_page(
        job.id, first, last + 1, STRIDE, asked, job.ask_once, parts
    )
    return found


def done(ids: list[int]) -> None:
    """Delete pages whose requests all have a result."""
    database.execute_sql(_DONE, (msgspec.json.encode(ids).decode(),))


def give_back(worker_id: str, job_id: int, way: RouteKey | None = None) -> None:
    """Release this worker's pages of a job; of one route, if it is given."""
    if way is None:
        database.execute_sql(_GIVE_BACK, (worker_id, job_id))
    else:
        database.execute_sql(_GIVE_BACK_WAY, (worker_id, job_id, *_columns(way)))


def other_ways(job_id: int) -> list[RouteKey]:
    """The routes besides the job's own that have free pages."""
    rows = database.execute_sql(_OTHER_WAYS, (job_id,))
    return [RouteKey(config_id or None, timeout_s or None) for config_id, timeout_s in rows]


def free(job_id: int, limit: int) -> int:
    """The number of free pages of a job, counted up to ``limit``."""
    return database.execute_sql(_FREE, (job_id, limit)).fetchone()[0]


def any_free(job_id: int, way: RouteKey) -> bool:
    """Whether pages of a route are free."""
    config_id, timeout_s = _columns(way)
    rows = Page.select(Page.id).where(
        (Page.job == job_id)
        & (Page.config_id == config_id)
        & (Page.timeout_s == timeout_s)
        & Page.worker.is_null()
    )
    return rows.exists()


def any_left(job_id: int, way: RouteKey | None = None) -> bool:
    """Whether a job has pages, free or claimed; of one route, if it is given."""
    rows = Page.select(Page.id).where(Page.job == job_id)
    if way is not None:
        config_id, timeout_s = _columns(way)
        rows = rows.where((Page.config_id == config_id) & (Page.timeout_s == timeout_s))
    return rows.exists()


def clear(job_id: int) -> None:
    """Delete the pages that no worker holds."""
    Page.delete().where((Page.job == job_id) & Page.worker.is_null()).execute()


def _columns(way: RouteKey) -> tuple[int, float]:
    return way.config_id or 0, way.timeout_s or 0.0
