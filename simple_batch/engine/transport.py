"""One attempt over a requests.Session: prepared once, sent with a total deadline."""

import ssl
import time
from collections.abc import Callable, Mapping
from urllib.parse import urlsplit

import gevent
import msgspec
import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ProxyError

from ..core.address_policy import AddressPolicy, AddressRefused
from ..core.domain import Cause, Endpoint, Verdict
from ..core.messages import Message
from ..core.redaction import redact
from ..core.settings import Settings
from ..core.stored_messages import (
    ANSWER_TOO_LARGE,
    CLOSED_HALFWAY,
    NO_ANSWER_BEGUN,
    NO_ANSWER_IN_TIME,
    STREAM_SILENT,
)
from .adapter import BLOCK, STREAM_END_S, Answer, BodyTooLarge, GeventAdapter, NotConnected
from .answer_memory import Answers, Held
from .content_encoding import encoding_of
from .deadline import Deadline
from .echoed_secrets import EchoedSecrets
from .request_headers import headers_of
from .request_urls import RequestUrls
from .stream.body import StreamBody
from .stream.errors import StreamBroken
from .stream.limits import StreamDeadline, StreamLimits
from .stream.stream_reader import Reader

_UNREACHED = (
    NotConnected,
    requests.ConnectTimeout,
    requests.exceptions.SSLError,
    requests.exceptions.ProxyError,
)
CONNECT_S = 10.0  # the longest wait for a connection through a proxy
_MAX_PREPARED = 100  # requests, one for each path; requests name deployments of Azure


