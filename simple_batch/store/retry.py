"""Giving finished requests back: their results are removed, so that they are pending again."""

import msgspec

from ..domain import RequestStatus
from .filters import RequestFilter
from .models import Job, database

CHUNK = 1_000
_RETRIABLE = (RequestStatus.FAILED, RequestStatus.CANCELLED)


def give_back_step(job_id: int, wanted: RequestFilter, after: int) -> tuple[int, int | None]:
    """Give back the matching failed (or, where the filter says so, cancelled) requests among the
    next CHUNK behind index ``after``. Returns how many, and the index to go on behind (None: done).

    The counters change in the same transaction; attempts and what they cost are kept.
    """
    status = wanted.status if wanted.status in _RETRIABLE else RequestStatus.FAILED
    conditions, values = _conditions(msgspec.structs.replace(wanted, status=None))
    with database.atomic():
        window = database.execute_sql(
            "SELECT idx FROM result WHERE job_id = ? AND status = ? AND idx > ? ORDER BY idx LIMIT ?",
            (job_id, status, after, CHUNK),
        ).fetchall()
        if not window:
            return 0, None
        last = window[-1][0]
        gone = database.execute_sql(
            "DELETE FROM result AS x WHERE x.job_id = ? AND x.status = ? AND x.idx > ? AND x.idx <= ?"
            + conditions,
            (job_id, status, after, last, *values),
        ).rowcount
        counter = Job.failed if status == RequestStatus.FAILED else Job.cancelled
        Job.update({counter: counter - gone}).where(Job.id == job_id).execute()
    return gone, last


def give_back_one(job_id: int, index: int) -> bool:
    """Give back one failed or cancelled request; False where it is neither."""
    with database.atomic():
        row = database.execute_sql(
            "SELECT status FROM result WHERE job_id = ? AND idx = ?", (job_id, index)
        ).fetchone()
        if row is None or row[0] not in _RETRIABLE:
            return False
        database.execute_sql("DELETE FROM result WHERE job_id = ? AND idx = ?", (job_id, index))
        counter = Job.failed if row[0] == RequestStatus.FAILED else Job.cancelled
        Job.update({counter: counter - 1}).where(Job.id == job_id).execute()
    return True


def _conditions(wanted: RequestFilter) -> tuple[str, list]:
    sql, values = wanted.on_results()
    if wanted.q:
        sql += (
            " AND (x.message LIKE ? ESCAPE '\\' OR EXISTS (SELECT 1 FROM request r WHERE "
            "r.job_id = x.job_id AND r.idx = x.idx AND (r.custom_id LIKE ? ESCAPE '\\' "
            "OR CAST(r.body AS TEXT) LIKE ? ESCAPE '\\')))"
        )
        values += [wanted.like] * 3
    return sql, values
