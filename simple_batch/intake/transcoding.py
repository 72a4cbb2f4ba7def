"""Bytes in any encoding as UTF-8, read as a stream."""

import codecs
import io
from typing import BinaryIO

from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from .encodings import WIDE, label

_BLOCK = 1 << 17
MARK = "\udcff"  # in place of what cannot be decoded; as UTF-8 it is the byte 0xFF


def _mark(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return MARK, error.end


codecs.register_error("simple_batch.mark", _mark)


class Transcoded(io.RawIOBase):
    """What ``raw`` holds in ``encoding``, as UTF-8 without a byte-order mark. Raises UploadRejected
    with a fault that names line and byte (both from 1) where it is no such text; a half character of
    UTF-16 becomes the byte 0xFF instead."""

    def __init__(self, raw: BinaryIO, encoding: str):
        self._raw = raw
        self._encoding = encoding
        errors = "simple_batch.mark" if encoding in WIDE else "strict"
        self._decoder = codecs.getincrementaldecoder(encoding)(errors)
        self._rest = b""
        self._begun = self._ended = False
        self._line, self._byte = 1, 1  # where the next byte of ``raw`` stands

    def readable(self) -> bool:
        """See io.RawIOBase."""
        return True

    def readinto(self, into) -> int:
        """See io.RawIOBase."""
        while not self._rest and not self._ended:
            self._rest = self._next()
        taken, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(taken)] = taken
        return len(taken)

    def _next(self) -> bytes:
        block = self._raw.read(_BLOCK)
        self._ended = not block
        held = self._decoder.getstate()[0]
        try:
            text = self._decoder.decode(block, self._ended)
        except UnicodeDecodeError as error:
            raise self._rejected(error, held) from None
        self._passed(block)
        if not self._begun and text:
            text, self._begun = text.removeprefix("\ufeff"), True
        return text.encode("utf-8", "surrogateescape")

    def _passed(self, block: bytes) -> None:
        ended = block.count(b"\n")
        self._line += ended
        self._byte = len(block) - block.rfind(b"\n") if ended else self._byte + len(block)

    def _rejected(self, error: UnicodeDecodeError, held: bytes) -> UploadRejected:
        """``held`` are bytes of the block before, with which ``error.object`` begins."""
        self._byte -= len(held)
        before = error.object[: error.start]
        self._passed(before)
        message = translatable(
            "The file is not %(encoding)s text at line %(line)s, byte %(byte)s of the line (byte "
            "0x%(value)s). Choose another encoding, or save the file as UTF-8.",
            encoding=label(self._encoding),
            line=f"{self._line:,}",
            byte=f"{self._byte:,}",
            value=f"{error.object[error.start]:02X}",
        )
        return UploadRejected(message, [Fault(self._line, "invalid_encoding", message)], 1)
