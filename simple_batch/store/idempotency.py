"""Idempotency keys: a create that is repeated with the same key makes nothing more. Clients of the Batch
API choose their keys; each form of the pages carries a generated key.
"""

import hashlib

import peewee

from ..core.clock import now_ms
from ..core.errors import Conflict
from ..core.messages import translatable
from .models import IdempotencyKey, database

_NO_TOKEN, _FORM = 0, "form"


def fingerprint(*parts) -> str:
    """A digest that tells two create requests apart."""
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def made_before(token_id: int, key: str, fingerprint: str) -> int | None:
    """The id of what a create with this key has made; None for a new key. Raises Conflict where the key
    came with another request."""
    row = IdempotencyKey.get_or_none(
        (IdempotencyKey.token == token_id) & (IdempotencyKey.key == key)
    )
    if row is None:
        return None
    if row.fingerprint != fingerprint:
        raise Conflict(
            translatable(
                "This idempotency key was used for another request: use a new key for a new "
                "request."
            )
        )
    return row.made


def note(token_id: int, key: str, fingerprint: str, made: int) -> bool:
    """Store the id of what was made; False where another request with the same key was first."""
    try:
        with database.atomic():
            IdempotencyKey.insert(
                token=token_id, key=key, fingerprint=fingerprint, made=made, created_at=now_ms()
            ).execute()
    except peewee.IntegrityError:
        return False
    return True


def claim(key: str) -> bool:
    """Claim the key of a form. Returns False if any process has claimed it before."""
    return note(_NO_TOKEN, key, _FORM, 0)


def settle(key: str, outcome: str) -> None:
    """Store the outcome of the form: the target of the redirect, empty if the answer is a page."""
    IdempotencyKey.update(outcome=outcome).where(_is_form(key)).execute()


def release(key: str) -> None:
    """Release the key after a failure: the form may be posted again."""
    IdempotencyKey.delete().where(_is_form(key)).execute()


def claimed(key: str) -> IdempotencyKey | None:
    """The stored row of a form with this key, or None."""
    return IdempotencyKey.get_or_none(_is_form(key))


def _is_form(key: str):
    return (IdempotencyKey.token == _NO_TOKEN) & (IdempotencyKey.key == key)


def forget(before: int) -> None:
    """Drop the keys used before that moment (epoch ms)."""
    IdempotencyKey.delete().where(IdempotencyKey.created_at < before).execute()
