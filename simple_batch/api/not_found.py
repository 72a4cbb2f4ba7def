"""Whatever else is asked for under /v1."""

from flask import Flask, Response, current_app, request
from werkzeug.routing import Map

from . import errors
from .auth import api_blueprint
from .errors import ApiError

blueprint = api_blueprint("nowhere", "/v1")

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def register(app: Flask) -> None:
    """To be called when everything else is registered: this takes what is left."""
    served = Map([rule.empty() for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1")])
    app.extensions["openai_api_served"] = served
    app.register_blueprint(blueprint)


@blueprint.route("/", defaults={"rest": ""}, methods=_METHODS)
@blueprint.route("/<path:rest>", methods=_METHODS)
def nowhere(rest: str) -> Response:
    """Not served; 405 says what is, at an address that there is."""
    served = current_app.extensions["openai_api_served"].bind("")
    allowed = ", ".join(sorted({*served.allowed_methods(request.path)} - {"HEAD", "OPTIONS"}))
    asked = f"{request.method} /v1/{rest}"
    if not allowed:
        raise ApiError(404, f"Invalid URL ({asked})", code="unknown_url")
    message = f"Not allowed: {asked}. This address takes {allowed}."
    response = errors.answer(ApiError(405, message, code="method_not_supported"))
    response.headers["Allow"] = allowed
    return response
