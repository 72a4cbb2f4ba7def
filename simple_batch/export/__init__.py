"""Results → files, streaming, in input order, also while the job runs."""

import itertools
import re
import unicodedata
from collections.abc import Iterator

import msgspec

from ..core.domain import RequestStatus
from ..core.errors import InvalidInput
from ..core.messages import translatable
from ..store import jobs, ratings
from ..store.models import Job
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from . import csv_file, json_lines, parquet_file, xlsx_file
from .columns import CELL, FIELD, Table
from .rows import ONLY, UNANSWERED, rows

_TABLES = {  # what needs to know the columns of the job's table
    "json": json_lines.as_array,
    "jsonl": json_lines.as_lines,
    "xlsx": xlsx_file.as_workbook,
    "parquet": parquet_file.as_parquet,
}
_TYPES = {
    "json": "application/json",
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "parquet": "application/vnd.apache.parquet",
    "openai": "application/jsonl",
    "requests": "application/jsonl",
}
FORMATS = tuple(_TYPES)
BINARY = ("xlsx", "parquet")  # made as a whole before the first piece


def matching(job: Job, wanted: RequestFilter, selection: Selection, most: int) -> list[int]:
    """The indices of the first ``most`` requests that match the filter and the selection."""
    if not selection.conditions and wanted == RequestFilter():
        return list(selection.indices[:most])
    return [row.index for row in itertools.islice(rows(job, "all", wanted, selection), most)]


def export(
    job_id: int,
    format: str,
    only: str = "all",
    wanted: RequestFilter | None = None,
    raw_cells: bool = False,
    selection: Selection | None = None,
    with_ratings: bool | None = None,
) -> Iterator[bytes]:
    """The file in pieces: of all requests, or of those that match the filter and the selection. With ``raw_cells`` CSV does not guard
    against formulas. ``with_ratings``: whether it has the ratings of answers; None: where there are any, but not
    in OpenAI's lines. Requests to upload again never have them. Raises InvalidInput for another format or choice, NotFound for the job,
    SimpleBatchError where the disk does not take what is made as a whole first."""
    if format not in _TYPES:
        raise InvalidInput(
            translatable(
                "format=%(format)r: use one of %(allowed)s.",
                format=format,
                allowed=", ".join(FORMATS),
            ),
            "format",
        )
    if only not in (*ONLY, UNANSWERED):
        raise InvalidInput(
            translatable(
                "only=%(only)r: use one of %(allowed)s.", only=only, allowed=", ".join(ONLY)
            ),
            "only",
        )
    job = jobs.get(job_id)
    lines = format in ("openai", "requests")
    if with_ratings is None:
        with_ratings = not lines and ratings.exist(job_id)
    found = rows(job, only, wanted or RequestFilter(), selection, with_ratings)
    if lines:
        if format == "requests":
            return json_lines.as_batch_requests(found)
        return json_lines.as_batch_results(found, with_ratings)
    table = Table.of(job, format == "parquet", with_ratings)
    if format == "csv":
        return csv_file.as_table(found, table, raw_cells)
    return _TABLES[format](found, table)


class AnswerNames(msgspec.Struct, frozen=True):
    """What columns of ``answers`` are called."""

    prompt: str
    answer: str
    custom_id: str


def answers(
    job_id: int, wanted: RequestFilter, selection: Selection | None = None
) -> tuple[AnswerNames, Iterator[bytes]]:
    """CSV of the requests that were answered and match: the columns of the job's table, the prompt, the
    answer, the fields of a schema, and the custom_id. Raises NotFound for the job."""
    job = jobs.get(job_id)
    table = Table.of(job)
    chosen = [table.place_of(name) for name in ("prompt", "content", "custom_id")]
    names = AnswerNames(*(table.columns[place].name for place in chosen))
    kept = [n for n, one in enumerate(table.columns) if one.kind in (CELL, FIELD) or n in chosen]
    has_answers = wanted.status in (None, RequestStatus.SUCCEEDED)
    found = rows(job, "succeeded", wanted, selection) if has_answers else iter(())
    return names, csv_file.as_table(found, table, raw=True, kept=kept)


def filename(job: Job, format: str, only: str = "all") -> str:
    """A name that every file system takes: the job's, cleaned, with its id."""
    name = unicodedata.normalize("NFC", job.name)
    name = re.sub(r'[\\/:*?"<>|\x00-\x1f\x7f]+', "-", name).strip(" .-")[:80] or "job"
    part = "" if only == "all" else f"-{only}"
    if format in ("openai", "requests"):
        return f"{name}-{job.id}{part}-{format}.jsonl"
    return f"{name}-{job.id}{part}.{format}"


def content_type(format: str) -> str:
    return _TYPES[format]
