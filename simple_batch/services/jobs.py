"""The jobs service: changes the state of jobs; job_creation makes them, job_retry sends requests again.

Its functions write to the database and wake the runner. They work the same from a page, a command, or a
process that does not run the jobs itself. Each action is recorded in the audit log under ``actor``, else
under the current caller (core/identity.py), who also owns what is made.
"""

import time
from collections.abc import Collection
from pathlib import Path

import msgspec

from ..auth import audit_log
from ..core import context, events, identity
from ..core.clock import now_ms
from ..core.domain import ACTIVE_STATUSES, JobStatus
from ..core.errors import Conflict
from ..core.messages import Message, listed, translatable
from ..runner import finalize, spend_caps
from ..store import binned_jobs, outcome_counts, search
from ..store import jobs as job_rows
from ..store.jobs import get as get
from ..store.jobs import known as known
from ..store.models import Job, Upload, database
from . import (
    adjusted_parameters,
    batch_files,
    batch_offers,
    field_names,
    job_options,
    lifecycle,
    retention,
    uploads,
    validation,
)
from .job_options import JobOptions

AT_ONCE_S = 2.0  # a longer change goes on in the background where a page asked for it
AT_ONCE_ROWS = 50_000  # as many are changed while a page waits, where no worker lives

_PAUSABLE = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.SCHEDULED)
_RESUMABLE = (JobStatus.PAUSED, JobStatus.SCHEDULED)
_CANCELLABLE = tuple(ACTIVE_STATUSES - {JobStatus.CANCELLING, JobStatus.FINALIZING})
RETRIABLE = (
    JobStatus.COMPLETED,
    JobStatus.CANCELLED,
    JobStatus.EXPIRED,
    JobStatus.PAUSED,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
)
_RESETTABLE = (JobStatus.COMPLETED, JobStatus.CANCELLED, JobStatus.EXPIRED, JobStatus.PAUSED)
_ACTIONS = {
    "pause": translatable("pause"),
    "resume": translatable("resume"),
    "cancel": translatable("cancel"),
    "reset": translatable("reset"),
    "retry": translatable("retry"),
    "delete": translatable("delete"),
    "clone": translatable("clone"),
}


def clean(going: retention.Plan) -> None:
    """Remove what retention has found: the runner does the long part. Where no process runs the
    jobs all is done before this returns."""
    hidden = retention.apply(going)
    if going:
        audit_log.note("care.clean", detail=_cleaned(going))
    wake()
    lifecycle.sweep()
    if going and lifecycle.runner_state() == "none":
        for job_id in hidden:
            remove_now(job_id)
        batch_files.sweep()


def _cleaned(going: retention.Plan) -> Message:
    size = f"{going.bytes:,}"
    if len(going.jobs) == 1:
        return translatable("1 job, %(bytes)s bytes", bytes=size)
    return translatable("%(jobs)s jobs, %(bytes)s bytes", jobs=len(going.jobs), bytes=size)


def wake() -> None:
    """Tell the processes that run or show jobs that something has changed."""
    events.publish(events.JOBS_CHANGED)


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
    if status in RETRIABLE and job.failed + job.cancelled + outcome_counts.not_ok(job):
        allowed.add("retry")
    return allowed


def edit(job_id: int, new: JobOptions, actor: str | None = None) -> None:
    """Change a job's name, limits, deadline, hours, priority and spend cap to those of ``new``;
    where it runs they are taken up within a second, and one that its cap has paused goes on if it
    may. Raises InvalidInput naming the field."""
    job = get(job_id)
    batch_offers.check_edited_deadline(job, new.deadline_at)
    values = job_options.editable(new, job.name, job.deadline_at)
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
        job_rows.add_event(job_id, job.status, job.status, "edited", changes, actor=acting(actor))
        note("edit", job_id, changes, actor)
    wake()


def _shown(field: str, value):
    return f"{validation.units(value):f}" if field == "spend_cap" and value is not None else value


def pause(job_id: int, actor: str | None = None) -> None:
    """No new calls from now on; those in flight finish. Raises Conflict."""
    _change(job_id, "pause", JobStatus.PAUSED, _PAUSABLE, "user", actor)


def resume(job_id: int, actor: str | None = None, leave_out: Collection[str] = ()) -> None:
    """Go on where the job was left; one that waits for its hours goes on without them. ``leave_out``:
    parameters that none of its requests has from now on. Raises Conflict, also while a spend cap holds
    the job; InvalidInput for what is no parameter."""
    job = get(job_id)
    if job.status_reason == job_rows.RESETTING:
        raise Conflict(being_reset(job_id))
    stop = (
        spend_caps.held(job, context.settings().TIMEZONE)
        if job.status == JobStatus.PAUSED
        else None
    )
    if stop is not None:
        raise Conflict(stop.detail)
    with database.atomic():  # or the scheduler may put it off again in between
        if leave_out:
            adjusted_parameters.leave_out(job, leave_out, acting(actor))
            note("edit", job_id, adjusted_parameters.left_out_words(leave_out), actor)
        _change(job_id, "resume", JobStatus.QUEUED, _RESUMABLE, "", actor)
        if job.hours and job.status == JobStatus.SCHEDULED:
            job_rows.without_hours(job_id)
    wake()


