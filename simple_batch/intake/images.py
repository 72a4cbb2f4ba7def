"""Images that the rows of a table name: told apart by content, kept once each, in a file that is
called after what it holds.

A request has the short ``image-file:<file>`` in their place; the data URL is made when it is sent.
"""

import hashlib
import io
import re
import uuid
from pathlib import Path, PurePosixPath

import imagesize
import msgspec

from ..core.messages import translatable
from .request_checks import Bad
from .source import ByteStream

MAX_NAME = 1_000
_BLOCK = 1 << 20
_HEAD = 1 << 18  # bytes in which the size of an image stands, after any profile and thumbnail
_KINDS = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "png"),
    (re.compile(rb"\xff\xd8\xff"), "jpeg"),
    (re.compile(rb"GIF8[79]a"), "gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "webp"),
)
_DRIVE = re.compile(r"[A-Za-z]:")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Image(msgspec.Struct, frozen=True):
    """A kept image: ``file`` is ``<SHA-256>-<width>x<height>.<kind>``, 0x0 where that is not known."""

    file: str
    bytes: int

    @property
    def sent(self) -> int:
        """Bytes of its data URL."""
        kind = self.file.rpartition(".")[2]
        return len(f"data:image/{kind};base64,") + (self.bytes + 2) // 3 * 4


def kind_of(head: bytes) -> str | None:
    """``png``, ``jpeg``, ``gif`` or ``webp`` by an image's first bytes; None for anything else."""
    return next((kind for mark, kind in _KINDS if mark.match(head)), None)


def name_of(text: str) -> str:
    """The name of an image in a cell as a relative path with slashes. Raises Bad for one that
    could lead out of the folder."""
    name = text.replace("\\", "/")
    if "://" in name:
        _refuse(text, translatable("an address begins with http:// or https://"))
    if name.startswith("/") or _DRIVE.match(name):
        _refuse(text, translatable("write the path from the table's folder, not from the root"))
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        _refuse(text, translatable("“..” leads out of the folder"))
    if not parts or _CONTROL.search(name) or len(name) > MAX_NAME:
        _refuse(text, translatable("that is no name of a file"))
    return "/".join(parts)


def last_part(name: str) -> str:
    """The name without its folders."""
    return PurePosixPath(name).name


def keep(stream: ByteStream, folder: Path, limit: int) -> Image:
    """Copy an image into the folder, unless it is there already. Raises Bad for what is none, and
    for one of more than ``limit`` bytes."""
    head = stream.read(_BLOCK)
    kind = kind_of(head)
    if kind is None:
        raise Bad("invalid_image", translatable("is no PNG, JPEG, GIF or WebP image"))
    folder.mkdir(exist_ok=True)
    begun = folder / f"{uuid.uuid4().hex}.part"
    digest, size, block = hashlib.sha256(), 0, head
    try:
        with begun.open("wb") as file:
            while block:
                size += len(block)
                if size > limit:
                    raise too_large(limit)
                digest.update(block)
                file.write(block)
                block = stream.read(_BLOCK)
        width, height = _size(head)
        image = Image(f"{digest.hexdigest()}-{width}x{height}.{kind}", size)
        begun.replace(folder / image.file)
    finally:
        begun.unlink(missing_ok=True)
    return image


def too_large(limit: int) -> Bad:
    """The refusal of an image of more than ``limit`` bytes."""
    return Bad(
        "invalid_image",
        translatable("is larger than the %(most)s bytes of MAX_IMAGE_BYTES", most=f"{limit:,}"),
    )


def _size(head: bytes) -> tuple[int, int]:
    """Width and height in pixels; 0, 0 where they are not known."""
    try:
        width, height = imagesize.get(io.BytesIO(head[:_HEAD]))
    except Exception:  # a damaged header raises whatever it hits; the provider has the last word
        return 0, 0
    return (width, height) if 0 < width < 10**6 and 0 < height < 10**6 else (0, 0)


def _refuse(name: str, why: str) -> None:
    raise Bad(
        "invalid_image",
        translatable("“%(name)s” names no image: %(why)s", name=name[:200], why=why),
    )
