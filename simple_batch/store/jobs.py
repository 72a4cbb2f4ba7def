"""Rows of jobs: looking one up, status changes, counters, removal."""

import json
from collections import Counter
from collections.abc import Collection, Iterable
from functools import cache

from peewee import SQL, fn

from ..core.clock import now_ms
from ..core.domain import FINAL_STATUSES, Cause, JobStatus, PartState
from ..core.errors import NotFound
from ..core.messages import translatable
from . import batch_parts, column_keys, outcome_counts, search, webhooks
from .models import Attempt as AttemptRow
from .models import (
    BatchPart,
    ErrorGroup,
    Job,
    JobConfig,
    JobEvent,
    JobWorker,
    Override,
    Page,
    RatedAnswer,
    Rating,
    Request,
    Result,
    database,
    lock_job,
)

CHUNK = 5_000
LIVE_FRESH_MS = 5_000  # a live state (column ``live``) that is older says nothing about now
OFF_HOURS = "off_hours"  # why a job is scheduled although it has begun
HELD = "held"  # why a job is paused until a user resumes it
SHARED = "shared"  # why an event is noted: others see it, or no longer do
RESETTING = "resetting"  # why it is paused while its results are removed
WAITING = "waiting"  # why an event is noted: the endpoint is away
ANSWERING = "answering"  # likewise: it answers again
STREAMS = "streams"  # likewise: its answers come as streams from now on, or no longer
LEFT_OUT = "left_out"  # likewise: parameters that the API has nothing like
ADJUSTED = "adjusted"  # likewise: a parameter that the model rejects is sent in another way
LONGER_TIMEOUT = "longer_timeout"  # likewise: the time-out of the job's calls was raised
PARTS = "parts"  # likewise: of a batch at a provider that holds requests of the job
EXPIRED = "expired"  # why a job is finalizing although requests are left
SAVED_BY = ("cache", "tier", "hours", "batch", "reuse")  # counters of what a job saved, by column
_ASKED_TO_WAIT = (Cause.RATE_LIMIT, Cause.OVERLOADED)  # why a job is paused for a time
_EXPIRING = (JobStatus.SCHEDULED, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED)


def get(job_id: int) -> Job:
    """The job. Raises NotFound, also for one that is being deleted, or is in the bin."""
    job = next(iter(Job.raw(_by_id(database.param), job_id)), None)
    if job is None:
        raise NotFound(_missing(job_id), "job")
    return job


def known(of: Job | int) -> Job:
    """A job that the caller has read already, or else the one with that id. Raises NotFound."""
    return of if isinstance(of, Job) else get(of)


@cache
def _by_id(_param: str) -> str:
    """SQL of ``get``, in the database's dialect. Kept: a page gets its job several times, and making this
    from a hundred columns takes four times as long as asking."""
    sql, _values = Job.select().where((Job.id == 0) & Job.deleted_at.is_null()).sql()
    return sql


def _missing(job_id: int) -> str:
    if Job.select().where((Job.id == job_id) & Job.binned_at.is_null(False)).exists():
        return translatable(
            "Job %(job_id)s was deleted and is in the bin. Restore it there, or with: "
            "flask restore-job %(job_id)s",
            job_id=job_id,
        )
    return translatable("There is no job %(job_id)s.", job_id=job_id)


def transition(
    job_id: int,
    to: JobStatus,
    allowed_from: Iterable[JobStatus],
    reason: str = "",
    detail: str = "",
    actor: str = "runner",
) -> JobStatus | None:
    """Change a job's status if it is one of ``allowed_from``, in one transaction with the
    timestamps and the event. Returns the former status, or None where nothing was changed
    (another status, no such job, or one being deleted)."""
    with database.atomic():
        lock_job(job_id)
        row = (
            Job.select(Job.status, Job.started_at, Job.resumed_at, Job.active_ms)
            .where((Job.id == job_id) & Job.deleted_at.is_null())
            .tuples()
            .first()
        )
        if row is None:
            return None
        status, started_at, resumed_at, active_ms = row
        if status not in set(allowed_from):
            return None
        former = JobStatus(status)
        values = {"status": to, "status_reason": reason, "status_detail": detail}
        values.update(_stamps(former, to, started_at, resumed_at, active_ms))
        Job.update(values).where(Job.id == job_id).execute()
        add_event(job_id, former, to, reason, detail, actor)
        webhooks.enqueue(job_id, to)
        return former


def add_event(job_id, from_status, to_status, reason="", detail="", actor="runner") -> None:
    """Note a change of status: who or what caused it, and when."""
    JobEvent.create(
        job=job_id,
        at=now_ms(),
        from_status=from_status,
        to_status=to_status,
        reason=reason,
        detail=detail,
        actor=actor,
    )


