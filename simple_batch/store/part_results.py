"""Results of a part: which of its requests have none yet, and how it ends when they are all read."""

from collections.abc import Collection, Iterable
from itertools import chain

import msgspec

from ..core.clock import now_ms
from ..core.domain import CHARGED, Cause, PartState, Request, Tried
from .jobs import note
from .models import BatchPart, database, lock_job

MERGED = "batch_merged"  # reason of events about results of a part
_CHARGED = ", ".join(f"'{cause}'" for cause in sorted(CHARGED))
_THERE = "SELECT idx FROM batch_line WHERE part_id = ? AND idx IN (SELECT value FROM json_each(?))"
_COUNT_THERE = _THERE.replace("SELECT idx", "SELECT count(*)", 1)
_ANY_TRIED = "SELECT 1 FROM attempt WHERE job_id = ? LIMIT 1"
_TRIED = (
    "SELECT a.idx, count(*), count(CASE WHEN a.started_at >= coalesce(j.resumed_at, 0) "
    f"AND a.cause IN ({_CHARGED}) THEN 1 END) FROM attempt a JOIN job j ON j.id = a.job_id "
    "WHERE a.job_id = ? AND a.idx IN (SELECT value FROM json_each(?)) GROUP BY a.idx"
)
_NEVER = Tried()
_REQUESTS = (
    "SELECT r.idx, r.custom_id, coalesce(o.body, r.body), r.url, r.line, o.max_tokens "
    "FROM request r LEFT JOIN override o ON o.job_id = r.job_id AND o.idx = r.idx "
    "WHERE r.job_id = ? AND r.idx IN (SELECT value FROM json_each(?))"
)
_HAD = (
    "SELECT x.idx FROM result x WHERE x.job_id = ? AND x.idx IN (SELECT value FROM json_each(?)) "
    "UNION SELECT a.idx FROM attempt a WHERE a.job_id = ? "
    "AND a.idx IN (SELECT value FROM json_each(?))"
)
# the cause of the last attempt counts: the answer before it may have been corrected already
_LAST = (
    "SELECT a.cause, a.message, a.excerpt FROM attempt a JOIN job j ON j.id = a.job_id "
    "WHERE a.job_id = ? AND a.idx = ? AND a.started_at >= coalesce(j.resumed_at, 0) "
    "ORDER BY a.id DESC LIMIT 1"
)
_ANY = "SELECT 1 FROM error_group WHERE job_id = ? AND cause = ? LIMIT 1"
_LEAVE = (
    "DELETE FROM batch_line WHERE part_id = ? AND idx IN "
    "(SELECT idx FROM batch_line WHERE part_id = ? ORDER BY idx LIMIT ?)"
)


def tried(job_id: int, part_id: int, indices: Collection[int]) -> dict[int, Tried]:
    """Those of the job's requests that are in the part without a result, with the attempts that are stored.
    Attempts before the job was started or resumed cost no retry, as with calls."""
    listed = _listed(indices)
    count = database.execute_sql(_COUNT_THERE, (part_id, listed)).fetchone()[0]
    if count == len(indices):  # nearly always
        found = dict.fromkeys(indices, _NEVER)
    else:
        rows = database.execute_sql(_THERE, (part_id, listed))
        found = dict.fromkeys(chain.from_iterable(rows), _NEVER)
    if found and database.execute_sql(_ANY_TRIED, (job_id,)).fetchone():
        for index, attempts, charged in database.execute_sql(_TRIED, (job_id, listed)):
            if index in found:
                found[index] = Tried(attempts, charged)
    return found


def requests(job_id: int, indices: Iterable[int]) -> dict[int, Request]:
    """Requests as they are sent, by index."""
    rows = database.execute_sql(_REQUESTS, (job_id, _listed(indices)))
    return {
        row[0]: Request(row[0], row[1], bytes(row[2]), row[3], row[4], max_tokens=row[5])
        for row in rows
    }


def never_there(job_id: int, indices: Collection[int]) -> int:
    """How many of these requests, which are in no part, have never had a result or an attempt."""
    rows = database.execute_sql(_HAD, (job_id, _listed(indices)) * 2).fetchall()
    return len(indices) - len(rows)


def last_unfit(job_id: int, index: int) -> tuple[str, str] | None:
    """What was wrong with the last answer to a request, and the beginning of the answer; None where it did
    not fail for not fitting the schema."""
    row = database.execute_sql(_LAST, (job_id, index)).fetchone()
    return None if row is None or row[0] != Cause.SCHEMA else (row[1], row[2])


def any_unfit(job_id: int) -> bool:
    """Whether any answer of a job did not fit its schema."""
    return database.execute_sql(_ANY, (job_id, Cause.SCHEMA)).fetchone() is not None


def leave_step(part_id: int, rows: int) -> int:
    """Let up to ``rows`` requests without a result leave the part; returns how many did."""
    with database.atomic():
        part = BatchPart.get_by_id(part_id)
        lock_job(part.job_id)
        left = database.execute_sql(_LEAVE, (part_id, part_id, rows)).rowcount
        if left:
            BatchPart.update(sent_again=BatchPart.sent_again + left).where(
                BatchPart.id == part_id
            ).execute()
    return left


def end(part_id: int, notes: Iterable[str]) -> bool:
    """Let a part be over whose requests have all left it, with notes of what was wrong. False where it was
    already."""
    with database.atomic():
        part = BatchPart.get_by_id(part_id)
        lock_job(part.job_id)
        open_ = (BatchPart.id == part_id) & (BatchPart.state == PartState.ENDED)
        ended = BatchPart.update(state=PartState.MERGED, merged_at=now_ms(), reserved_nano=0).where(
            open_
        )
        if not ended.execute():
            return False
        for text in notes:
            note(part.job_id, MERGED, text)
    return True


def _listed(indices: Iterable[int]) -> str:
    return msgspec.json.encode(list(indices)).decode()