def cancel(job_id: int, actor: str | None = None) -> None:
    """Stop for good; what finished is kept. Calls in flight may finish for CANCEL_GRACE seconds.
    What is left gets its results from the process that runs the jobs; where no process does, before this
    returns, but for a large job and a page: that waits for the next worker. Raises Conflict."""
    _change(job_id, "cancel", JobStatus.CANCELLING, _CANCELLABLE, "user", actor)
    job = get(job_id)
    if done_here(job.total - job.succeeded - job.failed - job.cancelled):
        finalize.finish(job_id, batch_files.make_results)


def done_here(rows: int) -> bool:
    """Whether a change of that many rows is made before a caller is answered: where no process runs the
    jobs. A process that serves keeps no page waiting for millions; the next worker does it then."""
    return lifecycle.runner_state() == "none" and (not lifecycle.serving() or rows <= AT_ONCE_ROWS)


def reset(job_id: int, actor: str | None = None) -> None:
    """Forget every result, as if nothing had been sent; the job is then paused with reason
    ``held``, so that nothing is spent again unasked. While results are removed, the reason is
    ``resetting``; what takes longer than AT_ONCE_S is left to the process that runs the jobs, where there is one.
    Raises Conflict."""
    _change(job_id, "reset", JobStatus.PAUSED, _RESETTABLE, job_rows.RESETTING, actor)
    begin_again(job_id)
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


def delete(job_id: int, actor: str | None = None, at_once: bool = False) -> bool:
    """Hide the job and put it into the bin (job_bin.py); the runner stops it. With ``at_once``, or without a
    bin, the runner removes its rows; where no process runs the jobs they are removed before this returns,
    but for a large job and a page. Returns whether it is in the bin."""
    job = get(job_id)
    binned = context.settings().DELETED_JOBS_KEEP_HOURS > 0 and not at_once
    if binned:
        binned_jobs.put(job_id, acting(actor))
    else:
        binned_jobs.hide(job_id, acting(actor))
    note("delete" if binned else "remove", job_id, job.name, actor)
    wake()
    if not binned and done_here(job.total):
        remove_now(job_id)
    return binned


def clone_fields(job_id: int) -> tuple[JobOptions, Upload | None]:
    """What a new job like this one begins with, and its upload where it is still kept. Sharing and who is
    notified are not taken over from another user's job."""
    job = get(job_id)
    kept = job.upload is not None and Path(job.upload.path).exists()
    fields = msgspec.structs.replace(job_options.of(job), deadline_at=None)
    if job.user_id != identity.current().user:
        fields = msgspec.structs.replace(fields, sharing=None, email="", webhook=None)
    return fields, job.upload if kept else None


def _change(
    job_id: int,
    action: str,
    to: JobStatus,
    allowed_from: Collection[JobStatus],
    reason: str,
    actor: str | None,
) -> None:
    if job_rows.transition(job_id, to, allowed_from, reason, actor=acting(actor)) is None:
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
    note(action, job_id, actor=actor)
    wake()


def acting(actor: str | None) -> str:
    """The name that an event of a job is recorded under."""
    return actor or identity.current().name


def note(action: str, job_id: int, detail: str = "", actor: str | None = None) -> None:
    """Record an action in the audit log."""
    audit_log.note(f"job.{action}", f"job {job_id}", detail, actor)


def being_reset(job_id: int) -> str:
    """Why nothing can be done with a job now."""
    return translatable(
        "Job %(job_id)s is being reset: wait until its results are removed.", job_id=job_id
    )


def begin_again(job_id: int) -> None:
    """Let a job that may have finished begin again: without its result files, and without a deadline that has
    passed."""
    batch_files.forget_results(job_id)
    Job.update(deadline_at=None).where((Job.id == job_id) & (Job.deadline_at <= now_ms())).execute()


def remove_now(job_id: int) -> None:
    """Remove a job with its rows, and its upload where nothing else needs that."""
    job = Job.get_or_none(Job.id == job_id)
    upload = job.upload if job is not None else None
    Job.update(deleted_at=now_ms(), binned_at=None).where(Job.id == job_id).execute()
    finalize.purge(job_id)
    if upload is not None:
        uploads.discard_unused(upload)
