"""Texts without keys: those that this process has opened or was given, in whatever form they come, and
anything that looks like one.

Providers quote a key back in their complaints, libraries name the value they could not send. Every
text that is stored, logged or shown and may hold a key passes here.
"""

import base64
import re
from collections.abc import Iterator
from typing import TextIO

from .terminal import shown

MASK = "[key]"
SHORTEST = 8  # of a secret that is looked for: “none” and “ollama” stand in many a text
_MASK_BYTES = MASK.encode()
_LEAST_WORD = 4
_KEYLIKE = re.compile(
    r"(?P<before>\bauthorization['\"]?\s{0,9}[:=]\s{0,9}['\"]?(?:Bearer\s{1,9})?|\bBearer\s{1,9})"
    r"[^\s'\",\\]+|\bs[kb]-[\w*-]{6,}|\bwhsec_[\w+/=-]{6,}",
    re.IGNORECASE,
)
_WORD = re.compile(r"[\w.~-]+", re.ASCII)  # of a secret: what no way of writing it down changes
_BETWEEN_PARTS = re.compile(r"[\s;,]+(?:[\w.-]+=(?=[^=\s;,]))?")
_MAX_ESCAPED = 12  # characters that one character may become: &amp;quot;, \\\\\\"


class Secret:
    """One secret, as it stands in texts and in bodies: as it is, escaped as JSON, URLs and HTML have
    it, also one in the other, as hexadecimal, and in the base64 of a text that holds it."""

    def __init__(self, secret: str):
        forms = sorted({secret, *_coded(secret.encode())}, key=len, reverse=True)
        words = _WORD.findall(secret)
        self._word, pattern = max(words, key=len, default=""), ""
        if len(words) > 1 and len(self._word) >= _LEAST_WORD:
            limit = _MAX_ESCAPED * (len(secret) - sum(map(len, words)))
            # atomic groups: a text that quotes a secret cannot make this search slow
            more = "".join(f"(?>.{{1,{limit}}}?{re.escape(word)})" for word in words[1:])
            pattern = re.escape(words[0]) + more
        self._texts = tuple(forms), pattern and re.compile(pattern, re.DOTALL)
        self._bodies = (
            tuple(form.encode() for form in forms),
            pattern and re.compile(pattern.encode(), re.DOTALL),
        )
        self._word_bytes, self._plain = self._word.encode(), secret.encode()

    def masked(self, text: str) -> str:
        """The text with the mask in place of the secret."""
        forms, pattern = self._texts
        for form in forms:
            if form in text:
                text = text.replace(form, MASK)
        return pattern.sub(MASK, text) if pattern and self._word in text else text

    def masked_body(self, body: bytes, coded: bool = True) -> bytes:
        """The same for bytes; not ``coded``: hexadecimal and base64 are not looked for."""
        forms, pattern = self._bodies
        for form in forms if coded else (self._plain,):
            if form in body:
                body = body.replace(form, _MASK_BYTES)
        return pattern.sub(_MASK_BYTES, body) if pattern and self._word_bytes in body else body


_known: dict[str, Secret] = {}


def remember(*secrets: str) -> None:
    """Look for these from now on."""
    for secret in secrets:
        if len(secret) >= SHORTEST and secret not in _known:
            _known[secret] = Secret(secret)


def parts_of(secret: str) -> list[str]:
    """A secret and the parts of it that are secret by themselves: of a header like ``Basic dXNlcj…``
    or ``session=…; id=…``, an error may quote the last part only."""
    return [secret, *(part for part in _BETWEEN_PARTS.split(secret) if part != secret)]


def redact(text: str) -> str:
    """The text with the mask in place of every key."""
    for secret in tuple(_known.values()):
        text = secret.masked(text)
    return _KEYLIKE.sub(lambda found: (found["before"] or "") + MASK, text)


def _coded(data: bytes) -> Iterator[str]:
    yield data.hex()
    yield data.hex().upper()
    for offset in range(3):
        # of the base64 of a longer text, the digits that stand for this part alone
        digits = base64.b64encode(b"\0" * offset + data).decode()
        whole = digits[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        yield whole
        yield whole.replace("+", "-").replace("/", "_")


class RedactedStream:
    """A stream for texts that libraries write by themselves, tracebacks above all; without control
    characters."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(shown(redact(text)))

    def flush(self) -> None:
        self._stream.flush()
