"""The door for tokens, which let programs in at the Batch API."""

import hashlib
import re
import secrets

from .clock import now_ms
from .errors import Conflict, InvalidInput, NotFound
from .redaction import remember
from .store.models import Token
from .wording import said

PREFIX = "sb-"
_NAME = re.compile(r"[^\s\x00-\x1f\x7f][^\x00-\x1f\x7f]{0,99}")
_USED_EVERY_MS = 60_000  # last use is written at most so often


def create(name: str, sees_all: bool = False) -> tuple[Token, str]:
    """A new token and its secret, which is known only now: a hash of it is kept. Raises
    InvalidInput for a name that is taken or no name."""
    name = (name or "").strip()
    if not _NAME.fullmatch(name):
        raise InvalidInput(said("Name: 1 to 100 printable characters."), "name")
    if Token.select().where(Token.name == name).exists():
        raise InvalidInput(said("Name: there is a token “%(name)s” already.", name=name), "name")
    secret = PREFIX + secrets.token_urlsafe(32)
    remember(secret)
    token = Token.create(
        name=name,
        secret_hash=_hash(secret),
        last4=secret[-4:],
        sees_all=sees_all,
        created_at=now_ms(),
    )
    return token, secret


def verified(secret: str) -> Token | None:
    """The token with this secret, if it is not revoked; notes that it was used."""
    token = Token.get_or_none((Token.secret_hash == _hash(secret)) & Token.revoked_at.is_null())
    if token is not None:
        remember(secret)
    if token is not None and (token.last_used_at or 0) < now_ms() - _USED_EVERY_MS:
        Token.update(last_used_at=now_ms()).where(Token.id == token.id).execute()
    return token


def needed() -> bool:
    """Whether a token was ever made here, so that nobody gets in without one."""
    return Token.select().exists()


def listed() -> list[Token]:
    return list(Token.select().order_by(Token.name))


def get(id_or_name: int | str) -> Token:
    """Raises NotFound."""
    wanted = Token.id if isinstance(id_or_name, int) else Token.name
    token = Token.get_or_none(wanted == id_or_name)
    if token is None:
        raise NotFound(said("There is no token %(given)r.", given=id_or_name))
    return token


def revoke(id_or_name: int | str) -> Token:
    """From now on nobody gets in with it; what it made stays. Raises NotFound."""
    token = get(id_or_name)
    if token.revoked_at is None:
        Token.update(revoked_at=now_ms()).where(Token.id == token.id).execute()
    return get(token.id)


def remove(id_or_name: int | str) -> None:
    """Forget a revoked token; its jobs and files are then those of the pages. Raises NotFound,
    Conflict where it is not revoked."""
    token = get(id_or_name)
    if token.revoked_at is None:
        raise Conflict(said("The token “%(name)s” is in use: revoke it first.", name=token.name))
    token.delete_instance()


def _hash(secret: str) -> str:
    # a secret of 256 random bits needs no slow hash
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