def note(job_id: int, reason: str, detail: str) -> None:
    """Note what happened to a job while its status stayed."""
    status = Job.select(Job.status).where(Job.id == job_id).scalar()
    add_event(job_id, status, status, reason, detail)


def note_left_out(job_id: int, detail: str) -> None:
    """Note that parameters of a config or of a job are not sent: once, though it is run several times and
    on several workers."""
    with database.atomic():
        lock_job(job_id)
        noted = (JobEvent.job == job_id) & (JobEvent.reason == LEFT_OUT)
        if not JobEvent.select().where(noted & (JobEvent.detail == detail)).exists():
            note(job_id, LEFT_OUT, detail)


def last_event(job_id: int) -> int:
    """Id of the newest event of a job; 0 if it has none."""
    return JobEvent.select(fn.MAX(JobEvent.id)).where(JobEvent.job == job_id).scalar() or 0


def events_after(job_id: int, event_id: int) -> list[JobEvent]:
    """Events of a job that are newer than one of them, the oldest first."""
    newer = (JobEvent.job == job_id) & (JobEvent.id > event_id)
    return list(JobEvent.select().where(newer).order_by(JobEvent.id))


def note_waiting(job_id: int, detail: str) -> None:
    """Note that a running job waits for its endpoint: once, though several workers find it out."""
    with database.atomic():
        lock_job(job_id)
        if _last_reason(job_id) != WAITING:
            note(job_id, WAITING, detail)


def note_waited(job_id: int, detail: str) -> None:
    """Note that the endpoint answers again, if that it does not was noted."""
    with database.atomic():
        lock_job(job_id)
        if _last_reason(job_id) in (WAITING, LONGER_TIMEOUT):
            note(job_id, ANSWERING, detail)


def _last_reason(job_id: int) -> str | None:
    newest = JobEvent.select(JobEvent.reason).where(JobEvent.job == job_id)
    return newest.order_by(JobEvent.id.desc()).limit(1).scalar()


def last_pause(job_id: int) -> str | None:
    """Why the job was paused the last time; None if it never was."""
    pauses = JobEvent.select(JobEvent.reason).where(
        (JobEvent.job == job_id)
        & (JobEvent.to_status == JobStatus.PAUSED)
        & (JobEvent.from_status != JobStatus.PAUSED)
    )
    return pauses.order_by(JobEvent.id.desc()).limit(1).scalar()


def _stamps(former, to, started_at, resumed_at, active_ms) -> dict:
    now = now_ms()
    values: dict[str, int | str | None] = {}
    if to == JobStatus.RUNNING and former != JobStatus.RUNNING:
        values["resumed_at"] = now
        values["started_at"] = started_at or now
        values["finished_at"] = None
    elif resumed_at is not None and to != JobStatus.FINALIZING:
        values["active_ms"] = active_ms + max(0, now - resumed_at)
        values["resumed_at"] = None
        values["live"] = "{}"
    if to in FINAL_STATUSES:
        values["finished_at"] = now
    elif former in FINAL_STATUSES:
        values["finished_at"] = None
    return values


def in_status(*statuses: JobStatus) -> list[tuple[int, JobStatus]]:
    """(id, status) of the jobs in these statuses, those of a higher priority first, then oldest
    first; jobs being deleted left out."""
    rows = (
        Job.select(Job.id, Job.status)
        .where(Job.status.in_(statuses) & Job.deleted_at.is_null())
        .order_by(Job.priority.desc(), Job.id)
        .tuples()
    )
    return [(job_id, JobStatus(status)) for job_id, status in rows]


def due(now: int) -> list[int]:
    """Ids of scheduled jobs whose start time (epoch ms) has come."""
    rows = Job.select(Job.id).where(
        (Job.status == JobStatus.SCHEDULED) & (Job.start_at <= now) & Job.deleted_at.is_null()
    )
    return [job.id for job in rows.order_by(Job.start_at, Job.id)]


def overdue(now: int) -> list[int]:
    """Ids of jobs that go on although their deadline (epoch ms) has passed."""
    rows = Job.select(Job.id).where(
        Job.status.in_(_EXPIRING) & (Job.deadline_at <= now) & Job.deleted_at.is_null()
    )
    return [job.id for job in rows.order_by(Job.id)]


def expire(job_id: int) -> None:
    """Start to finalize a job whose deadline has passed."""
    transition(job_id, JobStatus.FINALIZING, _EXPIRING, EXPIRED)


def with_hours() -> list[Job]:
    """Queued and running jobs that may make calls only in certain hours."""
    return list(
        Job.select(Job.id, Job.hours, Job.zone).where(
            Job.status.in_((JobStatus.QUEUED, JobStatus.RUNNING))
            & (Job.hours != "")
            & Job.deleted_at.is_null()
        )
    )


