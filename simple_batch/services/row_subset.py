"""A file of some rows of another: the first, or some at random."""

import contextlib
import csv
import io
import random
import tempfile
from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from .. import intake
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store.models import Upload
from . import sample_rows, uploads
from .job_options import JobOptions
from .sample_rows import SampleRow


class Subset(msgspec.Struct):
    """``data`` is UTF-8: a table with the same columns, or lines of requests. ``total`` is how many rows
    the whole file has."""

    data: BinaryIO
    name: str
    rows: int
    total: int


@contextlib.contextmanager
def staged(
    source: BinaryIO, name: str, reading: intake.Reading, sheet: str = ""
) -> Iterator[tuple[Upload, intake.Preview]]:
    """The file as an upload that is removed at the end. Raises UploadRejected."""
    upload = uploads.stage(source, name, reading=reading)
    try:
        if not upload.preview:  # its encoding is uncertain
            uploads.read_as(upload.id, reading)
        if sheet:
            uploads.choose_sheet(upload.id, sheet)
        yield uploads.staged(upload.id)
    finally:
        uploads.discard(upload)


@contextlib.contextmanager
def staged_file(
    path: Path, reading: intake.Reading, sheet: str = ""
) -> Iterator[tuple[Upload, intake.Preview]]:
    """The same of a file of this machine."""
    with path.open("rb") as stream, staged(stream, path.name, reading, sheet) as found:
        yield found


@contextlib.contextmanager
def opened(
    whole: contextlib.AbstractContextManager[tuple[Upload, intake.Preview]],
    new: JobOptions,
    count: int,
    at_random: bool,
) -> Iterator[Subset]:
    """Part of a staged upload, as a job made from it has to be read: as UTF-8 with a header."""
    with whole as (upload, found):
        subset = of_upload(upload, found, count, at_random)
    if new.template is not None:
        new.template = msgspec.structs.replace(new.template, sheet="")
    new.reading = intake.Reading()
    with subset.data:
        yield subset


def of_upload(upload: Upload, found: intake.Preview, count: int, at_random: bool) -> Subset:
    """Up to ``count`` rows of a staged upload. Raises InvalidInput, UploadRejected."""
    if upload.images:
        raise InvalidInput(
            translatable("A part of an archive of images cannot be sent: unpack it first.")
        )
    total = found.good + found.fault_count
    chosen: Container[int] = range(1, min(count, total) + 1)
    if at_random and count < total:
        chosen = set(random.sample(range(1, total + 1), count))  # nosec B311
    file = tempfile.TemporaryFile()  # noqa: SIM115  # the caller reads it
    stem = name_of(upload.filename)
    written = 0
    with io.TextIOWrapper(io.BufferedWriter(_Kept(file)), "utf-8", newline="") as text:
        table = csv.writer(text) if found.columns else None
        if table:
            table.writerow(found.columns)
        for row in sample_rows.all_rows(upload, found):
            if row.number in chosen:
                written += 1
                _write(row, table, text)
                if written == min(count, total):
                    break
    file.seek(0)
    return Subset(file, f"{stem}.{'csv' if table else 'jsonl'}", written, total)


class _Kept(io.RawIOBase):
    """The file, which stays open when what writes to it is closed."""

    def __init__(self, file):
        self._file = file

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        return self._file.write(data)


def name_of(filename: str) -> str:
    """The name of a file without its ends."""
    return filename.partition(".")[0] or filename


def _write(row: SampleRow, table, text: io.TextIOWrapper) -> None:
    if row.fault is not None:
        raise InvalidInput(str(row.fault))
    if table:
        table.writerow(row.cells)
        return
    line = {"custom_id": row.custom_id, "method": "POST", "url": row.url}
    body = msgspec.Raw(row.body)
    text.write(msgspec.json.encode({**line, "body": body}).decode() + "\n")
