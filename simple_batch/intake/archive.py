"""A ZIP archive of images, with a table or without. Nothing is unpacked under the name it has there."""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ..core.errors import UploadRejected, UploadTooLarge
from ..core.messages import listed, translatable
from ..core.settings import Settings
from .damage import of_packed
from .source import ByteStream, refuse_bomb
from .xlsx_package import ZIP

_TABLES = (".csv", ".tsv", ".txt", ".xlsx", ".parquet", ".json", ".jsonl", ".ndjson")
_JUNK = frozenset({"__macosx", "thumbs.db", "desktop.ini"})
_LONGEST_DIRECTORY = 32 << 20  # bytes of the list of parts, which is read whole
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,  # encrypted
    NotImplementedError,  # unknown compression method
)


def is_archive(path: Path) -> bool:
    """Whether a file is a ZIP archive and no document in one (XLSX, ODS, DOCX, …)."""
    with path.open("rb") as file:
        if file.read(4) != ZIP:
            return False
        try:
            _guard_directory(file)
            with zipfile.ZipFile(file) as archive:
                names = archive.NameToInfo
        except (*_DAMAGED, UploadTooLarge):
            return False  # the reader of tables says what is wrong
    return "[Content_Types].xml" not in names and "mimetype" not in names


class Archive:
    """An opened archive; use it in a ``with``. Raises UploadRejected or UploadTooLarge for what is
    damaged, encrypted or a bomb."""

    def __init__(self, file: BinaryIO, settings: Settings):
        try:
            _guard_directory(file)
            self._archive = zipfile.ZipFile(file)
        except _DAMAGED as error:
            raise _damaged(error) from None
        parts = self._archive.infolist()
        if len(parts) > settings.MAX_IMAGES:
            raise UploadTooLarge(
                translatable(
                    "The ZIP archive holds %(count)s files, MAX_IMAGES allows %(most)s: split it.",
                    count=f"{len(parts):,}",
                    most=f"{settings.MAX_IMAGES:,}",
                )
            )
        unpacked = sum(part.file_size for part in parts)
        refuse_bomb(unpacked, file.seek(0, 2), settings.MAX_UNPACKED_BYTES)
        parts = [part for part in parts if not _is_junk(part)]
        self._parts = dict(zip(_names(parts), parts, strict=True))

    def __enter__(self) -> "Archive":
        return self

    def __exit__(self, *exception: object) -> None:
        self._archive.close()

    def table(self) -> str:
        """The name of the one table in it. Raises UploadRejected where there is none, or another."""
        found = [name for name in self._parts if _plain(name).endswith(_TABLES)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise UploadRejected(
                translatable(
                    "The ZIP archive holds no table: put it in (CSV, TSV, XLSX, Parquet or JSONL), "
                    "or upload it by itself and the archive as its images."
                )
            )
        raise UploadRejected(
            translatable(
                "The ZIP archive holds several tables (%(names)s): leave one in it.",
                names=listed(found[:5]),
            )
        )

    def others(self, table: str = "") -> Iterator[tuple[str, int, ByteStream]]:
        """(name, bytes, unpacked stream) of everything but the table."""
        for name, part in self._parts.items():
            if name != table:
                with self.open(name) as stream:
                    yield name, part.file_size, stream

    def open(self, name: str) -> "_Part":
        """The unpacked bytes of a part, for a ``with``. Raises UploadRejected; so does reading."""
        return _Part(self._archive, self._parts[name])


class _Part:
    """A file in an archive whose reading complains in words."""

    def __init__(self, archive: zipfile.ZipFile, part: zipfile.ZipInfo):
        try:
            self._stream = archive.open(part)
        except _DAMAGED as error:
            raise _damaged(error) from None

    def __enter__(self) -> "_Part":
        return self

    def __exit__(self, *exception: object) -> None:
        self._stream.close()

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except _DAMAGED as error:
            raise _damaged(error) from None


def _damaged(error: Exception) -> UploadRejected:
    return UploadRejected(
        translatable("The ZIP archive cannot be unpacked: %(error)s.", error=of_packed(error))
    )


def _guard_directory(file: BinaryIO) -> None:
    """Raises UploadTooLarge for a list of parts that is too long to be read. Where it stands:
    PKWARE's APPNOTE, 4.3.14 to 4.3.16."""
    file.seek(max(0, file.seek(0, 2) - 65_557))
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    size = int.from_bytes(tail[at + 12 : at + 16], "little") if at >= 0 else 0
    locator = tail[max(0, at - 20) : at]
    if locator.startswith(b"PK\x06\x07"):
        file.seek(int.from_bytes(locator[8:16], "little") + 40)
        size = int.from_bytes(file.read(8), "little")
    file.seek(0)
    if size > _LONGEST_DIRECTORY:
        raise UploadTooLarge(translatable("The ZIP archive holds too many files: split it."))


def _names(parts: list[zipfile.ZipInfo]) -> list[str]:
    """Their names; those that do not say to be UTF-8 are that all the same, or as Windows has them
    in China."""
    silent = {
        part.filename: part.filename.encode("cp437", "replace")
        for part in parts
        if not part.flag_bits & 0x800 and not part.filename.isascii()
    }
    for encoding in ("utf-8", "gb18030"):
        try:
            read = {name: raw.decode(encoding) for name, raw in silent.items()}
        except UnicodeDecodeError:
            continue
        return [read.get(part.filename, part.filename) for part in parts]
    return [part.filename for part in parts]


def _is_junk(part: zipfile.ZipInfo) -> bool:
    """Folders, and files that operating systems add to archives automatically."""
    names = part.filename.casefold().split("/")
    return part.is_dir() or any(name.startswith(".") or name in _JUNK for name in names)


def _plain(name: str) -> str:
    return name.casefold().removesuffix(".gz")
