"""Images beside a table: taken from files, a ZIP archive or a folder, and given up with their upload."""

import os
import shutil
import unicodedata
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from .. import intake
from ..core import context
from ..core.clock import give_way
from ..core.domain import Fault
from ..core.errors import InvalidInput, UploadRejected, UploadTooLarge
from ..core.messages import translatable
from ..core.settings import Settings
from ..intake import Bad, Image
from ..store import images as rows
from ..store.images import Given
from ..store.models import Job, Upload
from . import readings
from .image_lookup import Beside, Folder, given_as, keyed

Files = Iterable[tuple[BinaryIO, str]]  # streams with their names
_PACKED = ".zip"  # an archive while it is unpacked
_GROUP = 200  # names noted together
_SHOWN_FAULTS = 20


def add(upload: Upload, files: Files) -> list[Given]:
    """Keep files beside an upload, images or ZIP archives of them; returns those that were refused,
    which a row may still name; its fault then gives the reason. Raises UploadRejected or UploadTooLarge for
    an archive that cannot be read."""
    refused: list[Given] = []
    for stream, name in files:
        head = stream.read(4)
        stream.seek(0)
        if head == intake.ZIP:
            with intake.Archive(stream, context.settings()) as archive:
                refused += _take(upload, archive.others())
        else:
            refused += _take(upload, [(name, 0, stream)])
    _count(upload)
    return refused


def unpack(upload: Upload) -> bool:
    """Make of a staged ZIP archive of a table and its images just that; False for any other upload.
    Raises UploadRejected or UploadTooLarge where it cannot be."""
    path = Path(upload.path)
    if not intake.is_archive(path):
        return False
    settings = context.settings()
    packed = path.with_suffix(_PACKED)
    path.replace(packed)
    try:
        with packed.open("rb") as file, intake.Archive(file, settings) as archive:
            table = archive.table()
            with archive.open(table) as stream:
                upload.bytes = intake.spool(stream, path, settings.MAX_UNPACKED_BYTES)
            upload.filename = intake.last_part(table)[:200]
            _take(upload, archive.others(table))
    finally:
        packed.unlink(missing_ok=True)
    upload.save()
    _count(upload)
    return True


def take_named(upload: Upload, template: intake.Template, folder: Path | None, skip: bool) -> None:
    """Keep the images that the rows of a staged table name, out of a folder. Raises UploadRejected
    with the first faults, unless faulty rows are skipped."""
    found = Folder(upload, folder)
    faults: list[Fault] = []
    good = bad = 0
    reader = intake.Reader(
        Path(upload.path),
        context.settings(),
        False,
        template=template,
        find_image=found,
        reading=readings.of(upload),
        filename=upload.filename,
    )
    try:
        for item in reader:
            if not isinstance(item, Fault):
                good += 1
                continue
            bad += 1
            if len(faults) < _SHOWN_FAULTS:
                faults.append(item)
    finally:
        reader.close()
    _count(upload)
    if bad and not skip:
        raise UploadRejected(
            translatable(
                "Faulty lines: %(bad)s of %(count)s. Correct them, or skip them.",
                bad=bad,
                count=good + bad,
            ),
            faults,
            bad,
            good,
        )


def finder(upload: Upload | None) -> intake.Finder | None:
    """What finds the images beside an upload, by whole name or by its last parts, whatever its case;
    None where there are none. Call it with a connection."""
    if upload is None or not rows.names(upload.id, 1):
        return None
    return Beside(upload.id)


def finish(upload: Upload):
    """What puts the images into a request that is sent: a function of its body."""
    where = rows.folder(upload.path)
    return (lambda body: rows.filled(body, where)) if upload.images else (lambda body: body)


def check(job: Job, body: bytes) -> None:
    """Raises InvalidInput for a request that a user edited which names images that are not there, or
    is too long with them."""
    where = rows.folder_of(job)
    if where is None:
        return
    size = len(body)
    for file in rows.files_in(body):
        try:
            size += Image(file, (where / file).stat().st_size).sent - len(file)
        except OSError:
            raise InvalidInput(
                translatable("The request: there is no image “%(file)s” in this job.", file=file),
                "body",
            ) from None
    if size > context.settings().MAX_REQUEST_BYTES:
        raise InvalidInput(
            translatable("The request is longer than MAX_REQUEST_BYTES allows."), "body"
        )


def copy(from_upload: Upload | None, to: Upload) -> None:
    """Have an upload made of a job's requests share the images of the job's upload."""
    if from_upload is None or not from_upload.images:
        return
    source, target = rows.folder(from_upload.path), rows.folder(to.path)
    target.mkdir(exist_ok=True)
    for number, entry in enumerate(os.scandir(source)):
        if rows.FILE.fullmatch(entry.name):
            try:
                os.link(entry.path, target / entry.name)
            except OSError:  # a file system without links
                shutil.copyfile(entry.path, target / entry.name)
        if number % _GROUP == 0:
            give_way()
    rows.copy(from_upload.id, to.id)
    _count(to)


def discard(upload: Upload) -> None:
    """Remove the images of an upload. May be interrupted and run again."""
    Path(upload.path).with_suffix(_PACKED).unlink(missing_ok=True)
    where = rows.folder(upload.path)
    if not where.exists():
        return
    for number, path in enumerate(where.iterdir()):
        path.unlink(missing_ok=True)
        if number % _GROUP == 0:
            give_way()
    while not rows.forget_step(upload.id):
        give_way()
    where.rmdir()


def _count(upload: Upload) -> None:
    upload.images = rows.count(upload.id)
    limit = context.settings().MAX_IMAGES
    if upload.images > limit:
        raise UploadTooLarge(
            translatable(
                "Beside the table are more images than MAX_IMAGES allows (%(most)s): split it.",
                most=f"{limit:,}",
            )
        )


def _take(upload: Upload, files: Iterable[tuple[str, int, intake.ByteStream]]) -> list[Given]:
    """Keep each that is an image, and note all; returns what was refused. ``files`` are names, bytes
    (0: not known) and streams."""
    settings, where = context.settings(), rows.folder(upload.path)
    where.mkdir(exist_ok=True)
    refused: list[Given] = []
    noted = _noted(upload, _kept(files, where, settings))
    refused += (given for given in noted if given.file is None)
    return refused


def _kept(files, where: Path, settings: Settings) -> Iterator[Given]:
    for name, size, stream in files:
        name = unicodedata.normalize("NFC", name.replace("\\", "/"))
        try:
            if size > settings.MAX_IMAGE_BYTES:
                raise intake.too_large(settings.MAX_IMAGE_BYTES)
            yield given_as(name, intake.keep(stream, where, settings.MAX_IMAGE_BYTES))
        except Bad as bad:
            yield Given(name, None, 0, bad.message)
        except OSError as error:
            raise UploadRejected(
                translatable("The upload cannot be kept: %(why)s.", why=error.strerror or error)
            ) from error
        give_way()


def _noted(upload: Upload, given: Iterator[Given]) -> Iterator[Given]:
    """The same, noted in groups."""
    while group := list(islice(given, _GROUP)):
        rows.note(upload.id, [keyed(one) for one in group])
        yield from group
