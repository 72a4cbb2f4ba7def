"""Whether an upload is UTF-8 (RFC 3629) from its beginning to its end, read in blocks."""

import codecs
from collections.abc import Iterable
from pathlib import Path

from ..core.clock import give_way
from ..core.domain import Fault
from ..core.errors import UploadRejected
from ..core.messages import translatable
from ..core.settings import Settings
from .source import Source

_WIDE_BOMS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_WIDE_HEAD = (
    4  # JSON begins with ASCII: a NUL in the first bytes means UTF-16 or UTF-32 (RFC 4627, 3)
)


def check_utf8(path: Path, settings: Settings) -> None:
    """Read a file of lines, or gzip of one. Raises UploadRejected with one fault that names the line
    and its byte (both from 1) where it is not UTF-8, also for damaged gzip, and UploadTooLarge for
    what unpacks to too much."""
    source = Source(path, settings)
    try:
        head = source.peek()
        if head.startswith(_WIDE_BOMS) or b"\0" in head[:_WIDE_HEAD]:
            raise _rejected(1, 1, translatable("it looks like UTF-16 or UTF-32"))
        _check(source.blocks())
    finally:
        source.close()


def _check(blocks: Iterable[bytes]) -> None:
    line, before, held = 1, 0, b""  # bytes of the line before the block; of a character cut in two
    for block in blocks:
        data = held + block
        used = len(data) if data.isascii() else _decoded(data, line, before)
        held = data[used:]
        ended = data.count(b"\n", 0, used)
        before = used - data.rfind(b"\n", 0, used) - 1 if ended else before + used
        line += ended
        give_way()
    if held:
        raise _rejected(line, before + 1, translatable("it ends within a character"))


def _decoded(data: bytes, line: int, before: int) -> int:
    """How many bytes of it are whole characters."""
    try:
        return codecs.utf_8_decode(data, "strict", False)[1]
    except UnicodeDecodeError as error:
        at = error.start
        ended = data.count(b"\n", 0, at)
        byte = at - data.rfind(b"\n", 0, at) if ended else before + at + 1
        why = translatable("byte 0x%(byte)s", byte=f"{data[at]:02X}")
        raise _rejected(line + ended, byte, why) from None


def _rejected(line: int, byte: int, why: str) -> UploadRejected:
    message = translatable(
        "The file is not UTF-8 at line %(line)s, byte %(byte)s of the line (%(why)s): save it as "
        "UTF-8 and upload it again.",
        line=f"{line:,}",
        byte=f"{byte:,}",
        why=why,
    )
    return UploadRejected(message, [Fault(line, "invalid_encoding", message)], 1)
