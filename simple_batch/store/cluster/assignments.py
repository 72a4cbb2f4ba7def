"""Which worker has a lane of which job, and what it last said of itself."""

from collections import defaultdict

from ..models import Assignment, Job, database

_LIVE = "UPDATE lane SET live = ? WHERE job_id = ? AND worker_id = ?"
_PLACE = "INSERT INTO lane (job_id, worker_id, live) VALUES (?, ?, '') ON CONFLICT DO NOTHING"
# What a worker has to know of the jobs that it has lanes of, and of no others.
_WATCHED = (
    *(Job.id, Job.status, Job.deleted_at, Job.total),
    *(Job.concurrency, Job.max_retries, Job.overrides, Job.priority, Job.spend_cap),
)


def place(job_id: int, worker_id: str) -> None:
    """Have a worker open a lane of a job. Raises peewee.IntegrityError where either is gone."""
    database.execute_sql(_PLACE, (job_id, worker_id))


def placed() -> dict[int, dict[str, str]]:
    """By job and worker, what each lane last said (JSON; empty: nothing yet)."""
    found: dict[int, dict[str, str]] = defaultdict(dict)
    for job_id, worker_id, live in database.execute_sql(
        "SELECT job_id, worker_id, live FROM lane ORDER BY job_id, worker_id"
    ):
        found[job_id][worker_id] = live
    return found


def jobs_of(worker_id: str) -> list[Job]:
    """The jobs that this worker is to have a lane of, as far as a lane minds them."""
    return list(
        Job.select(*_WATCHED)
        .join(Assignment)
        .where(Assignment.worker == worker_id)
        .order_by(Job.id)
    )


def say(worker_id: str, lives: dict[int, str]) -> None:
    """Note what the lanes of a worker say of themselves, by their job."""
    rows = [(live, job_id, worker_id) for job_id, live in sorted(lives.items())]
    database.executemany(_LIVE, rows)


def ended(job_id: int, worker_id: str) -> None:
    """A lane is no more."""
    Assignment.delete().where(
        (Assignment.job == job_id) & (Assignment.worker == worker_id)
    ).execute()
