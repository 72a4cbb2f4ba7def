"""The parts of an XLSX file: a guarded ZIP archive, its sheets, and what is refused by name."""

import posixpath
import zipfile
import zlib
from typing import BinaryIO

import msgspec

from ..core.errors import UploadRejected, UploadTooLarge
from ..core.messages import translatable
from ..core.settings import Settings
from .damage import of_packed
from .source import ByteStream, refuse_bomb
from .xml_reader import EndHandler, StartHandler, XmlReader

OLE = b"\xd0\xcf\x11\xe0"
ZIP = b"PK\x03\x04"
_MAX_PARTS = 10_000
_LONGEST_PART = 64 << 20  # of those that are read whole: sheets and texts are not
_ENCRYPTED = "EncryptedPackage".encode("utf-16-le")
_OTHERS = {
    "opendocument.spreadsheet": translatable("an OpenDocument spreadsheet"),
    "opendocument": translatable("an OpenDocument file"),
    "wordprocessingml": translatable("a Word document"),
    "presentationml": translatable("a presentation"),
}


class SheetEntry(msgspec.Struct):
    """A sheet of a workbook."""

    name: str
    part: str
    hidden: bool


class Package:
    """An opened workbook. ``sheets`` are its worksheets in their order; ``epoch_1904`` and ``stale``
    (its formulas wait to be calculated) are what the workbook says of itself.

    Raises UploadRejected or UploadTooLarge for what is no XLSX, damaged, encrypted, or a bomb.
    """

    def __init__(self, file: BinaryIO, settings: Settings):
        self._longest = settings.MAX_REQUEST_BYTES
        try:
            self._archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
            raise UploadRejected(
                translatable(
                    "The XLSX file is damaged or cut off: %(error)s.", error=of_packed(error)
                )
            ) from None
        self._parts = {part.filename: part for part in self._archive.infolist()}
        self._guard(file, settings.MAX_UNPACKED_BYTES)
        self._refuse_others()
        self.epoch_1904 = self.stale = False
        self.sheets: list[SheetEntry] = []
        self._read_workbook()

    def open(self, part: str, what: str) -> ByteStream:
        """The unpacked bytes of a part."""
        if part not in self._parts:
            raise UploadRejected(
                translatable(
                    "The XLSX file is damaged: %(what)s is missing. Save it again.", what=what
                )
            )
        try:
            return _Guarded(self._archive.open(part), what)
        except (
            RuntimeError,
            NotImplementedError,
            zipfile.BadZipFile,
            OSError,
            ValueError,
        ) as error:
            raise UploadRejected(
                translatable("The XLSX file cannot be unpacked: %(error)s.", error=of_packed(error))
            ) from None

    def xml_reader(self, part: str, what: str, start: StartHandler, end: EndHandler) -> XmlReader:
        """A reader of a part; ``what`` names it in messages. Raises UploadRejected."""
        return XmlReader(self.open(part, what), what, self._longest + (1 << 20), start, end)

    def elements(self, part: str, what: str) -> list[tuple[str, dict[str, str]]]:
        """The tags of a small part with their attributes, in their order."""
        if part in self._parts and self._parts[part].file_size > _LONGEST_PART:
            raise UploadTooLarge(
                translatable("The XLSX file cannot be read: %(what)s is too large.", what=what)
            )
        found: list[tuple[str, dict[str, str]]] = []

        def note(name: str, attributes: dict[str, str]) -> None:
            found.append((name, attributes))

        reader = self.xml_reader(part, what, note, lambda name: None)
        while reader.step():
            pass
        return found

    def _guard(self, file: BinaryIO, limit: int) -> None:
        if len(self._parts) > _MAX_PARTS:
            raise UploadTooLarge(
                translatable(
                    "The file holds %(count)s parts: that is no workbook.",
                    count=f"{len(self._parts):,}",
                )
            )
        unpacked = sum(part.file_size for part in self._archive.infolist())
        refuse_bomb(unpacked, file.seek(0, 2), limit)

    def _refuse_others(self) -> None:
        if "[Content_Types].xml" not in self._parts:
            kind = ""
            if "mimetype" in self._parts and self._parts["mimetype"].file_size < 200:
                kind = self.open("mimetype", "mimetype").read(200).decode("utf-8", "replace")
            raise _no_workbook(kind)
        types = self.elements("[Content_Types].xml", translatable("its list of parts"))
        content = " ".join(attributes.get("ContentType", "") for _, attributes in types)
        if "macroEnabled" in content or any(
            name.endswith("vbaProject.bin") for name in self._parts
        ):
            raise UploadRejected(
                translatable(
                    "The workbook holds macros (XLSM): save it as XLSX (“Excel Workbook”), without "
                    "them."
                )
            )
        if "sheet.binary" in content:
            raise UploadRejected(translatable("This is a binary workbook (XLSB): save it as XLSX."))
        if "spreadsheetml" not in content:
            raise _no_workbook(content)

    def _read_workbook(self) -> None:
        root = self._related("", "officeDocument")
        workbook = next(iter(root.values()), None)
        if workbook is None:
            raise UploadRejected(
                translatable("The XLSX file is damaged: it names no workbook. Save it again.")
            )
        sheets = self._related(workbook, "worksheet")
        self.strings = next(iter(self._related(workbook, "sharedStrings").values()), None)
        self.styles = next(iter(self._related(workbook, "styles").values()), None)
        for name, attributes in self.elements(workbook, translatable("the workbook")):
            if name == "sheet":
                key = next((key for key in attributes if key.endswith(":id")), "")
                part = sheets.get(attributes.get(key, ""))
                if part is not None:
                    hidden = attributes.get("state", "visible") != "visible"
                    self.sheets.append(SheetEntry(attributes.get("name", ""), part, hidden))
            elif name == "workbookPr":
                self.epoch_1904 = _on(attributes.get("date1904"))
            elif name == "calcPr":
                self.stale = _on(attributes.get("fullCalcOnLoad"))
        if not self.sheets:
            raise UploadRejected(translatable("The workbook has no sheet with cells."))

    def _related(self, part: str, kind: str) -> dict[str, str]:
        """{id: part} of the relations of a part that are of a kind. Targets are looked up in the
        archive, never on a disk."""
        folder, name = posixpath.split(part)
        relations = posixpath.join(folder, "_rels", f"{name}.rels")
        if relations not in self._parts:
            return {}
        found = {}
        for tag, attributes in self.elements(relations, translatable("its relations")):
            if tag == "Relationship" and attributes.get("Type", "").endswith(f"/{kind}"):
                target = posixpath.join("/", folder, attributes.get("Target", ""))
                found[attributes.get("Id", "")] = posixpath.normpath(target).lstrip("/")
        return found


class _Guarded:
    """A part whose reading complains in words."""

    def __init__(self, stream: ByteStream, what: str):
        self._stream = stream
        self._what = what

    def read(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise UploadRejected(
                translatable(
                    "The XLSX file is damaged: %(what)s cannot be unpacked: %(error)s.",
                    what=self._what,
                    error=of_packed(error),
                )
            ) from None


def refusal_of_ole(head: bytes) -> UploadRejected:
    """The refusal of a file in the container of old and of encrypted Office files."""
    if _ENCRYPTED in head:
        return UploadRejected(
            translatable(
                "The workbook is encrypted: open it with its password and save it without one."
            )
        )
    return UploadRejected(
        translatable("This is a workbook of the old kind (XLS), or encrypted: save it as XLSX.")
    )


def _no_workbook(content: str) -> UploadRejected:
    kind = next(
        (name for word, name in _OTHERS.items() if word in content), translatable("a ZIP archive")
    )
    return UploadRejected(
        translatable(
            "This is %(kind)s and no XLSX workbook: save the table as XLSX or CSV (UTF-8).",
            kind=kind,
        )
    )


def _on(value: str | None) -> bool:
    return value in ("1", "true", "on")
