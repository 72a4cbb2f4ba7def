"""How the file of an upload is read: its encoding, whether it has a header, whether lines are prompts."""

from pathlib import Path

import msgspec

from .. import intake
from ..core import context
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..intake import Reading
from ..store.models import Upload


class _Old(msgspec.Struct):
    encoding: str = ""


class _Kept(msgspec.Struct):
    blank: int = 0


def of(upload: Upload) -> Reading:
    """The reading that is kept with an upload. One from before this was kept is a table with a header,
    in the encoding that was found then."""
    if upload.reading:
        return msgspec.json.decode(upload.reading, type=Reading)
    old = msgspec.json.decode(upload.preview or "{}", type=_Old)
    return Reading(old.encoding, header=True, lines=False)


def keep(upload: Upload, reading: Reading) -> None:
    """Write it into the row, which is not saved yet."""
    upload.reading = msgspec.json.encode(reading).decode()


def decide(upload: Upload, asked: Reading, template: intake.Template | None) -> Reading:
    """The whole reading of a file that a command gave, kept with the upload. Raises EncodingUncertain, and
    UploadRejected where it is unclear what its first line is."""
    if asked.lines and template is not None:
        raise InvalidInput(
            translatable("A prompt per line needs no template: leave --template or --lines out."),
            "template",
        )
    reader = intake.Reader(
        Path(upload.path),
        context.settings(),
        False,
        template=template,
        reading=asked,
        filename=upload.filename,
    )
    try:
        reading = reader.reading
        if not reader.is_clear:
            raise intake.unclear()
    finally:
        reader.close()
    keep(upload, reading)
    upload.save()
    return reading


def changed_by(upload: Upload, found: intake.Preview, wanted: Reading) -> Reading | None:
    """The reading of a staged text by which it is read as a recipe says; None where it is read so, or
    is neither a table of cells nor lines."""
    now = of(upload)
    if found.format not in ("csv", "tsv", "xlsx", "lines"):
        return None
    if wanted.lines and found.format == "csv" and len(found.columns) == 1:
        return Reading(now.encoding, lines=True)
    if wanted.header is False and (now.header is not False or now.lines):
        return Reading(now.encoding, header=False, lines=False)
    return None


def keep_blank(upload: Upload, blank: int) -> None:
    """Note with the reading how many lines without a text were skipped."""
    kept = {**msgspec.to_builtins(of(upload)), "blank": blank}
    Upload.update(reading=msgspec.json.encode(kept).decode()).where(
        Upload.id == upload.id
    ).execute()


def _blank(upload: Upload) -> int:
    kept = Upload.select(Upload.reading).where(Upload.id == upload.id).scalar()
    return msgspec.json.decode(kept or "{}", type=_Kept).blank


def notes(upload: Upload) -> list[str]:
    """What a command says of how it read a file, where that is not the usual way."""
    reading, found = of(upload), []
    if reading.encoding not in ("", "utf-8"):
        detected = intake.detected_in(Path(upload.path), context.settings())
        found.append(
            f"Read as {intake.encoding_label(reading.encoding)}: "
            f"“{detected.shown(reading.encoding, 80)}”"
        )
    if reading.lines:
        blank = _blank(upload)
        skipped = f"; {blank:,} empty line{'s' if blank != 1 else ''} skipped" if blank else ""
        found.append(f"Read as one prompt per line{skipped}.")
    elif reading.header is False:
        found.append("Read without a header: the columns are column_1, column_2, …")
    return found
