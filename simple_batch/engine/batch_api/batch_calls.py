"""The HTTP calls of a provider's batch API: JSON, uploads streamed from disk, downloads streamed to disk.

They go over requests' connections, not over those of the single calls (transport.py): there are few of
them, and they move whole files. The endpoint's headers, query parameters and certificates, the address
policy and the mask over secrets are the same.
"""

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import urljoin, urlsplit

import gevent
import msgspec
import requests
from urllib3.exceptions import HTTPError, IncompleteRead, ProtocolError

from ...core.address_policy import AddressPolicy
from ...core.domain import Cause, Endpoint
from ...core.settings import Settings
from ...core.stored_messages import (
    ANSWER_TOO_LARGE,
    CLOSED_HALFWAY,
    DOWNLOAD_NOT_FOLLOWED,
    EMPTY_ANSWER,
    NO_ANSWER_IN_TIME,
    NO_JSON_ANSWER,
    REDIRECTED_NOWHERE,
    REDIRECTED_TOO_OFTEN,
    REDIRECTED_WITHOUT_TLS,
    RESULTS_CUT_OFF,
)
from ..adapter import BLOCK, BodyTooLarge
from ..content_encoding import encoding_of
from ..echoed_secrets import EchoedSecrets
from ..guarded_adapter import GuardedAdapter
from ..request_headers import headers_of
from ..request_urls import RequestUrls
from ..surrogates import mended
from ..transport import CONNECT_S, Reply, TransportFailure, failure_of, session_of
from .batch_client import ResultsCutOff
from .call_refusals import check_is_results, refusal_of
from .multipart_file import MultipartFile
from .result_file import Unpacker, check_last_line, unfinished
from .streamed_body import StreamedBody

MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_OURS = ("user-agent", "accept-encoding")  # headers that any host may see
_decode = msgspec.json.Decoder().decode


