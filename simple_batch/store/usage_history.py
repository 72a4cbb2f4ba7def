"""Usage history of a config: a sample of its last completed jobs."""

import msgspec

from ..core.domain import JobStatus, Usage
from .models import Job, database

JOBS = 3
LONGEST = 200_000  # bytes of a request that is looked at
_ANSWERS = f"""
SELECT r.body, x.input_tokens, x.output_tokens, x.cached_tokens, x.reasoning_tokens
FROM result x JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx
WHERE x.job_id = ? AND x.status = 'succeeded' AND x.config = ? AND x.input_tokens IS NOT NULL
  AND length(r.body) < {LONGEST}
ORDER BY x.idx LIMIT ?
"""


class Answered(msgspec.Struct, frozen=True):
    """A request's body and what it used."""

    body: bytes
    usage: Usage


def answered(config_id: int, alias: str, limit: int) -> list[Answered]:
    """Requests that a config has answered, the latest jobs' first ones; ``limit`` of each job."""
    jobs = (
        Job.select(Job.id)
        .where(
            (Job.config == config_id)
            & (Job.status == JobStatus.COMPLETED)
            & (Job.succeeded > 0)
            & Job.deleted_at.is_null()
        )
        .order_by(Job.id.desc())
        .limit(JOBS)
    )
    found = []
    for job in jobs:
        for body, *tokens in database.execute_sql(_ANSWERS, (job.id, alias, limit)):
            found.append(Answered(bytes(body), Usage(*(number or 0 for number in tokens))))
    return found
