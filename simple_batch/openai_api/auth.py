"""Who is let in, and what they see: a bearer token sees its own; without any token made, loopback
clients see all."""

from ipaddress import ip_address

from flask import g, request

from .. import tokens
from ..store.models import Token
from .errors import ApiError

_FORWARDED = ("Forwarded", "X-Forwarded-For", "X-Real-IP")


def caller() -> Token | None:
    """Whose call it is; None for a loopback client without a token."""
    return g.token


def viewer() -> Token | None:
    """Whose files and batches are seen; None: everybody's."""
    token = caller()
    return None if token is None or token.sees_all else token


def check() -> None:
    """Raises ApiError 401 for whoever is not let in."""
    scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
    given = secret.strip() if scheme.lower() == "bearer" else ""
    if tokens.needed():
        g.token = tokens.verified(given) if given else None
        if g.token is None:
            raise _refused(given)
    elif _from_this_machine():
        g.token = None
    else:
        raise ApiError(
            401,
            "This server lets programs in by token only: make one on its page Tokens, or with "
            "flask create-token, and send it as 'Authorization: Bearer …'.",
            code="invalid_api_key",
        )


def _refused(given: str) -> ApiError:
    if not given:
        message = "You didn't provide an API key: send a token as 'Authorization: Bearer …'."
        return ApiError(401, message)
    return ApiError(
        401, "Incorrect API key provided, or one that was revoked.", code="invalid_api_key"
    )


def _from_this_machine() -> bool:
    """True for a program on this machine: not for what a proxy forwards, nor for a page of another
    site in this machine's browser (which cannot help sending Origin, or its own host's name)."""
    if any(name in request.headers for name in _FORWARDED) or "Origin" in request.headers:
        return False
    return _is_loopback(request.remote_addr) and _is_loopback(_host())


def _host() -> str:
    host = request.host.rsplit(":", 1)[0] if not request.host.endswith("]") else request.host
    return host.strip("[]")


def _is_loopback(name: str | None) -> bool:
    if name == "localhost":
        return True
    try:
        address = ip_address(name or "")
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback
