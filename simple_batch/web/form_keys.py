"""Idempotent forms: a form that creates or starts something has a key, a new one each time its page is
loaded. Posting the same again redirects to the outcome of the first post.

The key is stored in the database, so this holds for posts at the same time, for several web processes,
and after a restart. It counts together with the caller, the URL and the values: a form that was changed
(with Back, or after an error) is another one. If the answer is a page instead of a redirect, only this
process keeps it, for a few minutes: it may show a secret.
"""

import functools
import hashlib
import secrets
import time
from collections.abc import Callable

from cachetools import TTLCache
from flask import Flask, Response, current_app, g, make_response, redirect, request
from markupsafe import Markup
from werkzeug.wrappers import Response as BaseResponse

from ..core import identity
from ..core.clock import now_ms
from ..core.errors import Conflict
from ..core.messages import translatable
from ..store import idempotency

FIELD = "form_key"
_NOT_IN_KEY = {FIELD, "csrf_token"}
_WAIT_S = 30.0  # for the outcome of another post of the same form
_LOST_MS = 600_000  # after this a post without an outcome is lost: its process ended
_MAX_PAGES, _PAGE_TTL_S = 32, 300.0
_BLOCK = 1 << 16


def register(app: Flask) -> None:
    """Call this before pages are rendered."""
    app.jinja_env.globals["form_key"] = _field
    app.extensions["simple_batch_form_pages"] = TTLCache(_MAX_PAGES, _PAGE_TTL_S)


def new_key() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


def once(view: Callable) -> Callable:
    """Decorator of a view whose form creates something; a post without a key always runs the view."""

    @functools.wraps(view)
    def guarded(*args, **kwargs):
        given = request.form.get(FIELD, "") if request.method == "POST" else ""
        if not given:
            return view(*args, **kwargs)
        key = _key(given)
        if not idempotency.claim(key):
            former = _outcome(key)
            if former is not None:
                return former
        return _first(key, lambda: view(*args, **kwargs))

    guarded.once = True  # type: ignore[attr-defined]  # tests ask each form for it
    return guarded


def undone() -> None:
    """Call this in a view that created nothing but redirects, so that the form can be sent again."""
    g.form_undone = True


def _field() -> Markup:
    """The input that carries the key of the page."""
    if "form_key" not in g:
        g.form_key = new_key()
    return Markup('<input type="hidden" name="{}" value="{}">').format(FIELD, g.form_key)


def _first(key: str, view: Callable) -> Response:
    try:
        answer = make_response(view())
    except BaseException:
        idempotency.release(key)
        raise
    if answer.status_code >= 400 or g.pop("form_undone", False):
        idempotency.release(key)
        return answer
    if answer.location is None:
        _keep_page(key, answer)
    idempotency.settle(key, answer.location or "")
    return answer


def _outcome(key: str) -> BaseResponse | None:
    """Wait for the outcome of an earlier post of the same form. Returns None if that had none: this post
    then has the key. Raises Conflict."""
    end = time.monotonic() + _WAIT_S
    while True:
        found = idempotency.claimed(key)
        if found is None:
            if idempotency.claim(key):
                return None
            continue
        if found.outcome:
            return redirect(found.outcome, 303)
        page = _kept_page(key)
        if page is not None:
            return page
        if found.outcome is not None or found.created_at < now_ms() - _LOST_MS:
            break
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    raise Conflict(
        translatable(
            "This form was already sent, so nothing was repeated. Check the result, or "
            "reload the form to send it again."
        )
    )


def _key(given: str) -> str:
    """Identifies a form by its caller, URL and values."""
    caller = identity.current()
    values = sorted((k, v) for k, v in request.form.items(multi=True) if k not in _NOT_IN_KEY)
    files = [(name, file.filename, _digest(file)) for name, file in request.files.items(multi=True)]
    sent = request.full_path, values, files
    return "form-" + idempotency.fingerprint(given, caller.user, caller.name, sent)


def _digest(file) -> str:
    digest = hashlib.sha256()
    while block := file.stream.read(_BLOCK):
        digest.update(block)
    file.stream.seek(0)
    return digest.hexdigest()


def _keep_page(key: str, answer: Response) -> None:
    headers = [(name, value) for name, value in answer.headers if name != "Set-Cookie"]
    _pages()[key] = answer.get_data(), headers


def _kept_page(key: str) -> Response | None:
    page = _pages().get(key)
    return None if page is None else Response(page[0], headers=page[1])


def _pages() -> "TTLCache[str, tuple[bytes, list[tuple[str, str]]]]":
    """The last few pages that answered forms of this process: body and headers."""
    return current_app.extensions["simple_batch_form_pages"]
