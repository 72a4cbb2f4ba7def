"""Sample rows: the few rows of an upload on which a prompt is tried.

They are read from the file once, and kept with the upload until others are chosen: what a template makes of
them is then seen at once, however long the file is. Rows are counted from 1, as the pages show them.
"""

import contextlib
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from .. import intake
from ..core import context
from ..core.clock import give_way
from ..core.domain import Fault, Request
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import poor_rows
from ..store.models import Job, SampleRows, Upload, database
from . import drafts, images, readings

ROWS, MAX_ROWS = 5, 20
MODES = ("first", "random", "picked", "empty", "failed")
MAX_SEED = 999_999
_RANGES = re.compile(r"[\s,;，；、]+")
_RANGE = re.compile(r"(\d{1,12})(?:[-–](\d{1,12}))?", re.ASCII)
_EVERY = 200  # rows between two chances for other greenlets to work

# A source of rows of a job that deserve a look: the indices of its requests, a given number at most, the worst
# first.
Source = Callable[[int, int], list[int]]
TO_IMPROVE: list[Source] = [poor_rows.failed, poor_rows.badly_rated, poor_rows.flawed]


class Choice(msgspec.Struct, frozen=True):
    """How rows are chosen: the ``first``, at ``random`` by a seed, ``picked`` by their numbers (3, 7-9),
    with an ``empty`` cell, or those of requests of the old job that ``failed``."""

    mode: str = "first"
    count: int = ROWS
    seed: int = 1
    rows: str = ""


class SampleRow(msgspec.Struct):
    """A row by its number, as the file has it: a table's cells, else a request; or its fault."""

    number: int
    line: int | None = None
    unit: Literal["line", "row"] = "line"
    cells: list[str] | None = None
    body: bytes = b""
    url: str = ""
    custom_id: str = ""
    fault: Fault | None = None


class _Chosen(msgspec.Struct):
    """What the kept rows are of."""

    choice: Choice
    sheet: str
    reading: intake.Reading


def numbers_of(text: str) -> list[int]:
    """The rows that a text like “3, 7-9” names, in its order. Raises InvalidInput."""
    found: dict[int, None] = {}
    for part in filter(None, _RANGES.split(text.strip())):
        match = _RANGE.fullmatch(part)
        if match is None or int(match[1]) < 1:
            raise InvalidInput(
                translatable("Rows: %(part)r is no row number. Write 3, 7-9.", part=part[:40]),
                "rows",
            )
        first, last = int(match[1]), int(match[2] or match[1])
        for number in range(first, min(last, first + MAX_ROWS) + 1):
            found[number] = None
    if not found:
        raise InvalidInput(
            translatable("Rows: write the numbers of the rows, like 3, 7-9."), "rows"
        )
    return list(found)[:MAX_ROWS]


def rows_of(upload: Upload, found: intake.Preview, choice: Choice) -> list[SampleRow]:
    """The chosen rows of a staged upload. Raises InvalidInput for wrong row numbers,
    UploadRejected."""
    chosen = msgspec.json.encode(_Chosen(choice, found.sheet, readings.of(upload))).decode()
    kept = SampleRows.get_or_none(SampleRows.upload == upload.id)
    if kept is not None and kept.chosen == chosen:
        with contextlib.suppress(msgspec.DecodeError, msgspec.ValidationError):
            return msgspec.msgpack.decode(bytes(kept.rows), type=list[SampleRow])
    rows = _read(upload, found, choice)
    with database.atomic():
        SampleRows.delete().where(SampleRows.upload == upload.id).execute()
        encoded = msgspec.msgpack.encode(rows)
        SampleRows.create(upload=upload.id, chosen=chosen, rows=encoded)
    return rows


def _read(upload: Upload, found: intake.Preview, choice: Choice) -> list[SampleRow]:
    count = max(1, min(choice.count, MAX_ROWS))
    total = found.good + found.fault_count
    if choice.mode == "random":
        chosen = random.Random(choice.seed)  # noqa: S311  # nosec B311
        numbers = chosen.sample(range(1, total + 1), min(count, total))
        return _numbered(upload, found, sorted(numbers))
    if choice.mode == "picked":
        return _numbered(upload, found, numbers_of(choice.rows))
    if choice.mode == "empty":
        return _first(upload, found, count, _has_empty_cell)
    if choice.mode == "failed":
        rows = _of_job(upload, found, count)
        known = {row.number for row in rows}
        if len(rows) < count:
            rows += _first(upload, found, count - len(rows), lambda row: row.number not in known)
        return rows
    return _first(upload, found, count, lambda row: True)


