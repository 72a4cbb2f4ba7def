"""WSGI middleware: security headers on every answer (also of the live feed and of errors), and limits
for slow clients.

The servers read the headers of a request: see ``Handler`` for run.py, gunicorn.conf.py for gunicorn.
"""

import re
import time
from http import HTTPStatus
from http.client import HTTPException
from urllib.parse import urlsplit

import gevent
from gevent import monkey
from gevent.pywsgi import WSGIHandler
from werkzeug.exceptions import RequestTimeout

from ..auth.local_requests import proxy_headers
from ..core import address_policy
from ..core.settings import Settings

_CHUNK_BYTES = 16_384
_MAX_HEADER_BYTES = 65_536
_STATIC = "/static/"
_RAW = re.compile("[^\x00-\x7f]")  # of bytes as WSGI has them, one character each

OPENER = "Cross-Origin-Opener-Policy"
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    OPENER: "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
}
_CACHING = ("Cache-Control", "private, no-cache")


class Middleware:
    """Wraps the WSGI app."""

    def __init__(self, app, settings: Settings):
        self._app = app
        self._idle_s, self._rate = settings.CLIENT_TIMEOUT, settings.MIN_UPLOAD_RATE
        self._headers = dict(HEADERS)
        if settings.HSTS_MAX_AGE:
            self._headers["Strict-Transport-Security"] = f"max-age={settings.HSTS_MAX_AGE}"
        # only greenlets can be woken while they read
        self._paced = bool(self._rate) and monkey.is_module_patched("socket")

    def __call__(self, environ, start_response):
        query = environ.get("QUERY_STRING", "")
        if not query.isascii():  # RFC 3986 allows no other bytes in a URL
            environ["QUERY_STRING"] = _RAW.sub(lambda byte: f"%{ord(byte[0]):02X}", query)
        body: _PacedBody | None = None
        if self._paced and _has_body(environ):
            pace = Pace(self._idle_s, self._rate)
            body = environ["wsgi.input"] = _PacedBody(environ["wsgi.input"], pace)
        wanted = list(self._headers.items())
        if not _is_trustworthy(environ):  # browsers ignore it there, and say so in their console
            wanted = [item for item in wanted if item[0] != OPENER]
        if not environ.get("PATH_INFO", "").startswith(_STATIC):
            wanted.append(_CACHING)

        def start(status, headers, *exc_info):
            given = {name.lower() for name, _ in headers}
            more = [(name, value) for name, value in wanted if name.lower() not in given]
            if body is not None and body.late:
                more.append(("Connection", "close"))  # the rest of it may never come
            return start_response(status, [*headers, *more], *exc_info)

        try:
            return self._app(environ, start)
        except RequestTimeout as error:  # out of the live feed, which has no pages for errors
            return error.get_response(environ)(environ, start)


class Pace:
    """How long a read may take: ``idle_s`` without data, plus the time that the data takes at ``rate``
    bytes per second."""

    def __init__(self, idle_s: float, rate: int):
        self._limit_s = self._left_s = idle_s
        self._rate = rate

    def read(self, read, size: int) -> bytes:
        """Up to ``size`` bytes. Raises RequestTimeout."""
        began = time.monotonic()
        with gevent.Timeout(self._left_s + size / self._rate, _TooSlow):
            data = read(size)
        earned_s = len(data) / self._rate - (time.monotonic() - began)
        self._left_s = min(self._limit_s, self._left_s + earned_s)
        return data


class _TooSlow(RequestTimeout):
    description = "The request was sent too slowly."


class _PacedBody:
    """The body of a request (``wsgi.input``). ``late`` is set once it came too slowly."""

    def __init__(self, body, pace: Pace):
        self._body = body
        self._pace = pace
        self.late = False

    def read(self, size: int = -1) -> bytes:
        pieces: list[bytes] = []
        left = size
        while left:
            piece = self._paced(
                self._body.read, _CHUNK_BYTES if left < 0 else min(_CHUNK_BYTES, left)
            )
            if not piece:
                break
            pieces.append(piece)
            left -= len(piece) if left > 0 else 0
        return b"".join(pieces)

    def readline(self, size: int = -1) -> bytes:
        return self._paced(self._body.readline, _CHUNK_BYTES if size is None or size < 0 else size)

    def readlines(self, _hint: int = -1) -> list[bytes]:
        return list(self)

    def __iter__(self):
        return iter(self.readline, b"")

    def _paced(self, read, size: int) -> bytes:
        try:
            return self._pace.read(read, size)
        except RequestTimeout:
            self.late = True
            raise


