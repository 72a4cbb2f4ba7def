"""The jobs service: the only module that creates jobs and changes their state.

Its functions write to the database and wake the runner. They work the same from a page, a command, or a
process that does not run the jobs itself. Each action is recorded in the audit log under ``actor``, else
under the current caller (core/identity.py), who also owns what is made.
"""

import io
import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO

import gevent
import msgspec

from .. import export, intake
from ..auth import audit_log
from ..core import context, events, identity
from ..core.clock import now_ms
from ..core.domain import ACTIVE_STATUSES, FINAL_STATUSES, Fault, JobStatus
from ..core.domain import Request as RequestLine
from ..core.errors import Conflict, InvalidInput, NotFound, SimpleBatchError
from ..core.messages import listed, translatable
from ..runner import finalize, spend_caps
from ..store import idempotency, search
from ..store import jobs as job_rows
from ..store import requests as request_rows
from ..store import requeue as retry_rows
from ..store.database import connected, log_failure
from ..store.filters import RequestFilter
from ..store.jobs import get
from ..store.models import ApiFile, Job, Request, Token, Upload, database
from ..store.requests import Share
from ..store.requeue import Changes
from . import (
    batch_files,
    configs,
    field_names,
    images,
    importer,
    job_options,
    lifecycle,
    retention,
    uploads,
)
from .job_options import JobOptions, NewBatch

AT_ONCE_S = 2.0  # a longer change goes on in the background where a page asked for it
AT_ONCE_ROWS = 50_000  # the most that are changed while a page waits, where no worker lives

log = logging.getLogger(__name__)

_PAUSABLE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SCHEDULED)
_RESUMABLE = (JobStatus.PAUSED, JobStatus.SCHEDULED)
_CANCELLABLE = tuple(ACTIVE_STATUSES - {JobStatus.CANCELLING, JobStatus.FINALIZING})
_RETRIABLE = (
    JobStatus.COMPLETED,
    JobStatus.CANCELLED,
    JobStatus.EXPIRED,
    JobStatus.PAUSED,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
)
_RESETTABLE = (JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.EXPIRED, JobStatus.PAUSED)
_WORDS = (
    *(translatable("pause"), translatable("resume"), translatable("cancel"), translatable("reset")),
    *(translatable("retry"), translatable("delete"), translatable("clone")),
)
_ACTIONS = {str(word): word for word in _WORDS}


# --- removing what need not be kept -----------------------------------------------------------


def clean(going: retention.Plan) -> None:
    """Remove what retention has found: the runner does the long part. Where no process runs the
    jobs all is done before this returns."""
    hidden = retention.apply(going)
    if going:
        found = {"jobs": len(going.jobs), "bytes": f"{going.bytes:,}"}
        audit_log.note("care.clean", detail=translatable("%(jobs)s jobs, %(bytes)s bytes", **found))
    _wake()
    lifecycle.sweep()
    if going and lifecycle.runner_state() == "none":
        for job_id in hidden:
            _remove_now(job_id)
        batch_files.sweep()


def _wake() -> None:
    events.publish(events.JOBS_CHANGED)


# --- creating ---------------------------------------------------------------------------------


def stage_upload(stream: BinaryIO, filename: str, beside: images.Files = ()) -> Upload:
    """Keep an upload, with the images beside it, and scan it for the preview. Raises UploadRejected,
    UploadTooLarge."""
    return uploads.stage(stream, filename, beside=beside)


def add_images(upload_id: int, given: images.Files) -> list[images.Given]:
    """Keep further images, or ZIP archives of them, beside a staged table. Returns what was refused.
    Raises NotFound, InvalidInput, UploadRejected, UploadTooLarge."""
    return uploads.add_images(upload_id, given)


def stage_requests(job_id: int, wanted: RequestFilter) -> Upload:
    """The requests of a job that match as an upload that a new job can be made from. Raises
    UploadRejected where none does."""
    name = f"{get(job_id).name}.jsonl"
    pieces = export.export(job_id, "requests", wanted=wanted)
    upload = uploads.stage(io.BufferedReader(uploads.Pieces(pieces)), name)
    images.copy(get(job_id).upload, upload)
    return upload


def staged(upload_id: int) -> tuple[Upload, intake.Preview]:
    """A staged upload and what its scan found. Raises NotFound."""
    return uploads.staged(upload_id)