class Reply(msgspec.Struct, frozen=True):
    """What came back. Header names compare without case. ``held`` is the body's part of the memory
    for all answers; ``paused_s`` is how long it waited for it. ``first_token_s`` is the time to the
    first token of an answer that came as a stream."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    held: Held | None = None
    paused_s: float = 0.0
    first_token_s: float | None = None


class TransportFailure(Exception):
    """No usable answer came back: ``cause`` is timeout, connection or bad_response, ``verdict`` what
    to do about it. ``reached``: False if no connection to the endpoint was made. ``awaited``: the time
    limit came while the answer to a request that was sent whole was awaited. ``parameter``: one of the
    request that the API has nothing like, so that no call was made."""

    def __init__(
        self,
        cause: Cause,
        message: str,
        verdict: Verdict = Verdict.RETRY,
        reached: bool = True,
        awaited: bool = False,
        parameter: str | None = None,
    ):
        super().__init__(message)
        self.parameter = parameter
        self.cause = cause
        self.message = message
        self.verdict = verdict
        self.reached = reached
        self.awaited = awaited


class Transport:
    """Makes calls to one endpoint, over at most ``width`` connections at a time. Answers
    are counted in ``answers``; without it, in a memory bound that nothing else shares."""

    def __init__(
        self, endpoint: Endpoint, settings: Settings, width: int, answers: Answers | None = None
    ):
        self._urls = RequestUrls(endpoint)
        self._secrets = EchoedSecrets(endpoint)
        self._session = session = session_of(endpoint, settings)
        self._verify = settings.CA_BUNDLE or True
        self._direct: GeventAdapter | None = None  # None where a proxy is in between
        self._policy = AddressPolicy.of(settings.ALLOWED_PRIVATE_HOSTS)
        self._answers = answers or Answers(settings.MAX_ANSWERS_BYTES)
        if not (settings.TRUST_ENV and session_has_proxies(endpoint.base_url)):
            self._direct = GeventAdapter(
                width, settings.MAX_ANSWER_BYTES, self._policy, self._answers
            )
            session.mount("http://", self._direct)
            session.mount("https://", self._direct)
        else:
            stock = HTTPAdapter(pool_connections=4, pool_maxsize=width, max_retries=0)
            session.mount("http://", stock)
            session.mount("https://", stock)
        self._max_body = settings.MAX_ANSWER_BYTES
        self._prepared: dict[tuple[str, str], requests.PreparedRequest] = {}

    def post(self, path: str, body: bytes, timeout_s: float) -> Reply:
        """POST a JSON body. Raises TransportFailure where no whole answer came in time."""
        return self._send(self._request("POST", path, body), timeout_s)

    def post_stream(self, path: str, body: bytes, limits: StreamLimits, reader: Reader) -> Reply:
        """POST a JSON body that asks for a stream. The reply's body is what ``reader`` makes of it; what
        is no stream comes as it is. Raises TransportFailure where no whole answer came in time."""
        request = self._request("POST", path, body)
        streamed = StreamBody(reader, time.monotonic(), self._max_body)
        limit = StreamDeadline(limits)
        try:
            if self._direct is None:
                reply = self._stream_stock(request, limit, streamed)
            else:
                answer = self._direct.send_stream(request, limit, streamed, self._verify)
                reply = _reply(answer)
        except StreamBroken as error:
            raise TransportFailure(Cause.BAD_RESPONSE, error.message) from error
        except requests.Timeout as error:
            awaited = isinstance(error, requests.ReadTimeout)
            message = _expired(limit, limits)
            raise TransportFailure(Cause.TIMEOUT, message, awaited=awaited) from error
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error
        reply = msgspec.structs.replace(reply, first_token_s=streamed.first_token_s)
        return self._without_secrets(reply)

    def get(self, path: str, timeout_s: float) -> Reply:
        return self._send(self._request("GET", path, None), timeout_s)

    def close(self) -> None:
        self._session.close()

    def _request(self, method: str, path: str, body: bytes | None) -> requests.PreparedRequest:
        # The headers are shared by all copies: nothing in them belongs to one request only.
        request = requests.PreparedRequest.__new__(requests.PreparedRequest)
        vars(request).update(
            vars(self._template(method, self._urls.path_of(path, body))), body=body
        )
        return request

    def _send(self, request: requests.PreparedRequest, timeout_s: float) -> Reply:
        try:
            if self._direct is None:
                reply = self._send_stock(request, timeout_s)
            else:
                reply = _reply(self._direct.send(request, timeout=timeout_s, verify=self._verify))
            return self._without_secrets(reply)
        except requests.Timeout as error:
            message = NO_ANSWER_IN_TIME(seconds=f"{timeout_s:g}")
            awaited = isinstance(error, requests.ReadTimeout)
            raise TransportFailure(Cause.TIMEOUT, message, awaited=awaited) from error
        except Exception as error:
            failure = failure_of(error)
            if failure is None:
                raise
            raise failure from error

    def _without_secrets(self, reply: Reply) -> Reply:
        """The key and other secrets that an endpoint quotes go no further than here."""
        body = self._secrets.masked(reply.status, reply.body)
        return reply if body is reply.body else msgspec.structs.replace(reply, body=body)

    def _template(self, method: str, path: str) -> requests.PreparedRequest:
        key = method, path
        if key not in self._prepared:
            if len(self._prepared) >= _MAX_PREPARED:
                self._prepared.clear()
            request = requests.Request(method, self._urls.url_of(path))
            prepared = self._session.prepare_request(request)
            prepared.headers.pop("Content-Length", None)  # each copy has its own body
            if method == "GET":
                prepared.headers.pop("Content-Type", None)
            self._prepared[key] = prepared
        return self._prepared[key]

    def _send_stock(self, request: requests.PreparedRequest, timeout_s: float) -> Reply:
        """Through requests' own adapter (proxies): read piece by piece, since its time-out is
        per read and a trickling body would outlive it. Which address a name has is then the proxy's
        knowledge; an address in the URL is looked at here."""
        limit = Deadline(timeout_s)
        return self._call_stock(
            request,
            limit,
            timeout_s,
            lambda response, held: self._read_stock(response, held, limit),
        )

    def _stream_stock(
        self, request: requests.PreparedRequest, limit: StreamDeadline, body: StreamBody
    ) -> Reply:
        reply = self._call_stock(
            request,
            limit,
            (CONNECT_S, None),
            lambda response, held: self._feed_stock(response, held, limit, body),
        )
        return msgspec.structs.replace(reply, status=body.status)

    def _call_stock(
        self,
        request: requests.PreparedRequest,
        limit: Deadline,
        timeout: float | tuple[float, None],
        read: Callable[[requests.Response, Held], bytes],
    ) -> Reply:
        url = request.url or ""
        self._policy.check(urlsplit(url).hostname or "")
        if request.body is not None:
            request.headers = request.headers.copy()
            request.headers["Content-Length"] = str(len(request.body))
        options = self._session.merge_environment_settings(url, {}, True, None, None)
        held = self._answers.begin()
        limit.start()
        response = reply = None
        try:
            response = self._session.send(
                request, allow_redirects=False, timeout=timeout, **options
            )
            body = read(response, held)
            reply = Reply(response.status_code, response.headers, body, held, limit.paused_s)
            return reply
        except gevent.Timeout as expired:
            if not limit.is_mine(expired):
                raise
            raise requests.ReadTimeout() from None
        finally:
            limit.close()
            if reply is None:
                held.close()
            if response is not None:
                response.close()

    def _feed_stock(
        self, response: requests.Response, held: Held, limit: StreamDeadline, body: StreamBody
    ) -> bytes:
        body.begin(response.status_code, encoding_of(response.headers))
        try:
            while not body.ended and (data := response.raw.read1(BLOCK, decode_content=False)):
                first_token = body.feed(data)
                if body.is_stream:
                    limit.heard(first_token)
                if body.too_large:
                    raise BodyTooLarge(ANSWER_TOO_LARGE(bytes=f"{self._max_body:,}"))
                held.reserve(body.kept + BLOCK, limit)
        except requests.exceptions.ContentDecodingError:
            raise
        except (HTTPError, gevent.Timeout) as failure:
            mine = not isinstance(failure, gevent.Timeout) or limit.is_mine(failure)
            if not (mine and body.is_whole):
                if isinstance(failure, HTTPError):
                    raise requests.ConnectionError(CLOSED_HALFWAY()) from failure
                raise
        limit.close()
        _read_end(response)
        content = body.body()
        held.settle(len(content))
        return content

    def _read_stock(self, response: requests.Response, held: Held, limit: Deadline) -> bytes:
        body = bytearray()
        try:
            for block in response.iter_content(BLOCK):
                body += block
                if len(body) > self._max_body:
                    raise BodyTooLarge(ANSWER_TOO_LARGE(bytes=f"{self._max_body:,}"))
                held.reserve(len(body) + BLOCK, limit)
        except requests.exceptions.ContentDecodingError:
            if response.status_code < 300:
                raise
            body.clear()  # the status of an error says enough
        held.settle(len(body))
        return bytes(body)


def _read_end(response: requests.Response) -> None:
    """Read what ends the body, so that the connection can be used again; an endpoint that leaves it
    open is not waited for."""
    with gevent.Timeout(STREAM_END_S, False):  # type: ignore[arg-type]  # says nothing
        try:
            while response.raw.read1(BLOCK, decode_content=False):
                pass
        except HTTPError:
            return  # the answer is whole


def _reply(answer: Answer) -> Reply:
    return Reply(answer.status_code, answer.headers, answer.content, answer.held, answer.paused_s)


def failure_of(error: Exception) -> TransportFailure | None:
    """What an exception of a call means; None where it is a fault of ours."""
    if isinstance(error, AddressRefused):
        return TransportFailure(Cause.CONNECTION, error.text, Verdict.STOP)
    if isinstance(error, BodyTooLarge):
        return TransportFailure(Cause.BAD_RESPONSE, str(error))
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return TransportFailure(Cause.BAD_RESPONSE, redact(str(error))[:300])
    if isinstance(error, requests.RequestException | ssl.SSLError | OSError):
        reached = not isinstance(error, _UNREACHED)
        return TransportFailure(Cause.CONNECTION, _plain(error), reached=reached)
    return None


def _expired(limit: StreamDeadline, limits: StreamLimits) -> Message:
    """Which time limit of a stream has expired, in words."""
    if not limit.begun:
        return NO_ANSWER_BEGUN(seconds=f"{min(limits.first_s, limits.total_s):g}")
    if limit.silent_s is None:
        return NO_ANSWER_IN_TIME(seconds=f"{limits.total_s:g}")
    return STREAM_SILENT(seconds=f"{limit.silent_s:g}")


def session_of(endpoint: Endpoint, settings: Settings) -> requests.Session:
    """A session with the endpoint's headers and the settings' certificates and proxies."""
    session = requests.Session()
    session.trust_env = settings.TRUST_ENV
    session.verify = settings.CA_BUNDLE or True
    session.headers.clear()
    session.headers.update(headers_of(endpoint))
    return session


def session_has_proxies(url: str) -> bool:
    """True where the environment names a proxy for this URL."""
    return bool(requests.utils.get_environ_proxies(url))


def _inner(error: BaseException) -> BaseException | None:
    """What an exception was raised for: urllib3 and requests hand it on as the cause, the ``reason`` or an
    argument. What a proxy says stays, because its words say that it is one."""
    if any(isinstance(it, Message) for it in error.args):
        return None
    given = [error.__cause__, getattr(error, "reason", None), *error.args]
    if isinstance(error, ProxyError):
        given = given[:1]
    return next((it for it in given if isinstance(it, BaseException)), None)


def _plain(error: BaseException) -> str:
    """The innermost reason in words: requests wraps it in layers that name objects. An error with a
    message of ours is not looked into."""
    while (inner := _inner(error)) is not None:
        error = inner
    if isinstance(error, OSError) and error.strerror:
        return error.strerror[:300]
    return redact(str(error) or type(error).__name__)[:300]
