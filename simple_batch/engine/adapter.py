"""A transport adapter for requests whose connections are geventhttpclient's: a C parser on
gevent's sockets, about a third of the CPU of the stock adapter.

It serves the ordinary case: http or https, no proxy, no client certificate. It never
repeats a request by itself (a POST sent twice may be billed twice), never follows a
redirect, and stops reading a body that outgrows its limit.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

import gevent
from geventhttpclient.connectionpool import SSLConnectionPool
from geventhttpclient.response import HTTPParseError, HTTPResponse
from requests import PreparedRequest, Response
from requests.adapters import BaseAdapter
from requests.exceptions import (
    ConnectionError,
    ConnectTimeout,
    ContentDecodingError,
    InvalidHeader,
    ReadTimeout,
)
from requests.structures import CaseInsensitiveDict
from requests.utils import select_proxy

from ..core.address_policy import AddressPolicy
from ..core.redaction import redact
from ..core.stored_messages import (
    ANSWER_TOO_LARGE,
    CLOSED_HALFWAY,
    CLOSED_UNANSWERED,
    DAMAGED_ENCODING,
    ENDLESS_HEADERS,
    ENDLESS_INTERIM,
    LINE_BREAK_IN_HEADER,
    NOT_HTTP,
    TRUNCATED_ENCODING,
    UNKNOWN_ENCODING,
    UNPACKED_TOO_LARGE,
)
from .answer_memory import Answers, Held
from .content_encoding import encoding_of
from .deadline import Deadline
from .name_lookup import AddressInfo, SharedLookup
from .stream.body import StreamBody
from .stream.limits import StreamDeadline

BLOCK = 65_536
MAX_HEADER_BYTES = 262_144
MAX_INTERIM = 20
STREAM_END_S = 0.5  # the wait for the end of a body whose answer is complete


class BodyTooLarge(ConnectionError):
    """The answer's body is longer than allowed."""


class _Message(HTTPResponse):
    """The parser's callbacks, with the body kept as it comes."""

    def __init__(self, method: str):
        super().__init__(method)
        self.body = bytearray()

    def _on_body(self, buf: bytearray) -> None:
        self.body += buf

    def expected(self) -> int:
        """The length of the whole body: as its headers say, else a block more than there is."""
        return max(self.content_length or 0, len(self.body) + BLOCK)


class _Pool(SharedLookup):
    """SSRF guard: connects only to addresses that the policy allows, as just resolved for the name."""

    policy: AddressPolicy

    def _resolve(self) -> list[AddressInfo]:
        return self.policy.through(self._connection_host, super()._resolve())


class _TlsPool(_Pool, SSLConnectionPool):
    pass


class NotConnected(ConnectionError):
    """No connection was made: the name, the network, the port or TLS is at fault."""


class Answer(Response):
    """An answer, with what it holds of the memory for all answers and how long it waited for that."""

    def __init__(self, held: Held):
        # all that Response sets, without a cookie jar: each call makes an answer, and none asks for cookies
        vars(self).update(_BLANK, history=[])
        self.held = held
        self.paused_s = 0.0


_BLANK = {**vars(Response()), "cookies": None}


