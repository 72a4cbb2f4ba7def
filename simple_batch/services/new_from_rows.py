"""A new job from rows of one: its data, and what it begins with."""

import io
import itertools
from collections.abc import Iterable, Iterator

import msgspec

from ..core.domain import Service
from ..core.errors import UploadRejected
from ..core.messages import Message, translatable
from ..export import json_lines
from ..export.rows import Row, rows
from ..intake import Reading
from ..store import requests as request_rows
from ..store.models import Job, Upload
from ..store.request_filter import RequestFilter
from ..store.row_selection import Selection
from . import images, jobs, table_rows, uploads
from .job_option_fields import JobOptions


class Begun(msgspec.Struct):
    """The data, what the new job begins with, and what differs from the rows as they were sent."""

    upload: Upload
    options: JobOptions
    notes: list[Message]


def begin(job_id: int, wanted: RequestFilter, selection: Selection | None = None) -> Begun:
    """The rows of a job that match. Those of a table come back as a table, with the template and the options
    of the job; without stored cells, and for any other job, they are requests as they were sent last. Raises
    UploadRejected where none matches."""
    job = jobs.get(job_id)
    found = rows(job, "all", wanted, selection)
    first = next(found, None)
    if first is None:
        raise UploadRejected(translatable("No request matches, so there is nothing for a new job."))
    found = itertools.chain([first], found)
    if table_rows.are_stored(job):
        return _from_table(job, found)
    upload = _staged(job, json_lines.as_batch_requests(found), "jsonl", Reading())
    return Begun(upload, _options_for_requests(job), [])


def _from_table(job: Job, found: Iterable[Row]) -> Begun:
    upload = _staged(job, table_rows.as_csv(job, found), "csv", table_rows.READING)
    options, _file = jobs.clone_fields(job.id)
    notes = []
    if request_rows.are_edited(job.id):
        notes.append(translatable("Requests that you edited are as their rows make them."))
    return Begun(upload, options, notes)


def _staged(job: Job, pieces: Iterator[bytes], ending: str, reading: Reading) -> Upload:
    stream = io.BufferedReader(uploads.Pieces(pieces))
    upload = uploads.stage(stream, f"{job.name}.{ending}", reading=reading)
    images.copy(job.upload, upload)
    return upload


def _options_for_requests(job: Job) -> JobOptions:
    """Their bodies hold the prompt, the parameters and the schema."""
    return JobOptions(
        config=job.config_id,
        name=job.name,
        max_retries=job.max_retries,
        service=Service(job.service),
        keep_remote_files=job.keep_remote_files,
    )
