"""Puts what a user entered in its place: the query of a base URL goes to the query parameters, and a
value whose name says that it is secret to the secret ones."""

from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from ..core.errors import InvalidInput
from ..core.messages import Message, listed, translatable
from ..engine.request_urls import API_VERSION, dated_azure
from .config_fields import ConfigFields
from .header_checks import checked_query, looks_secret


def put_in_place(fields: ConfigFields) -> list[Message]:
    """Change the fields so; returns what was moved, in sentences for the user. A second call changes
    nothing. Raises InvalidInput for a parameter that is not valid, or is given twice."""
    notes = []
    if moved := _move_query(fields):
        notes.append(
            translatable(
                "Moved from the base URL to the query parameters: %(names)s.", names=listed(moved)
            )
        )
    secret = [
        *_move_secrets(fields.headers, fields.secret_headers),
        *_move_secrets(fields.query, fields.secret_query),
    ]
    if secret:
        notes.append(
            translatable("Stored as secret because of the name: %(names)s.", names=listed(secret))
        )
    return notes


def check_api_version(base_url: str, names: Iterable[str]) -> None:
    """Raises InvalidInput where a base URL is that of Azure's dated API and the parameter that it needs
    is not among the ``names``."""
    parts = urlsplit(base_url)
    azure = (parts.hostname or "").endswith((".openai.azure.com", ".cognitiveservices.azure.com"))
    dated = dated_azure(parts.path, {API_VERSION: ""})[0] is not None
    if azure and dated and API_VERSION not in map(str.lower, names):
        raise InvalidInput(
            translatable(
                "Base URL: Azure's dated API needs ?api-version=…, for example "
                "?api-version=2024-10-21. Without it, use /openai/v1."
            ),
            "base_url",
        )


def _move_query(fields: ConfigFields) -> list[str]:
    try:
        parts = urlsplit((fields.base_url or "").strip())
        given = parse_qsl(parts.query, keep_blank_values=True)
    except ValueError:
        return []  # the check of the base URL says why
    if parts.query or fields.base_url.strip().endswith("?"):
        rest = {name: value for name, value in fields.query.items() if (name, value) not in given}
        fields.query = checked_query([*given, *rest.items()], "base_url")
        fields.base_url = urlunsplit(parts._replace(query=""))
    return [name for name, _value in given]


def _move_secrets(plain: dict[str, str], secret: dict[str, str | None]) -> list[str]:
    """A secret that was entered as such wins over what stands among the plain ones."""
    moved = [name for name in plain if looks_secret(name)]
    for name in moved:
        secret.setdefault(name, plain[name])
        del plain[name]
    return moved
