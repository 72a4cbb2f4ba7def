"""A model endpoint as a separate process; prints its port.

    python -m bench.endpoint [--delay S] [--tls CERT KEY] [--limit KIND | --faults KIND]

It answers every request with a completion of about 600 bytes (as 63 events where a stream is asked for), and /v1/embeddings with a vector of 256
numbers for each input. With a limit (bench/limits.py) it refuses
calls beyond it, and GET /stats returns the calls allowed and received. With faults (bench/faults.py) it
fails a share of its calls.
"""

import argparse
import asyncio
import json
import random
import ssl
import time

from .faults import ALL_FAULTS, CUT, Faults
from .limits import LATENCIES, LIMITS, SPREAD_S, STRAYS, Meter

ANSWER = json.dumps(
    {
        "id": "chatcmpl-bench",
        "object": "chat.completion",
        "created": 0,
        "model": "bench",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "word " * 60},
                "finish_reason": "stop",
            }
        ],
        "usage": {"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80},
    }
).encode()
REFUSAL = json.dumps(
    {"error": {"message": "Rate limit reached", "type": "requests", "code": "rate_limit_exceeded"}}
).encode()
FAILURE = json.dumps(
    {"error": {"message": "The server had an error", "type": "server_error", "code": None}}
).encode()
VECTOR = json.dumps([0.0123456789] * 256)
HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
STREAM_HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
)
EVENTS_AT_ONCE = 10
GOOD = HEAD % (b"200 OK", len(ANSWER)) + ANSWER
REFUSED = HEAD % (b"429 Too Many Requests", len(REFUSAL)) + REFUSAL


def embeddings(body):
    """A vector for each input, and a token for each of its characters."""
    given = json.loads(body)["input"]
    inputs = given if isinstance(given, list) else [given]
    data = ",".join(
        f'{{"object":"embedding","index":{index},"embedding":{VECTOR}}}'
        for index in range(len(inputs))
    )
    tokens = sum(map(len, inputs))
    usage = f'{{"prompt_tokens":{tokens},"total_tokens":{tokens}}}'
    answer = f'{{"object":"list","data":[{data}],"model":"bench","usage":{usage}}}'.encode()
    return HEAD % (b"200 OK", len(answer)) + answer


def _packets() -> list[bytes]:
    """The same answer as a stream: one event a word, ten events a packet."""
    whole = json.loads(ANSWER)
    choice = {"index": 0, "logprobs": None, "finish_reason": None}
    head = {**whole, "object": "chat.completion.chunk", "usage": None}
    chunks = [{**head, "choices": [{**choice, "delta": {"content": "word "}}]}] * 60
    ending = {**choice, "delta": {}, "finish_reason": "stop"}
    chunks += [{**head, "choices": [ending]}, {**head, "choices": [], "usage": whole["usage"]}]
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    events.append(b"data: [DONE]\n\n")
    joined = [
        b"".join(events[at : at + EVENTS_AT_ONCE]) for at in range(0, len(events), EVENTS_AT_ONCE)
    ]
    packets = [b"%x\r\n%s\r\n" % (len(data), data) for data in joined]
    return [STREAM_HEAD + packets[0], *packets[1:-1], packets[-1] + b"0\r\n\r\n"]


PACKETS = _packets()


def _failure(status: int, retry_after_s: float | None) -> bytes:
    head = b"HTTP/1.1 %d Failed\r\nContent-Type: application/json\r\n" % status
    if retry_after_s is not None:
        head += b"Retry-After: %g\r\n" % retry_after_s
    body = REFUSAL if status == 429 else FAILURE
    return head + b"Content-Length: %d\r\n\r\n" % len(body) + body


class Protocol(asyncio.Protocol):
    """As little HTTP as a benchmark's server needs, so that it is never the bottleneck."""

    delay = 0.0
    meter: Meter | None = None
    latency_s, strays = SPREAD_S, 0.0  # of a metered call
    faults: Faults | None = None
    counts = {"good": 0, "faults": 0, "seconds": 0.0}
    began = 0.0

    def connection_made(self, transport):
        self.transport, self.data = transport, b""

    def data_received(self, data):
        self.data += data
        while True:
            end = self.data.find(b"\r\n\r\n")
            if end < 0:
                return
            head, begin = self.data[:end].lower(), end + 4
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            if len(self.data) < end + 4 + length:
                return
            body, self.data = self.data[begin : begin + length], self.data[begin + length :]
            if head.startswith(b"get /stats"):
                stats = json.dumps(self.meter.stats() if self.meter else self.counts).encode()
                self._write(HEAD % (b"200 OK", len(stats)) + stats)
            elif self.meter is not None:
                self._metered()
            elif self.faults is not None:
                self._faulty(self.faults)
            elif b'"stream":true' in body:
                asyncio.get_running_loop().call_later(self.delay, self._stream, 0)
            else:
                answer = embeddings(body) if head.startswith(b"post /v1/embeddings") else GOOD
                if self.delay:
                    asyncio.get_running_loop().call_later(self.delay, self._write, answer)
                else:
                    self._write(answer)

    def _stream(self, place):
        """Send the packets one after the other, others' in between."""
        self._write(PACKETS[place])
        if place + 1 < len(PACKETS):
            asyncio.get_running_loop().call_soon(self._stream, place + 1)

    def _metered(self):
        later = asyncio.get_running_loop().call_later
        seconds = random.uniform(*self.latency_s)
        if random.random() < self.strays:
            self.meter.stray()
            later(0.02, self._write, REFUSED)
        elif self.meter.admit(seconds):
            later(seconds, self._ended)
        else:
            later(0.02, self._write, REFUSED)

    def _faulty(self, faults: Faults):
        later = asyncio.get_running_loop().call_later
        seconds, chance = random.uniform(*faults.latency_s), random.random()
        Protocol.began = Protocol.began or time.monotonic()
        for status, share in faults.shares.items():
            chance -= share
            if chance < 0:
                self.counts["faults"] += 1
                if status == CUT:
                    later(seconds / 2, self.transport.abort)
                else:
                    later(0.02, self._write, _failure(status, faults.retry_after_s))
                return
        later(seconds, self._good)

    def _good(self):
        self.counts["good"] += 1
        self.counts["seconds"] = time.monotonic() - Protocol.began
        self._write(GOOD)

    def _ended(self):
        self.meter.ended()
        self._write(GOOD)

    def _write(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--tls", nargs=2)
    parser.add_argument("--limit", choices=sorted(LIMITS))
    parser.add_argument("--faults", choices=ALL_FAULTS)
    parser.add_argument("--seconds", type=float, default=120.0)
    options = parser.parse_args()
    Protocol.delay = options.delay
    Protocol.faults = ALL_FAULTS.get(options.faults)
    if options.limit:
        Protocol.meter = Meter(LIMITS[options.limit](options.seconds))
        Protocol.latency_s = LATENCIES.get(options.limit, SPREAD_S)
        Protocol.strays = STRAYS.get(options.limit, 0.0)
    context = None
    if options.tls:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*options.tls)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Protocol, "127.0.0.1", 0, backlog=8192, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
