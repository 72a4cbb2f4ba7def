"""Who else sees a job: the owner and admins change it. The Batch API's batches and result files follow."""

from ..auth import job_rights
from ..auth.job_rights import Right
from ..core.domain import Sharing
from ..core.errors import InvalidInput
from ..core.messages import Message, translatable
from ..store import jobs as job_rows
from ..store.models import Job, database
from . import jobs
from .job_option_fields import OPTIONS

WORDS = {choice.value: choice.label for choice in OPTIONS["sharing"].choices}


def share(job_id: int, wanted: str, actor: str | None = None) -> bool:
    """Set who else sees the job. Returns whether that changed anything. Raises InvalidInput, NotFound, and
    Forbidden for another's job."""
    if wanted not in WORDS:
        raise InvalidInput(
            translatable(
                "sharing=%(given)r: use one of %(allowed)s.",
                given=wanted[:40],
                allowed=", ".join(WORDS),
            ),
            "sharing",
        )
    job_rights.need(job_id, Right.OWN)
    with database.atomic():
        before = jobs.get(job_id)
        if before.sharing == wanted:
            return False
        Job.update(sharing=wanted).where(Job.id == job_id).execute()
        change = translatable(
            "%(before)s → %(after)s", before=word(before.sharing), after=word(wanted)
        )
        who = jobs.acting(actor)
        job_rows.add_event(job_id, before.status, before.status, job_rows.SHARED, change, who)
        jobs.note("share", job_id, change, actor)
    jobs.wake()
    return True


def word(sharing: str) -> Message:
    """A level as pages name it."""
    return WORDS[Sharing(sharing)]
