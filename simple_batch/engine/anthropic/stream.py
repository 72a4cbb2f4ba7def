"""Puts the events of a streamed message together: message_start, content_block_start, _delta and _stop,
message_delta, message_stop, ping, error.

Sources: https://platform.claude.com/docs/en/build-with-claude/streaming (read 2026-11-28);
types/raw_message_stream_event.py and lib/streaming/_messages.py of the package anthropic 2.14.0. New kinds of
events and of deltas may come (https://platform.claude.com/docs/en/api/versioning): unknown events are
skipped. A block's ``citations_delta`` is collected in its list of citations. The counts of ``usage`` in
message_delta are cumulative.
"""

import json
from typing import Any

import msgspec

from ...core.stored_messages import STREAM_PIECE_UNREADABLE, STREAM_UNENDED
from ..stream.error_events import error_of, reports_error
from ..stream.errors import StreamBroken, StreamError
from ..stream.repeated_chunk import RepeatedChunk
from ..stream.sse_events import SseEvent

# https://platform.claude.com/docs/en/api/errors
STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "conflict_error": 409,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
_TEXTS = {"text_delta": "text", "thinking_delta": "thinking"}
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_decode_any = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class MessageReader:
    """The message that the events of one stream make, in Anthropic's form. See engine/stream/stream_reader.py."""

    def __init__(self) -> None:
        self.started = self.ended = False
        self.kept = 0
        self.repeated: RepeatedChunk | None = None
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, _Block] = {}
        self._finished = False  # a stop reason has come

    def feed(self, event: SseEvent) -> None:
        """Take up the next event. Raises StreamError, StreamBroken."""
        self.kept += len(event.data)
        try:
            if event.event == "error":  # also of a gateway, which leaves the type out
                raise _reported(event.data)
            self._take(_read(event.data))
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            raise StreamBroken(STREAM_PIECE_UNREADABLE()) from None

    def body(self) -> bytes:
        """The whole message. Raises StreamBroken where the stream had no proper end."""
        if self._message is None or not (self.ended or self._finished):
            raise StreamBroken(STREAM_UNENDED())
        content = [self._blocks[index].whole() for index in sorted(self._blocks)]
        return _encode({**self._message, "content": content})

    def _take(self, data: dict[str, Any]) -> None:
        match data.get("type"):
            case "content_block_delta":
                self.started = True
                self._blocks[data["index"]].add(data["delta"])
            case "content_block_start":
                self._blocks[data["index"]] = _Block(data["content_block"])
            case "message_start":
                self._message = dict(data["message"])
            case "message_delta":
                self._end(data)
            case "message_stop":
                self.ended = True
            case "error":
                raise _reported(_encode(data).decode())
            case None if reports_error(data, ("type",)):
                raise _reported(_encode(data).decode())

    def _end(self, data: dict[str, Any]) -> None:
        if self._message is None:
            raise LookupError
        self._message.update(data["delta"])
        usage = {name: n for name, n in (data.get("usage") or {}).items() if n is not None}
        self._message["usage"] = {**(self._message.get("usage") or {}), **usage}
        self._finished = self._message.get("stop_reason") is not None


def _reported(data: str) -> StreamError:
    """The error of an event, with the HTTP status that it stands for where its type is known."""
    body = error_of(data)
    error = _decode_any(body)
    kind = error["error"] if isinstance(error, dict) else None
    return StreamError(body, STATUSES.get(kind.get("type", "")) if isinstance(kind, dict) else None)


class _Block:
    """A block of the content, from its pieces."""

    def __init__(self, begun: dict[str, Any]):
        self._made = dict(begun)
        self._pieces: dict[str, list[str]] = {}

    def add(self, delta: dict[str, Any]) -> None:
        """Take up a delta; one of an unknown kind is skipped."""
        kind = delta["type"]
        if kind in _TEXTS:
            self._pieces.setdefault(_TEXTS[kind], []).append(delta[_TEXTS[kind]])
        elif kind == "input_json_delta":
            self._pieces.setdefault("input", []).append(delta["partial_json"])
        elif kind == "signature_delta":
            self._made["signature"] = delta["signature"]
        elif kind == "citations_delta":
            self._made["citations"] = [*(self._made.get("citations") or []), delta["citation"]]

    def whole(self) -> dict[str, Any]:
        pieces = {name: _joined(texts) for name, texts in self._pieces.items()}
        given = pieces.pop("input", "")
        made = {**self._made}
        for name, text in pieces.items():
            made[name] = (made.get(name) or "") + text
        if given.strip():
            made["input"] = _input(given)
        return made


def _read(data: str) -> dict[str, Any]:
    """The object of an event. Half of a surrogate pair may stand at the end of a piece, which only the
    decoder of the standard library reads. Raises ValueError."""
    try:
        return _decode(data)
    except msgspec.DecodeError:
        value = json.loads(data)
        if not isinstance(value, dict):
            raise
        return value


def _joined(texts: list[str]) -> str:
    """The pieces together: halves of a pair become one character, a half that is left alone a
    replacement character."""
    text = "".join(texts)
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _input(text: str) -> Any:
    """The input of a tool; cut off at max_tokens it may be half of its JSON, which then stays a text."""
    try:
        return _decode_any(text)
    except (msgspec.DecodeError, RecursionError):
        return text
