"""What the blueprints of this API have in common: who gets in, how errors are told, and the id that
a call has in its answer and in the log."""

from flask import Blueprint, Response

from .. import log
from . import auth, errors


def api_blueprint(name: str, url_prefix: str) -> Blueprint:
    """A blueprint for those with a token, answering errors in OpenAI's form."""
    blueprint = Blueprint(f"openai_{name}", __name__, url_prefix=url_prefix)
    blueprint.before_request(auth.check)
    blueprint.register_error_handler(Exception, errors.answer)
    blueprint.after_request(_name)
    return blueprint


def _name(response: Response) -> Response:
    # the clients show it as _request_id; log lines of this call have it too
    response.headers["x-request-id"] = log.context.get().replace(" ", "_")
    return response
