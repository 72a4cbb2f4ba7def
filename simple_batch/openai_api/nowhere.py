"""Whatever else is asked for under /v1."""

from flask import request

from .blueprint import api_blueprint
from .errors import ApiError

blueprint = api_blueprint("nowhere", "/v1")

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


@blueprint.route("/", defaults={"rest": ""}, methods=_METHODS)
@blueprint.route("/<path:rest>", methods=_METHODS)
def nowhere(rest: str):
    """Not served."""
    raise ApiError(404, f"Invalid URL ({request.method} /v1/{rest})", code="unknown_url")
