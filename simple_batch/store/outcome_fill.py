"""Outcomes of the results of older versions, filled in step by step (runner/background.py).

A step is one transaction of a page of results, by key, with the counters and the place to go on at: it
may be killed at any moment. Results of today have their outcome from the start and are passed over.
"""

from collections import Counter
from collections.abc import Callable

from ..core.domain import Cause, Outcome
from . import outcome_counts
from .models import Job, database, lock_job

BYTES = 4 << 20  # of answers that a step reads, but for the last of them

# Returns the outcome and the finish reason of an answer to a request for a path.
Reader = Callable[[str, bytes], tuple[str, str | None]]

_BEHIND = (
    "SELECT id FROM job WHERE outcomes_filled_to IS NOT NULL AND deleted_at IS NULL "
    "ORDER BY id DESC LIMIT 1"
)
_SIZES = (
    "SELECT idx, coalesce(length(response), 0) FROM result WHERE job_id = ? AND idx >= ? "
    "ORDER BY idx LIMIT ?"
)
_ANSWERS = (
    "SELECT x.idx, x.cause, r.url, x.response FROM result x "
    "JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx "
    "WHERE x.job_id = ? AND x.idx >= ? AND x.idx <= ? AND x.outcome IS NULL "
    "AND (x.status = 'succeeded' OR (x.status = 'failed' AND x.cause IN ('schema', 'content_filter')))"
)
_FILL = "UPDATE result SET outcome = ?, finish_reason = ? WHERE job_id = ? AND idx = ?"


def next_job() -> int | None:
    """The newest job that has old results; None where no job has any."""
    row = database.execute_sql(_BEHIND).fetchone()
    return row[0] if row else None


def fill_step(job_id: int, count: int, read: Reader) -> None:
    """Fill in the outcomes of up to ``count`` more results of a job."""
    with database.atomic():
        lock_job(job_id)  # its results do not change meanwhile
        begin = Job.get_by_id(job_id).outcomes_filled_to
        if begin is None:
            return
        last, more = _end_of_page(job_id, begin, count)
        found = []
        for index, cause, url, response in database.execute_sql(
            _ANSWERS, (job_id, begin, last)
        ).fetchall():
            outcome, reason = _outcome(cause, url, response, read)
            if outcome is not None:
                found.append((outcome, reason, job_id, index))
        database.executemany(_FILL, found)
        counts = Counter(outcome for outcome, _reason, _job_id, _index in found)
        Job.update(
            outcome_counts.added(counts), outcomes_filled_to=last + 1 if more else None
        ).where(Job.id == job_id).execute()


def _end_of_page(job_id: int, begin: int, count: int) -> tuple[int, bool]:
    """The last index of the page that begins there, and whether more may follow."""
    rows = database.execute_sql(_SIZES, (job_id, begin, count)).fetchall()
    size = 0
    for index, length in rows:
        size += length
        if size >= BYTES:
            return index, True
    return (rows[-1][0] if rows else begin), len(rows) == count


def _outcome(
    cause: str | None, url: str, response: bytes | None, read: Reader
) -> tuple[str | None, str | None]:
    """None where no answer came: the content was refused by an error."""
    outcome, reason = read(url, bytes(response or b""))
    if cause == Cause.CONTENT_FILTER and outcome != Outcome.REFUSED:
        return None, None
    return ("schema" if cause == Cause.SCHEMA else outcome), reason
