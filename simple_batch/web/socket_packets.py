"""Checks packets of the live feed before Engine.IO and Socket.IO parse them: these libraries let the
exceptions of a malformed packet escape. Here one ends the connection, with a line in the log.
"""

import io
import logging
from urllib.parse import parse_qs

from engineio import packet
from engineio.packet import Packet
from engineio.payload import Payload
from flask import Flask
from socketio import Server
from socketio.packet import BINARY_EVENT, EVENT
from socketio.packet import Packet as SocketPacket
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge
from wsproto.utilities import ProtocolError

log = logging.getLogger(__name__)

PATH = "/socket.io/"
_POSTED = (packet.CLOSE, packet.PONG, packet.MESSAGE, packet.UPGRADE)  # what a client may send
_SENT = (*_POSTED, packet.PING)  # to probe a WebSocket
_OWN_EVENTS = ("connect", "disconnect")  # raised by the server, never sent by a client
# what the libraries' parsers raise: IndexError and KeyError for what is missing, RecursionError for
# JSON that is nested too deeply
_MALFORMED = (ValueError, TypeError, LookupError, AttributeError, RecursionError)


class EventPacket(SocketPacket):
    """Socket.IO's packet; decoding raises ValueError for an event that a client may not send."""

    def decode(self, encoded_packet):
        attachments = super().decode(encoded_packet)
        if self.packet_type in (EVENT, BINARY_EVENT) and not _is_event(self.data):
            raise ValueError("no event")
        return attachments


def guard(app: Flask, server: Server) -> None:
    """Check all packets of this server."""
    engine = server.eio
    engine._async = {**engine._async, "websocket": _guarded(engine._async["websocket"])}

    def receive(sid: str, data) -> None:
        try:
            server._handle_eio_message(sid, data)
        except _MALFORMED as error:
            log.info("the live feed got a malformed packet (%s)", type(error).__name__)
            _end(engine, sid)

    engine.on("message", receive)
    app.wsgi_app = _Posts(app.wsgi_app, engine)  # type: ignore[method-assign]  # as Flask's docs do


class _Posts:
    """WSGI middleware in front of Engine.IO: checks packets in bodies (long polling). Answers 400 and
    413."""

    def __init__(self, app, engine):
        self._app, self._engine = app, engine

    def __call__(self, environ, start_response):
        posted = environ["REQUEST_METHOD"] == "POST"
        if not posted or not environ.get("PATH_INFO", "").startswith(PATH):
            return self._app(environ, start_response)
        sid = parse_qs(environ.get("QUERY_STRING", "")).get("sid", [""])[0]
        socket = self._engine.sockets.get(sid)
        if socket is None or socket.closed:  # Engine.IO raises KeyError for one that has just ended
            return BadRequest().get_response(environ)(environ, start_response)
        try:
            environ["wsgi.input"] = io.BytesIO(self._body(environ))
        except RequestEntityTooLarge as refused:
            return refused.get_response(environ)(environ, start_response)
        except _MALFORMED as error:
            log.info("the live feed got a malformed body (%s)", type(error).__name__)
            _end(self._engine, sid)
            return BadRequest().get_response(environ)(environ, start_response)
        return self._app(environ, start_response)

    def _body(self, environ) -> bytes:
        """Raises what the parser raises for a body without packets."""
        length = int(environ.get("CONTENT_LENGTH") or 0)
        if length > self._engine.max_http_buffer_size:
            raise RequestEntityTooLarge
        body = environ["wsgi.input"].read(max(0, length))
        for posted in Payload(encoded_payload=body.decode()).packets:
            _check(posted, _POSTED)
        environ["CONTENT_LENGTH"] = str(len(body))
        return body


def _guarded(websocket: type) -> type:
    """The class of a driver's WebSockets: a malformed handshake is refused, a malformed packet ends
    the connection as if the client had closed it."""

    class Guarded(websocket):
        def __call__(self, environ, start_response):
            try:
                return super().__call__(environ, start_response)
            except ProtocolError:
                return BadRequest().get_response(environ)(environ, start_response)

        def wait(self):
            data = super().wait()
            try:
                if data is not None:
                    _check(Packet(encoded_packet=data), _SENT)
            except _MALFORMED as error:
                log.info("the live feed got a malformed packet (%s)", type(error).__name__)
                return None
            return data

    return Guarded


def _check(sent: Packet, allowed: tuple[int, ...]) -> None:
    """Raises ValueError for a kind of packet that is not ``allowed``."""
    if sent.packet_type not in allowed:
        raise ValueError(sent.packet_type)


def _end(engine, sid: str) -> None:
    """End a connection now: Engine.IO's own way waits until the client has read everything."""
    socket = engine.sockets.get(sid)
    if socket is not None:
        socket.close(wait=False, reason=engine.reason.SERVER_DISCONNECT)


def _is_event(data) -> bool:
    named = isinstance(data, list) and bool(data) and isinstance(data[0], str)
    return named and data[0] not in _OWN_EVENTS