def discard_upload(upload_id: int) -> None:
    """Forget a staged upload that no job was made from."""
    upload, _ = uploads.staged(upload_id)
    if not Job.select().where(Job.upload == upload.id).exists():
        uploads.discard(upload)


def apply_template(upload_id: int, template: intake.Template, saved: int | None = None) -> None:
    """Have a staged table read through a template from now on, which began with the version of a
    saved one that has the id ``saved``. Raises InvalidInput naming the template's field,
    UploadRejected where it makes no request at all."""
    uploads.apply_template(upload_id, template, saved)


def choose_sheet(upload_id: int, sheet: str) -> None:
    """Take another sheet of a staged workbook; its template is then to be written. Raises
    UploadRejected where that sheet is no table."""
    uploads.choose_sheet(upload_id, sheet)


def template_of(upload: Upload) -> intake.Template | None:
    """The template that a staged table is read through; None before one was given."""
    return uploads.template_of(upload)


def example(upload_id: int, template: intake.Template, number: int) -> RequestLine | Fault:
    """What a template makes of row ``number`` (from 1) of a staged table. Raises InvalidInput."""
    return uploads.example(upload_id, template, number)


def launch(upload_id: int, new: JobOptions, actor: str | None = None) -> Job:
    """Make a job from a staged upload; the runner imports it. Raises InvalidInput where a choice
    is not valid or faulty lines are neither corrected nor to be skipped."""
    upload, preview = uploads.staged(upload_id)
    new.template, new.saved = uploads.template_of(upload), upload.template_version_id
    if preview.columns and new.template is None:
        raise InvalidInput(translatable("This upload is a table: it needs a template first."))
    if preview.fault_count and not new.skip_faulty:
        raise InvalidInput(
            translatable(
                "%(count)s lines are faulty: go back and correct them, or skip them.",
                count=preview.fault_count,
            )
        )
    if not preview.good:
        raise InvalidInput(translatable("There is no valid request in this upload."))
    with database.atomic():
        job = _insert_job(upload, new, actor)
        _note_made(job, actor)
    _wake()
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
            return get(made)
        values = job_options.batch_columns(new, file.filename, model)
        job = _insert(file.upload, {**values, "token": token}, actor)
        _note_made(job, actor)
        if key:
            idempotency.note(token_id, key, asked, job.id)
    _wake()
    return job


def create_now(
    source: Path | BinaryIO,
    filename: str,
    new: JobOptions,
    actor: str | None = None,
    on_progress: Callable[[int], None] | None = None,
    images_in: Path | None = None,
) -> Job:
    """Make a job and import its requests before returning. A faulty upload leaves nothing behind
    and raises UploadRejected with the first faults. ``on_progress`` is called with the bytes read. Images
    that the rows of a table name are in the folder ``images_in``, else beside the file."""
    job_options.columns(new, filename)  # before the file is copied
    if isinstance(source, Path):
        with source.open("rb") as stream:
            upload = uploads.stage(stream, filename, scan=False)
    else:
        upload = uploads.stage(source, filename, scan=False)
    job = None
    try:
        _take_images(upload, new, images_in, source)
        job = _insert_job(upload, new, actor)
        _import_or_wait(job.id, on_progress)
    except BaseException as error:
        if job is not None:
            _remove_now(job.id)
        elif not isinstance(error, SystemExit):
            uploads.discard(upload)
        raise
    _note_made(job, actor)  # not before: the id of a job that was refused is the next one's
    _wake()
    return get(job.id)


def _take_images(upload: Upload, new: JobOptions, folder: Path | None, source) -> None:
    """Store the images with the upload, so that any process can import it."""
    unpacked = images.unpack(upload)
    if new.template is None or not new.template.images:
        return
    if folder is None and not unpacked:  # what a stranger packed names nothing of this machine
        folder = source.parent if isinstance(source, Path) else Path()
    images.take_named(upload, new.template, folder, new.skip_faulty)


def _import_or_wait(job_id: int, on_progress) -> None:
    """Import here; where the runner was quicker, wait for it and raise what it found."""
    importer.import_upload(job_id, on_progress)
    while True:
        job = get(job_id)
        if job.status == JobStatus.FAILED:
            raise SimpleBatchError(job.status_detail)
        if job.status != JobStatus.VALIDATING:
            return
        time.sleep(0.1)
        importer.import_upload(job_id, on_progress)


