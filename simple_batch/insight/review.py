"""Which answers a user looks through: those not rated yet, or some at random."""

import random
import time
from collections.abc import Iterator, Sequence

import msgspec

from ..store import jobs, ratings, slow_reads
from ..store.column_condition import Condition
from ..store.grid_columns import Columns
from ..store.models import Job
from ..store.request_filter import RequestFilter
from .grid_rows import matching
from .request_table import JOIN

UNRATED, RANDOM = "unrated", "random"
_LOOK_S = 1.0  # for answers that match
_ALL = 20_000  # requests of a job that are all looked at
_PROBED = 40_000  # of a larger one
_AT_ONCE = 500
_NOT_RATED = (
    " AND NOT EXISTS (SELECT 1 FROM rating n WHERE n.job_id = r.job_id AND n.idx = r.idx "
    "AND n.rater = ? AND n.score IS NOT NULL AND n.replaced = FALSE)"
)


class Review(msgspec.Struct, frozen=True):
    """``count`` answers: UNRATED are the first without a score of the user, RANDOM a sample that the
    ``seed`` determines."""

    order: str
    count: int = 50
    seed: int = 1


def review_set(
    job_id: int,
    review: Review,
    wanted: RequestFilter,
    conditions: Sequence[Condition],
    rater: str,
) -> list[int]:
    """The indices of the answers to look through, in their order; fewer than asked for where no more
    match. Raises NotFound for the job."""
    job = jobs.get(job_id)
    columns = Columns(job)
    found: list[int] = []
    end = time.monotonic() + _LOOK_S
    for indices in _candidates(job, review, wanted, rater):
        fit = matching(job, columns, indices, conditions)
        found += [index for index in indices if index in fit]
        if len(found) >= review.count or time.monotonic() > end:
            break
    return found[: review.count]


def _candidates(job: Job, review: Review, wanted: RequestFilter, rater: str) -> Iterator[list[int]]:
    sql, values = wanted.on_rows()
    where = f"SELECT r.idx {JOIN} WHERE r.job_id = ? AND {ratings.HAS_ANSWER}{sql}"
    if review.order == RANDOM:
        for probed in _sample(job.total, review.seed):
            query = f"{where} AND r.idx IN (SELECT value FROM json_each(?))"
            listed = msgspec.json.encode(probed).decode()
            fit = {index for (index,) in slow_reads.rows(query, (job.id, *values, listed))}
            yield [index for index in probed if index in fit]
        return
    after = -1
    query = f"{where}{_NOT_RATED} AND r.idx > ? ORDER BY r.idx LIMIT ?"
    while True:
        rows = slow_reads.rows(query, (job.id, *values, rater, after, _AT_ONCE))
        if not rows:
            return
        after = rows[-1][0]
        yield [index for (index,) in rows]


def _sample(total: int, seed: int) -> Iterator[list[int]]:
    """Indices in an order that the seed determines, each once."""
    order = random.Random(seed).sample(range(total), total if total <= _ALL else _PROBED)  # noqa: S311 # nosec B311
    for begin in range(0, len(order), _AT_ONCE):
        yield order[begin : begin + _AT_ONCE]
