"""Answers all other URLs under /v1."""

from flask import Flask, Response, current_app, request
from werkzeug.routing import Map

from . import errors
from .auth import api_blueprint
from .errors import ApiError

blueprint = api_blueprint("nowhere", "/v1")

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


def register(app: Flask) -> None:
    """Call this after all other routes are registered: it takes the rest."""
    served = Map([rule.empty() for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1")])
    app.extensions["openai_api_served"] = served
    app.register_blueprint(blueprint)


@blueprint.route("/", defaults={"rest": ""}, methods=_METHODS)
@blueprint.route("/<path:rest>", methods=_METHODS)
def nowhere(rest: str) -> Response:
    """404, or 405 with the allowed methods where the URL exists."""
    served = current_app.extensions["openai_api_served"].bind("")
    allowed = ", ".join(sorted({*served.allowed_methods(request.path)} - {"HEAD", "OPTIONS"}))
    asked = f"{request.method} /v1/{rest}"
    if not allowed:
        raise ApiError(404, f"Invalid URL ({asked})", code="unknown_url")
    message = f"Not allowed: {asked}. This address takes {allowed}."
    response = errors.answer(ApiError(405, message, code="method_not_supported"))
    response.headers["Allow"] = allowed
    return response
