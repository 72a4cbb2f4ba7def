"""How a job ended, as it is shown: of the contract's statuses, ``completed`` does not tell a job with
failures from one without."""

from enum import StrEnum

from peewee import Case, Expression

from ..core.domain import JobStatus, Outcome
from .models import Job


class OutcomeStatus(StrEnum):
    COMPLETED = "completed"
    COMPLETED_WITH_FAILURES = "completed_with_failures"  # or with requests that were not answered
    FAILED = "failed"  # nothing succeeded, or the upload was not valid
    CANCELLED = "cancelled"
    EXPIRED = "expired"


# outcomes of answers that are of no or little use; a tool call is a good answer
FLAWED = (Outcome.CUT_OFF, Outcome.REFUSED, Outcome.EMPTY, Outcome.SCHEMA)
_NOTHING_SUCCEEDED = (Job.status == JobStatus.COMPLETED) & (Job.succeeded == 0) & (Job.total > 0)
# the status that a job is shown and filtered by on the pages, as SQL
SHOWN = Case(None, [(_NOTHING_SUCCEEDED, str(JobStatus.FAILED))], Job.status)


def outcome_status(job: Job) -> OutcomeStatus | None:
    """How the job ended; None while it is not final."""
    if job.status != JobStatus.COMPLETED:
        final = (JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.EXPIRED)
        return OutcomeStatus(job.status) if job.status in final else None
    if job.total and not job.succeeded:
        return OutcomeStatus.FAILED
    if job.failed or job.cancelled:
        return OutcomeStatus.COMPLETED_WITH_FAILURES
    return OutcomeStatus.COMPLETED


def shown_as(status: str) -> Expression:
    """The jobs that are shown with a status of JobStatus, as a condition that its index serves."""
    if status == JobStatus.FAILED:
        return (Job.status == status) | _NOTHING_SUCCEEDED
    if status == JobStatus.COMPLETED:
        return (Job.status == status) & ~_NOTHING_SUCCEEDED
    return Job.status == status
