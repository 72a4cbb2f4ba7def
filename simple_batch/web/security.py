"""CSRF tokens on every form, a name for each request, and pages that no browser keeps."""

import uuid

from flask import Flask, Response, request
from flask_wtf import CSRFProtect

from ..core import log

# what stands on their pages may be a secret, or an address of one
_NEVER_KEPT = {"access", "configs"}


def register(app: Flask) -> None:
    CSRFProtect(app)
    # a page may stay open all day; the token still ends with the session
    app.config.setdefault("WTF_CSRF_TIME_LIMIT", None)

    @app.before_request
    def name_request() -> None:
        log.context.set(f"req {uuid.uuid4().hex[:8]}")

    @app.after_request
    def keep_nothing(response: Response) -> Response:
        if request.blueprint in _NEVER_KEPT:
            response.headers.setdefault("Cache-Control", "no-store")
        return response
