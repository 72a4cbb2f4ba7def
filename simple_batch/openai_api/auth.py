"""Who is let in, and what they see: the door knows (door.py); here it is told in OpenAI's form."""

from flask import g, request

from .. import tokens, who
from ..domain import Role
from ..door import bearer, the_door
from ..store.models import Token
from ..who import Caller, Viewer
from ..wording import said
from .errors import ApiError


def caller() -> Token | None:
    """The token of this call; None for a loopback client without one."""
    return g.token


def viewer() -> Viewer | None:
    """Whose files and batches are seen; None: everybody's."""
    return who.current().sees


def check() -> None:
    """Raises ApiError 401 for whoever is not let in, 403 for what their token does not allow."""
    given, why = bearer(request.headers), the_door().why_not_local()
    if tokens.needed() or the_door().login_needed():
        g.token = tokens.verified(given) if given else None
        if g.token is None:
            raise _refused(given)
        found = tokens.caller(g.token, request.remote_addr or "")
    # a page of another site in this machine's browser cannot help sending Origin
    elif why is None and "Origin" not in request.headers:
        g.token, found = None, Caller("api", address=request.remote_addr or "")
    else:
        why = why or said("a page of “%(origin)s” sent it", origin=request.headers["Origin"][:100])
        raise ApiError(
            401,
            "Without a token this server answers programs on this machine alone, and this request "
            f"does not count as coming from it: {why}. Make a token on the page Access, or with "
            "flask create-token NAME, and send it as 'Authorization: Bearer …'.",
            code="invalid_api_key",
        )
    who.act_as(found)
    if request.method not in ("GET", "HEAD", "OPTIONS") and not found.may(Role.OPERATOR):
        raise ApiError(
            403,
            "This token may only read: it takes the scope 'run', of a user who is no viewer.",
            code="forbidden",
        )


def _refused(given: str) -> ApiError:
    if not given:
        message = (
            "You didn't provide an API key: send a token as 'Authorization: Bearer …'. "
            "flask create-token NAME makes one."
        )
        return ApiError(401, message)
    return ApiError(
        401, "Incorrect API key provided, or one that was revoked.", code="invalid_api_key"
    )
