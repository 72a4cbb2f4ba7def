"""The finished jobs of a user: the latest ones, and how many ended since the user last looked at them."""

from ..core import identity
from ..core.clock import now_ms
from ..core.domain import Role
from ..core.identity import Actor
from ..insight import jobs as listed
from ..store import visibility
from ..store.models import Job, JobsSeen, User, database

MOST_UNSEEN = 100  # more are not counted


def latest(limit: int) -> list[listed.JobRow]:
    """The jobs of the current caller that ended last."""
    return listed.finished_jobs(_of(identity.current()), limit)


def seen_at(caller: Actor) -> int:
    """When the caller last looked (epoch ms)."""
    found = JobsSeen.select(JobsSeen.seen_at).where(_row_of(caller.user)).scalar()
    if found is None and caller.user is not None:
        found = User.select(User.created_at).where(User.id == caller.user).scalar()
    return found or 0


def unseen(caller: Actor) -> int:
    """How many have ended since then, MOST_UNSEEN at most."""
    ended = Job.select(Job.id).where(
        (Job.finished_at > seen_at(caller)) & Job.deleted_at.is_null() & _of(caller)
    )
    return ended.limit(MOST_UNSEEN).count()


def mark_seen() -> None:
    """The current caller looks at them now."""
    user = identity.current().user
    with database.atomic():
        if not JobsSeen.update(seen_at=now_ms()).where(_row_of(user)).execute():
            JobsSeen.insert(user=user, seen_at=now_ms()).on_conflict_ignore().execute()


def _row_of(user: int | None):
    return JobsSeen.user.is_null() if user is None else JobsSeen.user == user


def _of(caller: Actor):
    """The condition on Job: those that the user created, for admins also those that were created without a
    login. Viewers, who create none, and callers without an account have all that they see."""
    if caller.user is None or not caller.may(Role.OPERATOR):
        return visibility.jobs(caller.sees)
    own = Job.user == caller.user
    return own | Job.user.is_null() if caller.may(Role.ADMIN) else own
