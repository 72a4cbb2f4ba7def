"""The current caller: set for each web request, read for ownership, visibility and the audit log."""

from contextvars import ContextVar
from dataclasses import dataclass

from .domain import Role


@dataclass(frozen=True)
class Scope:
    """Which jobs and files a caller sees: those of a user, or only those that one token made. None in
    place of a Scope means all of them."""

    user: int | None = None
    token: int | None = None


@dataclass(frozen=True)
class Actor:
    """An authenticated caller. ``user`` and ``token`` are ids. A caller without a user is this machine
    itself, or a login with the password of the settings."""

    name: str  # as the audit log and the events of jobs have it
    role: Role = Role.ADMIN
    user: int | None = None
    token: int | None = None
    sees: Scope | None = None
    address: str = ""

    def may(self, role: Role) -> bool:
        """Whether this caller's role allows what ``role`` does."""
        return self.role.rank >= role.rank


CLI = Actor("cli")  # a user who can run commands here can read the files anyway

_current: ContextVar[Actor] = ContextVar("actor", default=CLI)


def current() -> Actor:
    """Who the present request or command acts for."""
    return _current.get()


def act_as(caller: Actor) -> None:
    """From now on this greenlet acts for ``caller``."""
    _current.set(caller)
