"""What a caller may do with a job: see, edit or own it (docs/access.md). Deleting and sharing are the owner's
and the admins'."""

from enum import IntEnum

from ..core import identity
from ..core.domain import Role, Sharing
from ..core.errors import Forbidden, NotFound
from ..core.identity import Actor
from ..core.messages import Message, translatable
from ..store.models import Job, User


class Right(IntEnum):
    """Each includes those before it."""

    SEE = 1  # its pages, figures, exports
    EDIT = 2  # pause, resume, cancel, retry, change
    OWN = 3  # delete, reset, share


def of(job_id: int, caller: Actor | None = None) -> Right | None:
    """The caller's (else the current caller's) right; None for a job that is hidden from them. Whether a job
    exists is not looked at for those who see all."""
    caller = caller or identity.current()
    if caller.sees is None:
        return _most(caller)
    return _right(_job(job_id), caller)


def need(job_id: int, needed: Right, caller: Actor | None = None) -> Right:
    """The caller's right, at least as high as ``needed``. Raises NotFound for a job that is hidden from them as
    for a missing one. Users get Forbidden, with whom to ask."""
    caller = caller or identity.current()
    job = None if caller.sees is None else _job(job_id)
    right = _most(caller) if caller.sees is None else _right(job, caller)
    if right is not None and right >= needed:
        return right
    if right is None and (job is None or job.deleted_at is not None or not _is_user(caller)):
        raise NotFound(translatable("There is no job %(job_id)s.", job_id=job_id))
    owner = job.user.name if job is not None and job.user is not None else None
    raise Forbidden(_refusal(right, needed, owner))


def _job(job_id: int) -> Job | None:
    query = Job.select(Job.id, Job.user, Job.token, Job.sharing, Job.deleted_at, User)
    return query.left_outer_join(User).where(Job.id == job_id).first()


def _right(job: Job | None, caller: Actor) -> Right | None:
    sees = caller.sees
    if job is None or sees is None:
        return None
    if sees.token is not None:
        return _most(caller) if job.token_id == sees.token else None
    if sees.user is not None and job.user_id == sees.user:
        return _most(caller)
    if job.deleted_at is not None or job.sharing == Sharing.PRIVATE:
        return None
    return min(_most(caller), Right.EDIT if job.sharing == Sharing.EDIT else Right.SEE)


def _most(caller: Actor) -> Right:
    """The highest right that the role allows."""
    return Right.OWN if caller.may(Role.OPERATOR) else Right.SEE


def _is_user(caller: Actor) -> bool:
    """A user at a browser; tokens learn nothing about the jobs of others."""
    return caller.token is None and caller.user is not None


def _refusal(right: Right | None, needed: Right, owner: str | None) -> Message:
    if right is None and owner is None:
        return translatable("This job is private. Ask an admin to share it.")
    if right is None:
        return translatable(
            "This job belongs to %(owner)s. Ask %(owner)s to share it.", owner=owner
        )
    if needed is Right.OWN:
        return translatable("Only its owner and admins can delete, reset or share this job.")
    return translatable("You can view this job, but you can't change it.")
