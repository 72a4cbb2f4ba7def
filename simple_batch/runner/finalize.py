"""Finishes, cancels, resets and removes jobs."""

import time
from collections.abc import Callable

from ..core.domain import Cause, JobStatus
from ..core.stored_messages import CANCELLED, EXPIRED
from ..store import batch_parts, bulk_results, duplicates, requeue_answers
from ..store import jobs as job_rows
from ..store import requeue as retry_rows
from ..store.cluster import pages
from ..store.database import connected, retry_while_unavailable
from ..store.models import Job, database, lock_job
from ..store.request_filter import RequestFilter
from ..store.requeue import Changes
from ..store.write_pace import Pace
from . import signals

FEW = 20  # rows of the first step: their answers may be large
_WORDS = {
    Cause.CANCELLED: CANCELLED(),
    Cause.EXPIRED: EXPIRED(),
}


def finish(job_id: int, finalizer: Callable[[int], None]) -> None:
    """End a job that is finalizing or cancelling: requests without a result get one that says why,
    ``finalizer(job_id)`` makes the result files, and the job gets its last status. May be
    interrupted at any point and started again. Does nothing while batches of the job are under way at
    providers: the process that runs the jobs ends them first (batch_jobs.py)."""
    if _has_batches(job_id):
        return
    with connected():
        job = Job.get_by_id(job_id)
    if job.ask_once:
        fan_out(job_id)
    with connected():
        job = Job.get_by_id(job_id)
        left = job.total - job.succeeded - job.failed - job.cancelled
    cause, last = None, JobStatus.COMPLETED
    if job.status == JobStatus.CANCELLING:
        cause, last = Cause.CANCELLED, JobStatus.CANCELLED
    elif left and job.status_reason == job_rows.EXPIRED:
        cause, last = Cause.EXPIRED, JobStatus.EXPIRED
    if cause is not None:
        _close(job, cause)
    finalizer(job_id)
    with connected():
        pages.clear(job_id)
        job_rows.transition(job_id, last, (JobStatus.CANCELLING, JobStatus.FINALIZING))


def _has_batches(job_id: int) -> bool:
    """Whether batches at providers would be forgotten if the job ended now."""
    return retry_while_unavailable(batch_parts.any_under_way, job_id)


def complete(job_id: int) -> Job | None:
    """Let a job be finished if every request has a result. Returns it where some have none."""
    with database.atomic():
        lock_job(job_id)
        job = Job.get_by_id(job_id)
        if job.succeeded + job.failed + job.cancelled < job.total:
            return job
        job_rows.transition(job_id, JobStatus.FINALIZING, (JobStatus.RUNNING,))
    return None


def fan_out(job_id: int) -> None:
    """Give the answers there are to the identical requests that wait for them."""
    after: int | None = -1
    with Pace(FEW) as pace:
        while after is not None:
            after = pace.step(duplicates.fan_out_step, job_id, after, pace.rows)


def _close(job: Job, cause: Cause) -> None:
    """Give every request without a result one."""
    with connected():
        alias = job.config.alias
    low = 0
    with Pace() as pace:
        while low < job.total:
            high = min(job.total, low + pace.rows)
            pace.step(bulk_results.close_step, job.id, low, high, alias, cause, _WORDS[cause])
            low = high


def reset(job_id: int, until: float | None = None) -> None:
    """Remove the results of a job that is being reset, in small steps. May be broken off and begun
    again; it does so itself at a moment of the monotonic clock. As to batches, see ``finish``."""
    if _has_batches(job_id):
        return
    with Pace(FEW) as pace:
        while not pace.step(job_rows.reset_step, job_id, pace.rows):
            if until is not None and time.monotonic() > until:
                return


def give_back(
    job_id: int,
    wanted: RequestFilter,
    other: Changes | None,
    after: int = -1,
    until: float | None = None,
) -> tuple[int, int | None]:
    """Give back the requests that match, behind an index; at a moment of the monotonic clock it is
    broken off. Returns how many were, and the index to go on behind (None: all are)."""
    step = requeue_answers.requeue_step if wanted.outcome else retry_rows.requeue_step
    count, behind = 0, after
    with Pace(FEW) as pace:
        while behind is not None:
            some, behind = pace.step(step, job_id, wanted, behind, other, pace.rows)
            count += some
            if until is not None and time.monotonic() > until:
                break
    return count, behind


def give_back_duplicates(job_id: int) -> int:
    """Give back the requests that failed as an identical one did, which is asked again by now.
    Returns how many."""
    count, behind = 0, -1
    with Pace(FEW) as pace:
        while behind is not None:
            some, behind = pace.step(retry_rows.requeue_duplicates_step, job_id, behind, pace.rows)
            count += some
    return count


def purge(job_id: int) -> None:
    """Remove a deleted job's rows in small steps. May be broken off and begun again. As to batches, see
    ``finish``."""
    if _has_batches(job_id):
        return
    with Pace(FEW) as pace:
        while not pace.step(job_rows.delete_rows_step, job_id, pace.rows):
            pass
    signals.jobs_changed.send(None, job_id=job_id)  # nothing of it is left for a watcher to see