def _insert_job(upload: Upload, new: JobOptions, actor: str | None) -> Job:
    shares = job_options.shares(new)
    return _insert(upload, job_options.columns(new, upload.filename), actor, shares)


def _insert(upload: Upload, values: dict, actor: str | None, shares: Sequence[Share] = ()) -> Job:
    with database.atomic():
        job = Job.create(
            upload=upload,
            user=identity.current().user,
            status=JobStatus.VALIDATING,
            source_name=upload.filename,
            created_at=now_ms(),
            **values,
        )
        if shares:
            request_rows.set_shares(job.id, shares)
        job_rows.add_event(job.id, "", JobStatus.VALIDATING, actor=_acting(actor))
    return job


def _note_made(job: Job, actor: str | None) -> None:
    _note("create", job.id, job.name, actor)


# --- changing ---------------------------------------------------------------------------------


def allowed_actions(job: Job) -> set[str]:
    """What may be done with a job in its present state."""
    status = JobStatus(job.status)
    allowed = {"delete", "clone"}
    for action, statuses in (
        ("pause", _PAUSABLE),
        ("resume", _RESUMABLE),
        ("cancel", _CANCELLABLE),
        ("reset", _RESETTABLE),
    ):
        if status in statuses:
            allowed.add(action)
    if status in _RETRIABLE and job.failed + job.cancelled:
        allowed.add("retry")
    return allowed


def edit(job_id: int, new: JobOptions, actor: str | None = None) -> None:
    """Change a job's name, limits, deadline, hours, priority and spend cap to those of ``new``;
    where it runs they are taken up within a second, and one that its cap has paused goes on if it
    may. Raises InvalidInput naming the field."""
    job = get(job_id)
    values = job_options.editable(new, job.name) | job_options.timing(new, job.deadline_at)
    values["spend_cap"] = job_options.spend_cap(new.spend_cap, job_options.configs_of(job), job)
    before = {field: getattr(job, field) for field in values}
    changed = {field: value for field, value in values.items() if before[field] != value}
    if not changed:
        return
    with database.atomic():
        Job.update(**changed).where(Job.id == job_id).execute()
        changes = listed(
            field_names.change(field, _shown(field, before[field]), _shown(field, value))
            for field, value in changed.items()
        )
        job_rows.add_event(job_id, job.status, job.status, "edited", changes, actor=_acting(actor))
        _note("edit", job_id, changes, actor)
    _wake()


def _shown(field: str, value):
    return f"{configs.units(value):f}" if field == "spend_cap" and value is not None else value


def pause(job_id: int, actor: str | None = None) -> None:
    """No new calls from now on; those in flight finish. Raises Conflict."""
    _change(job_id, "pause", JobStatus.PAUSED, _PAUSABLE, "user", actor)


def resume(job_id: int, actor: str | None = None) -> None:
    """Go on where the job was left; one that waits for its hours goes on without them. Raises
    Conflict, also while a spend cap holds the job."""
    job = get(job_id)
    if job.status_reason == job_rows.RESETTING:
        raise Conflict(_being_reset(job_id))
    stop = (
        spend_caps.held(job, context.settings().TIMEZONE)
        if job.status == JobStatus.PAUSED
        else None
    )
    if stop is not None:
        raise Conflict(stop.detail)
    with database.atomic():  # or the scheduler may put it off again in between
        _change(job_id, "resume", JobStatus.QUEUED, _RESUMABLE, "", actor)
        if job.hours and job.status == JobStatus.SCHEDULED:
            job_rows.without_hours(job_id)
    _wake()


def cancel(job_id: int, actor: str | None = None) -> None:
    """Stop for good; what finished is kept. Calls in flight may finish for CANCEL_GRACE seconds.
    What is left gets its results from the process that runs the jobs; where no process does, before this
    returns, but for a large job and a page: that waits for the next worker. Raises Conflict."""
    _change(job_id, "cancel", JobStatus.CANCELLING, _CANCELLABLE, "user", actor)
    job = get(job_id)
    if _done_here(job.total - job.succeeded - job.failed - job.cancelled):
        finalize.finish(job_id, batch_files.make_results)


def _done_here(rows: int) -> bool:
    """Whether a change of that many rows is made before a caller is answered: where no process runs the
    jobs. A process that serves keeps no page waiting for millions; the next worker does it then."""
    return lifecycle.runner_state() == "none" and (not lifecycle.serving() or rows <= AT_ONCE_ROWS)


