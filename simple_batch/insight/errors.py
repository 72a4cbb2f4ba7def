"""The error log: groups of failures alike, single attempts, and the job's history."""

from ..store.models import Attempt, ErrorGroup, JobEvent
from .page import Page
from .summary import job_row


def error_groups(job_id: int) -> list[dict]:
    """Groups, the largest first; ``share`` is of all failed attempts of the job."""
    job_row(job_id)
    groups = list(
        ErrorGroup.select()
        .where(ErrorGroup.job == job_id)
        .order_by(ErrorGroup.attempts.desc(), ErrorGroup.group_key)
    )
    total = sum(group.attempts for group in groups)
    return [
        {
            "key": group.group_key,
            "cause": group.cause,
            "http_status": group.http_status,
            "message": group.message,
            "count": group.attempts,
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
) -> Page:
    """Failed attempts, newest first; ``before`` is the id to go on below."""
    job_row(job_id)
    query = Attempt.select().where((Attempt.job == job_id) & (Attempt.cause != ""))
    if cause:
        query = query.where(Attempt.cause == cause)
    if group:
        query = query.where(Attempt.group_key == group)
    if before:
        query = query.where(Attempt.id < before)
    rows = [
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
    return Page(rows[:per_page], 1, per_page, len(rows), more is None, more)


def events(job_id: int) -> list[dict]:
    """Every change of the job's status, oldest first."""
    job_row(job_id)
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
