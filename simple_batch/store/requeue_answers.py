"""Requeue requests by the outcome of their answers, also those that succeeded: the answers are kept as
attempts, and what they cost stays counted."""

from collections import Counter

import msgspec

from ..core import max_tokens
from ..core.domain import Defaults, Outcome, RequestStatus
from . import configs, error_groups, outcome_counts
from .models import ApiConfig, Job, database, lock_job
from .request_filter import RequestFilter
from .requeue import (
    CHUNK,
    Changes,
    add_overrides,
    conditions_of,
    keep_answers,
    results_removed,
)

RETRIABLE = frozenset(Outcome) - {Outcome.OK}
_BODIES_AT_ONCE = 20
_UNKNOWN_LIMIT = 4_096  # tokens, where neither a limit nor the length of the answer is known
_GENERATING = ("/v1/chat/completions", "/v1/completions")  # where a config's own limit is sent

# The index has all outcomes but ok.
_WINDOW = (
    "SELECT idx FROM result WHERE job_id = ? AND outcome <> 'ok' AND outcome = ? AND idx > ? "
    "ORDER BY idx LIMIT ?"
)
_FOUND = (
    "SELECT x.idx, x.status FROM result x WHERE x.job_id = ? AND x.idx > ? AND x.idx <= ?"
    " AND x.status IN ('succeeded', 'failed')"
)
_DELETE = "DELETE FROM result WHERE job_id = ? AND idx IN (SELECT value FROM json_each(?))"
# A duplicate whose original keeps its answer would get that answer again: send it separately.
_ALONE = """
INSERT INTO override (job_id, idx)
SELECT r.job_id, r.idx FROM request r JOIN result f ON f.job_id = r.job_id AND f.idx = r.twin
WHERE r.job_id = ? AND r.idx IN (SELECT value FROM json_each(?))
  AND NOT EXISTS (SELECT 1 FROM override p WHERE p.job_id = r.job_id AND p.idx IN (r.idx, r.twin))
"""
_LIMITS = """
SELECT r.idx, r.url, coalesce(o.body, r.body), o.max_tokens, x.config, x.output_tokens
FROM request r JOIN result x ON x.job_id = r.job_id AND x.idx = r.idx
LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx
WHERE r.job_id = ? AND r.idx IN (SELECT value FROM json_each(?))
"""


def requeue_step(
    job_id: int,
    wanted: RequestFilter,
    after: int,
    changes: Changes | None = None,
    chunk: int | None = None,
) -> tuple[int, int | None]:
    """Requeue the requests that match among the next ``chunk`` whose answers have the filter's outcome,
    behind index ``after``. Returns what ``requeue.requeue_step`` does. The counters change in the
    same transaction."""
    conditions, values = conditions_of(wanted)
    with database.atomic():
        lock_job(job_id)
        window = (job_id, wanted.outcome, after, chunk or CHUNK)
        rows = database.execute_sql(_WINDOW, window).fetchall()
        if not rows:
            return 0, None
        last = rows[-1][0]
        found = database.execute_sql(_FOUND + conditions, (job_id, after, last, *values)).fetchall()
        indices = sorted(index for index, _status in found)
        limits = (
            _doubled(job_id, indices) if changes is not None and changes.double_max_tokens else {}
        )
        ended = {index: status == RequestStatus.SUCCEEDED for index, status in found}
        error_groups.count_results(job_id, ended, by=-1)
        _remove(job_id, indices)
        add_overrides(job_id, indices, changes, limits)
        if database.execute_sql(_ALONE, (job_id, _listed(indices))).rowcount > 0:
            Job.update(overrides=Job.overrides + 1).where(Job.id == job_id).execute()
        _discount(job_id, wanted.outcome, Counter(status for _index, status in found))
    return len(found), last


def _remove(job_id: int, indices: list[int]) -> None:
    keep_answers(job_id, indices)
    database.execute_sql(_DELETE, (job_id, _listed(indices)))
    results_removed(job_id, indices)


def _listed(indices: list[int]) -> str:
    return msgspec.json.encode(indices).decode()


def _discount(job_id: int, outcome: str | None, statuses: Counter[str]) -> None:
    succeeded, failed = statuses[RequestStatus.SUCCEEDED], statuses[RequestStatus.FAILED]
    Job.update(
        outcome_counts.removed([outcome] * (succeeded + failed)),
        succeeded=Job.succeeded - succeeded,
        failed=Job.failed - failed,
    ).where(Job.id == job_id).execute()


def _doubled(job_id: int, indices: list[int]) -> dict[int, int]:
    """Twice the limit of tokens that each request had: its own, the job's or the config's; else twice the
    tokens of its answer."""
    limits = _Limits(job_id)
    found = {}
    for begin in range(0, len(indices), _BODIES_AT_ONCE):
        part = _listed(indices[begin : begin + _BODIES_AT_ONCE])
        for index, url, body, own, alias, used in database.execute_sql(_LIMITS, (job_id, part)):
            had = own or max_tokens.limit_of(bytes(body)) or limits.usual(alias, url)
            found[index] = max_tokens.doubled(had or used or _UNKNOWN_LIMIT)
    return found


class _Limits:
    """The limits of requests of a job that set none themselves."""

    def __init__(self, job_id: int):
        self._job = Job.get_by_id(job_id)
        self._defaults: dict[str, Defaults] = {}

    def usual(self, alias: str, url: str) -> int | None:
        """That of a request that a config (by its alias at that time) answered."""
        if alias not in self._defaults:
            config = ApiConfig.get_or_none(ApiConfig.alias == alias) or self._job.config
            self._defaults[alias] = configs.job_defaults(self._job, configs.defaults_of(config))
        defaults = self._defaults[alias]
        if url not in _GENERATING:
            return max_tokens.limit_among(defaults.own)
        return max_tokens.limit_among(defaults.params) or defaults.max_tokens
