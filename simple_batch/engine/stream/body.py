"""The body of an answer that was asked for as a stream: fed to its reader as it comes. What is no stream
(an error, or the answer of an endpoint that ignores ``stream``) is kept as it is."""

import time
import zlib
from collections.abc import Iterator

import gevent
import msgspec
from requests.exceptions import ContentDecodingError

from ...core.redaction import redact
from ...core.stored_messages import DAMAGED_ENCODING, TRUNCATED_ENCODING, UNKNOWN_ENCODING
from .errors import StreamBroken, StreamError
from .sse_events import EventParser, events_of
from .stream_reader import Reader, read_events

_BLOCK = 65_536
_SNIFFED = 64  # bytes that tell a stream from another body
_FIELDS = (b"data:", b"event:", b"id:", b"retry:", b":")
_BLANK = b"\r\n\t "
_INFLATED = ("gzip", "x-gzip", "deflate")
_decode = msgspec.json.Decoder().decode


class StreamBody:
    """One answer of ``most`` bytes at most. ``status`` and ``content_encoding`` are of its headers; ``first_token_s`` is when its
    first token came, in seconds from ``began`` (monotonic), None where it has none."""

    def __init__(self, reader: Reader, began: float, most: int):
        self._reader = reader
        self._began = began
        self._most = most
        self._parser = EventParser()
        self._plain = bytearray()
        self._is_stream: bool | None = None  # None: not told yet
        self._encoding = ""
        self._inflater: zlib._Decompress | None = None
        self._error: StreamError | None = None
        self._status = 0
        self._unreadable = False  # an error whose body cannot be unpacked: its status says enough
        self.first_token_s: float | None = None
        self.too_large = False  # then nothing more is taken up

    def begin(self, status: int, encoding: str) -> None:
        """The headers have come. Raises ContentDecodingError for an encoding that was not asked for."""
        self._status = status
        if encoding in ("", "identity"):
            return
        if encoding not in _INFLATED:
            named = repr(redact(encoding)[:50])
            self._cannot_unpack(ContentDecodingError(UNKNOWN_ENCODING(encoding=named)))
            return
        self._encoding = encoding
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)

    def _cannot_unpack(self, error: ContentDecodingError) -> None:
        if self._status < 300:
            raise error
        self._unreadable = True

    @property
    def is_stream(self) -> bool:
        """Whether it has shown to be a stream; the time limits of one hold from then on."""
        return bool(self._is_stream)

    @property
    def status(self) -> int:
        """The HTTP status, or the one that an error within the stream stands for."""
        return (self._error and self._error.status) or self._status

    @property
    def kept(self) -> int:
        """Bytes that are held."""
        return len(self._plain) + self._parser.size + self._reader.kept

    @property
    def ended(self) -> bool:
        """Whether nothing more has to be read."""
        return self._reader.ended or self._error is not None

    @property
    def is_whole(self) -> bool:
        """Whether the answer is complete, although more might follow."""
        if self.ended:
            return True
        if not self._is_stream:
            return False
        try:
            self._reader.body()
        except StreamBroken:
            return False
        return True

    def feed(self, data: bytes) -> bool:
        """Take up bytes of the body; True where the first token is among them. Raises StreamBroken,
        ContentDecodingError."""
        started = self.first_token_s
        if self._unreadable:
            return False
        if self._inflater is None:
            self._take(data)
        else:
            for block in self._unpacked(self._inflater, data):
                self._take(block)
                if self.too_large:
                    break
        return started is None and self.first_token_s is not None

    def body(self) -> bytes:
        """The whole answer, after the last byte. Raises StreamBroken where it is not whole,
        ContentDecodingError where its compression is cut off."""
        if self._inflater is not None and not self._inflater.eof and not self.is_whole:
            self._cannot_unpack(ContentDecodingError(TRUNCATED_ENCODING(encoding=self._encoding)))
        if self._unreadable:
            return b""
        if self._error is None and self._is_stream:
            self._take_rest()
        if self._error is not None:
            return self._error.body
        if self._is_stream:
            return self._reader.body()
        return bytes(self._plain) if self._status < 300 else _error_of(bytes(self._plain))

    def _unpacked(self, inflater: "zlib._Decompress", data: bytes) -> Iterator[bytes]:
        """The same bytes unpacked, a block at a time."""
        block = b""
        while (data or len(block) == _BLOCK) and not inflater.eof:
            try:
                block = inflater.decompress(data, _BLOCK)
            except zlib.error:
                damaged = DAMAGED_ENCODING(encoding=self._encoding)
                self._cannot_unpack(ContentDecodingError(damaged))
                return
            data = inflater.unconsumed_tail
            yield block
            if data:  # a little may unpack to very much
                gevent.sleep(0)

    def _take(self, block: bytes) -> None:
        if self._is_stream is None:
            block = self._begun_with(block)
        if not self._is_stream:
            self._plain += block
        elif not self.ended:
            self._read(self._parser.feed(block))
        self.too_large = self.kept > self._most

    def _begun_with(self, block: bytes) -> bytes:
        """Find out what the first bytes begin; returns those to be taken up."""
        if not self._plain:
            block = block.lstrip(_BLANK)
            self._is_stream = _is_stream(block) if self._status < 300 else False
            if self._is_stream:
                return block
        self._plain += block
        self._is_stream = _is_stream(self._plain) if self._status < 300 else False
        if not self._is_stream:
            return b""
        block = bytes(self._plain)
        self._plain.clear()
        return block

    def _read(self, lines: str) -> None:
        try:
            read_events(self._reader, lines)
        except StreamError as error:
            self._error = error
            return
        if self.first_token_s is None and self._reader.started:
            self.first_token_s = time.monotonic() - self._began

    def _take_rest(self) -> None:
        """An event that lacks only the empty line behind it counts, if it is whole: some endpoints
        end so."""
        if self.ended or not self._parser.size:
            return
        event = self._parser.rest()
        if event is None or not _is_whole(event.data):
            return
        self._parser = EventParser()
        self._read(event.lines + "\n\n")


def _is_stream(begins: bytes | bytearray) -> bool | None:
    """Whether a body is a stream of events, by its first bytes; None where more have to tell. What is
    said of its kind in the headers is often wrong."""
    head = bytes(begins[:_SNIFFED]).removeprefix(b"\xef\xbb\xbf").lstrip(_BLANK)
    if any(head.startswith(field) for field in _FIELDS):
        return True
    could = not head or any(field.startswith(head) for field in _FIELDS)
    return None if could or b"\xef\xbb\xbf".startswith(begins) else False


def _error_of(body: bytes) -> bytes:
    """The body of an error; where an endpoint sends it as an event, what that says."""
    if not _is_stream(body):
        return body
    events = events_of(EventParser().feed(body + b"\n\n"))
    return next((event.data.encode() for event in events if _is_whole(event.data)), body)


def _is_whole(data: str) -> bool:
    if data == "[DONE]":
        return True
    try:
        return isinstance(_decode(data), dict | list)
    except (msgspec.DecodeError, RecursionError):
        return False
