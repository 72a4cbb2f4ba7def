"""JSON with line breaks and indents, its values as they were written.

Decoding and encoding again changes numbers: 1.10 becomes 1.1, and a fraction of twenty digits loses some.
"""

import json
import re

_TOKEN = re.compile(
    r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|\{\s*\}|\[\s*\]|[\[\]{},:]|[^\s\[\]{},:"]+', re.DOTALL
)


def indented(text: str) -> str:
    """Valid JSON as json.dumps would indent it. Texts are without needless escapes."""
    found: list[str] = []
    depth = 0
    for token in _TOKEN.findall(text):
        mark = token[0]
        if mark == '"':
            found.append(_readable(token))
        elif token in ("{", "["):
            depth += 1
            found += (token, _line(depth))
        elif token in ("}", "]"):
            depth -= 1
            found += (_line(depth), token)
        elif mark == ",":
            found += (",", _line(depth))
        elif mark == ":":
            found.append(": ")
        else:
            found.append("{}" if mark == "{" else "[]" if mark == "[" else token)
    return "".join(found)


def _line(depth: int) -> str:
    return "\n" + "  " * depth


def _readable(token: str) -> str:
    """A text with the letters that its escapes stand for; as it is where they are halves of letters."""
    if "\\" not in token:
        return token
    readable = json.dumps(json.loads(token, strict=False), ensure_ascii=False)
    try:
        readable.encode()
    except UnicodeEncodeError:
        return token
    return readable
