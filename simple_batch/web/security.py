"""CSRF tokens on every form, an id for each request in the log, and pages that browsers must not store."""

import uuid

from flask import Flask, Response, request
from flask_wtf import CSRFProtect

from ..core import log

# their pages may show a secret, or a URL that contains one
_NO_STORE = {"access", "configs"}


def register(app: Flask) -> None:
    CSRFProtect(app)
    # a page may stay open all day; the token still ends with the session
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)

    @app.before_request
    def name_request() -> None:
        log.context.set(f"req {uuid.uuid4().hex[:8]}")

    @app.after_request
    def keep_nothing(response: Response) -> Response:
        if request.blueprint in _NO_STORE:
            response.headers.setdefault("Cache-Control", "no-store")
        return response
