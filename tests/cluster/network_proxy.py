"""A line to a server that can be cut without a word to either end, and mended."""

import socket

import gevent
from gevent.event import Event
from gevent.server import StreamServer


class Wire:
    """Listens on a port of loopback and carries to ``address``: a path (Unix socket) or (host, port).
    While it is cut, what is sent waits, as when packets are lost; new connections are taken and hear
    nothing."""

    def __init__(self, address: str | tuple[str, int]):
        self._address = address
        self._whole = Event()
        self._whole.set()
        self._server = StreamServer(("127.0.0.1", 0), self._connect)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._whole.set()
        self._server.stop(timeout=0)

    @property
    def port(self) -> int:
        return self._server.server_port

    def cut(self) -> None:
        self._whole.clear()

    def mend(self) -> None:
        self._whole.set()

    def _connect(self, near: socket.socket, _address) -> None:
        self._whole.wait()
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        with near, socket.socket(family) as far:
            far.connect(self._address)
            ways = [gevent.spawn(self._carry, *way) for way in ((near, far), (far, near))]
            gevent.joinall(ways, count=1)  # an end that has gone is gone for the other
            gevent.killall(ways)

    def _carry(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._whole.wait()
                sink.sendall(data)
        except OSError:
            return
