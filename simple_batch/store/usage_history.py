"""Usage history of a config: a sample of its last completed jobs."""

import msgspec

from ..core.call_prices import Usage
from ..core.domain import JobStatus
from .models import Job, database

JOBS = 3
MAX_BYTES = 200_000  # of a request; longer ones are left out
_ANSWERS = f"""
SELECT r.body, x.input_tokens, x.output_tokens, x.cached_tokens, x.reasoning_tokens,
  x.cache_write_tokens, x.cache_write_1h_tokens
FROM result x JOIN request r ON r.job_id = x.job_id AND r.idx = x.idx
WHERE x.job_id = ? AND x.status = 'succeeded' AND x.config = ? AND x.input_tokens IS NOT NULL
  AND coalesce(x.estimated, 0) = 0
  AND length(r.body) < {MAX_BYTES}
ORDER BY x.idx LIMIT ?
"""


class Answered(msgspec.Struct, frozen=True):
    """A request's body and the tokens that it used."""

    body: bytes
    usage: Usage


def answered(config_id: int, alias: str, limit: int) -> list[Answered]:
    """The first ``limit`` requests that a config has answered, of each of its last JOBS completed jobs."""
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
        rows = database.execute_sql(_ANSWERS, (job.id, alias, limit))
        for body, *tokens in rows:
            usage = Usage(*(count or 0 for count in tokens))
            found.append(Answered(bytes(body), usage))
    return found
