"""Rows of the jobs in the bin. Such a job is hidden like one that is being removed (``deleted_at``); what
tells them apart is ``binned_at``, since when it is in the bin. Nothing of its rows changes there."""

from ..core.clock import now_ms
from ..core.domain import JobStatus
from . import jobs as job_rows
from . import visibility
from .models import ApiConfig, Job, User, database, lock_job

DELETED = "deleted"  # why a job is cancelled
RESTORED = "restored"  # why an event is noted
_STOPPED = (JobStatus.RUNNING, JobStatus.QUEUED)


def put(job_id: int, actor: str) -> bool:
    """Put a job into the bin. One that runs, or waits for its turn, is cancelled first; one that waits for
    its start time is paused, so that it does not start when it is restored. Returns False where another
    caller has deleted it."""
    with database.atomic():
        lock_job(job_id)
        stopped = job_rows.transition(job_id, JobStatus.CANCELLING, _STOPPED, DELETED, actor=actor)
        scheduled = (JobStatus.SCHEDULED,)
        job_rows.transition(job_id, JobStatus.PAUSED, scheduled, job_rows.HELD, actor=actor)
        shown = (Job.id == job_id) & Job.deleted_at.is_null()
        now = now_ms()
        if not Job.update(deleted_at=now, binned_at=now).where(shown).execute():
            return False
        if not stopped:
            note_deletion(job_id, actor)
        return True


def hide(job_id: int, actor: str) -> None:
    """Let a job be removed, without the bin."""
    with database.atomic():
        lock_job(job_id)
        shown = (Job.id == job_id) & Job.deleted_at.is_null()
        if Job.update(deleted_at=now_ms()).where(shown).execute():
            note_deletion(job_id, actor)


def note_deletion(job_id: int, actor: str) -> None:
    """Note it as an event, so that the lists of every process drop the job."""
    status = Job.select(Job.status).where(Job.id == job_id).scalar()
    job_rows.add_event(job_id, status, status, DELETED, actor=actor)


def take_out(job_id: int, actor: str) -> bool:
    """Show a job of the bin again. Returns False where it is not in the bin."""
    with database.atomic():
        lock_job(job_id)
        binned = (Job.id == job_id) & Job.binned_at.is_null(False)
        if not Job.update(deleted_at=None, binned_at=None).where(binned).execute():
            return False
        status = Job.select(Job.status).where(Job.id == job_id).scalar()
        job_rows.add_event(job_id, status, status, RESTORED, actor=actor)
    return True


def give_up(job_id: int) -> bool:
    """Let a job of the bin be removed. Returns False where it is not in the bin."""
    binned = (Job.id == job_id) & Job.binned_at.is_null(False)
    return bool(Job.update(deleted_at=now_ms(), binned_at=None).where(binned).execute())


def give_up_before(moment: int) -> list[int]:
    """The same for all that are in the bin since before that moment (epoch ms). Returns their ids."""
    old = [row.id for row in Job.select(Job.id).where(Job.binned_at < moment)]
    return [job_id for job_id in old if give_up(job_id)]


def get(job_id: int) -> Job | None:
    """The job, if it is in the bin."""
    return Job.get_or_none((Job.id == job_id) & Job.binned_at.is_null(False))


def listed(viewer=None) -> list[Job]:
    """The jobs of the bin that the viewer sees (None: all), with their configs and users; those deleted
    last first."""
    query = Job.select(Job, ApiConfig, User).join(ApiConfig).switch(Job).left_outer_join(User)
    query = query.where(Job.binned_at.is_null(False) & visibility.jobs(viewer))
    return list(query.order_by(Job.binned_at.desc(), Job.id.desc()))


def count(viewer=None) -> int:
    """How many jobs of the bin the viewer sees (None: all)."""
    return Job.select().where(Job.binned_at.is_null(False) & visibility.jobs(viewer)).count()