def _has_empty_cell(row: SampleRow) -> bool:
    return row.cells is not None and not all(map(str.strip, row.cells))


def _first(
    upload: Upload, found: intake.Preview, count: int, wanted: Callable[[SampleRow], bool]
) -> list[SampleRow]:
    rows = []
    for row in all_rows(upload, found):
        if wanted(row):
            rows.append(row)
            if len(rows) == count:
                break
    return rows


def _numbered(upload: Upload, found: intake.Preview, numbers: list[int]) -> list[SampleRow]:
    """Rows by number, in the order of the numbers; one that is not there is left out."""
    return _matching(upload, found, numbers, lambda row: row.number)


def _matching(
    upload: Upload,
    found: intake.Preview,
    wanted: list[int],
    mark: Callable[[SampleRow], int | None],
) -> list[SampleRow]:
    left: set[int | None] = set(wanted)
    rows: dict[int | None, SampleRow] = {}
    for row in all_rows(upload, found):
        value = mark(row)
        if value in left:
            left.discard(value)
            rows[value] = row
            if not left:
                break
    return [rows[value] for value in wanted if value in rows]


def _of_job(upload: Upload, found: intake.Preview, count: int) -> list[SampleRow]:
    """The rows behind those requests of the cloned job that deserve a look."""
    draft = drafts.load(upload)
    job = Job.get_or_none(Job.id == draft.clone) if draft.clone is not None else None
    if job is None:
        return []
    indices: dict[int, None] = {}
    for source in TO_IMPROVE:
        indices |= dict.fromkeys(source(job.id, count))
    chosen = list(indices)[:count]
    if draft.rebuilt:
        return _matching(upload, found, [index + 1 for index in chosen], lambda row: row.number)
    places = poor_rows.lines(job.id, chosen)
    return _matching(upload, found, places, lambda row: row.line)


def is_offered(upload: Upload, mode: str) -> bool:
    """Whether rows can be chosen so: those that failed only where a job was cloned."""
    return mode != "failed" or drafts.load(upload).clone is not None


# --- reading ----------------------------------------------------------------------------------


def all_rows(upload: Upload, found: intake.Preview) -> Iterator[SampleRow]:
    """All rows of a staged upload in order."""
    path, settings, reading = Path(upload.path), context.settings(), readings.of(upload)
    reader = intake.Reader(path, settings, unique=False, sheet=found.sheet, reading=reading)
    with contextlib.closing(reader):
        items = reader.table() if found.columns else reader
        for number, item in enumerate(items, 1):
            if number % _EVERY == 0:
                give_way()
            if isinstance(item, Fault):
                yield SampleRow(number, item.line, item.unit, fault=item)
            elif isinstance(item, Request):
                yield SampleRow(
                    number, item.line, body=item.body, url=item.url, custom_id=item.custom_id
                )
            else:
                yield SampleRow(number, item.line, item.unit, item.cells)


def requests_of(
    upload: Upload, found: intake.Preview, template: intake.Template | None, rows: list[SampleRow]
) -> list[Request | Fault]:
    """What a template makes of the rows. Raises InvalidInput naming the template's field."""
    if not found.columns:
        return [row.fault or _request(row) for row in rows]
    if template is None:
        raise InvalidInput(translatable("The user message is empty: write the prompt."), "user")
    find_image = images.finder(upload)
    renderer = intake.Renderer(template, found.columns, context.settings(), find_image)
    return [row.fault or _rendered(renderer, row) for row in rows]


def _rendered(renderer: intake.Renderer, row: SampleRow) -> Request | Fault:
    table_row = intake.Row(row.line or 0, row.cells or [], unit=row.unit)
    return renderer.request(table_row, row.number, row.number - 1)


def _request(row: SampleRow) -> Request:
    return Request(row.number - 1, row.custom_id, row.body, row.url, row.line or 0)
