"""Workbooks for tests, made by common programs, and taken apart to be changed."""

import io
import zipfile
from pathlib import Path

import openpyxl

from simple_batch import intake
from simple_batch.core import settings
from simple_batch.core.domain import Fault

SETTINGS = settings.load(environ={}, INSTANCE_PATH="unused")


def by_openpyxl(rows, title="Sheet", **sheets) -> bytes:
    """A workbook with these rows, and further sheets by name."""
    book = openpyxl.Workbook()
    book.active.title = title
    for row in rows:
        book.active.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    file = io.BytesIO()
    book.save(file)
    return file.getvalue()


def changed(data: bytes, parts: dict[str, object]) -> bytes:
    """The workbook with some parts replaced, added or (None) removed; a function changes the text
    of a part."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(out, "w", 8) as new:
        for name in old.namelist():
            part = parts.get(name, old.read(name))
            if callable(part):
                part = part(old.read(name).decode())
            if part is not None:
                new.writestr(name, part)
        for name in parts.keys() - set(old.namelist()):
            new.writestr(name, parts[name])
    return out.getvalue()


def table(tmp_path: Path, data: bytes, sheet: str = "", **overrides):
    """Returns the table of an upload, its rows, and the faults."""
    path = tmp_path / "upload"
    path.write_bytes(data)
    loaded = settings.load(environ={}, INSTANCE_PATH=str(tmp_path), **overrides)
    reader = intake.Reader(path, loaded, unique=False, sheet=sheet)
    try:
        found = reader.table()
        return found, list(found)
    finally:
        reader.close()


def texts(items) -> list[list[str]]:
    assert not any(isinstance(item, Fault) for item in items), items
    return [item.cells for item in items]
