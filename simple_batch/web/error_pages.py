"""Errors as pages, or as JSON where JSON was asked for."""

import logging

from flask import Flask, jsonify, redirect, render_template, request, url_for
from flask_babel import gettext as _
from flask_wtf.csrf import CSRFError
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from ..core.errors import LoginNeeded, SimpleBatchError
from ..store.database import connected, is_unavailable
from .labels import translated

log = logging.getLogger(__name__)


def register(app: Flask) -> None:
    app.register_error_handler(SimpleBatchError, _ours)
    app.register_error_handler(LoginNeeded, _login_needed)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unforeseen)


def wants_json() -> bool:
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html")
    return best == "application/json" or request.path.endswith(".json")


def answer(status: int, message: str):
    if wants_json():
        return jsonify(error=message), status
    try:
        with connected():  # a file that is not there is asked for without a connection
            return render_template("errors/error.html", status=status, message=message), status
    except Exception as error:
        if not is_unavailable(error):
            raise
        return render_template("errors/away.html", status=status, message=message), status


def _ours(error: SimpleBatchError):
    return answer(error.http_status, translated(error))


def _login_needed(error: LoginNeeded):
    """To the login, and from there back to the page; who sent a form gets a message instead."""
    login = url_for("login.page", next=request.full_path.rstrip("?"))
    if request.headers.get("HX-Request"):
        return "", 401, {"HX-Redirect": url_for("login.page")}
    if wants_json() or request.method not in ("GET", "HEAD"):
        return answer(401, translated(error))
    return redirect(login, 303)


def _csrf(error: CSRFError):
    return answer(
        400, _("This form is too old or was not sent from this site: reload it and try again.")
    )


def _too_large(error: RequestEntityTooLarge):
    return answer(
        413,
        _(
            "That is larger than this server takes. Upload a file instead of pasting, or split it; "
            "more than 500 images go into a ZIP archive."
        ),
    )


def _http(error: HTTPException):
    messages = {
        404: _("There is no such page."),
        405: _("This address does not take that kind of request."),
    }
    if error.code and error.code < 400:
        return error
    told = messages.get(error.code, error.description or error.name)
    return *answer(error.code or 500, told), _more_headers(error)


def _more_headers(error: HTTPException) -> dict[str, str]:
    """What the standard has beside the status: Allow, Retry-After, WWW-Authenticate, Content-Range."""
    ours = ("Content-Type", "Location")
    return {name: value for name, value in error.get_headers() if name not in ours}


def _unforeseen(error: Exception):
    if is_unavailable(error):
        log.error("a page failed, the database is away: %s", error)
        return answer(503, _("The database cannot be reached at the moment: try again soon."))
    log.exception("a page failed")
    return answer(500, _("Something went wrong in Simple Batch. The log says more."))
