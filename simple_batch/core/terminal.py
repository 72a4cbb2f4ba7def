"""Texts that a terminal only shows.

What a provider, a file or another user has written may hold control characters: those of ECMA-48 (C0, C1,
ESC and what follows it) move the cursor, retitle the window or hide lines; the directional
marks of Unicode (UAX #9) show letters in another order than they stand in. They come out escaped.
"""

import codecs
import io
import os
import re
import sys
from collections.abc import Iterable, Iterator

_MARKS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\u2028\u2029\ud800-\udfff"
_IN_TEXT = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{_MARKS}]")  # line ends and tabs are left
_IN_LINE = re.compile(f"[\x00-\x1f\x7f-\x9f{_MARKS}]")


def tolerate_encodings() -> None:
    """Let no character fail that the encoding of a stream lacks, as the code pages of Windows lack most:
    it comes out escaped. What is redirected into a file or a pipe there is UTF-8, so that it stays whole,
    unless PYTHONIOENCODING says otherwise."""
    redirected = "PYTHONIOENCODING" not in os.environ and os.name == "nt"
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper) or _is_utf8(stream.encoding):
            continue
        if redirected and not stream.isatty():
            stream.reconfigure(encoding="utf-8", errors="backslashreplace")
        else:
            stream.reconfigure(errors="backslashreplace")


def _is_utf8(encoding: str) -> bool:
    return codecs.lookup(encoding).name == "utf-8"


def shown(text: str) -> str:
    """The text, of one line or several."""
    return _IN_TEXT.sub(_escaped, text)


def shown_line(text: str) -> str:
    """The same for what has to stay on its line."""
    return _IN_LINE.sub(_escaped, text)


def shown_json(text: str) -> str:
    """JSON whose strings have these characters as JSON escapes them: to who parses it, the same."""
    return _IN_TEXT.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def shown_pieces(pieces: Iterable[bytes], is_json: bool) -> Iterator[str]:
    """A file of UTF-8, in pieces, for a terminal; its line ends become those of a terminal."""
    escaped = shown_json if is_json else shown
    lines = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder("utf-8")("replace"), True)
    for piece in pieces:
        yield escaped(lines.decode(piece))
    yield escaped(lines.decode(b"", final=True))


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()
