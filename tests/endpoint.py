"""A model endpoint on a raw socket that misbehaves by a script: one behaviour per call, the last
one for all further calls."""

import gzip
import json
import time
from email.utils import formatdate

import gevent
from gevent.server import StreamServer

GOOD = {
    "id": "x",
    "model": "m-1",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "fine"}}],
    "usage": {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 2},
        "completion_tokens_details": {"reasoning_tokens": 1},
    },
}


def http(status: int, body, *headers: str, kind="application/json", length=None) -> bytes:
    """A whole answer as bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [
        f"HTTP/1.1 {status} X",
        f"Content-Type: {kind}",
        f"Content-Length: {len(body) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def error(status: int, message="no", code=None, *headers: str) -> bytes:
    return http(status, {"error": {"message": message, "type": "t", "code": code}}, *headers)


def ok() -> bytes:
    return http(200, GOOD)


def says(text, **choice) -> bytes:
    """An answer with this text, or with the JSON of another value. ``choice`` adds fields."""
    content = (
        text if text is None or isinstance(text, str) else json.dumps(text, ensure_ascii=False)
    )
    message = {"role": "assistant", "content": content, **choice.pop("message", {})}
    return http(200, {**GOOD, "choices": [{"index": 0, "message": message, **choice}]})


def retry_date(seconds: float, now: float) -> str:
    return f"Retry-After: {formatdate(now + seconds, usegmt=True)}"


# Behaviours that are more than bytes: functions of the connection.


def slow(seconds: float):
    def behave(connection):
        gevent.sleep(seconds)
        connection.sendall(ok())

    return behave


def trickle(connection):
    """One byte at a time without end: outlives any timeout per read."""
    for byte in http(200, GOOD, length=100_000):
        connection.sendall(bytes([byte]))
        gevent.sleep(0.02)
    while True:
        connection.sendall(b" ")
        gevent.sleep(0.02)


def endless(connection):
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Type: application/json\r\n\r\n")
    while True:
        connection.sendall(b" " * 65_536)


def reset(connection):
    """Closes with RST in place of an answer."""
    import socket
    import struct

    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def truncated(connection):
    connection.sendall(http(200, GOOD)[:-20])
    connection.close()


def half_headers(connection):
    connection.sendall(b"HTTP/1.1 200 X\r\nContent-Ty")
    connection.close()


def not_http(connection):
    connection.sendall(b"220 smtp.example.org ESMTP\r\n\r\n")
    connection.close()


def gzipped() -> bytes:
    return http(200, gzip.compress(json.dumps(GOOD).encode()), "Content-Encoding: gzip")


def bad_gzip() -> bytes:
    return http(200, b"this is not gzip", "Content-Encoding: gzip")


def gzip_bomb() -> bytes:
    return http(200, gzip.compress(b" " * (8 << 20)), "Content-Encoding: gzip")


class MisbehavingEndpoint:
    """``calls`` counts the requests received, ``bodies`` and ``heads`` record them."""

    def __init__(self, *script, port: int = 0):
        self.script = list(script)
        self.calls = 0
        self.connections = 0
        self.in_flight = self.most_in_flight = 0
        self.bodies: list[dict] = []
        self.heads: list[str] = []
        # a connection that finds no place is tried again by TCP after a second
        self._server = StreamServer(("127.0.0.1", port), self._serve, backlog=1024)
        self._server.start()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def at_rest(self, for_s: float = 0.5) -> int:
        """Wait until no call has arrived for a while and none is in flight; returns the number of
        calls."""
        seen, since = self.calls, time.monotonic()
        while self.in_flight or time.monotonic() < since + for_s:
            gevent.sleep(0.02)
            if self.calls != seen:
                seen, since = self.calls, time.monotonic()
        return seen

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._server.stop(timeout=0.1)

    def _serve(self, connection, _address):
        self.connections += 1
        try:
            while True:
                head, body = self._read(connection)
                if head is None:
                    return
                behaviour = self._next(head, body)
                self.in_flight += 1
                self.most_in_flight = max(self.most_in_flight, self.in_flight)
                try:
                    if callable(behaviour):
                        behaviour(connection)
                    else:
                        connection.sendall(behaviour)
                finally:
                    self.in_flight -= 1
        except OSError:
            return

    def _next(self, head: str, body: bytes):
        self.calls += 1
        self.heads.append(head)
        self.bodies.append(json.loads(body) if body else {})
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]

    @staticmethod
    def _read(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            block = connection.recv(65_536)
            if not block:
                return None, None
            data += block
        head, _, body = data.partition(b"\r\n\r\n")
        text = head.decode("latin-1")
        length = next(
            (
                int(line.split(":")[1])
                for line in text.split("\r\n")
                if line.lower().startswith("content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(65_536)
        return text, body


class AbsentEndpoint(MisbehavingEndpoint):
    """An endpoint that can go away: its port refuses connections, open ones are cut."""

    def __init__(self, *script):
        super().__init__(*script)
        self._port = self._server.server_port
        self._open: set = set()

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/v1"

    def go_away(self) -> None:
        self._server.stop(timeout=0)
        for connection in list(self._open):
            reset(connection)

    def come_back(self) -> None:
        self._server = StreamServer(("127.0.0.1", self._port), self._serve)
        self._server.reuse_addr = 1
        self._server.start()

    def _serve(self, connection, address):
        self._open.add(connection)
        try:
            super()._serve(connection, address)
        finally:
            self._open.discard(connection)


class EmbeddingEndpoint(MisbehavingEndpoint):
    """Answers /v1/embeddings for lists and single inputs: the vector holds the input's length, usage
    is a token for each character and three for the call. ``answers(inputs)`` may return another
    behaviour for a call; ``inputs`` of all calls are kept."""

    def __init__(self, answers=lambda inputs: None, delay: float = 0.0):
        super().__init__(b"")
        self._answers = answers
        self._delay = delay
        self.inputs: list[list] = []

    def _next(self, head: str, body: bytes):
        super()._next(head, body)
        given = self.bodies[-1]["input"]
        inputs = given if isinstance(given, list) and not isinstance(given[0], int) else [given]
        self.inputs.append(inputs)
        if self._delay:
            gevent.sleep(self._delay)
        return self._answers(inputs) or http(200, embeddings(inputs))


def embeddings(inputs: list, tokens: int | None = None) -> dict:
    """An answer of /v1/embeddings, its vectors in another order than the inputs."""
    data = [
        {"object": "embedding", "index": place, "embedding": [len(given), 0.25]}
        for place, given in enumerate(inputs)
    ]
    tokens = sum(map(len, inputs)) + 3 if tokens is None else tokens
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data[::-1], "model": "e-1", "usage": usage}
