"""Page cache: under load, one rendered page answers all equal requests for a few seconds.

Pages are rendered in the process that makes the calls: 200 a second would leave it no time for jobs. While
pages take more than their share of the time, a request gets the copy that was rendered last, at most a few
seconds old; the live feed brings newer figures. A single client always gets a new page. The key of a copy
holds everything that a page can depend on, so that no user gets the page of another. Every request
other than GET and every change of a job's status empties the cache; where several processes serve, changes
of jobs and users in the other processes do so too.

A request with credentials that were authenticated a moment ago gets its copy before Flask handles it;
the first request of a caller gets it before the view runs.
"""

import hashlib
import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
from flask import Flask, Response, g, request, session
from flask_wtf.csrf import generate_csrf

from ..auth.guard import RENEWED, SESSION, Guard, credentials_digest
from ..core import events
from ..core.identity import Actor
from ..core.settings import MIB
from ..runner import signals
from .form_keys import new_key

SHARE = 0.02  # of the time may go into making pages before copies are given
CROWD = 8  # connections with a recent request: fewer wait for one another, and always get new pages
LONGEST_S = 5.0  # no copy is older
MEMORY_S = 2.0  # what counts as recent
MOST_BYTES = 16 * MIB
MOST_READERS = 4096
_WISH = (
    *("wsgi.url_scheme", "HTTP_HOST", "SERVER_NAME", "SERVER_PORT"),
    *("SCRIPT_NAME", "PATH_INFO", "QUERY_STRING"),
    *("HTTP_ACCEPT", "HTTP_ACCEPT_LANGUAGE", "HTTP_AUTHORIZATION", "HTTP_RANGE"),
    "HTTP_X_REQUESTED_WITH",
)
_NO_PAGES = ("/static/", "/socket.io/")
_FIELD = "csrf_token"  # the session's, and g's
_UNSEEN = {_FIELD, RENEWED, SESSION, "_id", "_fresh"}  # of a session: no page shows them


class _Copy(msgspec.Struct, frozen=True):
    made: float
    parts: list[bytes]  # between these stands the reader's CSRF token
    headers: list[tuple[str, str]]
    size: int
    key: bytes | None  # of the page's forms: each copy has another

    def body(self, token: Callable[[], str]) -> bytes:
        whole = self.parts[0] if len(self.parts) == 1 else token().encode().join(self.parts)
        return whole if self.key is None else whole.replace(self.key, new_key().encode())


class _Reader(msgspec.Struct, frozen=True):
    """What a client's cookies say."""

    caller: Actor  # who it was then
    who: bytes
    token: str


class LoadMeter:
    """The recent rate of something, in units a second."""

    def __init__(self):
        self._sum = self._at = 0.0

    def add(self, amount: float, now: float) -> None:
        self._sum = self.per_second(now) * MEMORY_S + amount
        self._at = now

    def per_second(self, now: float) -> float:
        return self._sum * math.exp((self._at - now) / MEMORY_S) / MEMORY_S


class RecentClients:
    """The connections with a recent request."""

    def __init__(self):
        self._asked: OrderedDict[tuple, float] = OrderedDict()  # the latest last

    def meet(self, environ: Mapping, now: float) -> None:
        connection = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT")
        self._asked[connection] = now
        self._asked.move_to_end(connection)
        while next(iter(self._asked.values())) < now - MEMORY_S:
            self._asked.popitem(last=False)

    def __len__(self) -> int:
        return len(self._asked)


