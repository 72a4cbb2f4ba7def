"""Users and their roles: create, change, disable and remove them, and verify their passwords."""

import re
import secrets

import peewee

from ..core import events
from ..core.clock import now_ms
from ..core.domain import Role
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.messages import listed as joined
from ..core.messages import translatable
from ..core.settings import Settings
from ..store.models import User, database
from . import audit_log, passwords

RESERVED = ("api", "cli", "runner", "web")  # what the audit log calls those who did not log in
_NAME = re.compile(r"[\w.@+-]{1,64}")


def create(name: str, password: str, role: str) -> User:
    """A new user; the name is kept in small letters. Raises InvalidInput naming the field."""
    name = _folded(name)
    if not _NAME.fullmatch(name) or name in RESERVED:
        raise InvalidInput(
            translatable(
                "Name: 1 to 64 letters, digits and . _ - @ +, and none of %(reserved)s.",
                reserved=", ".join(RESERVED),
            ),
            "name",
        )
    role, kept = _role(role), passwords.hashed(password)
    try:
        user = User.create(
            name=name, role=role, password_hash=kept, stamp=_stamp(), created_at=now_ms()
        )
    except peewee.IntegrityError:
        raise InvalidInput(
            translatable("Name: a user “%(name)s” already exists.", name=name), "name"
        ) from None
    audit_log.note("user.create", f"user {name}", translatable(str(role)))
    events.publish(events.ACCESS_CHANGED)
    return user


def any_there() -> bool:
    """Whether any user exists. If one does, a login is needed."""
    return User.select(User.id).exists()


def login_possible(settings: Settings) -> bool:
    """Whether there is a password, a link or a user to log in with."""
    return bool(settings.PASSWORD or settings.LOGIN_LINK) or any_there()


def access_state() -> list[tuple]:
    """All values of the users that decide about access; the result differs after any change to them."""
    shown = User.select(User.id, User.name, User.role, User.stamp, User.disabled_at)
    return list(shown.order_by(User.id).tuples())


def listed() -> list[User]:
    return list(User.select().order_by(User.name))


def get(id_or_name: int | str) -> User:
    """Raises NotFound."""
    by_id = isinstance(id_or_name, int)
    wanted = User.id == id_or_name if by_id else User.name == _folded(str(id_or_name))
    user = User.get_or_none(wanted)
    if user is None:
        raise NotFound(translatable("There is no user %(given)r.", given=id_or_name), "user")
    return user


def named(name: str) -> User | None:
    return User.get_or_none(User.name == _folded(name))


def verified(name: str, password: str) -> User | None:
    """The user with this name and password, unless disabled. It takes as long for a name that does not
    exist."""
    user = named(name)
    fits = passwords.fits(None if user is None else user.password_hash, password)
    if user is None or not fits or user.disabled_at is not None:
        return None
    values: dict[str, int | str] = {"last_login_at": now_ms()}
    if passwords.outdated(user.password_hash):
        values["password_hash"] = passwords.hashed(password)
    User.update(values).where(User.id == user.id).execute()
    return user


def in_session(user_id: int, stamp: str) -> User | None:
    """The user of a session that has not ended."""
    return User.get_or_none(
        (User.id == user_id) & (User.stamp == stamp) & User.disabled_at.is_null()
    )


def set_password(id_or_name: int | str, password: str) -> User:
    """End every session of the user, too. Raises NotFound, InvalidInput."""
    user = get(id_or_name)
    _change(user, password_hash=passwords.hashed(password))
    audit_log.note("user.password", f"user {user.name}")
    events.publish(events.ACCESS_CHANGED)
    return user


def set_role(id_or_name: int | str, role: str) -> User:
    """Raises NotFound, InvalidInput, and Conflict for the last admin."""
    user, role = get(id_or_name), _role(role)
    if role == user.role:
        return user
    with database.atomic():
        if role != Role.ADMIN:
            _leave_an_admin(user)
        _change(user, role=role)
    change = translatable(
        "%(before)s → %(after)s", before=translatable(str(user.role)), after=translatable(str(role))
    )
    audit_log.note("user.role", f"user {user.name}", change)
    events.publish(events.ACCESS_CHANGED)
    return get(user.id)


def disable(id_or_name: int | str) -> User:
    """Disable the user: sessions and tokens end, jobs stay. Raises NotFound, Conflict."""
    user = get(id_or_name)
    if user.disabled_at is None:
        with database.atomic():
            _leave_an_admin(user)
            _change(user, disabled_at=now_ms())
        audit_log.note("user.disable", f"user {user.name}")
        events.publish(events.ACCESS_CHANGED)
    return user


def enable(id_or_name: int | str) -> User:
    """Enable the user again. Raises NotFound."""
    user = get(id_or_name)
    if user.disabled_at is not None:
        _change(user, disabled_at=None)
        audit_log.note("user.enable", f"user {user.name}")
        events.publish(events.ACCESS_CHANGED)
    return user


def remove(id_or_name: int | str) -> User:
    """Forget the user and all tokens of theirs; their jobs stay, for admins to see. Raises NotFound,
    and Conflict for the last admin while there are others."""
    user = get(id_or_name)
    with database.atomic():
        if User.select().where(User.id != user.id).exists():
            _leave_an_admin(user)
        user.delete_instance()
    audit_log.note("user.remove", f"user {user.name}")
    events.publish(events.ACCESS_CHANGED)
    return user


def _change(user: User, **values) -> None:
    """Change a user and end the sessions that began before the change."""
    User.update(stamp=_stamp(), **values).where(User.id == user.id).execute()


def _leave_an_admin(user: User) -> None:
    others = User.select().where(
        (User.role == Role.ADMIN) & User.disabled_at.is_null() & (User.id != user.id)
    )
    if user.role == Role.ADMIN and user.disabled_at is None and not others.exists():
        raise Conflict(
            translatable(
                "“%(name)s” is the only admin. Make another user an admin first.", name=user.name
            )
        )


def _role(role: str) -> Role:
    try:
        return Role(role)
    except ValueError:
        raise InvalidInput(
            translatable("Role: one of %(roles)s.", roles=joined(list(Role))), "role"
        ) from None


def _folded(name: str) -> str:
    return (name or "").strip().casefold()


def _stamp() -> str:
    return secrets.token_hex(16)
