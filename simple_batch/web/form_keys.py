"""One form, one outcome: a form that creates or starts something has a key, which is another one each
time its page is loaded. Posting the same again leads where the first post led.

The key stands in the database, so this holds for posts at the same time, for several web processes,
and after a restart. It counts together with who posts, where to, and what the form says: a form that was
changed (with Back, or after a complaint) is another one. A page that came in answer, instead of
another address, is kept for a while in this process alone: it may hold a secret.
"""

import functools
import hashlib
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable

from flask import Flask, Response, current_app, g, make_response, redirect, request
from markupsafe import Markup

from ..core import identity
from ..core.clock import now_ms
from ..core.errors import Conflict
from ..core.messages import translatable
from ..store import idempotency

FIELD = "form_key"
_NOT_SAID = {FIELD, "csrf_token"}  # by a form
_PATIENCE_S = 30.0  # with another post of the same form that is still worked on
_LOST_MS = 600_000  # so old it will not end any more: its process did
_MOST_PAGES, _PAGES_S = 32, 300.0
_BLOCK = 1 << 16


def register(app: Flask) -> None:
    """To be called before pages are rendered."""
    app.jinja_env.globals["form_key"] = _field
    app.extensions["simple_batch_form_pages"] = _Pages()


def new_key() -> str:
    """32 hexadecimal digits."""
    return secrets.token_hex(16)


def once(view: Callable) -> Callable:
    """A view whose form makes something; a post without a key is taken as it comes."""

    @functools.wraps(view)
    def guarded(*args, **kwargs):
        given = request.form.get(FIELD, "") if request.method == "POST" else ""
        if not given:
            return view(*args, **kwargs)
        key = _key(given)
        if not idempotency.claim(key):
            before = _outcome(key)
            if before is not None:
                return before
        return _first(key, lambda: view(*args, **kwargs))

    guarded.once = True
    return guarded


def undone() -> None:
    """To be called by a view that made nothing and yet leads to another page."""
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
        _pages().keep(key, answer)
    idempotency.settle(key, answer.location or "")
    return answer


def _outcome(key: str) -> Response | None:
    """The outcome of the same form sent before, once it is known; None if it had none, and this
    post has the key now. Raises Conflict."""
    end = time.monotonic() + _PATIENCE_S
    while True:
        found = idempotency.claimed(key)
        if found is None:
            if idempotency.claim(key):
                return None
            continue
        if found.outcome:
            return redirect(found.outcome, 303)
        page = _pages().kept(key)
        if page is not None:
            return page
        if found.outcome is not None or found.created_at < now_ms() - _LOST_MS:
            break
        if time.monotonic() > end:
            break
        time.sleep(0.05)
    raise Conflict(
        translatable(
            "This form was already sent, so nothing was done again. Check the result, "
            "or reload the form to send it again."
        )
    )


def _key(given: str) -> str:
    """Names a form: who posts it, where to, what it says."""
    caller = identity.current()
    said_by_it = sorted((k, v) for k, v in request.form.items(multi=True) if k not in _NOT_SAID)
    files = [(name, file.filename, _digest(file)) for name, file in request.files.items(multi=True)]
    asked = request.full_path, said_by_it, files
    return "form-" + idempotency.fingerprint(given, caller.user, caller.name, asked)


def _digest(file) -> str:
    digest = hashlib.sha256()
    while block := file.stream.read(_BLOCK):
        digest.update(block)
    file.stream.seek(0)
    return digest.hexdigest()


def _pages() -> "_Pages":
    return current_app.extensions["simple_batch_form_pages"]


class _Pages:
    """Answers of this process that are pages, the last few, for some minutes."""

    def __init__(self):
        self._kept: OrderedDict[str, tuple[float, bytes, list]] = OrderedDict()

    def keep(self, key: str, answer: Response) -> None:
        headers = [pair for pair in answer.headers if pair[0] != "Set-Cookie"]
        self._kept[key] = time.monotonic(), answer.get_data(), headers
        while len(self._kept) > _MOST_PAGES:
            self._kept.popitem(last=False)

    def kept(self, key: str) -> Response | None:
        made, body, headers = self._kept.get(key, (0.0, b"", []))
        if not headers or time.monotonic() - made > _PAGES_S:
            return None
        return Response(body, headers=headers)
