"""The error log: groups of failures alike, single attempts, and the job's history."""

from typing import TypedDict

from ..store import jobs
from ..store.models import Attempt, Job, JobEvent
from ..store.models import ErrorGroup as ErrorGroupRow
from .page import Page


class ErrorGroup(TypedDict):
    """Failed attempts of one kind."""

    key: str
    cause: str
    http_status: int | None
    message: str
    count: int  # attempts
    failed: int  # requests that failed with it at the end
    recovered: int  # attempts of requests that succeeded later
    share: float  # of all failed attempts of the job, 0 to 1
    first_at: int  # epoch ms
    last_at: int  # epoch ms


class FailedAttempt(TypedDict):
    """One call that failed."""

    id: int
    index: int  # of the request, from 0
    number: int  # of the attempt, from 1
    started_at: int  # epoch ms
    latency_ms: int
    cause: str
    http_status: int | None
    message: str
    excerpt: str  # beginning of what came back
    wait_ms: int  # pause after it


Event = TypedDict(
    "Event",
    {
        "at": int,  # epoch ms
        "from": str,  # of JobStatus; empty for a new job
        "to": str,  # of JobStatus
        "reason": str,
        "detail": str,
        "actor": str,  # user, ``runner`` or ``cli``
    },
)


def error_groups(of: Job | int) -> list[ErrorGroup]:
    """Groups of a job or of the one with that id, those with the most failed requests first. Raises NotFound
    for the job."""
    job = jobs.known(of)
    groups = list(
        ErrorGroupRow.select()
        .where(ErrorGroupRow.job == job.id)
        .order_by(
            ErrorGroupRow.failed.desc(), ErrorGroupRow.attempts.desc(), ErrorGroupRow.group_key
        )
    )
    total = sum(group.attempts for group in groups)
    return [
        {
            "key": group.group_key,
            "cause": group.cause,
            "http_status": group.http_status,
            "message": group.message,
            "count": group.attempts,
            "failed": group.failed,
            "recovered": group.recovered,
            "share": group.attempts / total,
            "first_at": group.first_at,
            "last_at": group.last_at,
        }
        for group in groups
    ]


def attempts_page(
    job_id: int,
    cause: str | None = None,
    group: str | None = None,
    before: int | None = None,
    per_page: int = 50,
) -> Page[FailedAttempt]:
    """Failed attempts, newest first; ``before`` is the id to go on below. A page has those recorded before
    the page in front of it, in the order of their start. Raises NotFound for the job."""
    jobs.get(job_id)
    query = Attempt.select().where((Attempt.job == job_id) & (Attempt.cause != ""))
    if cause:
        query = query.where(Attempt.cause == cause)
    if group:
        query = query.where(Attempt.group_key == group)
    if before:
        query = query.where(Attempt.id < before)
    rows: list[FailedAttempt] = [
        {
            "id": row.id,
            "index": row.idx,
            "number": row.number,
            "started_at": row.started_at,
            "latency_ms": row.latency_ms,
            "cause": row.cause,
            "http_status": row.http_status,
            "message": row.message,
            "excerpt": row.excerpt,
            "wait_ms": row.wait_ms,
        }
        for row in query.order_by(Attempt.id.desc()).limit(per_page + 1)
    ]
    more = rows[per_page - 1]["id"] if len(rows) > per_page else None
    shown = sorted(rows[:per_page], key=lambda row: (row["started_at"], row["id"]), reverse=True)
    return Page(shown, 1, per_page, len(rows), more is None, more)


def events(job_id: int) -> list[Event]:
    """Every change of the job's status, oldest first. Raises NotFound for the job."""
    jobs.get(job_id)
    rows = JobEvent.select().where(JobEvent.job == job_id).order_by(JobEvent.id).limit(1000)
    return [
        {
            "at": row.at,
            "from": row.from_status,
            "to": row.to_status,
            "reason": row.reason,
            "detail": row.detail,
            "actor": row.actor,
        }
        for row in rows
    ]
