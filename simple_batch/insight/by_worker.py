"""What each of several workers did for a job."""

from ..store.models import Job, JobWorker


def by_worker(job: Job) -> list[dict]:
    """Figures per worker, by name; empty where one process made the calls."""
    rows = JobWorker.select().where(JobWorker.job == job.id).order_by(JobWorker.name)
    fields = JobWorker.name, JobWorker.succeeded, JobWorker.failed, JobWorker.attempts
    return list(rows.select(*fields).dicts())
