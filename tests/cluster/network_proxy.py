"""A TCP proxy in front of a server, whose traffic a test can stop without closing any connection."""

import socket

import gevent
from gevent.event import Event
from gevent.server import StreamServer


class NetworkProxy:
    """Listens on a loopback port and forwards to ``address``: a path (Unix socket) or (host, port).
    While it is cut, data waits as if its packets were lost; new connections are accepted but get no
    answer."""

    def __init__(self, address: str | tuple[str, int]):
        self._address = address
        self._forwarding = Event()
        self._forwarding.set()
        self._server = StreamServer(("127.0.0.1", 0), self._connect)

    def __enter__(self):
        self._server.start()
        return self

    def __exit__(self, *_):
        self._forwarding.set()
        self._server.stop(timeout=0)

    @property
    def port(self) -> int:
        return self._server.server_port

    def cut(self) -> None:
        self._forwarding.clear()

    def restore(self) -> None:
        self._forwarding.set()

    def _connect(self, client: socket.socket, _address) -> None:
        self._forwarding.wait()
        family = socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET
        with client, socket.socket(family) as server:
            server.connect(self._address)
            directions = ((client, server), (server, client))
            copying = [gevent.spawn(self._copy, *direction) for direction in directions]
            gevent.joinall(
                copying, count=1
            )  # a connection closed by one end is closed for the other
            gevent.killall(copying)

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65_536):
                self._forwarding.wait()
                sink.sendall(data)
        except OSError:
            return
