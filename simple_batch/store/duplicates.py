"""Deduplication: identical requests of a job are sent once, and the duplicates get the first one's answer."""

import hashlib
import sqlite3

import msgspec

from ..core.clock import now_ms
from ..core.domain import Request
from . import outcome_counts
from .counters import process_counters
from .models import Job, database, lock_job

# If the original or the duplicate was edited or sent another way since, the duplicate is sent separately.
WAITING = (
    "r.twin IS NOT NULL AND NOT EXISTS (SELECT 1 FROM override p WHERE p.job_id = r.job_id "
    "AND p.idx IN (r.idx, r.twin))"
)
# The end of a stretch does not depend on how many of its originals are answered.
_END = (
    "SELECT max(idx) FROM (SELECT idx FROM request WHERE job_id = ? AND idx > ? "
    "AND twin IS NOT NULL ORDER BY idx LIMIT ?) AS stretch"
)
_ANSWERED = (
    "FROM request r JOIN result x ON x.job_id = r.job_id AND x.idx = r.twin "
    f"WHERE r.job_id = ? AND r.idx > ? AND r.idx <= ? AND {WAITING} AND x.status <> 'cancelled' "
    "AND NOT EXISTS (SELECT 1 FROM result y WHERE y.job_id = r.job_id AND y.idx = r.idx)"
)
_COUNT = (
    "SELECT coalesce(x.config, ''), count(*), "
    "coalesce(sum(CASE WHEN x.status = 'succeeded' THEN 1 ELSE 0 END), 0), "
    f"coalesce(sum(x.cost_nano), 0) {_ANSWERED} GROUP BY 1"
)
_OUTCOMES = f"SELECT x.outcome, count(*) {_ANSWERED} AND x.outcome IS NOT NULL GROUP BY x.outcome"
_COPY = (
    "INSERT INTO result (job_id, idx, status, cause, http_status, message, response, model, config, "
    "attempts, finished_at, cost_nano, outcome, finish_reason) SELECT r.job_id, r.idx, x.status, "
    "x.cause, x.http_status, x.message, x.response, x.model, x.config, 0, CAST(? AS BIGINT), 0, "
    f"x.outcome, x.finish_reason {_ANSWERED} ORDER BY r.idx"
)


class Deduplicator:
    """Finds duplicates in a stream of a job's requests. Uses a private temporary database that SQLite
    spills to disk: constant memory for millions of requests."""

    def __init__(self):
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8000;"
            "CREATE TABLE first (key BLOB PRIMARY KEY, idx INTEGER) WITHOUT ROWID; BEGIN;"
        )

    def paired(self, requests: list[Request]) -> list[Request]:
        """The same requests; each duplicate refers to its original."""
        rows = [(_key(request), request.index) for request in requests]
        before = self._database.total_changes
        self._database.executemany("INSERT OR IGNORE INTO first VALUES (?, ?)", rows)
        if self._database.total_changes - before == len(rows):
            return requests
        find = "SELECT idx FROM first WHERE key = ?"
        originals = [self._database.execute(find, (key,)).fetchone()[0] for key, _index in rows]
        return [
            request
            if original == request.index
            else msgspec.structs.replace(request, twin=original)
            for request, original in zip(requests, originals, strict=True)
        ]

    def close(self) -> None:
        self._database.close()


def _key(request: Request) -> bytes:
    parts = b"\0".join((request.url.encode(), str(request.config_id).encode(), request.body))
    return hashlib.blake2b(parts, digest_size=16).digest()


def fan_out_step(job_id: int, after: int, count: int = 500) -> int | None:
    """Copy the results of answered originals to their duplicates, for the next ``count`` duplicates behind
    index ``after``. Returns the index to continue behind (None: done). The counters change in the same
    transaction; duplicates cost nothing."""
    with database.atomic():
        lock_job(job_id)
        end = database.execute_sql(_END, (job_id, after, count)).fetchone()[0]
        if end is None:
            return None
        stretch = job_id, after, end
        counts = database.execute_sql(_COUNT, stretch).fetchall()  # by config
        if counts:
            copied, succeeded, saved_nano = map(sum, list(zip(*counts, strict=True))[1:])
            outcomes = dict(database.execute_sql(_OUTCOMES, stretch).fetchall())
            database.execute_sql(_COPY, (now_ms(), *stretch))
            Job.update(
                outcome_counts.added(outcomes),
                succeeded=Job.succeeded + succeeded,
                failed=Job.failed + copied - succeeded,
                saved_calls=Job.saved_calls + copied,
                saved_nano=Job.saved_nano + saved_nano,
            ).where(Job.id == job_id).execute()
    _count(job_id, counts)
    return end


def _count(job_id: int, counts: list[tuple[str, int, int, int]]) -> None:
    """Count what was committed in the counters of this process."""
    if not counts:
        return
    currency = Job.select(Job.currency).where(Job.id == job_id).scalar()
    for alias, copied, _succeeded, saved_nano in counts:
        process_counters.saved_calls += copied
        process_counters.saved(alias, "duplicates", currency, copied, int(saved_nano))
