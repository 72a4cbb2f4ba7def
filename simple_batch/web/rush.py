"""When many ask for pages at once, a page just made is given to all who ask for the same one.

Pages are made in the process that makes the calls: 200 a second would leave none of it to the jobs.
So while pages take more than their share of the time, whoever asks gets a copy of the one made last,
at most a few seconds old; the live feed brings what is newer. A single reader, however fast, gets none. Nobody gets what was made for somebody
else: a copy is known by everything a page may depend on. Whoever changes something sees it: every
request that is no GET, and every change of a job's status, throws all copies away; where several processes
serve, also what is changed about jobs and users in the others.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec
from flask import Flask, Response, current_app, g, request, session
from flask_wtf.csrf import generate_csrf

from .. import news
from ..door import SESSION
from ..runner import progress as signals
from ..settings import MIB

SHARE = 0.05  # of the time may go into making pages before copies are given
CROWD = 8  # connections that asked lately: fewer wait for one another, and always get new pages
LONGEST_S = 5.0  # no copy is older
MEMORY_S = 2.0  # what is lately
MOST_BYTES = 16 * MIB
_HEADERS = ("Accept", "Accept-Language", "Authorization", "Range", "X-Requested-With")
_FIELD = "csrf_token"  # the session's, and g's


class _Copy(msgspec.Struct, frozen=True):
    made: float
    parts: list[bytes]  # between these stands the reader's CSRF token
    headers: list[tuple[str, str]]
    size: int


class Flow:
    """How much of something there was lately, in units a second."""

    def __init__(self):
        self._sum = self._at = 0.0

    def add(self, amount: float, now: float) -> None:
        self._sum = self.per_second(now) * MEMORY_S + amount
        self._at = now

    def per_second(self, now: float) -> float:
        return self._sum * math.exp((self._at - now) / MEMORY_S) / MEMORY_S


class Copies:
    """Stands before an app's views, behind everything that decides who may see them."""

    def __init__(self, dispatch: Callable, clock: Callable[[], float] = time.monotonic):
        self._dispatch = dispatch
        self._clock = clock
        self._kept: OrderedDict[tuple, _Copy] = OrderedDict()
        self._bytes = 0
        self._work = Flow()
        self._crowd: OrderedDict[tuple, float] = OrderedDict()  # connections, the latest last

    def __call__(self):
        if request.method not in ("GET", "HEAD"):
            self.forget()
            try:
                return self._dispatch()
            finally:
                self.forget()  # also what was made while it worked
        if request.method == "HEAD" or "_flashes" in session:
            return self._dispatch()
        now, key = self._clock(), _key()
        self._meet(now)
        copy = self._kept.get(key)
        if copy is not None and self._rushed(now) and now - copy.made < LONGEST_S:
            return _given(copy)
        g.page_key = key
        answer = self._dispatch()
        self._work.add(self._clock() - now, self._clock())
        return answer

    def _rushed(self, now: float) -> bool:
        return len(self._crowd) >= CROWD and self._work.per_second(now) > SHARE

    def _meet(self, now: float) -> None:
        connection = request.remote_addr, request.environ.get("REMOTE_PORT")
        self._crowd[connection] = now
        self._crowd.move_to_end(connection)
        while next(iter(self._crowd.values())) < now - MEMORY_S:
            self._crowd.popitem(last=False)

    def keep(self, response: Response) -> Response:
        """Keep what a view has made, before anything is added for this reader only."""
        key = g.pop("page_key", None)
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
            headers = [(k, v) for k, v in response.headers if k != "Content-Length"]
            self._put(key, _Copy(self._clock(), parts, headers, len(body)))
        return response

    def _put(self, key: tuple, copy: _Copy) -> None:
        former = self._kept.pop(key, None)
        self._bytes += copy.size - (former.size if former else 0)
        self._kept[key] = copy
        while self._bytes > MOST_BYTES:
            self._bytes -= self._kept.popitem(last=False)[1].size

    def forget(self, *_sender, **_what) -> None:
        self._kept.clear()
        self._bytes = 0


def register(app: Flask) -> None:
    copies = Copies(app.dispatch_request)
    app.dispatch_request = copies
    app.after_request(copies.keep)
    signals.job_status.connect(copies.forget)
    news.heard.connect(copies.forget)
    app.extensions["simple_batch_copies"] = copies  # signals hold their receivers weakly


def _key() -> tuple:
    """Everything that a page may depend on besides the database."""
    own = {name: value for name, value in session.items() if name not in (_FIELD, SESSION)}
    known = current_app.config["SESSION_COOKIE_NAME"]
    cookies = {name: value for name, value in request.cookies.items() if name != known}
    return (
        request.url,
        repr(
            g.get("caller")
        ),  # with the role and what they see: a session outlives a change of these
        repr(sorted(own.items())),
        repr(sorted(cookies.items())),
        *(request.headers.get(name) for name in _HEADERS),
        *(value for name, value in request.headers if name.startswith("Hx-")),
    )


def _given(copy: _Copy) -> Response:
    body = copy.parts[0] if len(copy.parts) == 1 else generate_csrf().encode().join(copy.parts)
    return Response(body, headers=copy.headers)