class BatchCalls:
    """Calls to the batch API of one endpoint. A path begins with a slash and is one below the base URL.

    Each call raises BatchCallFailed where the endpoint refuses it, and TransportFailure where no whole
    answer came: then it may have had its effect. None is repeated."""

    def __init__(self, endpoint: Endpoint, settings: Settings):
        self._urls = RequestUrls(endpoint)
        self._secrets = EchoedSecrets(endpoint)
        self._origin = _origin(endpoint.base_url)
        own = headers_of(endpoint)
        self._plain = {name: own[name] for name in own if name.lower() in _OURS}
        self._session = session_of(endpoint, settings)
        self._policy = AddressPolicy.of(settings.ALLOWED_PRIVATE_HOSTS)
        adapter = GuardedAdapter(self._policy)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)
        self._call_s = settings.BATCH_CALL_TIMEOUT
        self.max_line = settings.MAX_ANSWER_BYTES  # of an answer, and of a line of results

    def get(self, path: str) -> Any:
        """The JSON of an answer, decoded."""
        answer = self._json("GET", path)
        if answer is None:
            raise TransportFailure(Cause.BAD_RESPONSE, EMPTY_ANSWER())
        return answer

    def post(self, path: str, body: Any = None) -> Any:
        """The same, for a JSON body that is given decoded; None: no body. None for an empty answer."""
        return self._json("POST", path, body)

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path)

    def upload(self, path: str, fields: Mapping[str, str], name: str, file: Path) -> Any:
        """POST a file as multipart/form-data, the form's other fields first."""
        return self.decoded(self.send(path, MultipartFile(fields, name, file)))

    def send(
        self, path: str, body: StreamedBody | Any, headers: Mapping[str, str] | None = None
    ) -> Reply:
        """POST a body, which is streamed or encoded as JSON, with further headers; ``path`` may be a
        whole URL. The answer is not looked at but for being a refusal."""
        request = self._elsewhere(path, "POST") if "://" in path else self._request("POST", path)
        request.headers.update(headers or {})
        streamed = isinstance(body, StreamedBody)
        request.headers["Content-Type"] = body.content_type if streamed else "application/json"
        data = body if streamed else msgspec.json.encode(body)
        request.prepare_body(data=data, files=None)
        reply = self._answer(request, self._call_s if streamed else None)
        refusal = refusal_of(reply)
        if refusal is not None:
            raise refusal
        return reply

    def download(self, path: str, to: Path) -> None:
        """GET a file of JSON lines; ``path`` may be a whole URL. The file at ``to`` is there once it is whole: raises
        ResultsCutOff where less comes than announced, or the last line is cut off; OSError where it
        cannot be written."""
        part = unfinished(to)
        with self._translated(self._call_s, whole=False), self._followed(path) as response:
            if response.status_code != 200:
                refusal = refusal_of(self._reply(response, self._read(response)), of_file=True)
                raise refusal or TransportFailure(Cause.BAD_RESPONSE, NO_JSON_ANSWER())
            self._write(response, part)
        check_is_results(part)
        check_last_line(part)
        part.replace(to)

    def first_line(self, path: str) -> bytes:
        """The first line of a file of JSON lines; the rest is not fetched."""
        line = bytearray()
        with self._translated(self._call_s), self._followed(path) as response:
            if response.status_code != 200:
                refusal = refusal_of(self._reply(response, self._read(response)), of_file=True)
                raise refusal or TransportFailure(Cause.BAD_RESPONSE, NO_JSON_ANSWER())
            unpacker = Unpacker(encoding_of(response.headers))
            while b"\n" not in line and len(line) <= self.max_line:
                block = response.raw.read(BLOCK, decode_content=False)
                if not block:
                    break
                line += b"".join(unpacker.feed(block))
        return bytes(line.lstrip().partition(b"\n")[0])

    def without_secrets(self, line: bytes) -> bytes:
        """A line of results with a mask in place of what is surely a key of the endpoint."""
        return self._secrets.masked(200, line)

    def close(self) -> None:
        self._session.close()

    def _json(self, method: str, path: str, body: Any = None) -> Any:
        request = self._request(method, path)
        if body is None:
            request.headers.pop("Content-Type", None)
        else:
            request.prepare_body(data=msgspec.json.encode(body), files=None)
        return self.decoded(self._answer(request))

    def _request(self, method: str, path: str) -> requests.PreparedRequest:
        url = self._urls.url_of(self._urls.path_of(path))
        return self._session.prepare_request(requests.Request(method, url))

    def _answer(self, request: requests.PreparedRequest, piece_s: float | None = None) -> Reply:
        """``piece_s``: the time limit is on each piece of an upload, and on the answer behind it."""
        limit = self._call_s if piece_s is None else None
        with self._translated(limit), self._sent(request) as response:
            return self._reply(response, self._read(response))

    def _reply(self, response: requests.Response, body: bytes) -> Reply:
        masked = self._secrets.masked(response.status_code, body)
        return Reply(response.status_code, response.headers, masked)

    def decoded(self, reply: Reply) -> Any:
        """The JSON of an answer; None where it is empty."""
        refusal = refusal_of(reply)
        if refusal is not None:
            raise refusal
        try:
            return _decode(mended(reply.body) or b"null")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise TransportFailure(Cause.BAD_RESPONSE, NO_JSON_ANSWER()) from None

    @contextlib.contextmanager
    def _sent(self, request: requests.PreparedRequest) -> Iterator[requests.Response]:
        url = request.url or ""
        self._policy.check(urlsplit(url).hostname or "")
        options = self._session.merge_environment_settings(url, {}, True, None, None)
        waits = min(CONNECT_S, self._call_s), self._call_s
        if isinstance(request.body, StreamedBody):
            waits = self._call_s, self._call_s  # urllib3 sends within the first of them
        response = self._session.send(request, allow_redirects=False, timeout=waits, **options)
        try:
            yield response
        finally:
            response.close()

    def _read(self, response: requests.Response) -> bytes:
        body = bytearray()
        unpacker = Unpacker(encoding_of(response.headers))
        while block := response.raw.read(BLOCK, decode_content=False):
            for piece in unpacker.feed(block):
                body += piece
                if len(body) > self.max_line:
                    raise BodyTooLarge(ANSWER_TOO_LARGE(bytes=f"{self.max_line:,}"))
        return bytes(body)

    def _write(self, response: requests.Response, to: Path) -> None:
        unpacker = Unpacker(encoding_of(response.headers))
        try:
            with to.open("wb") as file:
                while block := self._piece(response):
                    for piece in unpacker.feed(block):
                        _written(file, piece)
        except (IncompleteRead, ProtocolError) as error:
            raise ResultsCutOff(RESULTS_CUT_OFF()) from error
        nothing = not to.stat().st_size and not {"content-length", "transfer-encoding"} & {
            name.lower() for name in response.headers
        }
        if nothing or not unpacker.whole:  # nothing: the connection ended before the body
            raise ResultsCutOff(RESULTS_CUT_OFF())

    def _piece(self, response: requests.Response) -> bytes:
        with self._limited(self._call_s):
            piece: bytes = response.raw.read(BLOCK, decode_content=False)
        return piece

    # --- redirects: many providers keep files at a storage of another host ----------------------------

    @contextlib.contextmanager
    def _followed(self, path: str) -> Iterator[requests.Response]:
        """The answer at the end of redirects. The endpoint's headers go to its own host only."""
        request = self._elsewhere(path) if "://" in path else self._request("GET", path)
        request.headers.pop("Content-Type", None)
        request.headers["Accept"] = "*/*"
        for _ in range(MAX_REDIRECTS + 1):
            with self._sent(request) as response:
                if response.status_code not in _REDIRECTS:
                    yield response
                    return
                request = self._redirected(request, response.headers.get("location", ""))
        raise _not_followed(REDIRECTED_TOO_OFTEN())

    def _redirected(
        self, request: requests.PreparedRequest, place: str
    ) -> requests.PreparedRequest:
        before = request.url or ""
        url = urljoin(before, place)
        if not place or urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
            raise _not_followed(REDIRECTED_NOWHERE())
        if urlsplit(before).scheme == "https" and urlsplit(url).scheme != "https":
            raise _not_followed(REDIRECTED_WITHOUT_TLS())
        if _origin(url) == _origin(before):
            request = request.copy()
            request.url = url
            return request
        return self._elsewhere(url)

    def _elsewhere(self, url: str, method: str = "GET") -> requests.PreparedRequest:
        """A request for a URL that a provider names."""
        if _origin(url) == self._origin:
            return self._session.prepare_request(requests.Request(method, url))
        return requests.Request(method, url, headers=self._plain).prepare()

    # --- what goes wrong -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _translated(self, limit_s: float | None, whole: bool = True) -> Iterator[None]:
        """The exceptions of libraries as ours. ``limit_s`` is on all that is done in here, if ``whole``."""
        try:
            with self._limited(limit_s if whole else None):
                yield
        except requests.Timeout as error:
            message = NO_ANSWER_IN_TIME(seconds=f"{self._call_s:g}")
            awaited = isinstance(error, requests.ReadTimeout)
            raise TransportFailure(Cause.TIMEOUT, message, awaited=awaited) from error
        except _NotWritten as error:
            raise error.reason from None
        except Exception as error:
            failure = failure_of(error)
            if failure is None and isinstance(error, HTTPError):
                failure = TransportFailure(Cause.CONNECTION, CLOSED_HALFWAY())
            if failure is None:
                raise
            raise failure from error

    @contextlib.contextmanager
    def _limited(self, seconds: float | None) -> Iterator[None]:
        limit = gevent.Timeout(seconds)
        limit.start()
        try:
            yield
        except gevent.Timeout as expired:
            if expired is not limit:
                raise
            raise requests.ReadTimeout() from None
        finally:
            limit.close()


class _NotWritten(Exception):
    """The disk is at fault, not the connection."""

    def __init__(self, reason: OSError):
        super().__init__(str(reason))
        self.reason = reason


def _written(file: BinaryIO, data: bytes) -> None:
    try:
        file.write(data)
    except OSError as error:
        raise _NotWritten(error) from error


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return (
        parts.scheme,
        parts.hostname or "",
        parts.port or (443 if parts.scheme == "https" else 80),
    )


def _not_followed(why: str) -> TransportFailure:
    return TransportFailure(Cause.BAD_RESPONSE, DOWNLOAD_NOT_FOLLOWED(why=why))
