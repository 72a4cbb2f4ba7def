"""API tokens for programs. A token belongs to a user and has the permissions of that user, within its
scope. A token made where no login is needed belongs to the machine itself."""

import hashlib
import re
import secrets

from ..core import events
from ..core.clock import now_ms
from ..core.domain import Role, TokenScope
from ..core.errors import Conflict, InvalidInput, NotFound
from ..core.identity import Actor, Scope
from ..core.messages import listed as joined
from ..core.messages import translatable
from ..core.redaction import remember
from ..store.models import Token, User
from . import audit_log

PREFIX = "sb-"
_NAME = re.compile(r"[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,99}")
_LAST_USED_EVERY_MS = 60_000  # least time between two writes of last_used_at


def create(
    name: str, sees_all: bool = False, scope: str = TokenScope.RUN, user_id: int | None = None
) -> tuple[Token, str]:
    """A new token and its secret, which is known only now: a hash of it is kept. Raises
    InvalidInput for a name that is taken or no name, or another scope."""
    name = (name or "").strip()
    if not _NAME.fullmatch(name):
        raise InvalidInput(translatable("Name: 1 to 100 printable characters."), "name")
    if Token.select().where(Token.name == name).exists():
        raise InvalidInput(
            translatable("Name: a token “%(name)s” already exists.", name=name), "name"
        )
    if scope not in set(TokenScope):
        raise InvalidInput(
            translatable("Scope: one of %(scopes)s.", scopes=joined(list(TokenScope))), "scope"
        )
    secret = PREFIX + secrets.token_urlsafe(32)
    remember(secret)
    token = Token.create(
        name=name,
        user=user_id,
        scope=scope,
        secret_hash=_hash(secret),
        last4=secret[-4:],
        sees_all=sees_all,
        created_at=now_ms(),
    )
    audit_log.note("token.create", f"token {name}", _permissions(TokenScope(scope), sees_all))
    return token, secret


def _permissions(scope: TokenScope, sees_all: bool) -> str:
    words = {TokenScope.RUN: translatable("run jobs"), TokenScope.READ: translatable("read only")}
    return joined((words[scope], translatable("sees all jobs"))) if sees_all else words[scope]


def verified(secret: str) -> Token | None:
    """The token with this secret, unless it is revoked or its user disabled; stores that it was used."""
    query = Token.select(Token, User).left_outer_join(User)
    token = query.where(
        (Token.secret_hash == _hash(secret))
        & Token.revoked_at.is_null()
        & User.disabled_at.is_null()
    ).first()
    if token is not None:
        remember(secret)
    if token is not None and (token.last_used_at or 0) < now_ms() - _LAST_USED_EVERY_MS:
        Token.update(last_used_at=now_ms()).where(Token.id == token.id).execute()
    return token


def caller(token: Token, address: str) -> Actor:
    """The caller that this token authenticates. Its role is at most operator: the actions of admins
    are reserved for people."""
    user = token.user
    role = Role.VIEWER if token.scope == TokenScope.READ else Role.OPERATOR
    if user is not None and Role(user.role).rank < role.rank:
        role = Role(user.role)
    sees = None
    if not token.sees_all:
        sees = Scope(user=token.user_id, token=token.id)
    elif user is not None and user.role == Role.OPERATOR:
        sees = Scope(user=user.id)
    name = f"api: {token.name}" if user is None else f"{user.name}: {token.name}"
    return Actor(name, role, token.user_id, token.id, sees, address)


def access_state() -> list[tuple]:
    """All values of the tokens that decide about access; the result differs after any change to them."""
    shown = Token.select(
        Token.id, Token.name, Token.user, Token.scope, Token.sees_all, Token.revoked_at
    )
    return list(shown.order_by(Token.id).tuples())


def needed() -> bool:
    """Whether a token was ever made here. If one was, the Batch API requires a token."""
    return Token.select().exists()


def listed(viewer: Scope | None = None) -> list[Token]:
    """Those of the viewer's user; None: all."""
    query = Token.select(Token, User).left_outer_join(User).order_by(Token.name)
    return list(query if viewer is None else query.where(Token.user == viewer.user))


def get(id_or_name: int | str, viewer: Scope | None = None) -> Token:
    """Raises NotFound, also for another user's."""
    wanted = Token.id if isinstance(id_or_name, int) else Token.name
    token = Token.get_or_none(wanted == id_or_name)
    if token is None or (viewer is not None and token.user_id != viewer.user):
        raise NotFound(translatable("There is no token %(given)r.", given=id_or_name))
    return token


def revoke(id_or_name: int | str) -> Token:
    """Revoke the token: it gives no access any more, what it made stays. Raises NotFound."""
    token = get(id_or_name)
    if token.revoked_at is None:
        Token.update(revoked_at=now_ms()).where(Token.id == token.id).execute()
        audit_log.note("token.revoke", f"token {token.name}")
        events.publish(events.ACCESS_CHANGED)
    return get(token.id)


def remove(id_or_name: int | str) -> None:
    """Forget a revoked token; its jobs and files are then those of the pages. Raises NotFound,
    Conflict where it is not revoked."""
    token = get(id_or_name)
    if token.revoked_at is None:
        raise Conflict(
            translatable("The token “%(name)s” is in use: revoke it first.", name=token.name)
        )
    token.delete_instance()
    audit_log.note("token.remove", f"token {token.name}")
    events.publish(events.ACCESS_CHANGED)


def _hash(secret: str) -> str:
    # a secret of 256 random bits needs no slow hash
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
