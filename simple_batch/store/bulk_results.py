"""Close the remaining requests of an ended job with a result that states the cause: one range of
requests per statement."""

from ..core.clock import now_ms
from ..core.domain import Cause
from .counters import process_counters
from .models import database, lock_job

_CLOSE = """
INSERT INTO result (job_id, idx, status, cause, message, config, attempts, finished_at)
SELECT r.job_id, r.idx, 'cancelled', ?, ?, ?, 0, ? FROM request r
WHERE r.job_id = ? AND r.idx >= ? AND r.idx < ?
  AND NOT EXISTS (SELECT 1 FROM result x WHERE x.job_id = r.job_id AND x.idx = r.idx)
ORDER BY r.idx
"""
_COUNT = "UPDATE job SET cancelled = cancelled + ? WHERE id = ?"


def close_step(job_id: int, low: int, high: int, alias: str, cause: Cause, message: str) -> int:
    """Give every request without a result with low <= index < high one that is ``cancelled`` for
    this cause; returns how many. The job's counter changes in the same transaction. What finished
    stays as it is, so that a stretch may be done twice."""
    with database.atomic():
        lock_job(job_id)  # an answer that comes late is written before or after
        values = (cause.value, message, alias, now_ms(), job_id, low, high)
        count = database.execute_sql(_CLOSE, values).rowcount
        if count:
            database.execute_sql(_COUNT, (count, job_id))
    process_counters.counted(count, 0, 0, 0)
    return count
