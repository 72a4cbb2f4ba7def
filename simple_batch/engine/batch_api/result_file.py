"""Files of results on disk: unpacked as they come, and checked for a whole last line."""

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
from requests.exceptions import ContentDecodingError

from ...core.redaction import redact
from ...core.stored_messages import DAMAGED_ENCODING, RESULTS_CUT_OFF, UNKNOWN_ENCODING
from ..adapter import BLOCK
from ..surrogates import mended
from .batch_client import ResultsCutOff

_decode = msgspec.json.Decoder().decode
_GZIP = b"\x1f\x8b"  # RFC 1952, section 2.3.1
_MOST = 1 << 26  # bytes of a line that is looked at


class Unpacker:
    """Undoes a Content-Encoding, a block at a time, also that of a file which is stored as gzip: no JSON
    begins as gzip does. Raises ContentDecodingError for an encoding that was not asked for and for damaged
    data."""

    def __init__(self, encoding: str):
        self._encoding = encoding
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            named = repr(redact(encoding)[:50])
            raise ContentDecodingError(UNKNOWN_ENCODING(encoding=named))
        self._plain = self._encoding in ("", "identity")
        self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)  # gzip or zlib, by its header
        self._begun = False

    @property
    def whole(self) -> bool:
        """Whether the data so far is no part of something longer."""
        return self._plain or not self._begun or self._inflater.eof

    def feed(self, data: bytes) -> Iterator[bytes]:
        if self._plain and not self._begun and data.startswith(_GZIP):
            self._plain, self._encoding = False, "gzip"
        self._begun = True
        if self._plain:
            yield data
            return
        try:
            while data:
                if self._inflater.eof:  # another member (RFC 1952, section 2.2)
                    self._inflater = zlib.decompressobj(zlib.MAX_WBITS | 32)
                yield self._inflater.decompress(data, BLOCK)
                data = self._inflater.unconsumed_tail or self._inflater.unused_data
        except zlib.error as error:
            raise ContentDecodingError(DAMAGED_ENCODING(encoding=self._encoding)) from error


def unfinished(path: Path) -> Path:
    """Where a file is until it is whole."""
    return path.with_name(f"{path.name}.part")


def check_last_line(path: Path) -> None:
    """Raises ResultsCutOff where the file ends in the middle of a line of JSON."""
    last = _last_line(path)
    if not last:
        return
    try:
        _decode(mended(last))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise ResultsCutOff(RESULTS_CUT_OFF()) from None


def _last_line(path: Path) -> bytes:
    """What stands behind the last line break; nothing where that is too long."""
    with path.open("rb") as file:
        end = place = file.seek(0, os.SEEK_END)
        parts: list[bytes] = []
        while place:
            if end - place > _MOST:
                return b""
            size = min(BLOCK, place)
            place -= size
            file.seek(place)
            block = file.read(size)
            _before, found, rest = block.rpartition(b"\n")
            parts.append(rest)
            if found:
                break
    return b"".join(reversed(parts)).strip()
