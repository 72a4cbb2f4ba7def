"""NaN in JSON, as Python and R write it for a missing value: no JSON (RFC 8259, section 6), but its
meaning is clear. Infinity is none: it stays a fault."""

import re

from ..core.json_pieces import Breaks

_TOKEN = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"?|(?<![\w.+-])-?(?:NaN|nan)(?![\w.])', re.DOTALL)


def without_nan(raw: bytes) -> tuple[bytes, int]:
    """JSON with null in place of each NaN outside of texts, and how many there were."""
    if b"NaN" not in raw and b"nan" not in raw:
        return raw, 0
    pieces, end, count = [], 0, 0
    breaks = Breaks()
    for number, token in enumerate(_TOKEN.finditer(raw)):
        if number % 1_000 == 0:
            breaks.take()
        if token[0][:1] == b'"':
            continue
        pieces += [raw[end : token.start()], b"null"]
        end, count = token.end(), count + 1
    return b"".join((*pieces, raw[end:])), count
