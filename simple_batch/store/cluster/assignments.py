"""Assignments of jobs to workers, with the live state that each run last reported."""

from collections import defaultdict

from ..models import Assignment, Job, database

_LIVE = "UPDATE lane SET live = ? WHERE job_id = ? AND worker_id = ?"
_ADD = "INSERT INTO lane (job_id, worker_id, live) VALUES (?, ?, '') ON CONFLICT DO NOTHING"
# What a worker must know of its assigned jobs, and of no others.
_WATCHED = (
    Job.id,
    Job.status,
    Job.deleted_at,
    Job.total,
    Job.concurrency,
    Job.max_retries,
    Job.overrides,
    Job.priority,
    Job.spend_cap,
    Job.rest_now_at,
)


def add(job_id: int, worker_id: str) -> None:
    """Assign a job to a worker. Raises peewee.IntegrityError if either is gone."""
    database.execute_sql(_ADD, (job_id, worker_id))


def live_states() -> dict[int, dict[str, str]]:
    """The last live state of each assignment, by job and then worker (JSON; empty: none yet)."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for job_id, worker_id, live in database.execute_sql(
        "SELECT job_id, worker_id, live FROM lane ORDER BY job_id, worker_id"
    ):
        found[job_id][worker_id] = live
    return found


def jobs_of(worker_id: str) -> list[Job]:
    """The jobs assigned to this worker, with the columns that a job run needs."""
    return list(
        Job.select(*_WATCHED)
        .join(Assignment)
        .where(Assignment.worker == worker_id)
        .order_by(Job.id)
    )


def holds(job_id: int, worker_id: str) -> bool:
    """Whether the job is still assigned to this worker; not where it was declared dead."""
    mine = (Assignment.job == job_id) & (Assignment.worker == worker_id)
    return Assignment.select(Assignment.job).where(mine).exists()


def store_live(worker_id: str, lives: dict[int, str]) -> None:
    """Store the live state of a worker's runs, by job."""
    rows = [(live, job_id, worker_id) for job_id, live in sorted(lives.items())]
    database.executemany(_LIVE, rows)


def remove(job_id: int, worker_id: str) -> None:
    """Delete the assignment."""
    Assignment.delete().where(
        (Assignment.job == job_id) & (Assignment.worker == worker_id)
    ).execute()
