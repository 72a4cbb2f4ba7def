"""What a request brings to authenticate its caller: a token or the cookie of a session."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field

from werkzeug.datastructures import Headers

from . import local_requests, tokens

_AUTHENTICATING = ("HTTP_COOKIE", "HTTP_AUTHORIZATION", *local_requests.DECIDES)


@dataclass(frozen=True)
class Credentials:
    """The credentials of a request. A token decides alone: with one, no session counts."""

    token_digest: str  # empty without a token
    account_id: str  # from Account.get_id; empty without a session
    local: bool  # from this machine
    session_id: str = field(compare=False)


def credentials_digest(environ: Mapping) -> bytes:
    """A digest of all values in a request that authenticate its caller. A digest, because the values
    may be secret and of any length."""
    given = [environ.get(name) for name in _AUTHENTICATING]
    proxied = local_requests.proxy_headers(environ)
    return hashlib.blake2b(repr((given, proxied)).encode(), digest_size=32).digest()


def bearer(headers: Headers) -> str:
    """The secret in the request's bearer header; empty without one."""
    scheme, _, secret = headers.get("Authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def token_in(headers: Headers) -> str:
    """The secret of one of our tokens, valid or not. Another bearer may be meant for a proxy."""
    secret = bearer(headers)
    return secret if secret.startswith(tokens.PREFIX) else ""


def secret_digest(secret: str) -> bytes:
    """A secret of 256 random bits needs no slow hash."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()
