"""Connections that break, stall or never end. A request hit is tried once more (RETRIES), then fails."""

import contextlib

import gevent

from tests import endpoint as e

from . import Fault, always

WHOLE = e.http(200, e.GOOD)
HEAD, BODY = WHOLE.split(b"\r\n\r\n", 1)


def _reset_after(data: bytes):
    def behave(connection):
        connection.sendall(data)
        gevent.sleep(0.05)
        e.reset(connection)

    return behave


def _closed(connection):
    connection.close()


def _one_byte_a_second(connection):
    for byte in WHOLE:
        connection.sendall(bytes([byte]))
        gevent.sleep(1)


def _silent(connection):
    gevent.sleep(30)


def _endless(begin: bytes, block: bytes):
    def behave(connection):
        with contextlib.suppress(OSError):
            connection.sendall(begin)
            while True:
                connection.sendall(block)
                gevent.sleep(0)

    return behave


def _too_long_a_length(connection):
    connection.sendall(e.http(200, e.GOOD, length=len(BODY) + 100))
    gevent.sleep(30)


STATUS = b"HTTP/1.1 200 X\r\n"
FAULTS = (
    Fault(name="closed without an answer", answer=always(_closed), ends=("connection",), calls=2),
    Fault(name="reset before the headers", answer=always(e.reset), ends=("connection",), calls=2),
    Fault(
        name="reset in the headers",
        answer=always(_reset_after(HEAD[:30])),
        ends=("connection",),
        calls=2,
    ),
    Fault(
        name="reset after the headers",
        answer=always(_reset_after(HEAD + b"\r\n\r\n")),
        ends=("connection",),
        calls=2,
    ),
    Fault(
        name="reset in the body",
        answer=always(_reset_after(WHOLE[:-20])),
        ends=("connection",),
        calls=2,
    ),
    Fault(name="truncated body", answer=always(e.truncated), ends=("connection",), calls=2),
    Fault(name="truncated headers", answer=always(e.half_headers), ends=("connection",), calls=2),
    Fault(name="not HTTP", answer=always(e.not_http), ends=("connection",), calls=2),
    Fault(name="silence", answer=always(_silent), ends=("timeout",), calls=2),
    Fault(name="one byte a second", answer=always(_one_byte_a_second), ends=("timeout",), calls=2),
    Fault(name="length too long", answer=always(_too_long_a_length), ends=("timeout",), calls=2),
    Fault(
        name="length too short",
        answer=always(e.http(200, e.GOOD, length=len(BODY) - 20)),
        ends=("bad_response", "connection"),
        calls=2,
    ),
    Fault(
        name="a second answer behind the first",
        answer=always(WHOLE + e.says("smuggled")),
        ends=(None, "bad_response", "connection"),
    ),
    Fault(
        name="endless headers",
        answer=always(_endless(STATUS, b"X-More: and more\r\n" * 1000)),
        ends=("connection", "timeout"),
        calls=2,
    ),
    Fault(
        name="endless 1xx",
        answer=always(_endless(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100)),
        ends=("connection", "timeout"),
        calls=2,
    ),
    Fault(
        name="endless body",
        answer=always(_endless(STATUS + b"Content-Type: application/json\r\n\r\n", b" " * 65_536)),
        ends=("bad_response", "timeout"),
        calls=2,
        heavy=True,
    ),
    Fault(
        name="endless chunks",
        answer=always(
            _endless(
                STATUS + b"Transfer-Encoding: chunked\r\n\r\n",
                b"10000\r\n" + b" " * 65_536 + b"\r\n",
            )
        ),
        ends=("bad_response", "timeout"),
        calls=2,
        heavy=True,
    ),
    Fault(
        name="rubbish for a chunk's size",
        answer=always(STATUS + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n{}\r\n"),
        ends=("connection",),
        calls=2,
    ),
)