def put_off(job: Job, until: int) -> None:
    """Schedule a job for that moment (epoch ms), outside its hours. Does nothing if the hours have changed
    since ``job`` was read."""
    former = (JobStatus.QUEUED, JobStatus.RUNNING)
    unchanged = (Job.id == job.id) & (Job.hours == job.hours) & (Job.zone == job.zone)
    with database.atomic():
        lock_job(job.id)
        if (
            Job.select().where(unchanged).exists()
            and transition(job.id, JobStatus.SCHEDULED, former, OFF_HOURS) is not None
        ):
            Job.update(start_at=until).where(Job.id == job.id).execute()


def without_hours(job_id: int) -> None:
    """Remove the hours of a job."""
    Job.update(hours="", zone="").where(Job.id == job_id).execute()


def stopped(
    job_id: int,
    reason: str,
    detail: str,
    config_id: int | None = None,
    until: int | None = None,
    parameters: Collection[str] = (),
    needed: int = 0,
) -> None:
    """Pause a running job. ``config_id``: the config whose spend cap was reached. ``until`` (epoch ms): when
    the provider allows calls again. ``parameters``: those of its lines that the model rejects. ``needed``
    (nano-units): what the cap must leave."""
    with database.atomic():
        if transition(job_id, JobStatus.PAUSED, (JobStatus.RUNNING,), reason, detail) is not None:
            moment = {} if until is None else {"start_at": until}
            rejected = json.dumps(list(parameters))
            Job.update(
                capped_by=config_id, rejected_parameters=rejected, spend_needed=needed, **moment
            ).where(Job.id == job_id).execute()


def waited_out(now: int) -> list[int]:
    """Ids of jobs paused because their provider asked to wait, whose wait is over at ``now`` (epoch ms)."""
    rows = Job.select(Job.id).where(
        (Job.status == JobStatus.PAUSED)
        & Job.status_reason.in_(_ASKED_TO_WAIT)
        & (Job.start_at <= now)
        & Job.deleted_at.is_null()
    )
    return [job.id for job in rows.order_by(Job.id)]


def paused_for(reason: str) -> list[Job]:
    """Jobs that are paused for this reason, with the columns that spend caps need."""
    money = (
        *(Job.id, Job.spend_cap, Job.capped_by, Job.cost_nano, Job.currency, Job.attempts),
        *(Job.service, Job.spend_needed),
        *(Job.saved_tier_nano, Job.saved_hours_nano, Job.saved_batch_nano),
    )
    return list(
        Job.select(*money).where(
            (Job.status == JobStatus.PAUSED)
            & (Job.status_reason == reason)
            & Job.deleted_at.is_null()
        )
    )


def being_reset() -> list[int]:
    """Ids of jobs that wait for the removal of their results."""
    rows = Job.select(Job.id).where(
        (Job.status == JobStatus.PAUSED)
        & (Job.status_reason == RESETTING)
        & Job.deleted_at.is_null()
    )
    return [job_id for (job_id,) in rows.tuples()]


def being_deleted() -> list[int]:
    """Ids of jobs that are hidden and wait for their rows to be removed, without those in the bin."""
    return [job_id for (job_id,) in Job.select(Job.id).where(removing()).tuples()]


def resting_with_parts() -> list[int]:
    """Ids of jobs that do not run for now, of which batches are under way or have ended at providers."""
    states = (*batch_parts.OPEN, PartState.ENDED)
    rows = (
        BatchPart.select(BatchPart.job)
        .join(Job)
        .where(
            Job.status.in_((JobStatus.PAUSED, JobStatus.SCHEDULED))
            & Job.status_reason.not_in((Cause.AUTH, RESETTING))
            & Job.deleted_at.is_null()
            & BatchPart.state.in_(states)
        )
        .distinct()
    )
    return [job_id for (job_id,) in rows.tuples()]


def binned_with_parts() -> list[int]:
    """Ids of jobs in the bin of which batches are under way at providers."""
    rows = (
        BatchPart.select(BatchPart.job)
        .join(Job)
        .where(Job.binned_at.is_null(False) & BatchPart.state.in_(batch_parts.UNDER_WAY))
        .distinct()
    )
    return [job_id for (job_id,) in rows.tuples()]


def removing():
    """The condition on Job: its rows are being removed."""
    return Job.deleted_at.is_null(False) & Job.binned_at.is_null()


def needs_upload():
    """The condition on Job: its upload must stay, because the job is not finished or may be restored."""
    unfinished = Job.status.not_in(FINAL_STATUSES) & Job.deleted_at.is_null()
    return unfinished | Job.binned_at.is_null(False)


