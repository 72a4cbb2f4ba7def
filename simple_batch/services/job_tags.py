"""The tags of jobs that are there: changed on their pages, for one job or for several."""

from ..core.messages import listed
from ..store import jobs as job_rows
from ..store.models import Job, database, lock_job
from . import field_names, jobs
from .tags import tags_of, tags_text


def replace(job_id: int, tags: tuple[str, ...]) -> None:
    """Give the job these tags instead of those it has. Raises NotFound, InvalidInput."""
    text = tags_text(tags_of(tags_text(tags)))
    with database.atomic():
        lock_job(job_id)
        job = jobs.get(job_id)
        if job.tags == text:
            return
        Job.update(tags=text).where(Job.id == job_id).execute()
        change = listed([field_names.change("tags", job.tags, text)])
        job_rows.add_event(
            job_id, job.status, job.status, "edited", change, actor=jobs.acting(None)
        )
        jobs.note("edit", job_id, change)
    jobs.wake()


def add(job_id: int, tags: tuple[str, ...]) -> None:
    """Raises NotFound, InvalidInput."""
    replace(job_id, (*tags_of(jobs.get(job_id).tags), *tags))


def remove(job_id: int, tags: tuple[str, ...]) -> None:
    """Raises NotFound."""
    gone = {tag.casefold() for tag in tags}
    replace(
        job_id, tuple(tag for tag in tags_of(jobs.get(job_id).tags) if tag.casefold() not in gone)
    )
