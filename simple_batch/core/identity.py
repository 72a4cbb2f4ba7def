"""Who acts: set for each web request, read by whatever is owned, shown or noted in the audit log."""

from contextvars import ContextVar
from dataclasses import dataclass

from .domain import Role


@dataclass(frozen=True)
class Scope:
    """Whose jobs and files are seen: a user's, or only those that one token made. Where None stands
    in place of a Viewer, everybody's are."""

    user: int | None = None
    token: int | None = None


@dataclass(frozen=True)
class Actor:
    """Somebody who was let in. ``user`` and ``token`` are ids; a caller without a user is this
    machine itself, or whoever has the one password of the settings."""

    name: str  # as the audit log and the events of jobs have it
    role: Role = Role.ADMIN
    user: int | None = None
    token: int | None = None
    sees: Scope | None = None
    address: str = ""

    def may(self, role: Role) -> bool:
        """Whether this caller's role allows what ``role`` does."""
        return self.role.rank >= role.rank


CLI = Actor("cli")  # whoever can run a command here can read the files anyway

_current: ContextVar[Actor] = ContextVar("who", default=CLI)


def current() -> Actor:
    return _current.get()


def act_as(caller: Actor) -> None:
    """From now on this greenlet acts for ``caller``."""
    _current.set(caller)
