"""Requeue finished requests: their results are removed, so that they are pending again."""

import msgspec

from ..core.domain import Cause, Outcome, RequestStatus
from . import column_keys, error_groups, outcome_counts, ratings, slow_reads
from .duplicates import WAITING
from .models import Job, database, lock_job
from .outcome_status import FLAWED
from .request_filter import RequestFilter

CHUNK = 1_000
_RETRIABLE = (RequestStatus.FAILED, RequestStatus.CANCELLED)
_CAUSES_OF_CANCELLED = (Cause.CANCELLED, Cause.EXPIRED)

_OVERRIDE = """
INSERT INTO override (job_id, idx, config_id, timeout_s, max_tokens) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (job_id, idx) DO UPDATE SET
  config_id = coalesce(excluded.config_id, override.config_id),
  timeout_s = coalesce(excluded.timeout_s, override.timeout_s),
  max_tokens = coalesce(excluded.max_tokens, override.max_tokens)
"""
# The answer of a request that a user sends again is kept as an attempt without a cause, also where no
# call was made for it.
_KEEP_ANSWER = """
INSERT INTO attempt (job_id, idx, number, started_at, latency_ms, cause, http_status, message,
  excerpt, wait_ms, input_tokens, output_tokens, estimated, cost_nano, group_key)
SELECT job_id, idx, attempts, finished_at - coalesce(latency_ms, 0), coalesce(latency_ms, 0), '',
  http_status, CASE WHEN latency_ms IS NULL THEN 'the answer of an identical request' ELSE '' END,
  coalesce(substr(CAST(response AS TEXT), 1, 2000), ''), 0, input_tokens, output_tokens, estimated, cost_nano, ''
FROM result WHERE job_id = ? AND idx IN (SELECT value FROM json_each(?)) AND status = 'succeeded'
"""
# A duplicate whose original failed and is not retried would get that failure again: send it separately.
_ALONE = f"""
INSERT INTO override (job_id, idx)
SELECT r.job_id, r.idx FROM request r JOIN result f ON f.job_id = r.job_id AND f.idx = r.twin
WHERE r.job_id = ? AND r.idx IN (SELECT value FROM json_each(?)) AND f.status <> 'succeeded'
  AND {WAITING}
"""
_LEFT_BEHIND = f"""
DELETE FROM result AS x WHERE x.job_id = ? AND x.status = 'failed' AND x.idx > ? AND x.idx <= ?
  AND EXISTS (SELECT 1 FROM request r WHERE r.job_id = x.job_id AND r.idx = x.idx AND {WAITING}
    AND NOT EXISTS (SELECT 1 FROM result f WHERE f.job_id = r.job_id AND f.idx = r.twin
      AND f.status <> 'succeeded'))
RETURNING idx, outcome
"""


class Changes(msgspec.Struct, frozen=True):
    """Changes for a retry; None keeps a value. ``timeout_s`` in seconds. ``double_max_tokens`` (in a
    retry by the outcome of answers only): twice the limit that each request had."""

    config_id: int | None = None
    timeout_s: float | None = None
    max_tokens: int | None = None
    double_max_tokens: bool = False


def requeue_step(
    job_id: int,
    wanted: RequestFilter,
    after: int,
    changes: Changes | None = None,
    chunk: int | None = None,
) -> tuple[int, int | None]:
    """Requeue the matching failed requests among the next ``chunk`` behind index ``after``; the
    cancelled ones where the filter names their status or one of their causes. Returns how many, and
    the index to go on behind (None: done).

    The counters change in the same transaction; attempts and what they cost are kept.
    """
    status = _status_of(wanted)
    conditions, values = conditions_of(msgspec.structs.replace(wanted, status=None))
    with database.atomic():
        lock_job(job_id)
        last = _end_of_window(job_id, status, after, chunk or CHUNK)
        if last is None:
            return 0, None
        gone = database.execute_sql(
            "DELETE FROM result AS x WHERE x.job_id = ? AND x.status = ? AND x.idx > ? AND x.idx <= ?"
            f"{conditions} RETURNING idx, outcome",
            (job_id, status, after, last, *values),
        ).fetchall()
        indices = [index for index, _outcome in gone]
        results_removed(job_id, indices)
        if status != RequestStatus.CANCELLED:
            succeeded = status == RequestStatus.SUCCEEDED
            error_groups.count_results(job_id, dict.fromkeys(indices, succeeded), by=-1)
        add_overrides(job_id, indices, changes)
        _send_alone(job_id, indices)
        counter = Job.failed if status == RequestStatus.FAILED else Job.cancelled
        fewer = outcome_counts.removed(outcome for _index, outcome in gone)
        Job.update({counter: counter - len(gone), **fewer}).where(Job.id == job_id).execute()
    return len(gone), last


def _status_of(wanted: RequestFilter) -> RequestStatus:
    if wanted.status in _RETRIABLE:
        return RequestStatus(wanted.status)
    cancelled = wanted.cause in _CAUSES_OF_CANCELLED
    return RequestStatus.CANCELLED if cancelled else RequestStatus.FAILED


def requeue_one(job_id: int, index: int, changes: Changes | None = None) -> bool:
    """Requeue one request that failed or was cancelled, or whose answer is FLAWED and is then kept as an
    attempt; False where it is neither."""
    with database.atomic():
        lock_job(job_id)
        if not _remove_result(job_id, index, _RETRIABLE, FLAWED):
            return False
        add_overrides(job_id, [index], changes)
        _send_alone(job_id, [index])
    return True


