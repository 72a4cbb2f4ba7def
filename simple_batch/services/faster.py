"""*Try faster*: forget the limits that were learned from refusals."""

from ..core.clock import now_ms
from ..core.domain import JobStatus
from ..core.errors import Conflict
from ..core.messages import translatable
from ..store.models import ApiConfig, JobConfig
from . import jobs


def try_faster(job_id: int, actor: str | None = None) -> None:
    """Let all processes find the limits of a running job's connections again. Raises NotFound,
    Conflict."""
    job = jobs.get(job_id)
    if job.status != JobStatus.RUNNING:
        raise Conflict(translatable("Job %(job_id)s does not run now.", job_id=job_id))
    spread = JobConfig.select(JobConfig.config).where(JobConfig.job == job_id)
    ApiConfig.update(relearn_at=now_ms()).where(
        (ApiConfig.id == job.config_id) | ApiConfig.id.in_(spread)
    ).execute()
    jobs.note("try_faster", job_id, actor=actor)
    jobs.wake()