def delete_rows_step(job_id: int, chunk: int | None = None) -> bool:
    """Remove up to ``chunk`` rows of a job, children first; True when the job itself is gone."""
    if not batch_parts.delete_step(job_id, chunk or CHUNK):
        return False
    for model in (Result, AttemptRow, Rating, RatedAnswer, Override, Request):
        if _delete_chunk(model, job_id, chunk or CHUNK):
            return False
    if _delete_timeline(job_id) or not column_keys.delete_step(job_id, chunk or CHUNK):
        return False
    search.drop(job_id)
    with database.atomic():
        for model in (ErrorGroup, JobEvent):
            model.delete().where(model.job == job_id).execute()
        Job.delete().where(Job.id == job_id).execute()
    return True


def reset_step(job_id: int, chunk: int) -> bool:
    """One step of a job's reset. Returns True when it is done, or was abandoned because the job got another
    command meanwhile."""
    with database.atomic():
        lock_job(job_id)
        under_way = (Job.id == job_id) & (Job.status_reason == RESETTING) & Job.deleted_at.is_null()
        if not Job.select().where(under_way).exists():
            return True
        if not clear_results_step(job_id, chunk):
            return False
        Job.update(status_reason=HELD).where(Job.id == job_id).execute()
    return True


def clear_results_step(job_id: int, chunk: int | None = None) -> bool:
    """Remove up to ``chunk`` results or attempts of a job; True when none are left and the counters are
    zero, as if nothing had been sent. Until then the counters match the rows."""
    with database.atomic():
        lock_job(job_id)  # a result that comes late is written before or after, not in between
        if not batch_parts.delete_step(job_id, chunk or CHUNK):
            return False
        if _clear_results(job_id, chunk or CHUNK):
            return False
        for model in (AttemptRow, Rating, RatedAnswer):
            if _delete_chunk(model, job_id, chunk or CHUNK):
                return False
        if _delete_timeline(job_id):
            return False
        search.drop(job_id)
        column_keys.drop(job_id)
        for model in (ErrorGroup, Override, JobWorker):
            model.delete().where(model.job == job_id).execute()
        Page.delete().where((Page.job == job_id) & Page.worker.is_null()).execute()
        JobConfig.update(succeeded=0, failed=0, input_tokens=0, output_tokens=0, cost_nano=0).where(
            JobConfig.job == job_id
        ).execute()
        Job.update(
            outcome_counts.zero(),
            outcomes_filled_to=None,
            overrides=JobConfig.select(fn.COUNT(SQL("*"))).where(
                (JobConfig.job == job_id) & JobConfig.place.is_null()
            ),
            succeeded=0,
            failed=0,
            cancelled=0,
            attempts=0,
            retries=0,
            input_tokens=0,
            output_tokens=0,
            cached_tokens=0,
            reasoning_tokens=0,
            cache_write_tokens=0,
            estimated_calls=0,
            cost_nano=0,
            saved_calls=0,
            saved_nano=0,
            **{f"saved_{by}_{what}": 0 for by in SAVED_BY for what in ("calls", "nano")},
            tier_fallbacks=0,
            unpriced=0,
            latency=b"",
            first_token=None,
            live="{}",
            rest_now_at=None,
            rest_now_reason="",
            active_ms=0,
            started_at=None,
            finished_at=None,
        ).where(Job.id == job_id).execute()
    return True


def _clear_results(job_id: int, chunk: int) -> int:
    """Remove results, and what they add to the counters."""
    gone = database.execute_sql(
        "DELETE FROM result WHERE job_id = ? AND idx IN "
        "(SELECT idx FROM result WHERE job_id = ? LIMIT ?) RETURNING status, outcome",
        (job_id, job_id, chunk),
    ).fetchall()
    counts = Counter(status for status, _outcome in gone)
    if counts:
        counters = {getattr(Job, status): getattr(Job, status) - n for status, n in counts.items()}
        counters |= outcome_counts.removed(outcome for _status, outcome in gone)
        Job.update(counters).where(Job.id == job_id).execute()
    return len(gone)


def _delete_timeline(job_id: int) -> int:
    """Remove up to CHUNK rows: a job of a week has one for each second."""
    with database.atomic():
        return database.execute_sql(
            "DELETE FROM timeline WHERE job_id = ? AND (width, t) IN "
            "(SELECT width, t FROM timeline WHERE job_id = ? LIMIT ?)",
            (job_id, job_id, CHUNK),
        ).rowcount


def _delete_chunk(model, job_id: int, chunk: int) -> int:
    table = model._meta.table_name
    with database.atomic():
        return database.execute_sql(
            f"DELETE FROM {table} WHERE job_id = ? AND idx IN "
            f"(SELECT idx FROM {table} WHERE job_id = ? LIMIT ?)",
            (job_id, job_id, chunk),
        ).rowcount
