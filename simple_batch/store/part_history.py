"""How long batches of an API config took, and how fast its calls are: what a deadline is planned by."""

import msgspec

from ..core.clock import now_ms
from ..core.domain import JobStatus, PartState, Service
from .jobs import PARTS, add_event
from .models import Job, database, lock_job

RECENT = 200  # batches
RECENT_JOBS = 10
LEAST_ANSWERS = 20  # of a job whose speed counts
DEADLINE, USER = "deadline", "user"  # why the rest is sent now

_DURATIONS = (
    "SELECT requests, ended_at - sent_at FROM batch_part WHERE config_id = ? AND model = ? "
    f"AND state = '{PartState.MERGED}' AND sent_at IS NOT NULL AND ended_at >= sent_at "
    "AND remote NOT LIKE ? ORDER BY id DESC LIMIT ?"
)
_CANCELLED = '%"state":"cancelled"%'  # it says nothing: we ended it
_SPEEDS = (
    "SELECT succeeded, active_ms FROM job WHERE config_id = ? AND service = ? AND succeeded >= ? "
    "AND active_ms > 0 AND finished_at IS NOT NULL ORDER BY id DESC LIMIT ?"
)
_LEFT = (
    "SELECT j.total - j.succeeded - j.failed - j.cancelled, EXISTS (SELECT 1 FROM batch_part p "
    "WHERE p.job_id = j.id AND p.state NOT IN ('merged', 'released', 'planned')), "
    "(SELECT p.model FROM batch_part p WHERE p.job_id = j.id ORDER BY p.id DESC LIMIT 1) "
    "FROM job j WHERE j.id = ?"
)


class Took(msgspec.Struct, frozen=True):
    """A batch that has ended."""

    requests: int
    seconds: float


class Left(msgspec.Struct, frozen=True):
    """``requests`` without a result; ``under_way``: some may be at the provider in batches, the newest of
    which has this ``model``."""

    requests: int
    under_way: bool
    model: str


def took(config_id: int, model: str) -> list[Took]:
    """The latest batches of a config that have ended, without those that were cancelled."""
    rows = database.execute_sql(_DURATIONS, (config_id, model, _CANCELLED, RECENT))
    return [Took(requests, ms / 1000) for requests, ms in rows]


def speed(config_id: int) -> float | None:
    """Requests per second of the latest jobs that made calls: the median; None where there are none."""
    values = config_id, Service.NOW, LEAST_ANSWERS, RECENT_JOBS
    rows = database.execute_sql(_SPEEDS, values).fetchall()
    speeds = sorted(1000 * succeeded / active_ms for succeeded, active_ms in rows)
    return speeds[(len(speeds) - 1) // 2] if speeds else None


def left(job_id: int) -> Left:
    """What is left of a job."""
    requests, under_way, model = database.execute_sql(_LEFT, (job_id,)).fetchone()
    return Left(requests, bool(under_way), model or "")


def send_rest_now(job_id: int, reason: str, detail: str) -> bool:
    """Let what is left of a running job be sent by calls from now on; False where it is already, or the job
    is not running."""
    with database.atomic():
        lock_job(job_id)
        running = (Job.id == job_id) & (Job.status == JobStatus.RUNNING)
        changed = Job.update(rest_now_at=now_ms(), rest_now_reason=reason).where(
            running & Job.rest_now_at.is_null()
        )
        if not changed.execute():
            return False
        add_event(job_id, JobStatus.RUNNING, JobStatus.RUNNING, PARTS, detail)
    return True
