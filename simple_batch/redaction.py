"""Texts without keys: those that this process has opened or was given, in whatever form they come, and
anything that looks like one.

Providers quote a key back in their complaints, libraries name the value they could not send. Every
text that is kept, logged or told and may hold such a thing passes here.
"""

import base64
import html
import json
import re
from urllib.parse import quote, quote_plus

MASK = "[key]"
SHORTEST = 8  # of a secret that is looked for: “none” and “ollama” stand in many a text
_KEYLIKE = re.compile(
    r"(?P<before>\bauthorization['\"]?\s{0,9}[:=]\s{0,9}['\"]?(?:Bearer\s{1,9})?|\bBearer\s{1,9})"
    r"[^\s'\",\\]+|\bs[kb]-[\w*-]{6,}|\bwhsec_[\w+/=-]{6,}",
    re.IGNORECASE,
)
_known: dict[str, tuple[str, ...]] = {}


def remember(*secrets: str) -> None:
    """Look for these from now on."""
    for secret in secrets:
        if len(secret) >= SHORTEST and secret not in _known:
            _known[secret] = forms(secret)


def redact(text: str) -> str:
    """The text with the mask in place of every key."""
    for known in tuple(_known.values()):
        for form in known:
            if form in text:
                text = text.replace(form, MASK)
    return _KEYLIKE.sub(lambda found: (found["before"] or "") + MASK, text)


def forms(secret: str) -> tuple[str, ...]:
    """A secret as JSON, URLs, HTML, hexadecimal and base64 (of a text that holds it) have it; the
    longest first."""
    data = secret.encode()
    found = {
        secret,
        json.dumps(secret)[1:-1],
        secret.replace("/", "\\/"),
        quote(secret, safe=""),
        quote_plus(secret, safe=""),
        quote(secret),
        html.escape(secret),
        html.escape(secret).replace("&#x27;", "&#39;").replace("&quot;", "&#34;"),
        data.hex(),
        data.hex().upper(),
    }
    for offset in range(3):
        # of the base64 of a longer text, the digits that stand for this part alone
        digits = base64.b64encode(b"\0" * offset + data).decode()
        whole = digits[-(-offset * 8 // 6) : (offset + len(data)) * 8 // 6]
        found |= {whole, whole.replace("+", "-").replace("/", "_")}
    return tuple(sorted(found, key=len, reverse=True))


class RedactedStream:
    """A stream for texts that libraries write by themselves, tracebacks above all."""

    def __init__(self, stream):
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(redact(text))

    def flush(self) -> None:
        self._stream.flush()
