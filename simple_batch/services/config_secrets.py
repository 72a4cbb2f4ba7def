"""The secret headers and query parameters of an API config: stored encrypted, shown as their last four
characters, changed one by one."""

import json
from collections.abc import Iterable

import msgspec

from ..core import context
from ..core.errors import ConfigurationError, InvalidInput
from ..core.messages import listed, translatable
from ..core.redaction import parts_of, remember
from ..store.configs import secrets_of
from ..store.models import ApiConfig
from .config_fields import ConfigFields
from .header_checks import HEADER, PARAMETER, checked_headers, checked_query
from .other_base_urls import keeps_secrets

Secrets = dict[str, dict[str, str]]  # by place: headers, query
_KINDS = {"headers": HEADER, "query": PARAMETER}
_SHOWN_FROM = 12  # characters; of a shorter secret the last four would say too much


class SecretShown(msgspec.Struct, frozen=True):
    """A stored secret as users see it."""

    place: str  # headers or query
    name: str
    last4: str  # empty for a short one

    @property
    def masked(self) -> str:
        return f"••••{self.last4}"


def last4(secret: str) -> str:
    """The last four characters of a secret that is long enough to show them."""
    return secret[-4:] if len(secret) >= _SHOWN_FROM else ""


def secrets_shown(config: ApiConfig) -> list[SecretShown]:
    """The stored secrets of a config. Raises ConfigurationError where they cannot be opened."""
    return [
        SecretShown(place, name, last4(value))
        for place, values in secrets_of(config, context.vault()).items()
        for name, value in values.items()
    ]


def changed_secrets(config: ApiConfig | None, fields: ConfigFields, base_url: str) -> bytes | None:
    """The column for what the fields change; None where they change nothing. Raises InvalidInput for a
    secret that is not valid, and where a stored one would go to another base URL than its own."""
    stored = _stored(config, fields)
    moved = config is not None and not keeps_secrets(config.base_url, base_url)
    if stored is None:
        if moved:
            refuse_for_another_url([translatable("those that are stored")])
        return None
    changes = {"headers": fields.secret_headers, "query": fields.secret_query}
    kept = {place: _without(values, changes[place]) for place, values in stored.items()}
    if moved:
        refuse_for_another_url(name for values in kept.values() for name in values)
    merged = {
        place: {**values, **{name: value for name, value in changes[place].items() if value}}
        for place, values in kept.items()
    }
    checked = _checked(merged, fields)
    if checked == stored:
        return None
    for values in checked.values():
        remember(*(part for value in values.values() for part in parts_of(value)))
    return context.vault().encrypt(json.dumps(checked) if any(checked.values()) else "")


def refuse_for_another_url(kept: Iterable[str]) -> None:
    """Raises InvalidInput where secrets would be kept for another base URL than their own: else a user
    who can edit the config could send them anywhere."""
    names = list(kept)
    if names:
        raise InvalidInput(
            translatable(
                "The base URL has changed. Enter these secrets again, or remove them: %(names)s.",
                names=listed(names),
            ),
            "secrets",
        )


def _stored(config: ApiConfig | None, fields: ConfigFields) -> Secrets | None:
    """What is stored, opened; None where it cannot be and stays as it is. Secrets that no key opens are
    lost: what is entered takes their place."""
    if config is None or not config.secrets_encrypted:
        return {"headers": {}, "query": {}}
    try:
        return secrets_of(config, context.vault())
    except ConfigurationError:
        if fields.secret_headers or fields.secret_query:
            return {"headers": {}, "query": {}}
        return None


def _without(values: dict[str, str], changes: dict[str, str | None]) -> dict[str, str]:
    changed = set(map(str.lower, changes))
    return {name: value for name, value in values.items() if name.lower() not in changed}


def _checked(secrets: Secrets, fields: ConfigFields) -> Secrets:
    plain = {"headers": fields.headers, "query": fields.query}
    for place, values in secrets.items():
        taken = set(map(str.lower, plain[place]))
        for name in values:
            if name.lower() in taken:
                raise InvalidInput(
                    translatable(
                        "%(kind)s “%(name)s”: it is given as secret and as not secret.",
                        kind=_KINDS[place],
                        name=name,
                    ),
                    place,
                )
    return {
        "headers": checked_headers(secrets["headers"].items(), "secrets"),
        "query": checked_query(secrets["query"].items(), "secrets"),
    }
