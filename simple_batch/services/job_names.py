"""A job by what a user calls it: its id, its name, or ``last``."""

from ..core.errors import InvalidInput, NotFound
from ..core.messages import translatable
from ..core.nearest_name import near
from ..store.models import Job

LAST = "last"
_DIGITS = 18  # of an id at most
_LISTED = 10  # jobs of one name that an error lists
_COMPARED = 2_000  # names that a misspelled one is compared with


def job_id_of(reference: str, in_bin: bool = False) -> int:
    """The id of the job that is meant, among those in the bin or the others. Raises NotFound, and
    InvalidInput where several have the name."""
    text = reference.strip()
    if text.isascii() and text.isdigit() and len(text) <= _DIGITS:
        number = int(text)
        if Job.select().where(Job.id == number).exists():
            return number
    jobs = _jobs(in_bin)
    if text == LAST:
        newest = jobs.first()
        if newest is None:
            raise NotFound(translatable("There are no jobs."), "no_job")
        return newest.id
    found = list(jobs.where(Job.name == text).limit(_LISTED + 1))
    if not found:
        raise _unknown(text, jobs)
    if len(found) > 1:
        raise _ambiguous(text, found)
    return found[0].id


def _jobs(in_bin: bool):
    """Newest first."""
    place = Job.binned_at.is_null(False) if in_bin else Job.deleted_at.is_null()
    columns = (Job.id, Job.name, Job.status, Job.total)
    return Job.select(*columns).where(place).order_by(Job.id.desc())


def _unknown(text: str, jobs) -> NotFound:
    names = [job.name for job in jobs.limit(_COMPARED)]
    close = near(text, names)
    if close is None:
        return NotFound(translatable("There is no job %(given)r.", given=text[:100]), "job")
    return NotFound(
        translatable(
            "There is no job %(given)r. Did you mean %(close)r?", given=text[:100], close=close
        ),
        "job",
    )


def _ambiguous(text: str, found: list[Job]) -> InvalidInput:
    lines = [f"  {job.id}  {job.status}, {job.total:,}" for job in found[:_LISTED]]
    more = ["  …"] if len(found) > _LISTED else []
    first = translatable("Several jobs have the name %(name)r. Give the id:", name=text[:100])
    return InvalidInput("\n".join([first, *lines, *more]), "job")