def _is_trustworthy(environ) -> bool:
    """Whether a browser takes the origin for one (https://www.w3.org/TR/secure-contexts/): HTTPS, or this machine.
    A proxy that does not name the scheme may speak HTTPS."""
    named = environ.get("HTTP_X_FORWARDED_PROTO", "").partition(",")[0].strip().lower()
    if "https" in (named, environ.get("wsgi.url_scheme")):
        return True
    try:
        host = urlsplit(f"//{environ.get('HTTP_HOST', '')}").hostname
    except ValueError:
        return True  # no browser sends such a host
    return address_policy.is_loopback(host) or (not named and any(proxy_headers(environ)))


def _has_body(environ) -> bool:
    return environ.get("CONTENT_LENGTH", "0") != "0" or "HTTP_TRANSFER_ENCODING" in environ


class Handler(WSGIHandler):
    """gevent's handler with limits: it would wait for ever for the end of headers and of unread bodies,
    and accept headers of megabytes. ``settings`` are set by ``handler``."""

    settings: Settings
    _limit: gevent.Timeout | None = None

    def read_requestline(self) -> str:
        self._limit = gevent.Timeout.start_new(self.settings.CLIENT_TIMEOUT, _Late())
        return super().read_requestline()

    def MessageClass(self, file, *args):
        return super().MessageClass(_Bounded(file), *args)

    def handle_one_request(self):
        try:
            done = super().handle_one_request()
        finally:
            self._end_limit()
        return (done[0], refusal(int(done[0]))) if isinstance(done, tuple) else done

    def get_environ(self):
        self._end_limit()  # the headers are complete
        return super().get_environ()

    def run_application(self) -> None:
        try:
            super().run_application()
        finally:
            if not self._read_to_its_end():
                self.close_connection = True
                self.wsgi_input = _Nothing()  # type: ignore[assignment]  # all that gevent calls of it

    def _end_limit(self) -> None:
        if self._limit is not None:
            self._limit.close()
            self._limit = None

    def _read_to_its_end(self) -> bool:
        """Read what the app left of the body, so that the client gets to read the answer. Returns False
        for a client that sends it too slowly."""
        body = self.wsgi_input
        if body is None:
            return True
        if not body.chunked_input and body.position >= (body.content_length or 0):
            return True
        if self.code == RequestTimeout.code:
            return False
        body.send_100_continue_enabled = False
        pace = Pace(self.settings.CLIENT_TIMEOUT, self.settings.MIN_UPLOAD_RATE or 1024)
        try:
            while pace.read(body.read, _CHUNK_BYTES):
                pass
        except (OSError, RequestTimeout):
            return False
        return True

    def _handle_client_error(self, ex):
        if isinstance(ex, _Late):
            return "408", b""
        if isinstance(ex, _TooLong | HTTPException):  # too long, or too many
            return "431", b""
        return super()._handle_client_error(ex)


class _Late(OSError):
    """The headers did not come in time."""


class _TooLong(ValueError):
    """The headers are too long."""


class _Nothing:
    """Replaces a body that is not read any more."""

    def _discard(self) -> None:
        pass


class _Bounded:
    """A file whose lines are limited in length."""

    def __init__(self, file):
        self._file = file
        self._left = _MAX_HEADER_BYTES

    def readline(self, size: int = -1) -> bytes:
        line = self._file.readline(self._left + 1 if size < 0 else min(size, self._left + 1))
        self._left -= len(line)
        if self._left < 0:
            raise _TooLong
        return line


def handler(settings: Settings) -> type[Handler]:
    """The handler for ``WSGIServer``."""
    return type("Handler", (Handler,), {"settings": settings})


def refusal(status: int) -> bytes:
    """The whole answer to an invalid HTTP request, which never reaches the app."""
    lines = [
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
        "Connection: close",
        "Content-Length: 0",
        *(f"{name}: {value}" for name, value in (*HEADERS.items(), _CACHING)),
    ]
    return "\r\n".join([*lines, "", ""]).encode()
