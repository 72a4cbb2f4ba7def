"""Page cache: under load, one rendered page answers all equal requests for up to PAGE_TTL_S.

Pages are rendered in the process that makes the calls: 200 a second would leave it no time for jobs. So the
cache sheds load: it answers only while rendering takes more than RENDER_SHARE of the time and at least
MIN_CLIENTS ask. Otherwise every request is a miss, and a single client always gets a new page. A hit may be
stale; the live feed brings newer figures.

The key of an entry holds everything that a page can depend on, so that no user gets the page of another.
Every request other than GET and every change of a job's status clears the cache; where several processes
serve, changes of jobs and users in the other processes do so too.

There are two places for a hit. A request with credentials that were authenticated a moment ago is answered
before Flask handles it; the first request of a client is answered before the view runs.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
from cachetools import LRUCache, TTLCache
from flask import Flask, Response, g, request, session
from flask_wtf.csrf import generate_csrf

from ..auth.credentials import credentials_digest
from ..auth.sessions import RENEWED, SESSION, Authenticator
from ..core import events
from ..core.identity import Actor
from ..core.settings import MIB
from ..runner import signals
from .form_keys import new_key

RENDER_SHARE = 0.02  # of the time may go into rendering before the cache answers
MIN_CLIENTS = 8  # connections within WINDOW_S: fewer wait for one another, and always get new pages
PAGE_TTL_S = 5.0
WINDOW_S = 2.0  # over which load and clients are measured
MAX_BYTES = 16 * MIB
MAX_KNOWN = 4096
_KEY_VALUES = (  # of a WSGI environ
    "HTTP_ACCEPT",
    "HTTP_ACCEPT_LANGUAGE",
    "HTTP_AUTHORIZATION",
    "HTTP_HOST",
    "HTTP_RANGE",
    "HTTP_X_REQUESTED_WITH",
    "PATH_INFO",
    "QUERY_STRING",
    "SCRIPT_NAME",
    "SERVER_NAME",
    "SERVER_PORT",
    "wsgi.url_scheme",
)
_NEVER_CACHED = ("/static/", "/socket.io/", "/finished")  # the last one notes that it was looked at
_CSRF = "csrf_token"  # the session's, and g's
_NOT_IN_KEY = {_CSRF, RENEWED, SESSION, "_id", "_fresh"}  # of a session: no page shows them


class _Entry(msgspec.Struct, frozen=True):
    """A rendered page."""

    parts: list[bytes]  # between these stands the client's CSRF token
    headers: list[tuple[str, str]]
    size: int  # bytes
    form_key: bytes | None  # each answer gets another

    def body(self, csrf_token: Callable[[], str]) -> bytes:
        whole = self.parts[0] if len(self.parts) == 1 else csrf_token().encode().join(self.parts)
        return whole if self.form_key is None else whole.replace(self.form_key, new_key().encode())


class _KnownClient(msgspec.Struct, frozen=True):
    """What the last request with the same credentials has shown."""

    caller: Actor
    audience: bytes
    csrf_token: str


class LoadMeter:
    """The rate of something over about WINDOW_S, in units per second; older amounts fade."""

    def __init__(self) -> None:
        self._sum = self._at = 0.0

    def add(self, amount: float, now: float) -> None:
        self._sum = self.per_second(now) * WINDOW_S + amount
        self._at = now

    def per_second(self, now: float) -> float:
        return self._sum * math.exp((self._at - now) / WINDOW_S) / WINDOW_S


class RecentClients:
    """The connections that sent a request within WINDOW_S."""

    def __init__(self) -> None:
        self._last_seen: OrderedDict[tuple, float] = OrderedDict()  # the latest last

    def add(self, environ: Mapping, now: float) -> None:
        connection = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
        self._last_seen[connection] = now
        self._last_seen.move_to_end(connection)
        while next(iter(self._last_seen.values())) < now - WINDOW_S:
            self._last_seen.popitem(last=False)

    def __len__(self) -> int:
        return len(self._last_seen)


class PageCache:
    """Wraps a WSGI app, and its dispatcher: there behind everything that decides who may see a page."""

    def __init__(
        self, app: Flask, authenticator: Authenticator, clock: Callable[[], float] = time.monotonic
    ):
        self._app, self._dispatch = app.wsgi_app, app.dispatch_request
        self._session_cookie = app.config["SESSION_COOKIE_NAME"]
        self._authenticator = authenticator
        self._clock = clock
        self._pages: TTLCache[bytes, _Entry] = TTLCache(
            MAX_BYTES, PAGE_TTL_S, lambda: self._clock(), getsizeof=lambda entry: entry.size
        )
        self._known: LRUCache[bytes, _KnownClient] = LRUCache(MAX_KNOWN)  # by credentials_digest
        self._rendering = LoadMeter()  # seconds per second
        self._clients = RecentClients()

    def serve(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        """In place of the WSGI app."""
        path = environ.get("PATH_INFO", "")
        if environ["REQUEST_METHOD"] != "GET" or path.startswith(_NEVER_CACHED):
            return self._app(environ, start_response)
        self._clients.add(environ, self._clock())
        client = self._known_client(environ)
        entry = None if client is None else self._hit(_key(client.audience, environ))
        if client is None or entry is None:
            return self._app(environ, start_response)
        body = entry.body(lambda: client.csrf_token)
        start_response("200 OK", [*entry.headers, ("Content-Length", str(len(body)))])
        return [body]

    def dispatch(self):
        """In place of the app's dispatcher."""
        if request.method not in ("GET", "HEAD"):
            self.clear()
            try:
                return self._dispatch()
            finally:
                self.clear()  # also what was stored while it worked
        if (
            request.method == "HEAD"
            or request.path.startswith(_NEVER_CACHED)
            or "_flashes" in session
        ):
            return self._dispatch()
        g.audience = self._audience()
        key = _key(g.audience, request.environ)
        entry = self._hit(key)
        if entry is not None:
            return Response(entry.body(generate_csrf), headers=entry.headers)
        g.page_key, began = key, self._clock()
        answer = self._dispatch()
        self._rendering.add(self._clock() - began, self._clock())
        return answer

    def store(self, response: Response) -> Response:
        """Store what a view has rendered, and who asked for it; after everything but the session's
        cookie was added to the answer."""
        key, audience = g.pop("page_key", None), g.pop("audience", None)
        authenticated = audience is not None and g.get("caller") is not None
        if authenticated and _CSRF in g and not session.modified:
            client = _KnownClient(g.caller, audience, g.get(_CSRF))
            self._known[credentials_digest(request.environ)] = client
        cacheable = (
            response.status_code == 200
            and response.mimetype == "text/html"
            and not response.is_streamed
            and not response.direct_passthrough
            and "Set-Cookie" not in response.headers
        )
        if key is not None and cacheable:
            self._store_page(key, response)
        return response

    def clear(self, *_sender, **_what) -> None:
        self._pages.clear()

    def _hit(self, key: bytes) -> _Entry | None:
        """The entry to answer with; None on a miss, and while there is no load to shed."""
        if len(self._clients) < MIN_CLIENTS:
            return None
        if self._rendering.per_second(self._clock()) <= RENDER_SHARE:
            return None
        return self._pages.get(key)

    def _store_page(self, key: bytes, response: Response) -> None:
        body, csrf_token, form_key = response.get_data(), g.get(_CSRF), g.get("form_key")
        response.vary.add("Cookie")
        if len(body) > self._pages.maxsize:
            return
        self._pages[key] = _Entry(
            body.split(csrf_token.encode()) if csrf_token else [body],
            [(name, value) for name, value in response.headers if name != "Content-Length"],
            len(body),
            form_key and form_key.encode(),
        )

    def _audience(self) -> bytes:
        """A digest of what a page may depend on that comes with the client, whatever it asks for."""
        caller = g.get("caller")
        shown = sorted((name, value) for name, value in session.items() if name not in _NOT_IN_KEY)
        cookies = ((k, v) for k, v in request.cookies.items() if k != self._session_cookie)
        # with role and scope: a session outlives a change of these
        return _digest(caller and replace(caller, address=""), shown, sorted(cookies))

    def _known_client(self, environ: Mapping) -> _KnownClient | None:
        """The client of this request, if it was authenticated a moment ago."""
        digest = credentials_digest(environ)
        client = self._known.get(digest)
        if client is None or self._authenticator.cached_caller(environ, digest) != client.caller:
            return None
        return client


def register(app: Flask) -> None:
    """Call this before anything else that adds to answers (handlers run in reverse order)."""
    cache = PageCache(app, app.extensions["simple_batch_auth"])
    app.wsgi_app = cache.serve  # type: ignore[method-assign]  # as Flask's docs do
    app.dispatch_request = cache.dispatch  # type: ignore[method-assign]  # likewise
    app.after_request(cache.store)
    signals.job_status.connect(cache.clear)
    events.received.connect(cache.clear)
    app.extensions["simple_batch_page_cache"] = cache  # signals hold their receivers weakly


def _key(audience: bytes, environ: Mapping) -> bytes:
    """A digest of everything that a page may depend on besides the database."""
    values = [environ.get(name) for name in _KEY_VALUES]
    htmx = [item for item in environ.items() if item[0].startswith("HTTP_HX_")]
    return _digest(audience, values, htmx)


def _digest(*parts) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()
