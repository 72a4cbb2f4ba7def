"""The bin: deleted jobs stay there for DELETED_JOBS_KEEP_HOURS, and can be restored meanwhile.

What retention rules select, and jobs that could not be created, are removed at once. Everything that
belongs to a job of the bin (requests, answers, upload, files of the Batch API) stays until it is removed.
"""

from typing import NamedTuple

from ..core.clock import give_way
from ..core.domain import JobStatus
from ..core.errors import Conflict, NotFound
from ..core.identity import Scope
from ..core.messages import Message, translatable
from ..insight.summary import Outcomes, outcomes
from ..runner import finalize
from ..store import binned_jobs
from ..store.models import Job
from ..store.outcome_status import outcome_status
from . import batch_files, jobs, retention


class BinnedJob(NamedTuple):
    """A job of the bin. Times are epoch ms."""

    id: int
    name: str
    status: str  # as it is when it is restored
    outcome_status: str | None  # of OutcomeStatus; None while it is not final
    outcomes: Outcomes
    owner: str | None  # user name
    config: str  # alias
    total: int
    succeeded: int
    failed: int
    cancelled: int
    deleted_at: int
    removed_at: int  # when it leaves the bin for good


def count(viewer: Scope | None = None) -> int:
    """How many jobs of the bin the viewer sees (None: all)."""
    return binned_jobs.count(viewer)


def listing(viewer: Scope | None = None) -> list[BinnedJob]:
    """What is in the bin and the viewer sees (None: all), those deleted last first."""
    return [_shown(job) for job in binned_jobs.listed(viewer)]


def _shown(job: Job) -> BinnedJob:
    if job.status == JobStatus.CANCELLING:  # which ends when it is restored
        job.status = JobStatus.CANCELLED
    return BinnedJob(
        job.id,
        job.name,
        job.status,
        outcome_status(job),
        outcomes(job),
        job.user.name if job.user is not None else None,
        job.config.alias,
        job.total,
        job.succeeded,
        job.failed,
        job.cancelled,
        job.binned_at,
        job.binned_at + retention.bin_ms(),
    )


def holds(job_id: int) -> bool:
    """Whether the job is in the bin."""
    return binned_jobs.get(job_id) is not None


def restore(job_id: int, actor: str | None = None) -> Job:
    """Show a job of the bin again, as it was. One that ran when it was deleted is cancelled then, one that
    was being read is read again. Raises NotFound where it is not in the bin, Conflict where it is not
    deleted."""
    name = _binned(job_id).name
    if not binned_jobs.take_out(job_id, jobs.acting(actor)):
        raise NotFound(_gone(job_id))
    jobs.note("restore", job_id, name, actor)
    jobs.wake()
    job = jobs.get(job_id)
    left = job.total - job.succeeded - job.failed - job.cancelled
    if job.status == JobStatus.CANCELLING and jobs.done_here(left):
        finalize.finish(job_id, batch_files.make_results)
    return jobs.get(job_id)


def remove(job_id: int, actor: str | None = None) -> None:
    """Remove a job of the bin for good, as ``jobs.delete`` does without a bin. Raises NotFound, and
    Conflict where it is not deleted."""
    job = _binned(job_id)
    if not binned_jobs.give_up(job_id):
        raise NotFound(_gone(job_id))
    jobs.note("remove", job_id, job.name, actor)
    jobs.wake()
    if jobs.done_here(job.total):
        jobs.remove_now(job_id)


def remove_all(viewer: Scope | None = None, actor: str | None = None) -> int:
    """The same for all jobs of the bin that the viewer sees (None: all). Returns how many there were."""
    found = binned_jobs.listed(viewer)
    for job in found:
        remove(job.id, actor)
        give_way()
    return len(found)


def _binned(job_id: int) -> Job:
    found = binned_jobs.get(job_id)
    if found is not None:
        return found
    if Job.select().where((Job.id == job_id) & Job.deleted_at.is_null()).exists():
        raise Conflict(translatable("Job %(job_id)s is not deleted.", job_id=job_id))
    raise NotFound(_gone(job_id))


def _gone(job_id: int) -> Message:
    return translatable("Job %(job_id)s is not in the bin (any more).", job_id=job_id)
