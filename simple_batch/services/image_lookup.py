"""Finding the image that a row of a table names: among those beside it, or in a folder."""

import os
from functools import lru_cache
from itertools import islice
from pathlib import Path

from .. import intake
from ..core import context
from ..core.messages import translatable
from ..core.nearest_name import folded, near
from ..intake import Bad, Image
from ..store import images as rows
from ..store.images import Given
from ..store.models import Upload

_REMEMBERED = 10_000  # images found, which many rows may name
_MAX_HINTS = 20  # names that are not there for which the nearest is looked up
_MAX_NEAR = 2_000  # names among which it is


class Beside:
    """Finds an image among those that were given with an upload."""

    def __init__(self, upload_id: int):
        self._upload_id = upload_id
        self._hints = 0
        self._remembered = lru_cache(_REMEMBERED)(self._found)

    def __call__(self, name: str) -> Image:
        return self._remembered(name)

    def _found(self, name: str) -> Image:
        given = self.given(name)
        if given is None:
            raise _missing(name, self._nearest(name))
        return _image(given)

    def given(self, name: str) -> Given | None:
        """By the whole name; else in any case; else where one name ends with the other, as a folder
        is in the archive but not in the table, or the other way round. Raises Bad where that leaves
        different images."""
        exact = rows.named(self._upload_id, name)
        if exact is not None:
            return exact
        key = folded(name)
        alike = rows.alike(self._upload_id, "key", key)
        if not alike:
            alike = [
                one
                for one in rows.alike(self._upload_id, "base", intake.last_part(key))
                if _is_end(folded(one.name), key)
            ]
        if len({one.file for one in alike}) > 1:
            raise Bad(
                "invalid_image",
                translatable(
                    "“%(name)s” may be “%(one)s” or “%(other)s”: write which",
                    name=name,
                    one=alike[0].name,
                    other=alike[1].name,
                ),
            )
        return alike[0] if alike else None

    def _nearest(self, name: str) -> str | None:
        self._hints += 1
        if self._hints > _MAX_HINTS:
            return None
        return near(name, rows.names(self._upload_id, _MAX_NEAR))


class Folder:
    """Finds an image in a folder, and keeps it beside the upload; what is beside it already goes
    first. Nothing outside of the folder is looked at."""

    def __init__(self, upload: Upload, folder: Path | None):
        self._upload = upload
        self._beside = Beside(upload.id)
        self._root = folder.resolve() if folder is not None else None
        self._hints = 0
        self._listed: tuple[Path | None, dict[str, list[str]]] = None, {}
        self._remembered = lru_cache(_REMEMBERED)(self._found)

    def __call__(self, name: str) -> Image:
        return self._remembered(name)

    def _found(self, name: str) -> Image:
        given = (
            self._beside.given(name) if self._upload.images else rows.named(self._upload.id, name)
        )
        if given is None:
            given = self._taken(name, self._path(name))
        return _image(given)

    def _taken(self, name: str, path: Path) -> Given:
        settings = context.settings()
        try:
            if path.stat().st_size > settings.MAX_IMAGE_BYTES:
                raise intake.too_large(settings.MAX_IMAGE_BYTES)
            with path.open("rb") as stream:
                image = intake.keep(
                    stream, rows.folder(self._upload.path), settings.MAX_IMAGE_BYTES
                )
            given = given_as(name, image)
        except Bad as bad:
            given = Given(name, None, 0, bad.message)
        except OSError as error:
            given = Given(
                name, None, 0, translatable("cannot be read: %(why)s", why=error.strerror)
            )
        rows.note(self._upload.id, [keyed(given)])
        return given

    def _path(self, name: str) -> Path:
        """The file of this name, in any case where no other has it. Raises Bad where there is none,
        or it leads out of the folder."""
        if self._root is None:
            raise _missing(name, None)
        path = self._root
        for part in name.split("/"):
            if not (path / part).exists():
                alike = self._entries(path).get(folded(part), [])
                if len(alike) != 1:
                    raise _missing(name, self._nearest(path, name))
                part = alike[0]
            path /= part
        if not self._is_inside(path):
            raise Bad(
                "invalid_image", translatable("“%(name)s” leads out of the folder", name=name)
            )
        if not path.is_file():
            raise _missing(name, self._nearest(path.parent, name))
        return path

    def _is_inside(self, path: Path) -> bool:
        return self._root is not None and path.resolve().is_relative_to(self._root)

    def _entries(self, folder: Path) -> dict[str, list[str]]:
        """{name as it is looked for: names} of a folder; the last one asked for is remembered."""
        if self._listed[0] != folder:
            found: dict[str, list[str]] = {}
            if folder.is_dir() and self._is_inside(folder):
                for name in sorted(entry.name for entry in os.scandir(folder)):
                    found.setdefault(folded(name), []).append(name)
            self._listed = folder, found
        return self._listed[1]

    def _nearest(self, folder: Path, name: str) -> str | None:
        self._hints += 1
        if self._hints > _MAX_HINTS:
            return None
        names = (one for alike in self._entries(folder).values() for one in alike)
        assert self._root is not None  # without a folder no file is looked for
        prefix = folder.relative_to(self._root).as_posix() + "/"
        among = [prefix.removeprefix("./") + one for one in islice(names, _MAX_NEAR)]
        return near(name, among)


def _image(given: Given) -> Image:
    if given.file is None:
        wrong = translatable("“%(name)s” %(wrong)s", name=given.name, wrong=given.refused)
        raise Bad("invalid_image", wrong)
    return Image(given.file, given.bytes)


def _is_end(one: str, other: str) -> bool:
    return f"/{one}".endswith(f"/{other}") or f"/{other}".endswith(f"/{one}")


def _missing(name: str, nearest: str | None) -> Bad:
    if nearest is None:
        return Bad(
            "invalid_image",
            translatable("there is no image “%(name)s” beside the table", name=name),
        )
    return Bad(
        "invalid_image",
        translatable(
            "there is no image “%(name)s” beside the table; the nearest is “%(nearest)s”",
            name=name,
            nearest=nearest,
        ),
    )


def given_as(name: str, image: Image) -> Given:
    """What is noted of an image that was kept."""
    return Given(name, image.file, image.bytes)


def keyed(given: Given) -> tuple[str, str, Given]:
    """The keys by which it will be looked for, whole and last part, and itself."""
    key = folded(given.name)
    return key, intake.last_part(key), given
