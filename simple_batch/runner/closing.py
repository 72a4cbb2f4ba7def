"""What ends a job other than its last answer: cancelling what is left, removing what is deleted."""

from collections.abc import Callable

from ..clock import give_way
from ..domain import Cause, JobStatus
from ..store import jobs as job_rows
from ..store import leftovers, pages, twins
from ..store.database import connected, steadily
from ..store.models import Job, database, hold
from ..store.pace import Pace
from . import progress

_WORDS = {
    Cause.CANCELLED: "cancelled before it was answered",
    Cause.EXPIRED: "not answered before the deadline of its job",
}


def finish(job_id: int, finalizer: Callable[[int], None]) -> None:
    """End a job that is finalizing or cancelling: what is left gets the result that says why, then
    ``finalizer(job_id)`` makes what is made of the results, then the job its last status. May be
    broken off at any point and begun again."""
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


def complete(job_id: int) -> Job | None:
    """Let a job be finished if every request has a result. Returns it where some have none."""
    with database.atomic():
        hold(job_id)
        job = Job.get_by_id(job_id)
        if job.succeeded + job.failed + job.cancelled < job.total:
            return job
        job_rows.transition(job_id, JobStatus.FINALIZING, (JobStatus.RUNNING,))
    return None


def fan_out(job_id: int) -> None:
    """Give the answers there are to the identical requests that wait for them."""
    after: int | None = -1
    while after is not None:
        after = steadily(twins.fan_out_step, job_id, after)
        give_way()


def _close(job: Job, cause: Cause) -> None:
    """Give every request without a result one."""
    with connected():
        alias = job.config.alias
    pace, low = Pace(), 0
    while low < job.total:
        high = min(job.total, low + pace.rows)
        with pace:
            steadily(leftovers.close_step, job.id, low, high, alias, cause, _WORDS[cause])
        low = high
        pace.rest()


def purge(job_id: int) -> None:
    """Remove a deleted job's rows in small steps. May be broken off and begun again."""
    gone = False
    while not gone:
        gone = steadily(job_rows.delete_rows_step, job_id)
        give_way()
    progress.jobs_changed.send(None, job_id=job_id)  # nothing of it is left for a watcher to see