def retry(
    job_id: int,
    wanted: RequestFilter | None = None,
    other: Changes | None = None,
    actor: str | None = None,
) -> int:
    """Give the failed requests that match (all, without a filter) back to be run again, ``other``
    than before if it is given; a finished job is queued. Returns how many were within AT_ONCE_S: in
    a process that serves the rest follows in the background, and is left as it was if the process
    ends before. Raises Conflict, also where none matches, and InvalidInput for a change that is not
    possible."""
    job = _retriable(job_id)
    wanted, other = wanted or RequestFilter(), _possible(job, other)
    given_back, after = 0, -1
    while not given_back and after is not None:
        count, after = finalize.give_back(job_id, wanted, other, after, _at_once())
        given_back += count
    if not given_back:
        raise Conflict(translatable("No failed request matches: nothing was retried."))
    if after is None:
        given_back += _give_back_twins(job, wanted)
    actor = _acting(actor)
    _queue_again(job_id, actor)
    _note("retry", job_id, translatable("%(count)s requests", count=f"{given_back:,}"), actor)
    if after is not None:
        gevent.spawn(_retry_rest, job, wanted, other, after, actor)
    return given_back


def _at_once() -> float | None:
    """Until when a page is kept waiting (monotonic clock); None where no page is served."""
    return time.monotonic() + AT_ONCE_S if lifecycle.serving() else None


def _give_back_twins(job: Job, wanted: RequestFilter) -> int:
    """A group is found by its attempts, and requests that got the failure of another have none."""
    return finalize.give_back_duplicates(job.id) if wanted.group and job.ask_once else 0


def _retry_rest(job: Job, wanted, other, after, actor) -> None:
    """The job may have come to its end meanwhile: then it is queued once more."""
    job_id = job.id
    try:
        count, _end = finalize.give_back(job_id, wanted, other, after)
        count += _give_back_twins(job, wanted)
        with connected():
            if count:
                _queue_again(job_id, actor)
                _note(
                    "retry", job_id, translatable("%(count)s requests", count=f"{count:,}"), actor
                )
    except Exception:
        log_failure(log, f"job {job_id}: not all of its requests were given back")


def retry_requests(
    job_id: int, indices: list[int], other: Changes | None = None, actor: str | None = None
) -> int:
    """The same for single requests, failed or cancelled. Returns how many were given back."""
    other = _possible(_retriable(job_id), other)
    # in order: a request that waits for an identical one comes behind it
    wanted = sorted(set(indices))
    given_back = sum(retry_rows.requeue_one(job_id, index, other) for index in wanted)
    if not given_back:
        raise Conflict(translatable("None of these requests has failed: nothing was retried."))
    _queue_again(job_id, actor)
    _note("retry", job_id, translatable("%(count)s requests", count=f"{given_back:,}"), actor)
    return given_back


def send_again(job_id: int, index: int, body: str, actor: str | None = None) -> None:
    """Send one request again with a body that a user edited; the answer it had becomes an attempt.
    Raises InvalidInput for a body that is no request, Conflict while the request is under way."""
    _retriable(job_id)
    if not Request.select().where((Request.job == job_id) & (Request.idx == index)).exists():
        raise NotFound(
            translatable("Job %(job_id)s has no request %(index)s.", job_id=job_id, index=index)
        )
    edited = intake.check_body(body, context.settings())
    images.check(get(job_id), edited)
    if not retry_rows.replace_one(job_id, index, edited):
        raise Conflict(
            translatable("This request has not ended yet: wait for its answer, then edit it.")
        )
    _queue_again(job_id, actor)
    _note("send", job_id, translatable("request %(index)s", index=index), actor)


def _possible(job: Job, other: Changes | None) -> Changes | None:
    """The changes, checked; None where they change nothing."""
    if other is None or other == Changes():
        return None
    configs.within(other.timeout_s, "timeout_s", 0.1, 86_400)
    configs.within(other.max_tokens, "max_tokens", 1, 10_000_000)
    if other.config_id is not None:
        config = configs.get(other.config_id)
        if not config.active:
            raise InvalidInput(
                translatable("The API config “%(alias)s” is deactivated.", alias=config.alias),
                "config",
            )
        if config.currency != job.currency:
            raise InvalidInput(
                translatable(
                    "“%(alias)s” is priced in %(currency)s, this job in %(own)s: one job "
                    "adds up one currency. Download the failed ones and make a new job of them.",
                    alias=config.alias,
                    currency=config.currency,
                    own=job.currency,
                ),
                "config",
            )
    return other