def requeue_duplicates_step(job_id: int, after: int, chunk: int) -> tuple[int, int | None]:
    """Requeue those among the next ``chunk`` failed requests behind index ``after`` whose failure was
    copied from an identical request that has been requeued or answered since. Returns what
    ``requeue_step`` does."""
    with database.atomic():
        lock_job(job_id)
        last = _end_of_window(job_id, RequestStatus.FAILED, after, chunk)
        if last is None:
            return 0, None
        gone = database.execute_sql(_LEFT_BEHIND, (job_id, after, last)).fetchall()
        results_removed(job_id, [index for index, _outcome in gone])
        fewer = outcome_counts.removed(outcome for _index, outcome in gone)
        Job.update(fewer, failed=Job.failed - len(gone)).where(Job.id == job_id).execute()
    return len(gone), last


def replace_one(job_id: int, index: int, body: bytes) -> bool:
    """Requeue one request, whatever its result, with another body; False where it has no result. An
    answer it had is kept as an attempt, and its cost stays counted."""
    with database.atomic():
        lock_job(job_id)
        if not _remove_result(job_id, index, (*_RETRIABLE, RequestStatus.SUCCEEDED)):
            return False
        database.execute_sql(
            "INSERT INTO override (job_id, idx, body) VALUES (?, ?, ?) "
            "ON CONFLICT (job_id, idx) DO UPDATE SET body = excluded.body, max_tokens = NULL",
            (job_id, index, body),
        )
        Job.update(overrides=Job.overrides + 1).where(Job.id == job_id).execute()
        column_keys.request_changed(job_id, index)
    return True


def _end_of_window(job_id: int, status: RequestStatus, after: int, chunk: int) -> int | None:
    """The index of the last of the next ``chunk`` results of a status; None where there are none."""
    rows = database.execute_sql(
        "SELECT idx FROM result WHERE job_id = ? AND status = ? AND idx > ? ORDER BY idx LIMIT ?",
        (job_id, status, after, chunk),
    ).fetchall()
    return rows[-1][0] if rows else None


def _send_alone(job_id: int, indices: list[int]) -> None:
    """Send those of the given requests separately that would wait for a failed original."""
    listed = msgspec.json.encode(indices).decode()
    if database.execute_sql(_ALONE, (job_id, listed)).rowcount > 0:
        Job.update(overrides=Job.overrides + 1).where(Job.id == job_id).execute()


def _remove_result(
    job_id: int,
    index: int,
    statuses: tuple[RequestStatus, ...],
    outcomes: tuple[Outcome, ...] = (),
) -> bool:
    """Remove a result with one of these statuses or outcomes; an answer is kept as an attempt. False where
    it has none of them."""
    row = database.execute_sql(
        "SELECT status, outcome FROM result WHERE job_id = ? AND idx = ?", (job_id, index)
    ).fetchone()
    if row is None or not (row[0] in statuses or row[1] in outcomes):
        return False
    keep_answers(job_id, [index])
    database.execute_sql("DELETE FROM result WHERE job_id = ? AND idx = ?", (job_id, index))
    results_removed(job_id, [index])
    if row[0] != RequestStatus.CANCELLED:
        ended = {index: row[0] == RequestStatus.SUCCEEDED}
        error_groups.count_results(job_id, ended, by=-1)
    counter = getattr(Job, row[0])
    fewer = outcome_counts.removed([row[1]])
    Job.update({counter: counter - 1, **fewer}).where(Job.id == job_id).execute()
    return True


def results_removed(job_id: int, indices: list[int]) -> None:
    """Note what follows from it that these results are removed."""
    ratings.replaced(job_id, indices)
    column_keys.results_removed(job_id, indices)


def keep_answers(job_id: int, indices: list[int]) -> None:
    """Keep the answers of the given requests as attempts without a cause."""
    database.execute_sql(_KEEP_ANSWER, (job_id, msgspec.json.encode(indices).decode()))


def add_overrides(
    job_id: int, indices: list[int], changes: Changes | None, limits: dict[int, int] | None = None
) -> None:
    """Note the changes for requests; ``limits`` are limits of tokens by index."""
    if changes is None or not indices:
        return
    limits = limits or {}
    database.executemany(
        _OVERRIDE,
        [
            (
                job_id,
                index,
                changes.config_id,
                changes.timeout_s,
                limits.get(index, changes.max_tokens),
            )
            for index in indices
        ],
    )
    Job.update(overrides=Job.overrides + 1).where(Job.id == job_id).execute()


def retriable(job_id: int, wanted: RequestFilter, most: int) -> list[int]:
    """The first ``most`` requests that match and that requeue_one takes, in the order of the file."""
    conditions, values = conditions_of(wanted)
    statuses, outcomes = (", ".join(map("'{}'".format, names)) for names in (_RETRIABLE, FLAWED))
    query = (
        f"SELECT x.idx FROM result x WHERE x.job_id = ?{conditions} AND (x.status IN ({statuses}) "
        f"OR x.outcome IN ({outcomes})) ORDER BY x.idx LIMIT ?"
    )
    return [index for (index,) in slow_reads.rows(query, (job_id, *values, most))]


def conditions_of(wanted: RequestFilter) -> tuple[str, list]:
    """A filter as SQL on a result ``x`` (each condition with its AND before it), and its values."""
    if not wanted.q:
        return wanted.on_results()
    sql, values = wanted.on_rows()
    return (
        f" AND EXISTS (SELECT 1 FROM request r WHERE r.job_id = x.job_id AND r.idx = x.idx{sql})",
        values,
    )
