"""CSRF tokens on every form, and headers that keep a page to its own scripts."""

import uuid

from flask import Flask, Response
from flask_wtf import CSRFProtect

from .. import log

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self' ws: wss:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
}


def register(app: Flask) -> None:
    CSRFProtect(app)
    # a page may stay open all day; the token still ends with the session
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)

    @app.before_request
    def name_request() -> None:
        log.context.set(f"req {uuid.uuid4().hex[:8]}")

    @app.after_request
    def add_headers(response: Response) -> Response:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
        return response
