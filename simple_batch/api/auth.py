"""Authenticates calls of the Batch API by the guard (auth/guard.py); refusals have OpenAI's form.

``api_blueprint`` makes the blueprints: authentication, errors and the request id of each."""

from flask import Blueprint, Response, g, request

from ..auth import tokens
from ..auth.credentials import bearer
from ..auth.guard import current_authenticator
from ..core import identity, log
from ..core.domain import Role
from ..core.identity import Actor, Scope
from ..core.messages import translatable
from ..store.models import Token
from . import errors
from .errors import ApiError


def caller() -> Token | None:
    """The token of this call; None for a loopback client without one."""
    return g.token


def viewer() -> Scope | None:
    """The scope of the call; None: all files and batches are visible."""
    return identity.current().sees


def check() -> None:
    """Raises ApiError 401 for a call that is not authenticated, 403 for what its token does not allow."""
    given, why = bearer(request.headers), current_authenticator().why_not_local()
    if tokens.needed() or current_authenticator().login_needed():
        g.token = tokens.verified(given) if given else None
        if g.token is None:
            raise _refused(given)
        found = tokens.caller(g.token, request.remote_addr or "")
    # a page of another site in this machine's browser cannot help sending Origin
    elif why is None and "Origin" not in request.headers:
        g.token, found = None, Actor("api", address=request.remote_addr or "")
    else:
        why = why or translatable(
            "a page of “%(origin)s” sent it", origin=request.headers["Origin"][:100]
        )
        raise ApiError(
            401,
            "Without a token this server answers programs on this machine alone, and this request "
            f"does not count as coming from it: {why}. Make a token on the page Access, or with "
            "flask create-token NAME, and send it as 'Authorization: Bearer …'.",
            code="invalid_api_key",
        )
    identity.act_as(found)
    if request.method not in ("GET", "HEAD", "OPTIONS") and not found.may(Role.OPERATOR):
        raise ApiError(
            403,
            "This token may only read: it takes the scope 'run', of a user who is no viewer.",
            code="forbidden",
        )


def _refused(given: str) -> ApiError:
    if not given:
        return ApiError(
            401,
            "You didn't provide an API key: send a token as 'Authorization: Bearer …'. "
            "flask create-token NAME makes one.",
        )
    return ApiError(
        401, "Incorrect API key provided, or one that was revoked.", code="invalid_api_key"
    )


def api_blueprint(name: str, url_prefix: str) -> Blueprint:
    """A blueprint that authenticates its calls and answers errors in OpenAI's form."""
    blueprint = Blueprint(f"openai_{name}", __name__, url_prefix=url_prefix)
    blueprint.before_request(check)
    blueprint.register_error_handler(Exception, errors.answer)
    blueprint.after_request(_name)
    return blueprint


def _name(response: Response) -> Response:
    # the clients show it as _request_id; log lines of this call have it too
    response.headers["x-request-id"] = log.context.get().replace(" ", "_")
    return response
