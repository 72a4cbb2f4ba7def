"""Files that jobs are made from: staged on disk, scanned for the preview."""

import contextlib
import io
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from .. import intake
from ..core import context, identity
from ..core.clock import now_ms
from ..core.domain import Fault, Request
from ..core.errors import InvalidInput, NotFound, UploadRejected, UploadTooLarge
from ..core.messages import translatable
from ..intake import EncodingUncertain, Reading
from ..store.models import ApiFile, Job, Upload
from . import images, readings, templates

NAMELESS = "upload"  # what a file without a name is called
# columns that a copy has for itself
_NOT_COPIED = frozenset(
    {"id", "user", "path", "images", "draft", "created_at", "changed_at", "discarded_at"}
)


def stage(
    stream: BinaryIO,
    filename: str,
    scan: bool = True,
    max_bytes: int | None = None,
    beside: images.Files = (),
    utf8: bool = False,
    reading: Reading = Reading(),
) -> Upload:
    """Copy an upload to disk and, if asked, scan it for the preview, unpacked where it is a ZIP
    archive of a table and its images; ``beside`` are its images. ``max_bytes`` bounds it besides
    MAX_UPLOAD_BYTES; ``utf8`` refuses what is not UTF-8, also where it is not scanned.

    ``reading`` is how it is read, as far as that is chosen. Where the encoding has to be chosen first, the
    upload is kept without a preview.

    Raises UploadTooLarge or UploadRejected where it cannot be read as a whole; nothing is left
    behind then.
    """
    settings = context.settings()
    path = settings.uploads / uuid.uuid4().hex
    size = intake.spool(
        stream, path, min(max_bytes or settings.MAX_UPLOAD_BYTES, settings.MAX_UPLOAD_BYTES)
    )
    try:
        upload = Upload.create(
            user=identity.current().user,
            path=str(path),
            filename=clean_filename(filename),
            bytes=size,
            preview="",
            created_at=now_ms(),
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    try:
        if utf8:
            intake.check_utf8(path, settings)
        if scan:
            images.unpack(upload)
            images.add(upload, beside)
            if upload.images and reading.lines is None:  # they belong to a table
                reading = msgspec.structs.replace(reading, lines=False)
            readings.keep(upload, reading)
            with contextlib.suppress(EncodingUncertain):  # it is asked for
                _look(upload, reading)
            upload.save()
    except BaseException:
        discard(upload)
        raise
    return upload


def _look(upload: Upload, reading: Reading) -> None:
    """Note what a scan finds in the row, which is not saved yet, and how the file was read for it."""
    preview = _checked(upload, _scanned(upload, reading))
    upload.preview = msgspec.json.encode(preview).decode()
    readings.keep(upload, preview.reading)


def _checked(upload: Upload, preview: "intake.Preview") -> "intake.Preview":
    """Raises UploadRejected where it cannot have the images that are beside it."""
    if upload.images and not preview.columns:
        raise UploadRejected(
            translatable("Images belong to a table, but this upload is not a table.")
        )
    return preview


def _scanned(upload: Upload, reading: Reading, sheet: str = "") -> "intake.Preview":
    """What the scan finds; of a workbook whose first sheet is no table, the first that is one."""
    path, settings = Path(upload.path), context.settings()
    try:
        return intake.scan(path, settings, sheet=sheet, reading=reading, filename=upload.filename)
    except (UploadTooLarge, EncodingUncertain):
        raise
    except UploadRejected:
        for other in intake.sheets(path, settings):
            with contextlib.suppress(UploadRejected):
                return intake.scan(path, settings, sheet=other, reading=reading)
        raise


def read_as(upload_id: int, reading: Reading) -> None:
    """Read a staged upload in another way. Its template stays where it fits the columns that there are
    now. Raises NotFound, UploadRejected where the file cannot be read so."""
    upload = unread(upload_id)
    old = msgspec.json.decode(upload.preview, type=intake.Preview) if upload.preview else None
    template, version = template_of(upload), upload.template_version_id
    found = _checked(upload, _scanned(upload, reading, old.sheet if old is not None else ""))
    upload.template = upload.template_version = None
    upload.preview = msgspec.json.encode(found).decode()
    readings.keep(upload, found.reading)
    upload.save()
    if template is not None and found.columns:
        with contextlib.suppress(InvalidInput, UploadRejected):
            apply_template(upload_id, template, version)


def unread(upload_id: int) -> Upload:
    """An upload that may not have been read yet. Raises NotFound where it was discarded."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    if upload is None or not Path(upload.path).exists():
        raise NotFound(translatable("This upload was deleted. Upload the file again."))
    return upload


class Pieces(io.RawIOBase):
    """A stream of pieces that are made one by one."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(taken)] = taken
        return len(taken)


def staged(upload_id: int) -> tuple[Upload, "intake.Preview"]:
    """An upload with its preview. Raises NotFound where it was discarded or launched long ago."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    if upload is None or not upload.preview or not Path(upload.path).exists():
        raise NotFound(translatable("This upload was deleted. Upload the file again."))
    return upload, msgspec.json.decode(upload.preview, type=intake.Preview)


def template_of(upload: Upload) -> intake.Template | None:
    """The template that a staged table is read through."""
    return intake.template_of(upload.template) if upload.template else None


def apply_template(upload_id: int, template: intake.Template, saved: int | None = None) -> None:
    """Keep a template with a staged table, and the preview of what it makes of it; ``saved`` is the
    id of the version of a saved template that it began with. Raises NotFound, InvalidInput naming
    the template's field, UploadRejected where no row is a request then."""
    upload, preview = staged(upload_id)
    if not preview.columns:
        raise InvalidInput(
            translatable("A template belongs to a table, but this upload is not a table.")
        )
    settings = context.settings()
    if template.sheet not in preview.sheets:  # it says none, or one of another workbook
        template = msgspec.structs.replace(template, sheet=preview.sheet)
    if template.sheet != preview.sheet:
        preview = intake.scan(
            Path(upload.path), settings, sheet=template.sheet, reading=readings.of(upload)
        )
    intake.Renderer(template, preview.columns, settings)
    preview = intake.scan(
        Path(upload.path),
        settings,
        template=template,
        find_image=images.finder(upload),
        reading=readings.of(upload),
    )
    upload.template = intake.template_text(template)
    upload.template_version = templates.origin(saved, template, preview.columns)
    upload.preview = msgspec.json.encode(preview).decode()
    upload.save()


def add_images(upload_id: int, files: images.Files) -> list[images.Given]:
    """Keep images beside a staged table; where it has a template, see what that makes of it now.
    Returns what was refused. Raises NotFound, InvalidInput, UploadRejected, UploadTooLarge."""
    upload, preview = staged(upload_id)
    if not preview.columns:
        raise InvalidInput(
            translatable("Images belong to a table, but this upload is not a table.")
        )
    refused = images.add(upload, files)
    template = template_of(upload)
    if template is not None:
        apply_template(upload_id, template, upload.template_version_id)
    return refused


def choose_sheet(upload_id: int, sheet: str) -> None:
    """Select another sheet of a staged workbook; it needs a new template. Raises NotFound,
    and UploadRejected where that sheet is no table."""
    upload, preview = staged(upload_id)
    if sheet == preview.sheet:
        return
    found = intake.scan(
        Path(upload.path), context.settings(), sheet=sheet, reading=readings.of(upload)
    )
    upload.template = upload.template_version = None
    upload.preview = msgspec.json.encode(found).decode()
    upload.save()


def example(upload_id: int, template: intake.Template, number: int) -> Request | Fault:
    """What a template makes of one row of a staged table (from 1). Raises NotFound, InvalidInput."""
    upload, _preview = staged(upload_id)
    return intake.example(
        Path(upload.path),
        context.settings(),
        template,
        number,
        images.finder(upload),
        readings.of(upload),
    )


def sample(
    upload: Upload, count: int, max_bytes: int, template: intake.Template | None = None
) -> list[Request]:
    """The first requests of a staged upload: up to ``count``, and to about ``max_bytes``; of a table as
    another ``template`` than its own makes them."""
    return beginning(upload, count, max_bytes, template).requests


class Beginning(msgspec.Struct):
    """The first requests of an upload, the invalid rows among them, and whether that is all of it."""

    requests: list[Request]
    invalid: int = 0
    whole: bool = True


def beginning(
    upload: Upload, count: int, max_bytes: int, template: intake.Template | None = None
) -> Beginning:
    """As ``sample``, with the rows that are no requests."""
    found = Beginning([])
    size = 0
    reader = intake.Reader(
        Path(upload.path),
        context.settings(),
        template=template or template_of(upload),
        find_image=images.finder(upload),
        reading=readings.of(upload),
    )
    with contextlib.closing(reader):
        for item in reader:
            if not isinstance(item, Request):
                found.invalid += 1
                continue
            if len(found.requests) >= count or size >= max_bytes:
                found.whole = False
                break
            found.requests.append(item)
            size += len(item.body)
    return found


def discard(upload: Upload) -> None:
    """Remove an upload and its files."""
    images.discard(upload)
    Path(upload.path).unlink(missing_ok=True)
    upload.delete_instance()


def discard_unlaunched() -> None:
    """Remove uploads that were not launched within UPLOAD_KEEP_HOURS after their last change, also
    those that the user discarded. Files of the Batch API have their own retention time."""
    before = now_ms() - int(context.settings().UPLOAD_KEEP_HOURS * 3_600_000)
    used = Job.select(Job.upload).where(Job.upload.is_null(False))
    kept = ApiFile.select(ApiFile.upload).where(ApiFile.upload.is_null(False))
    old = Upload.select().where(Upload.changed_at < before)
    for upload in old.where(Upload.id.not_in(used) & Upload.id.not_in(kept)):
        discard(upload)


def discard_unused(upload: Upload) -> None:
    """Remove an upload that neither a job nor a file of the Batch API needs any more."""
    for model in (Job, ApiFile):
        if model.select().where(model.upload == upload.id).exists():
            return
    discard(upload)


def copy(upload: Upload) -> Upload:
    """Another upload of the current user with the same data, preview, template and images. Its file
    is a link, or a copy on a file system without links. Raises UploadTooLarge, UploadRejected."""
    path = context.settings().uploads / uuid.uuid4().hex
    try:
        os.link(upload.path, path)
    except OSError:
        with Path(upload.path).open("rb") as stream:
            intake.spool(stream, path, upload.bytes)
    same = {name: value for name, value in upload.__data__.items() if name not in _NOT_COPIED}
    try:
        made = Upload.create(
            user=identity.current().user, path=str(path), created_at=now_ms(), **same
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    images.copy(upload, made)
    return made


def clean_filename(name: str) -> str:
    """The last part of a name, printable, at most 200 characters."""
    return bare_name(name)[:200] or NAMELESS


def bare_name(name: str) -> str:
    """The last part of a name, printable; empty where nothing is left."""
    last = name.replace("\\", "/").split("/")[-1]
    return "".join(char for char in last if char.isprintable()).strip()
