"""Answers as streams of server-sent events, for endpoints on a real socket (tests/endpoint.py)."""

import json

import gevent

from ..endpoint import MisbehavingEndpoint, http

CHUNK = {"id": "c-1", "object": "chat.completion.chunk", "created": 7, "model": "m-1"}
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}
DONE = b"data: [DONE]\n\n"


def event(data, kind: str | None = None) -> bytes:
    """One event; ``data`` is JSON, or text as it is."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    named = f"event: {kind}\n" if kind else ""
    return f"{named}data: {text}\n\n".encode()


def chunk(delta=None, index: int = 0, finish_reason=None, **fields) -> bytes:
    """A chunk of a chat completion; ``fields`` are beside its choices."""
    choice = {"index": index, "delta": delta or {}, "finish_reason": finish_reason}
    return event({**CHUNK, "choices": [choice], **fields})


def says(text: str, size: int = 3, finish_reason: str | None = "stop", usage=USAGE) -> list[bytes]:
    """The events of a chat completion that says a text in pieces of ``size`` characters."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    events = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": piece}) for piece in pieces]
    if finish_reason:
        events.append(chunk({}, finish_reason=finish_reason))
    if usage:
        events.append(event({**CHUNK, "choices": [], "usage": usage}))
    return [*events, DONE]


def head(*headers: str, status: int = 200, chunked: bool = True) -> bytes:
    """The head of an answer that is a stream."""
    lines = [f"HTTP/1.1 {status} OK", "Content-Type: text/event-stream; charset=utf-8", *headers]
    lines.append("Transfer-Encoding: chunked" if chunked else "Connection: close")
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def framed(data: bytes) -> bytes:
    """Bytes as one chunk of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data) if data else b""


def stream(
    *events: bytes, headers=(), wait_s: float = 0.0, size: int = 0, end: bytes | None = None
):
    """A behaviour that sends events one by one, ``wait_s`` apart; cut into packets of ``size`` bytes
    where that is given, wherever that cuts an event. ``end`` in place of the end of the body: b"" sends
    none and leaves the connection open until the other side closes it."""

    def behave(connection):
        connection.sendall(head(*headers))
        data = b"".join(events)
        packets = [data[at : at + size] for at in range(0, len(data), size)] if size else events
        for packet in packets:
            connection.sendall(framed(packet))
            gevent.sleep(wait_s)
        connection.sendall(b"0\r\n\r\n" if end is None else end)
        if end == b"":
            connection.recv(1)

    return behave


def cut_after(*events: bytes):
    """A behaviour whose connection breaks in the middle of the body."""

    def behave(connection):
        connection.sendall(head() + framed(b"".join(events)))
        connection.close()

    return behave


def closing(*events: bytes):
    """A behaviour that ends its body with the connection, as HTTP/1.0 does."""

    def behave(connection):
        connection.sendall(head(chunked=False) + b"".join(events))
        connection.close()

    return behave


ONLY_STREAMS = http(
    400,
    {
        "error": {
            "code": "invalid_parameter_error",
            "param": None,
            "message": "This model only support stream mode, please enable the stream parameter to "
            "access the model. ",
            "type": "invalid_request_error",
        }
    },
)


def response_events(response: dict, *deltas: str, last: str = "response.completed") -> list[bytes]:
    """The events of /v1/responses for an answer."""
    begun = {**response, "status": "in_progress", "output": []}
    events = [event({"type": "response.created", "response": begun}, "response.created")]
    for text in deltas:
        kind = "response.output_text.delta"
        events.append(event({"type": kind, "output_index": 0, "delta": text}, kind))
    return [*events, event({"type": last, "response": response}, last)]


class StreamingEndpoint(MisbehavingEndpoint):
    """An endpoint whose behaviour for each request is ``answer(body)``."""

    def __init__(self, answer):
        super().__init__(b"")
        self._answer = answer

    def _next(self, head: str, body: bytes):
        super()._next(head, body)
        return self._answer(self.bodies[-1])


def only_streams(*events: bytes):
    """Answers of a model that answers with streams only (DashScope's words for it)."""
    return lambda body: stream(*events) if body.get("stream") else ONLY_STREAMS