def reset(job_id: int, actor: str | None = None) -> None:
    """Forget every result, as if nothing had been sent; the job is then paused with reason
    ``held``, so that nothing is spent again unasked. While results are removed, the reason is
    ``resetting``; what takes longer than AT_ONCE_S is left to the process that runs the jobs, where there is one.
    Raises Conflict."""
    _change(job_id, "reset", JobStatus.PAUSED, _RESETTABLE, job_rows.RESETTING, actor)
    _go_on(job_id)
    here = lifecycle.runner_state() == "none" and not lifecycle.serving()
    finalize.reset(job_id, None if here else time.monotonic() + AT_ONCE_S)


def index_text(job_id: int) -> float:
    """Have a job that is too large for a plain search indexed in the background. Returns how much
    of it is, 0 to 1; 1 for a job that needs no index."""
    job = get(job_id)
    if job.total <= search.WINDOW:
        return 1.0
    if search.progress(job) is None:
        search.want(job_id)
    return search.progress(job) or 0.0


def delete(job_id: int, actor: str | None = None) -> None:
    """Hide the job at once; the runner stops it and removes its rows. Where no process runs the
    jobs they are removed before this returns, but for a large job and a page."""
    job = get(job_id)
    name = job.name
    Job.update(deleted_at=now_ms()).where(Job.id == job_id).execute()
    _note("delete", job_id, name, actor)
    _wake()
    if _done_here(job.total):
        _remove_now(job_id)


def clone_fields(job_id: int) -> tuple[JobOptions, Upload | None]:
    """What a new job like this one begins with, and its upload where it is still kept."""
    job = get(job_id)
    kept = job.upload is not None and Path(job.upload.path).exists()
    fields = msgspec.structs.replace(job_options.of(job), deadline_at=None)
    return fields, job.upload if kept else None


def _change(job_id, action, to, allowed_from, reason, actor) -> None:
    if job_rows.transition(job_id, to, allowed_from, reason, actor=_acting(actor)) is None:
        job = get(job_id)
        possible = listed(_ACTIONS.get(name, name) for name in sorted(allowed_actions(job)))
        raise Conflict(
            translatable(
                "Job %(job_id)s is %(status)s: it cannot %(action)s now. Possible: %(possible)s.",
                job_id=job_id,
                status=translatable(str(job.status)),
                action=_ACTIONS.get(action, action),
                possible=possible,
            )
        )
    _note(action, job_id, actor=actor)
    _wake()


def _acting(actor: str | None) -> str:
    return actor or identity.current().name


def _note(action: str, job_id: int, detail: str = "", actor: str | None = None) -> None:
    audit_log.note(f"job.{action}", f"job {job_id}", detail, actor)


def _being_reset(job_id: int) -> str:
    return translatable(
        "Job %(job_id)s is being reset: wait until its results are removed.", job_id=job_id
    )


def _retriable(job_id: int) -> Job:
    job = get(job_id)
    if job.status_reason == job_rows.RESETTING:
        raise Conflict(_being_reset(job_id))
    if job.status not in _RETRIABLE:
        raise Conflict(
            translatable(
                "Job %(job_id)s is %(status)s: its requests cannot be retried now.",
                job_id=job_id,
                status=translatable(str(job.status)),
            )
        )
    return job


def _queue_again(job_id: int, actor: str | None) -> None:
    _go_on(job_id)
    job_rows.transition(job_id, JobStatus.QUEUED, FINAL_STATUSES, "retry", actor=_acting(actor))
    _wake()


def _go_on(job_id: int) -> None:
    """What was finished begins again: without its result files, and without a deadline that has
    passed."""
    batch_files.forget_results(job_id)
    Job.update(deadline_at=None).where((Job.id == job_id) & (Job.deadline_at <= now_ms())).execute()


def _remove_now(job_id: int) -> None:
    job = Job.get_or_none(Job.id == job_id)
    upload = job.upload if job is not None else None
    Job.update(deleted_at=now_ms()).where(Job.id == job_id).execute()
    finalize.purge(job_id)
    if upload is not None:
        uploads.discard_unused(upload)
