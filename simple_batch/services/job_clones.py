"""Clones: the data of a job for a new one like it, rebuilt from its stored requests.

A job of a table gives a CSV file of its cells under their header, which its template then reads; any other
job gives OpenAI batch lines, each request as it was sent last. What the job does not store cannot come back: lines
that were skipped as invalid, and the edits of single requests of a table.

A large job takes longer than a page may wait, so the data is prepared in the background, once for each user.
"""

import io
import logging
import time
from collections.abc import Iterator

import gevent
from cachetools import TTLCache

from ..core import identity
from ..core.domain import IMAGE, JobStatus
from ..core.errors import Conflict, SimpleBatchError
from ..core.messages import Message, translatable
from ..export.json_lines import as_batch_requests
from ..export.rows import Row, rows
from ..intake import Reading
from ..store import requests as request_rows
from ..store.database import connected
from ..store.models import Job, Upload
from ..store.request_filter import RequestFilter
from . import images, jobs, table_rows, uploads

log = logging.getLogger(__name__)

AT_ONCE_S = 2.0  # a page waits this long
_KEPT_S, _MAX_KEPT = 3600.0, 64
_IMAGE = IMAGE.encode()
_FAILED = translatable("The data of this job could not be prepared. The log says why.")


class Preparation:
    """The data of a job while it is written and scanned: ``written`` of ``total`` requests so far. In the end it
    has ``upload_id``, or the ``error``. ``notes`` say what differs from the file of the job."""

    def __init__(self, job: Job):
        self.job_id = job.id
        self.total = job.total
        self.written = 0
        self.upload_id: int | None = None
        self.error: SimpleBatchError | None = None
        self.notes: list[Message] = []
        self.shows_images = False  # as far as it is written

    @property
    def ended(self) -> bool:
        return self.upload_id is not None or self.error is not None

    def rows(self, job: Job) -> Iterator[Row]:
        """The requests of the job in order, as they were sent last."""
        for row in rows(job, "all", RequestFilter()):
            self.written += 1
            self.shows_images = self.shows_images or _IMAGE in bytes(row.body)
            yield row


_known: TTLCache[tuple, Preparation] = TTLCache(_MAX_KEPT, _KEPT_S)


def prepare(job_id: int) -> Preparation:
    """Begin to prepare the data of a job for the current user, or go on with it; returns when it is done, and
    after AT_ONCE_S at the latest. Raises NotFound, and Conflict for a job without requests."""
    job = jobs.get(job_id)
    if job.status == JobStatus.VALIDATING:
        raise Conflict(translatable("This job is still being read. Clone it when it is done."))
    if not job.total:
        raise Conflict(translatable("This job has no requests to clone."))
    key = (job_id, identity.current().user, job.total, job.overrides)
    found = _known.get(key)
    if found is None or found.error is not None:
        found = _known[key] = Preparation(job)
        gevent.spawn(_prepare, found, job, identity.current())
    end = time.monotonic() + AT_ONCE_S
    while not found.ended and time.monotonic() < end:
        time.sleep(0.02)
    return found


def forget(made: Preparation) -> None:
    """Prepare the data again the next time."""
    for key, found in list(_known.items()):
        if found is made:
            _known.pop(key, None)


def _prepare(made: Preparation, job: Job, caller: identity.Actor) -> None:
    identity.act_as(caller)
    try:
        with connected():
            made.upload_id = _stage(made, job).id
    except SimpleBatchError as error:
        made.error = error
    except Exception:
        log.exception("the data of job %s could not be prepared", job.id)
        made.error = SimpleBatchError(_FAILED)


def _stage(made: Preparation, job: Job) -> Upload:
    as_table = table_rows.are_stored(job)
    stored = made.rows(job)
    pieces = table_rows.as_csv(job, stored) if as_table else as_batch_requests(stored)
    name = f"{job.name}.{'csv' if as_table else 'jsonl'}"
    reading = table_rows.READING if as_table else Reading("utf-8")
    upload = uploads.stage(io.BufferedReader(uploads.Pieces(pieces)), name, reading=reading)
    try:
        images.copy(job.upload, upload)
    except OSError:  # their files are gone
        log.warning("job %s: its images cannot be copied", job.id)
    made.notes = _notes(job, as_table)
    if made.shows_images and not upload.images:
        made.notes.append(_without_images(as_table))
    return upload


def _notes(job: Job, as_table: bool) -> list[Message]:
    notes = [
        translatable(
            "The file of this job is not kept. Its data was rebuilt from its stored requests."
        )
    ]
    if job.skip_faulty:
        notes.append(translatable("Lines that were skipped as invalid are not part of it."))
    if job.template and not as_table:
        notes.append(
            translatable("The rows of its table are not stored, so these are its requests.")
        )
    if as_table and request_rows.are_edited(job.id):
        notes.append(translatable("Requests that you edited are as their rows make them."))
    return notes


def _without_images(as_table: bool) -> Message:
    if as_table:
        return translatable("Its images are no longer kept. Add them again beside the template.")
    return translatable("Its images are no longer kept, so requests with images cannot be sent.")
