"""Makes jobs: from a staged upload, from a file of the Batch API, or from a file at once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

from .. import intake
from ..core import identity
from ..core.clock import now_ms
from ..core.domain import JobStatus, Request, Service
from ..core.errors import InvalidInput, SimpleBatchError
from ..core.messages import translatable
from ..store import configs, idempotency
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store.models import ApiFile, Job, Token, Upload, database
from ..store.requests import Share
from . import (
    batch_offers,
    images,
    importer,
    job_options,
    jobs,
    readings,
    table_choices,
    uploads,
)
from .job_options import JobOptions, NewBatch

LOOKED_AT = 20, 1_000_000  # requests, bytes: whose endpoints are looked at before a job is made


def launch(upload_id: int, new: JobOptions, actor: str | None = None) -> Job:
    """Make a job from a staged upload; the runner imports it. Raises InvalidInput where a choice
    is not valid or faulty lines are neither corrected nor to be skipped."""
    upload, preview = uploads.staged(upload_id)
    new.template, new.saved = uploads.template_of(upload), upload.template_version_id
    if preview.columns and new.template is None:
        raise InvalidInput(translatable("This upload is a table. Write a template for it first."))
    if preview.fault_count and not new.skip_faulty:
        raise InvalidInput(
            translatable("1 line is invalid. Correct it or skip it.")
            if preview.fault_count == 1
            else translatable(
                "%(count)s lines are invalid. Correct them or skip them.",
                count=preview.fault_count,
            )
        )
    if not preview.good:
        raise InvalidInput(translatable("There is no valid request in this upload."))
    _check_service(new, preview.first, preview.good)
    with database.atomic():
        job = _insert_job(upload, new, actor)
        _note_made(job, actor)
        upload.draft = upload.discarded_at = None
        upload.save()
    jobs.wake()
    return job


def create_batch(
    file: ApiFile,
    new: NewBatch,
    token: Token | None = None,
    key: str | None = None,
    actor: str | None = None,
) -> Job:
    """Make a job from a file of the Batch API; the runner imports it. A second create with the same
    idempotency ``key`` returns the job of the first. Raises InvalidInput, Conflict."""
    model = intake.first_model(Path(file.upload.path))
    asked = idempotency.fingerprint("batch", new)
    token_id = token.id if token is not None else 0
    with database.atomic():
        made = idempotency.made_before(token_id, key, asked) if key else None
        if made is not None:
            return jobs.get(made)
        values = job_options.batch_columns(new, file.filename, model)
        job = _insert(file.upload, {**values, "token": token}, actor)
        _note_made(job, actor)
        if key:
            idempotency.note(token_id, key, asked, job.id)
    jobs.wake()
    return job


def create_now(
    source: Path | BinaryIO,
    filename: str,
    new: JobOptions,
    actor: str | None = None,
    on_progress: Callable[[int], None] | None = None,
    images_in: Path | None = None,
    confirmed: bool = False,
) -> Job:
    """Make a job and import its requests before returning. A faulty upload leaves nothing behind
    and raises UploadRejected with the first faults. ``on_progress`` is called with the bytes read. Images
    that the rows of a table name are in the folder ``images_in``, else beside the file. ``confirmed``: a
    template that looks like a mistake is taken as it is, else it raises InvalidInput."""
    job_options.columns(new, filename)  # before the file is copied
    if isinstance(source, Path):
        with source.open("rb") as stream:
            upload = uploads.stage(stream, filename, scan=False)
    else:
        upload = uploads.stage(source, filename, scan=False)
    job = None
    try:
        _prepare(upload, new, images_in, source)
        notes = table_choices.choose(upload, new, confirmed)
        if new.service != Service.NOW:
            _check_service(new, uploads.sample(upload, *LOOKED_AT))
        job = _insert_job(upload, new, actor)
        table_choices.keep_notes(job.id, notes)
        _import_or_wait(job.id, on_progress)
    except BaseException as error:
        if job is not None:
            jobs.remove_now(job.id)
        elif not isinstance(error, SystemExit):
            uploads.discard(upload)
        raise
    _note_made(job, actor)  # not before: the id of a job that was refused is the next one's
    jobs.wake()
    return jobs.get(job.id)


def _check_service(new: JobOptions, first: list[Request], requests: int = 0) -> None:
    """Raises InvalidInput where the first requests cannot be sent as the job says, or not by its
    deadline; what no batch can take behind them fails by itself, or is sent by a call."""
    on = [configs.get(new.config), *job_options.further(new)]
    batch_offers.check(new, on, {request.url for request in first})
    batch_offers.check_deadline(new, on, requests)


def _prepare(upload: Upload, new: JobOptions, folder: Path | None, source: Path | BinaryIO) -> None:
    """Decide how the file is read, and store the images with the upload, so that any process can import
    it."""
    unpacked = images.unpack(upload)
    readings.decide(upload, new.reading, new.template)
    if new.template is None or not new.template.images:
        return
    if folder is None and not unpacked:  # what was packed elsewhere names nothing of this machine
        folder = source.parent if isinstance(source, Path) else Path()
    images.take_named(upload, new.template, folder, new.skip_faulty)


def _import_or_wait(job_id: int, on_progress: Callable[[int], None] | None) -> None:
    """Import here; where the runner was quicker, wait for it and raise what it found."""
    importer.import_upload(job_id, on_progress)
    while True:
        job = jobs.get(job_id)
        if job.status == JobStatus.FAILED:
            raise SimpleBatchError(job.status_detail)
        if job.status != JobStatus.VALIDATING:
            return
        time.sleep(0.1)
        importer.import_upload(job_id, on_progress)


def _insert_job(upload: Upload, new: JobOptions, actor: str | None) -> Job:
    shares = job_options.shares(new)
    return _insert(upload, job_options.columns(new, upload.filename), actor, shares)


def _insert(
    upload: Upload, values: dict, actor: str | None, shares: list[Share] | None = None
) -> Job:
    with database.atomic():
        job = Job.create(
            upload=upload,
            answers_of=_answers_of(upload),
            user=identity.current().user,
            status=JobStatus.VALIDATING,
            source_name=upload.filename,
            **{"created_at": now_ms(), **values},
        )
        if shares:
            request_rows.set_shares(job.id, shares)
        job_rows.add_event(job.id, "", JobStatus.VALIDATING, actor=jobs.acting(actor))
    return job


def _answers_of(upload: Upload) -> int | None:
    """The job whose answers an upload has. Another one may have its id by now."""
    if upload.answers_of is None:
        return None
    made = (Job.id == upload.answers_of) & (Job.created_at <= upload.created_at)
    return upload.answers_of if Job.select(Job.id).where(made).exists() else None


def _note_made(job: Job, actor: str | None) -> None:
    jobs.note("create", job.id, job.name, actor)
