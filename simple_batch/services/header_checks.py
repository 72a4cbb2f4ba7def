"""Checks of the headers and query parameters of an API config.

Names and values of headers are those of RFC 9110, sections 5.1, 5.5 and 5.6.2; query parameters are
encoded when they are sent, so that their characters are free.
"""

import re
from collections.abc import Iterable

from ..core.errors import InvalidInput
from ..core.lazy_pattern import lazy_pattern
from ..core.messages import Message, translatable

MOST = 50  # headers, and as many query parameters
MAX_NAME = 200  # characters
MAX_VALUE = 8_000
MAX_TOTAL = 32_000  # characters of all headers, or of all query parameters
# They frame a message or concern one connection (RFC 9110, section 7.6.1): the program sets them.
FRAMING = frozenset(
    {
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
        "expect",
    }
)
HEADER, PARAMETER = translatable("Header"), translatable("Query parameter")
_TOKEN = lazy_pattern(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_NO_HEADER = lazy_pattern("[^\x20-\x7e\xa0-\xff]")
_CONTROL = lazy_pattern("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_WORDS = lazy_pattern(r"[A-Z]?[a-z0-9]+|[A-Z0-9]+(?![a-z])")
_SECRET_WORDS = frozenset(
    [
        "key",
        "keys",
        "apikey",
        "token",
        "secret",
        "sig",
        "signature",
        "password",
        "passwd",
        "pwd",
        "credential",
        "credentials",
        "auth",
        "authorization",
        "cookie",
        "jwt",
    ]
)
_SECRET_NAMES = frozenset({"code"})  # Azure Functions


def looks_secret(name: str) -> bool:
    """Whether the name says that its value is a secret: its last word is key, token, secret, …"""
    words = [word.lower() for word in _WORDS.findall(name)]
    return name.lower() in _SECRET_NAMES or (bool(words) and _names_secret(words[-1]))


def _names_secret(word: str) -> bool:
    return word in _SECRET_WORDS or word.endswith(("key", "token", "secret"))


def checked_headers(pairs: Iterable[tuple[str, str]], field: str) -> dict[str, str]:
    """Headers without spaces around names and values. Raises InvalidInput naming the ``field``; no
    message quotes a value."""
    found: dict[str, str] = {}
    for name, value in pairs:
        name, value = name.strip(), value.strip()
        if not _TOKEN.fullmatch(name):
            raise _wrong(HEADER, name, translatable("this is not a valid header name"), field)
        if name.lower() in FRAMING:
            raise _wrong(HEADER, name, translatable("the program sets it itself; remove it"), field)
        if _NO_HEADER.search(value):
            why = translatable("use Latin letters, digits and punctuation in one line")
            raise _wrong(HEADER, name, why, field)
        found[_unused(HEADER, name, found, field)] = _sized(HEADER, name, value, field)
    return _few(HEADER, found, field)


def checked_query(pairs: Iterable[tuple[str, str]], field: str) -> dict[str, str]:
    """The same for query parameters."""
    found: dict[str, str] = {}
    for name, value in pairs:
        name, value = name.strip(), value.strip()
        if not name or _CONTROL.search(name):
            why = translatable("this is not a valid parameter name")
            raise _wrong(PARAMETER, name, why, field)
        if _CONTROL.search(value):
            raise _wrong(PARAMETER, name, translatable("remove line breaks and tabs"), field)
        found[_unused(PARAMETER, name, found, field)] = _sized(PARAMETER, name, value, field)
    return _few(PARAMETER, found, field)


def _sized(kind: Message, name: str, value: str, field: str) -> str:
    if not value:
        raise _wrong(kind, name, translatable("its value is missing"), field)
    if len(name) > MAX_NAME or len(value) > MAX_VALUE:
        raise _wrong(
            kind,
            name,
            translatable(
                "up to %(name)s characters in the name and %(value)s in the value",
                name=MAX_NAME,
                value=f"{MAX_VALUE:,}",
            ),
            field,
        )
    return value


def _unused(kind: Message, name: str, found: Iterable[str], field: str) -> str:
    if name.lower() in map(str.lower, found):
        raise _wrong(kind, name, translatable("it is given twice"), field)
    return name


def _few(kind: Message, found: dict[str, str], field: str) -> dict[str, str]:
    total = sum(len(name) + len(value) for name, value in found.items())
    if len(found) > MOST or total > MAX_TOTAL:
        raise InvalidInput(
            translatable(
                "%(kind)s: up to %(count)s, of %(total)s characters in all.",
                kind=kind,
                count=MOST,
                total=f"{MAX_TOTAL:,}",
            ),
            field,
        )
    return found


def _wrong(kind: Message, name: str, why: Message, field: str) -> InvalidInput:
    shown = name.encode("ascii", "backslashreplace").decode() if _CONTROL.search(name) else name
    return InvalidInput(
        translatable("%(kind)s “%(name)s”: %(why)s.", kind=kind, name=shown[:60], why=why), field
    )