class GeventAdapter(BaseAdapter):
    """``width`` connections per host at most; ``max_body`` bytes per answer, and what all
    ``answers`` together may hold; ``policy`` says which addresses may be connected to."""

    def __init__(
        self,
        width: int,
        max_body: int,
        policy: AddressPolicy,
        answers: Answers,
        connect_timeout_s: float = 10.0,
    ):
        super().__init__()
        self._width = width
        self._max_body = max_body
        self._answers = answers
        self._policy = policy
        self._connect_timeout_s = connect_timeout_s
        self._pools: dict[tuple[str, str, int | None, bool | str], _Pool] = {}

    def send(
        self,
        request: PreparedRequest,
        stream: bool = False,
        timeout: float | tuple[float, float] | tuple[float, None] | None = None,
        verify: bool | str = True,
        cert: bytes | str | tuple[bytes | str, bytes | str] | None = None,
        proxies: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send and read the whole answer within ``timeout`` seconds in all, not counting how long
        it waited for room.

        Raises requests' own exceptions (ReadTimeout, ConnectionError, BodyTooLarge,
        ContentDecodingError), and AddressRefused.
        """
        url = request.url or ""
        if cert or (proxies and select_proxy(url, proxies)):
            raise NotImplementedError("client certificates and proxies need the stock adapter")
        if isinstance(timeout, tuple):
            raise NotImplementedError("one time limit for the whole exchange")
        limit, method = Deadline(timeout), request.method or ""
        return self._call(
            request,
            verify,
            limit,
            lambda sock, held: self._read(sock, method, held, limit),
            lambda message, held: self._response(request, message, held, limit),
        )

    def send_stream(
        self, request: PreparedRequest, limit: StreamDeadline, body: StreamBody, verify: bool | str
    ) -> Answer:
        """Send, and feed the answer's body to ``body`` as it comes, which keeps to ``limit``. The
        answer has what that makes of it.

        Raises the same, and StreamBroken.
        """

        method = request.method or ""
        return self._call(
            request,
            verify,
            limit,
            lambda sock, held: self._read_stream(sock, method, held, limit, body),
            lambda message, held: self._streamed(request, message, held, body),
        )

    def _call(
        self,
        request: PreparedRequest,
        verify: bool | str,
        limit: Deadline,
        read: Callable[[gevent.socket.socket, Held], "_Message"],
        finish: Callable[["_Message", Held], Answer],
    ) -> Answer:
        parts = urlsplit(request.url or "")
        pool, head = self._pool(parts, verify), _head(request, parts)
        held = self._answers.begin()
        limit.start()
        sock = response = None
        sent = False
        try:
            sock = pool.get_socket()
            sock.sendall(head + _bytes(request.body))
            sent = True
            message = read(sock, held)
            if not message.should_close():
                pool.return_socket(sock)
                sock = None
            response = finish(message, held)
            response.paused_s = limit.paused_s
            return response
        except gevent.Timeout as expired:
            if not limit.is_mine(expired):
                raise
            raise (ReadTimeout if sent else ConnectTimeout)(request=request) from None
        except HTTPParseError as error:
            raise ConnectionError(
                NOT_HTTP(error=error.args[0] if error.args else ""), request=request
            ) from error
        except OSError as error:
            if isinstance(error, ConnectionError | ReadTimeout | ContentDecodingError):
                raise
            kind = ConnectionError if sock is not None or sent else NotConnected
            raise kind(_reason(error), request=request) from error
        finally:
            limit.close()
            if response is None:
                held.close()
            if sock is not None:
                pool.release_socket(sock)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()
        self._pools.clear()

    def _pool(self, parts: SplitResult, verify: bool | str) -> _Pool:
        host = parts.hostname or ""
        key = parts.scheme, host, parts.port, verify
        pool = self._pools.get(key)
        if pool is None:
            kind: type[_Pool] = _Pool
            options: dict[str, Any] = {}
            if parts.scheme == "https":
                kind = _TlsPool
                options["insecure"] = verify is False
                if isinstance(verify, str):
                    options["ssl_options"] = {"ca_certs": verify}
            port = parts.port or (443 if parts.scheme == "https" else 80)
            options["network_timeout"] = None  # the time limit is on the whole exchange
            pool = self._pools[key] = kind(
                host,
                port,
                host,
                port,
                size=self._width,
                connection_timeout=self._connect_timeout_s,
                **options,
            )
            pool.policy = self._policy
        return pool

    def _read(
        self, sock: gevent.socket.socket, method: str, held: Held, limit: Deadline
    ) -> "_Message":
        answer = _Message(method)
        for _ in _received(sock, answer):
            expected = len(answer.body) if answer.message_complete else answer.expected()
            if expected > self._max_body + BLOCK or len(answer.body) > self._max_body:
                raise BodyTooLarge(ANSWER_TOO_LARGE(bytes=f"{self._max_body:,}"))
            if not answer.message_complete:
                held.reserve(expected, limit)
        held.settle(len(answer.body))
        return answer

    def _read_stream(
        self,
        sock: gevent.socket.socket,
        method: str,
        held: Held,
        limit: StreamDeadline,
        body: StreamBody,
    ) -> "_Message":
        answer = _Message(method)
        try:
            self._feed(sock, answer, held, limit, body)
        except BodyTooLarge:
            raise
        except (OSError, gevent.Timeout) as failure:
            mine = not isinstance(failure, gevent.Timeout) or limit.is_mine(failure)
            if not (mine and body.is_whole):
                raise
        limit.close()
        if body.ended and not answer.message_complete:
            _read_end(sock, answer)
        return answer

    def _feed(
        self,
        sock: gevent.socket.socket,
        answer: "_Message",
        held: Held,
        limit: StreamDeadline,
        body: StreamBody,
    ) -> None:
        begun = False
        for _ in _received(sock, answer):
            if not begun:
                if answer.get_code() < 200:
                    continue
                body.begin(answer.get_code(), encoding_of(_headers_of(answer)))
                begun = True
            if answer.body:
                data = bytes(answer.body)
                answer.body.clear()
                first_token = body.feed(data)
                if body.is_stream:
                    limit.heard(first_token)
            if body.too_large:
                raise BodyTooLarge(ANSWER_TOO_LARGE(bytes=f"{self._max_body:,}"))
            if body.ended:
                return
            held.reserve(body.kept + BLOCK, limit)

    def _streamed(
        self, request: PreparedRequest, answer: "_Message", held: Held, body: StreamBody
    ) -> Answer:
        response = _head_of(request, answer, held)
        response.status_code = body.status
        response._content = content = body.body()
        held.settle(len(content))
        return response

    def _response(
        self, request: PreparedRequest, answer: "_Message", held: Held, limit: Deadline
    ) -> Answer:
        response = _head_of(request, answer, held)
        encoding = encoding_of(response.headers)
        if not encoding or encoding == "identity" or not answer.body:
            response._content = bytes(answer.body)
            return response
        try:
            response._content = self._decoded(answer.body, encoding, held, limit)
        except ContentDecodingError:
            if response.status_code < 300:
                raise
            response._content = b""  # the status of an error says enough
        return response

    def _decoded(self, body: bytearray, encoding: str, held: Held, limit: Deadline) -> bytes:
        """The body unpacked, a block at a time, each as there is room for it."""
        if encoding not in ("gzip", "x-gzip", "deflate"):
            named = repr(redact(encoding)[:50])
            raise ContentDecodingError(UNKNOWN_ENCODING(encoding=named))
        inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
        data, packed = bytearray(), bytes(body)
        while packed and not inflater.eof:
            held.reserve(len(body) + len(data) + BLOCK, limit)
            try:
                data += inflater.decompress(packed, BLOCK)
            except zlib.error as error:
                raise ContentDecodingError(DAMAGED_ENCODING(encoding=encoding)) from error
            if len(data) > self._max_body:
                raise BodyTooLarge(UNPACKED_TOO_LARGE(bytes=f"{self._max_body:,}"))
            packed = inflater.unconsumed_tail
        if not inflater.eof:
            raise ContentDecodingError(TRUNCATED_ENCODING(encoding=encoding))
        held.settle(len(data))
        return bytes(data)


def _received(sock: gevent.socket.socket, answer: _Message) -> Iterator[None]:
    """Read an answer until it is complete; yields whenever there may be more of its body."""
    interim = received = 0
    while not answer.message_complete or answer.get_code() < 200:
        if answer.message_complete:
            interim += 1
            if interim > MAX_INTERIM:
                raise ConnectionError(ENDLESS_INTERIM())
        data = sock.recv(BLOCK)
        received += len(data)
        try:
            answer.feed(data)
        except HTTPParseError:
            if data:
                raise
        if not data:
            if answer.message_complete:
                return
            raise ConnectionError(CLOSED_HALFWAY() if received else CLOSED_UNANSWERED())
        if answer.headers_complete:
            yield
        elif received > MAX_HEADER_BYTES:
            raise ConnectionError(ENDLESS_HEADERS())


def _read_end(sock: gevent.socket.socket, answer: _Message) -> None:
    """Read what ends the body, so that the connection can be used again; an endpoint that leaves it
    open is not waited for."""
    with gevent.Timeout(STREAM_END_S, False):  # type: ignore[arg-type]  # says nothing
        try:
            for _ in _received(sock, answer):
                answer.body.clear()
        except (OSError, HTTPParseError):
            return  # the answer is whole


def _head_of(request: PreparedRequest, answer: _Message, held: Held) -> Answer:
    """The answer without its body."""
    response = Answer(held)
    response.status_code = answer.get_code()
    response.reason = answer.status_message or ""
    response.headers = _headers_of(answer)
    response.request = request
    response.url = request.url or ""
    return response


def _headers_of(answer: _Message) -> CaseInsensitiveDict[str]:
    """Of a header that comes more than once the last one."""
    return CaseInsensitiveDict(answer.headers)


def _bytes(body: bytes | str | None) -> bytes:
    return body.encode() if isinstance(body, str) else body or b""


def _head(request: PreparedRequest, parts: SplitResult) -> bytes:
    """Request line and headers. Raises InvalidHeader for what would smuggle a line."""
    path = parts.path or "/"
    if parts.query:
        path = f"{path}?{parts.query}"
    host = parts.netloc.rpartition("@")[2]
    lines = [f"{request.method} {path} HTTP/1.1", f"Host: {host}"]
    lines += [f"{_text(name)}: {_text(value)}" for name, value in request.headers.items()]
    if request.body is not None:
        lines.append(f"Content-Length: {len(request.body)}")
    head = "\r\n".join([*lines, "", ""])
    if head.count("\r") != len(lines) + 1 or head.count("\n") != len(lines) + 1:
        raise InvalidHeader(LINE_BREAK_IN_HEADER())
    return head.encode("latin-1")


def _text(value: bytes | str) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _reason(error: OSError) -> str:
    """Message of an operating system's error, without addresses of objects."""
    return error.strerror or str(error) or type(error).__name__