class PageCache:
    """Stands before an app, and before its views: there behind everything that decides who may see
    them."""

    def __init__(self, app: Flask, door: Guard, clock: Callable[[], float] = time.monotonic):
        self._app, self._dispatch = app.wsgi_app, app.dispatch_request
        self._session_cookie = app.config["SESSION_COOKIE_NAME"]
        self._door = door
        self._clock = clock
        self._kept: OrderedDict[bytes, _Copy] = OrderedDict()
        self._bytes = 0
        self._readers: OrderedDict[bytes, _Reader] = OrderedDict()  # by the way they came
        self._work = LoadMeter()
        self._crowd = RecentClients()

    def serve(self, environ: dict, start_response: Callable) -> Iterable[bytes]:
        """In place of the app."""
        if environ["REQUEST_METHOD"] != "GET" or environ.get("PATH_INFO", "").startswith(_NO_PAGES):
            return self._app(environ, start_response)
        self._crowd.meet(environ, self._clock())
        reader = self._reader(environ)
        copy = reader and self._fresh(_key(reader.who, environ))
        if copy is None:
            return self._app(environ, start_response)
        body = copy.body(lambda: reader.token)
        start_response("200 OK", [*copy.headers, ("Content-Length", str(len(body)))])
        return [body]

    def dispatch(self):
        """In place of the app's views."""
        if request.method not in ("GET", "HEAD"):
            self.forget()
            try:
                return self._dispatch()
            finally:
                self.forget()  # also what was made while it worked
        if request.method == "HEAD" or "_flashes" in session:
            return self._dispatch()
        g.reader = self._who()
        key = _key(g.reader, request.environ)
        copy = self._fresh(key)
        if copy is not None:
            return Response(copy.body(generate_csrf), headers=copy.headers)
        g.page_key, began = key, self._clock()
        answer = self._dispatch()
        self._work.add(self._clock() - began, self._clock())
        return answer

    def keep(self, response: Response) -> Response:
        """Keep what a view has made, and who asked for it; after everything but the session's cookie
        was added to the answer."""
        key, who = g.pop("page_key", None), g.pop("reader", None)
        if who is not None and g.get("caller") is not None and _FIELD in g and not session.modified:
            self._remember(who)
        fit = (
            key is not None
            and response.status_code == 200
            and response.mimetype == "text/html"
            and not response.is_streamed
            and not response.direct_passthrough
            and "Set-Cookie" not in response.headers
        )
        if fit:
            body = response.get_data()
            token = g.get(_FIELD)
            parts = body.split(token.encode()) if token else [body]
            response.vary.add("Cookie")
            headers = [(k, v) for k, v in response.headers if k != "Content-Length"]
            self._put(key, _Copy(self._clock(), parts, headers, len(body), _key_of_forms()))
        return response

    def forget(self, *_sender, **_what) -> None:
        self._kept.clear()
        self._bytes = 0

    def _fresh(self, key: bytes) -> _Copy | None:
        """A copy that may be given now."""
        copy, now = self._kept.get(key), self._clock()
        if copy is None or now - copy.made >= LONGEST_S or len(self._crowd) < CROWD:
            return None
        return copy if self._work.per_second(now) > SHARE else None

    def _put(self, key: bytes, copy: _Copy) -> None:
        former = self._kept.pop(key, None)
        self._bytes += copy.size - (former.size if former else 0)
        self._kept[key] = copy
        while self._bytes > MOST_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].size

    def _who(self) -> bytes:
        """What a page may depend on that comes with a reader, whatever they ask for."""
        caller = g.get("caller")
        own = sorted((name, value) for name, value in session.items() if name not in _UNSEEN)
        others = ((k, v) for k, v in request.cookies.items() if k != self._session_cookie)
        # with the role and what they see: a session outlives a change of these
        shown = caller and replace(caller, address="")
        return _digest(shown, own, sorted(others))

    def _reader(self, environ: Mapping) -> _Reader | None:
        """The caller, if authenticated a moment ago."""
        came = credentials_digest(environ)
        reader = self._readers.get(came)
        if reader is None or self._door.known(environ, came) != reader.caller:
            return None
        return reader

    def _remember(self, who: bytes) -> None:
        came = credentials_digest(request.environ)
        self._readers[came] = _Reader(g.caller, who, g.get(_FIELD))
        self._readers.move_to_end(came)
        while len(self._readers) > MOST_READERS:
            self._readers.popitem(last=False)


def register(app: Flask) -> None:
    """To be called before whatever adds something to answers (what comes first is done last)."""
    copies = PageCache(app, app.extensions["simple_batch_door"])
    app.wsgi_app, app.dispatch_request = copies.serve, copies.dispatch
    app.after_request(copies.keep)
    signals.job_status.connect(copies.forget)
    events.received.connect(copies.forget)
    app.extensions["simple_batch_copies"] = copies  # signals hold their receivers weakly


def _key_of_forms() -> bytes | None:
    key = g.get("form_key")
    return key and key.encode()


def _key(who: bytes, environ: Mapping) -> bytes:
    """Everything that a page may depend on besides the database."""
    wish = [environ.get(name) for name in _WISH]
    return _digest(who, wish, [item for item in environ.items() if item[0].startswith("HTTP_HX_")])


def _digest(*parts) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()
