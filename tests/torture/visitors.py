"""Readers of pages, in a separate process that costs little.

    python -m tests.torture.visitors ORIGIN RATE SECONDS PATH...   → one line of JSON

Sends ``RATE`` requests per second, whether or not the answers keep up, over kept-alive connections,
each a browser with separate cookies.
"""

import asyncio
import json
import statistics
import sys
import time
from collections import Counter, deque
from urllib.parse import urlsplit

BROWSERS = 40  # to begin with; more open when all of these wait
LAST_S = 20.0  # answers may be late by this much


class Browser(asyncio.Protocol):
    """One connection: one request at a time."""

    def __init__(self, visitors: "Visitors"):
        self._visitors = visitors
        self._cookies: dict[str, str] = {}
        self._data = bytearray()
        self._transport = None
        self._asked = 0.0

    def connection_made(self, transport):
        self._transport = transport

    def ask(self, path: str) -> None:
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        head = f"GET {path} HTTP/1.1\r\nHost: {self._visitors.host}\r\nAccept: text/html\r\n"
        head += f"Cookie: {cookies}\r\n\r\n" if cookies else "\r\n"
        self._asked = time.perf_counter()
        self._transport.write(head.encode())

    def data_received(self, data):
        self._data += data
        end = self._data.find(b"\r\n\r\n")
        if end < 0:
            return
        lines = self._data[:end].decode("latin-1").split("\r\n")
        length = 0
        for line in lines[1:]:
            name, _, value = line.partition(": ")
            name = name.lower()
            if name == "content-length":
                length = int(value)
            elif name == "set-cookie":
                cookie, _, content = value.partition(";")[0].partition("=")
                self._cookies[cookie] = content
        if len(self._data) < end + 4 + length:
            return
        self._data.clear()
        took, self._asked = time.perf_counter() - self._asked, 0.0
        self._visitors.answered(self, lines[0].split(" ")[1], took)

    def connection_lost(self, error):
        if self._asked:
            self._visitors.statuses["connection lost"] += 1
            self._visitors.waiting -= 1
        self._visitors.gone(self)


class Visitors:
    def __init__(self, origin: str):
        self.host = urlsplit(origin).netloc
        self.statuses: Counter[str] = Counter()
        self.took: list[float] = []
        self.waiting = 0
        self._free: deque[Browser] = deque()

    async def look(self, rate: float, seconds: float, paths: list[str]) -> dict:
        loop = asyncio.get_running_loop()
        for _ in range(BROWSERS):
            self._free.append(await self._open())
        began, asked = time.perf_counter(), 0
        while (now := time.perf_counter() - began) < seconds:
            while asked < now * rate:
                browser = self._free.popleft() if self._free else await self._open()
                browser.ask(paths[asked % len(paths)])
                self.waiting += 1
                asked += 1
            await asyncio.sleep(0.005)
        until = loop.time() + LAST_S
        while self.waiting and loop.time() < until:
            await asyncio.sleep(0.01)
        if self.waiting:
            self.statuses["no answer"] = self.waiting
        return self._summary(asked)

    async def _open(self) -> Browser:
        host, _, port = self.host.rpartition(":")
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Browser(self), host, int(port)))[1]

    def answered(self, browser: Browser, status: str, took: float) -> None:
        self.statuses[status] += 1
        self.took.append(took)
        self.waiting -= 1
        self._free.append(browser)

    def gone(self, browser: Browser) -> None:
        if browser in self._free:
            self._free.remove(browser)

    def _summary(self, asked: int) -> dict:
        took = sorted(self.took) or [0.0]
        return {
            "asked": asked,
            "statuses": dict(self.statuses),
            "errors": asked - self.statuses["200"],
            "p50_ms": round(1000 * statistics.median(took), 1),
            "p99_ms": round(1000 * took[min(len(took) - 1, round(0.99 * len(took)))], 1),
            "cpu_s": round(time.process_time(), 2),
        }


def main(origin: str, rate: str, seconds: str, *paths: str) -> None:
    print(json.dumps(asyncio.run(Visitors(origin).look(float(rate), float(seconds), list(paths)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
