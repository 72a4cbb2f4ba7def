"""The bytes of an upload: kept on disk, and read unpacked, guarded against gzip bombs and endless lines."""

import errno
import gzip
import io
import tempfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Protocol

from ..core.errors import UploadRejected, UploadTooLarge
from ..core.json_pieces import Breaks
from ..core.messages import translatable
from ..core.settings import Settings
from .damage import of_packed
from .encodings import UTF8
from .transcoding import Transcoded

BLOCK = 1 << 18
_BOM = b"\xef\xbb\xbf"
NO_TEXT = (b"PK\x03\x04", b"PAR1", b"\xd0\xcf\x11\xe0")  # workbooks and Parquet
# Real text packs by five to twenty, the longest run of one letter by a thousand.
_BOMB_RATIO = 300
_BOMB_FLOOR = 64 << 20


class ByteStream(Protocol):
    """What can be read up to ``size`` bytes at a time; none at its end."""

    def read(self, size: int, /) -> bytes: ...


def refuse_bomb(unpacked: int, packed: int, limit: int) -> None:
    """Raise UploadTooLarge for a file that unpacks to more than ``limit`` bytes, or to many times
    the ``packed`` bytes that it is (0: it is not packed)."""
    if unpacked > limit:
        raise UploadTooLarge(
            translatable(
                "The file unpacks to %(size)s bytes or more, SIMPLE_BATCH_MAX_UNPACKED_BYTES allows "
                "%(limit)s: split it, or raise that.",
                size=f"{unpacked:,}",
                limit=f"{limit:,}",
            )
        )
    if packed and unpacked > max(_BOMB_FLOOR, _BOMB_RATIO * packed):
        raise UploadTooLarge(
            translatable(
                "The file unpacks to %(size)s bytes or more, over %(ratio)s times its own size: "
                "it is taken for a bomb. If it is none, split it into parts of up to %(floor)s MB "
                "unpacked.",
                size=f"{unpacked:,}",
                ratio=_BOMB_RATIO,
                floor=_BOMB_FLOOR // 1_000_000,
            )
        )


class Source:
    """Reads blocks or lines, as UTF-8 where ``encoding`` says what the file is in (one without a text
    stays as it is). Raises UploadTooLarge for what unpacks to more than allowed and UploadRejected for
    damaged gzip, and where the file is not in that encoding."""

    def __init__(self, path: Path, settings: Settings, encoding: str = UTF8):
        self.encoding = encoding
        self._limit = settings.MAX_UNPACKED_BYTES
        self._line_limit = settings.MAX_REQUEST_BYTES
        self._path = path
        self._file = path.open("rb")
        self._whole: BinaryIO | None = None
        self._packed_size = 0
        stream: io.BufferedReader | gzip.GzipFile = self._file
        if self._file.peek(2)[:2] == b"\x1f\x8b":
            self._packed_size = path.stat().st_size
            stream = gzip.GzipFile(fileobj=self._file)
        self._stream: io.BufferedReader = io.BufferedReader(stream, BLOCK)
        self._read = 0
        head = self._guarded(self._stream.peek, 4)
        self.has_bom = head[:3] == _BOM
        if encoding not in ("", UTF8) and not head.startswith(NO_TEXT):
            self._stream = io.BufferedReader(Transcoded(self._stream, encoding), BLOCK)
        elif self.has_bom:
            self._guarded(self._stream.read, 3)

    def close(self) -> None:
        """Close the upload and the unpacked copy."""
        self._file.close()
        if self._whole is not None:
            self._whole.close()

    def whole(self) -> BinaryIO:
        """A file of the unpacked bytes, for a format that is not read from its beginning to its end."""
        whole = self._whole
        if whole is None and self._packed_size:
            whole = tempfile.TemporaryFile(dir=self._path.parent)  # noqa: SIM115
            for block in self.blocks():
                whole.write(block)
        elif whole is None:
            whole = self._path.open("rb")
        whole.seek(0)
        self._whole = whole
        return whole

    def peek(self) -> bytes:
        """The bytes that come next, without moving on."""
        return self._guarded(self._stream.peek, BLOCK)

    def blocks(self) -> Iterator[bytes]:
        """The rest of the unpacked bytes, up to BLOCK at a time. Others have their turn between blocks:
        there may be nothing but empty lines in millions of them."""
        breaks = Breaks()
        while block := self._guarded(self._stream.read1, BLOCK):
            yield block
            breaks.take()

    def lines(self) -> Iterator[tuple[int, list[bytes | None]]]:
        """(number of the first, from 1; whole lines without their ends), a block's worth at a
        time; None for a line over MAX_REQUEST_BYTES."""
        number, too_long = 1, False
        begun: list[bytes] = []
        for block in self.blocks():
            whole = block.split(b"\n")
            rest = whole.pop()
            if whole:
                whole[0] = b"".join((*begun, whole[0]))
                begun = []
                lines: list[bytes | None] = [*whole]
                if max(map(len, whole)) > self._line_limit:
                    lines = [line if len(line) <= self._line_limit else None for line in whole]
                if too_long:
                    lines[0], too_long = None, False
                yield number, lines
                number += len(lines)
            begun.append(rest)
            if sum(map(len, begun)) > self._line_limit:
                begun, too_long = [], True
        if too_long or any(begun):
            yield number, [None if too_long else b"".join(begun)]

    def _guarded(self, read: Callable[[int], bytes], size: int) -> bytes:
        try:
            data = read(size)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise UploadRejected(
                translatable(
                    "The gzip file is damaged or cut off: %(error)s.", error=of_packed(error)
                )
            ) from error
        if read != self._stream.peek:
            self._read += len(data)
            refuse_bomb(self._read, self._packed_size, self._limit)
        return data


SPOOL_BLOCK = 1 << 20


def spool(stream: ByteStream, destination: Path, limit: int) -> int:
    """Copy a stream to ``destination`` in blocks; returns the bytes written.

    Raises UploadTooLarge over ``limit`` bytes and UploadRejected where the disk cannot take it;
    no partial file is left behind.
    """
    size = 0
    try:
        with destination.open("wb") as file:
            while block := stream.read(SPOOL_BLOCK):
                size += len(block)
                if size > limit:
                    raise UploadTooLarge(
                        translatable(
                            "The upload is larger than %(limit)s bytes: split it, or have the setting "
                            "raised (MAX_UPLOAD_BYTES, BATCH_MAX_FILE_BYTES).",
                            limit=f"{limit:,}",
                        )
                    )
                file.write(block)
    except BaseException as error:
        destination.unlink(missing_ok=True)
        if isinstance(error, OSError):
            full = error.errno in (errno.ENOSPC, errno.EDQUOT)
            why = (
                translatable("no space is left on the disk")
                if full
                else (error.strerror or str(error))
            )
            raise UploadRejected(
                translatable("The upload cannot be kept: %(why)s.", why=why)
            ) from error
        raise
    return size
