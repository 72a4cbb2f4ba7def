"""Jobs as the Batch API lists them."""

from ..core.domain import JobStatus
from ..core.errors import NotFound
from ..core.identity import Scope
from ..core.messages import translatable
from ..store import visibility
from ..store.models import ApiConfig, Job, JobConfig, database

# When a job first came to a status, and when it last did.
_TIMES = (
    "SELECT job_id, to_status, min(at), max(at) FROM job_event "
    "WHERE job_id IN ({marks}) AND from_status <> to_status GROUP BY job_id, to_status"
)


def batch(job_id: int, viewer: Scope | None = None) -> Job:
    """The job, if the viewer (None: sees all) may see it. Raises NotFound."""
    job = _visible(viewer).where(Job.id == job_id).first()
    if job is None:
        raise NotFound(translatable("No batch found with id 'batch_%(job_id)s'.", job_id=job_id))
    return job


def batches_page(
    viewer: Scope | None, after: int | None = None, limit: int = 20
) -> tuple[list[Job], bool]:
    """Jobs, newest first, behind the id ``after``, and whether there are more."""
    query = _visible(viewer)
    if after is not None:
        query = query.where(Job.id < after)
    rows = list(query.order_by(Job.id.desc()).limit(limit + 1))
    return rows[:limit], len(rows) > limit


def status_times(job_ids: list[int]) -> dict[int, dict[JobStatus, tuple[int, int]]]:
    """{job: {status: (first, last time it came to it, epoch ms)}}."""
    times: dict[int, dict[JobStatus, tuple[int, int]]] = {job_id: {} for job_id in job_ids}
    if not job_ids:
        return times
    query = _TIMES.format(marks=",".join("?" * len(job_ids)))
    for job_id, status, first, last in database.execute_sql(query, job_ids):
        times[job_id][JobStatus(status)] = first, last
    return times


def mixed(job_ids: list[int]) -> set[int]:
    """Those of the jobs whose requests go to more than one API config."""
    rows = JobConfig.select(JobConfig.job).where(JobConfig.job.in_(job_ids)).distinct()
    return {job_id for (job_id,) in rows.tuples()}


def _visible(viewer: Scope | None):
    query = Job.select(Job, ApiConfig).join(ApiConfig).where(Job.deleted_at.is_null())
    return query if viewer is None else query.where(visibility.jobs(viewer))
