"""Whole answers that are not what they should be."""

import functools
import gzip
import json
import zlib

from tests import endpoint as e

from . import Fault, always, at_first

MB = 1_000_000


def _gzip(data: bytes) -> bytes:
    return e.http(200, data, "Content-Encoding: gzip")


@functools.cache
def _bomb() -> bytes:
    """A gigabyte of spaces in a thousandth of that."""
    packer = zlib.compressobj(1, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    packed = [packer.compress(b" " * MB) for _ in range(1000)]
    return _gzip(b"".join(packed) + packer.flush())


@functools.cache
def _large() -> bytes:
    return e.says("x" * (100 * MB))


def _raw(text: bytes) -> bytes:
    return e.http(200, text)


def _good(**fields) -> bytes:
    return e.http(200, {**e.GOOD, **fields})


PACKED = gzip.compress(json.dumps(e.GOOD).encode())
TEXT = json.dumps(e.GOOD)
HTML = b"<!doctype html><html><body>502 Bad Gateway</body></html>"
HUGE = {"prompt_tokens": 10**30, "completion_tokens": 10**30}


def _bad(name: str, answer: bytes) -> Fault:
    return Fault(name=name, answer=always(answer), ends=("bad_response",), calls=2)


def _taken(name: str, answer: bytes) -> Fault:
    return Fault(name=name, answer=always(answer), ends=(None,), calls=1)


FAULTS = (
    Fault(
        name="100 MB",
        answer=lambda _number: _large(),
        ends=("bad_response", "timeout"),
        calls=2,
        heavy=True,
    ),
    Fault(
        name="a gzip bomb of 1 GB",
        answer=lambda _number: _bomb(),
        ends=("bad_response", "timeout"),
        calls=2,
        heavy=True,
    ),
    _bad("invalid gzip", e.bad_gzip()),
    _bad("truncated gzip", _gzip(PACKED[:-12])),
    _bad("an encoding not asked for", e.http(200, b"abc", "Content-Encoding: br")),
    _bad("HTML", e.http(200, HTML, kind="text/html")),
    _bad("an empty body", _raw(b"")),
    _bad("a picture", e.http(200, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), kind="image/png")),
    _bad(
        "invalid UTF-8", _raw(TEXT.replace("fine", "fi\udce9ne").encode(errors="surrogateescape"))
    ),
    _bad("NUL bytes", _raw(TEXT.replace("fine", "fi\0ne").replace("\\u0000", "\0").encode())),
    _bad("NaN", _raw(TEXT.replace('"prompt_tokens": 7', '"prompt_tokens": NaN').encode())),
    _bad("nesting without end", _raw(b"[" * 100_000)),
    _bad("nested in a field", _raw(b'{"choices":' + b"[" * 100_000 + b"]" * 100_000 + b"}")),
    _bad("no choices", _good(choices=[])),
    _bad("choices of another kind", _good(choices=7)),
    _bad("an error inside a 200", _good(error={"message": "no"}, choices=None)),
    _bad("a number", _raw(b"17")),
    _bad("a status of 299 and nothing", e.http(299, b"")),
    _taken("JSON as text/plain", e.http(200, e.GOOD, kind="text/plain")),
    _taken("an escaped NUL", e.says("a\0b")),
    _taken("half of an emoji", e.says("a\ud83db")),
    _taken("more tokens than there are", _good(usage=HUGE)),
    _taken("fewer tokens than none", _good(usage={"prompt_tokens": -5, "completion_tokens": -1})),
    _taken("tokens of another kind", _good(usage={"prompt_tokens": "many"})),
    _taken("usage of another kind", _good(usage=[1, 2])),
    _taken("a model of another kind", _good(model={"a": 1})),
    _taken("a choice of another kind", _good(choices=[None, 7, "x"])),
    _taken("interim answers before it", b"HTTP/1.1 103 Early\r\nX: 1\r\n\r\n" * 3 + e.ok()),
    _taken("a model's name of a megabyte", _good(model="m" * MB)),
    Fault(
        name="a status there is not",
        answer=always(e.http(999, {"error": {"message": "?"}})),
        ends=("server_error", "bad_response", "connection"),
    ),
    Fault(
        name="an error's message of 10 MB",
        answer=always(e.error(500, "x" * (10 * MB))),
        ends=("server_error",),
        calls=2,
        heavy=True,
    ),
    Fault(
        name="an error that quotes the key",
        answer=lambda _number: e.error(400, "Incorrect: sk-planted-0123456789"),
        ends=("bad_request",),
        calls=1,
    ),
    Fault(
        name="one 500, 502, 503, 504, 529 each",
        answer=lambda number: (
            e.error((500, 502, 503, 504, 529)[number - 1]) if number == 1 else e.ok()
        ),
        ends=(None,),
        calls=2,
    ),
    Fault(
        name="a burst of 503",
        answer=at_first(1, e.error(503), e.ok()),
        ends=(None,),
        calls=2,
    ),
)
