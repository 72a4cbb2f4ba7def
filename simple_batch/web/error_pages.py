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
    app.register_error_handler(SimpleBatchError, _own_error)
    app.register_error_handler(LoginNeeded, _login_needed)
    app.register_error_handler(CSRFError, _csrf)
    app.register_error_handler(RequestEntityTooLarge, _too_large)
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)


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


def _own_error(error: SimpleBatchError):
    return answer(error.http_status, translated(error))


def _login_needed(error: LoginNeeded):
    """Redirect to the login, and from there back to the page; answer a form with the error."""
    login = url_for("login.page", next=request.full_path.rstrip("?"))
    if request.headers.get("HX-Request"):
        return "", 401, {"HX-Redirect": url_for("login.page")}
    if wants_json() or request.method not in ("GET", "HEAD"):
        return answer(401, translated(error))
    return redirect(login, 303)


def _csrf(error: CSRFError):
    return answer(
        400, _("This form has expired or is not from this site. Reload the page and try again.")
    )


def _too_large(error: RequestEntityTooLarge):
    return answer(
        413,
        _(
            "This is too large for the server. Upload a file instead of pasting, or "
            "split it. Put more than 500 images in a ZIP archive."
        ),
    )


def _http(error: HTTPException):
    messages = {
        404: _("Page not found."),
        405: _("This address does not accept this kind of request."),
    }
    if error.code and error.code < 400:
        return error
    status = error.code or 500
    message = messages.get(status, error.description or error.name)
    return *answer(status, message), _more_headers(error)


def _more_headers(error: HTTPException) -> dict[str, str]:
    """Headers of the error: Allow, Retry-After, WWW-Authenticate, Content-Range."""
    replaced = ("Content-Type", "Location")
    return {name: value for name, value in error.get_headers() if name not in replaced}


def _unexpected(error: Exception):
    if is_unavailable(error):
        log.error("a page failed, the database is away: %s", error)
        return answer(503, _("The database cannot be reached right now. Try again soon."))
    log.exception("a page failed")
    return answer(500, _("Something went wrong in Simple Batch. See the log for details."))
