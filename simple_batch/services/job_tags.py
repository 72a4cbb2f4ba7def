"""The tags of jobs that are there: changed on their pages, for one job or for several."""

from ..core.messages import listed
from ..store import jobs as job_rows
from ..store.models import Job, database, lock_job
from . import field_names, jobs
from .tags import tags_of, tags_text


def replace(job_id: int, tags: tuple[str, ...], actor: str | None = None) -> None:
    """Give the job these tags instead of those it has. Raises NotFound, InvalidInput."""
    text = tags_text(tags_of(tags_text(tags)))
    with database.atomic():
        lock_job(job_id)
        job = jobs.get(job_id)
        if job.tags == text:
            return
        Job.update(tags=text).where(Job.id == job_id).execute()
        change = listed([field_names.change("tags", job.tags, text)])
        who = jobs.acting(actor)
        job_rows.add_event(job_id, job.status, job.status, "edited", change, actor=who)
        jobs.note("edit", job_id, change, actor)
    jobs.wake()


def add(job_id: int, tags: tuple[str, ...]) -> None:
    """Raises NotFound, InvalidInput."""
    replace(job_id, (*tags_of(jobs.get(job_id).tags), *tags))


def remove(job_id: int, tags: tuple[str, ...]) -> None:
    """Raises NotFound."""
    replace(job_id, without(tags_of(jobs.get(job_id).tags), tags))


def without(tags: tuple[str, ...], gone: tuple[str, ...]) -> tuple[str, ...]:
    """The tags but those that are gone; upper and lower case are the same."""
    names = {tag.casefold() for tag in gone}
    return tuple(tag for tag in tags if tag.casefold() not in names)
