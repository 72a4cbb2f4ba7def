"""Images uploaded with a table: their names, and the files that hold them."""

import base64
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from ..core.domain import IMAGE
from .models import Job, Upload, UploadImage, database

_FILE = r"[0-9a-f]{64}-\d{1,6}x\d{1,6}\.(?:png|jpeg|gif|webp)"
FILE = re.compile(_FILE)
# Only as the whole value of these fields: the same characters elsewhere are text.
_REFERENCE = re.compile(
    rb'("(?:url|image_url)"\s*:\s*")%s(%s)(?=")' % (IMAGE.encode(), _FILE.encode())
)
_FIND = "SELECT name, file, bytes, refused FROM upload_image WHERE upload_id = ? AND "
_NOTE = (
    "INSERT INTO upload_image (upload_id, name, key, base, file, bytes, refused) "
    "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (upload_id, name) DO UPDATE SET key = excluded.key, "
    "base = excluded.base, file = excluded.file, bytes = excluded.bytes, refused = excluded.refused"
)


class Given(msgspec.Struct, frozen=True):
    """An image as it was given; ``file`` is None where it was ``refused``, which says why."""

    name: str
    file: str | None
    bytes: int
    refused: str = ""


def folder(upload_path: str) -> Path:
    """The folder of an upload's images."""
    return Path(f"{upload_path}.images")


def folder_of(job: Job) -> Path | None:
    """The folder of the images of a job's requests; None where they have none."""
    upload = job.upload
    return folder(upload.path) if upload is not None and upload.images else None


def note(upload_id: int, given: Iterable[tuple[str, str, Given]]) -> None:
    """Store images, each with its ``key`` and ``base``: the normalised name and its last part, by which
    they are found."""
    rows = [
        (
            upload_id,
            one.name,
            key,
            base,
            one.file,
            one.bytes,
            UploadImage.refused.db_value(one.refused),
        )
        for key, base, one in given
    ]
    with database.atomic():
        database.executemany(_NOTE, rows)


def count(upload_id: int) -> int:
    """Count the images of an upload and store the number in its row."""
    mine = (UploadImage.upload == upload_id) & UploadImage.file.is_null(False)
    found = UploadImage.select().where(mine).count()
    Upload.update(images=found).where(Upload.id == upload_id).execute()
    return found


def named(upload_id: int, name: str) -> Given | None:
    """The image given under exactly this name."""
    row = database.execute_sql(_FIND + "name = ?", (upload_id, name)).fetchone()
    return _given(row) if row is not None else None


def alike(upload_id: int, column: str, value: str) -> list[Given]:
    """The first images whose ``key`` or ``base`` is this."""
    query = _FIND + ("key = ?" if column == "key" else "base = ?") + " ORDER BY name LIMIT 100"
    return [_given(row) for row in database.execute_sql(query, (upload_id, value))]


def names(upload_id: int, limit: int) -> list[str]:
    """The first names in alphabetical order."""
    query = "SELECT name FROM upload_image WHERE upload_id = ? ORDER BY name LIMIT ?"
    return [name for (name,) in database.execute_sql(query, (upload_id, limit))]


def called(upload_id: int | None, files: set[str]) -> dict[str, str]:
    """{file: the first of the names it was given under}."""
    mine = (UploadImage.upload == upload_id) & UploadImage.file.in_(files)
    rows = UploadImage.select(UploadImage.file, UploadImage.name).where(mine) if files else ()
    return {row.file: row.name for row in sorted(rows, key=lambda row: row.name, reverse=True)}


def copy(from_id: int, to_id: int) -> None:
    """Give another upload the same images by name."""
    database.execute_sql(
        "INSERT INTO upload_image (upload_id, name, key, base, file, bytes, refused) "
        "SELECT ?, name, key, base, file, bytes, refused FROM upload_image WHERE upload_id = ?",
        (to_id, from_id),
    )


def forget_step(upload_id: int, chunk: int = 5_000) -> bool:
    """Remove up to ``chunk`` names; True when none are left."""
    gone = database.execute_sql(
        "DELETE FROM upload_image WHERE upload_id = ? AND name IN "
        "(SELECT name FROM upload_image WHERE upload_id = ? LIMIT ?)",
        (upload_id, upload_id, chunk),
    ).rowcount
    return gone < chunk


def files_in(body: bytes) -> list[str]:
    """The files that a request names."""
    return [found[2].decode() for found in _REFERENCE.finditer(body)]


def filled(body: bytes, where: Path) -> bytes:
    """A request with its images as data URLs. Raises OSError where one is gone."""

    def data_url(found: re.Match) -> bytes:
        file = found[2].decode()
        kind = file.rpartition(".")[2].encode()
        return b"%sdata:image/%s;base64,%s" % (
            found[1],
            kind,
            base64.b64encode((where / file).read_bytes()),
        )

    return _REFERENCE.sub(data_url, body)


def _given(row) -> Given:
    name, file, size, refused = row
    return Given(name, file, size, UploadImage.refused.python_value(refused))
