"""Halves of surrogate pairs in JSON: a token limit may cut an emoji in two, and no decoder reads the half."""

import re

_SURROGATES = b"\\ud", b"\\uD"
_BACKSLASH = ord("\\")  # a number is found faster than bytes
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(?P<half>\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def mended(body: bytes) -> bytes:
    """JSON with a replacement character for each half of a pair; the same object where it has none."""
    if _BACKSLASH not in body:
        return body
    if _SURROGATES[0] in body or _SURROGATES[1] in body:
        return _ESCAPE.sub(_whole, body)
    return body


def _whole(escape: re.Match[bytes]) -> bytes:
    """A pair of surrogates, or an escape of another kind, as it is."""
    return b"\\ufffd" if escape["half"] else escape[0]
