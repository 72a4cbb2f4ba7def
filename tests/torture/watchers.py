"""Browsers that watch one job by websocket, in a separate process.

    python -m tests.torture.watchers ORIGIN JOB_ID WATCHING COMING_AND_GOING SECONDS   → one line of JSON

``WATCHING`` stay, ``COMING_AND_GOING`` connect, subscribe, receive something and disconnect again
and again, and one never reads.
"""

import asyncio
import json
import socket
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import aiohttp

PATH = "/socket.io/?EIO=4&transport=websocket"
PATIENCE_S = 20.0
RECONNECT_S = 1.0  # as their client waits


class Watchers:
    def __init__(self, origin: str, job_id: int):
        self._origin = origin
        self._job_id = job_id
        self.counts: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self._events_received: list[int] = []

    async def watch(self, watching: int, restless: int, seconds: float) -> dict:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(connector=connector) as session:
            self._session = session
            unread = self._open_unread()
            until = time.monotonic() + seconds
            stay = [self._guarded(self._stay(until)) for _ in range(watching)]
            come_and_go = [self._guarded(self._come_and_go(until)) for _ in range(restless)]
            await asyncio.gather(*stay, *come_and_go)
            unread.close()
        received = sorted(self._events_received) or [0]
        return {
            **self.counts,
            "faults": dict(self.faults),
            "events_least": received[0],
            "events_most": received[-1],
            "cpu_s": round(time.process_time(), 2),
        }

    async def _guarded(self, work) -> None:
        try:
            await work
        except Exception as error:
            self.faults[type(error).__name__] += 1

    async def _stay(self, until: float) -> None:
        async with self._session.ws_connect(self._origin + PATH, compress=15) as ws:
            await self._subscribe(ws)
            self.counts["watching"] += 1
            received = 0
            while (left := until - time.monotonic()) > 0:
                try:
                    text = await ws.receive_str(timeout=left)
                except TimeoutError:
                    break
                received += await self._take(ws, text)
            self._events_received.append(received)

    async def _come_and_go(self, until: float) -> None:
        while time.monotonic() < until:
            async with self._session.ws_connect(self._origin + PATH, compress=15) as ws:
                await self._subscribe(ws)
                self.counts["reconnects"] += 1
                await asyncio.sleep(RECONNECT_S)

    async def _subscribe(self, ws) -> None:
        await ws.receive_str(timeout=PATIENCE_S)
        await ws.send_str("40/jobs,")
        await ws.receive_str(timeout=PATIENCE_S)
        payload = json.dumps(["subscribe", {"job_id": self._job_id, "tail": True}])
        await ws.send_str(f"42/jobs,0{payload}")
        while True:
            text = await ws.receive_str(timeout=PATIENCE_S)
            if text.startswith("43/jobs,0"):
                assert json.loads(text[9:])[0]["ok"] is True, text
                return
            await self._take(ws, text)

    async def _take(self, ws, text: str) -> int:
        if text == "2":
            await ws.send_str("3")
        return text.startswith("42")

    def _open_unread(self) -> socket.socket:
        """A connection that subscribes and never reads."""
        host, _, port = urlsplit(self._origin).netloc.rpartition(":")
        sock = socket.create_connection((host, int(port)))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.sendall(
            f"GET {PATH} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        payload = json.dumps(["subscribe", {"job_id": self._job_id, "tail": True}])
        for text in ("40/jobs,", f"42/jobs,0{payload}"):
            time.sleep(0.3)
            sock.sendall(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text.encode())
        return sock


def main(origin: str, job_id: str, watching: str, restless: str, seconds: str) -> None:
    watchers = Watchers(origin, int(job_id))
    print(json.dumps(asyncio.run(watchers.watch(int(watching), int(restless), float(seconds)))))


if __name__ == "__main__":
    main(*sys.argv[1:])
