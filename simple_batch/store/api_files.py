"""Queries on the files of the Batch API."""

from ..core.identity import Scope
from . import column_keys, search, visibility
from .models import ApiFile, Job, Upload, database

_CHUNK = 1_000
_IN_PART = {"output": "status = 'succeeded'", "error": "status IN ('failed', 'cancelled')"}


def find(file_id: int, viewer: Scope | None, now: int) -> ApiFile | None:
    """The file, if it is there at ``now`` (epoch ms) and the viewer may see it."""
    return _visible(viewer, now).where(ApiFile.id == file_id).first()


def page(
    viewer: Scope | None,
    now: int,
    purpose: str | None,
    after: int | None,
    limit: int,
    newest_first: bool,
) -> list[ApiFile]:
    """Files in the order in which they were made, behind the id ``after``."""
    query = _visible(viewer, now)
    if purpose:
        query = query.where(ApiFile.purpose == purpose)
    if after is not None:
        query = query.where(ApiFile.id < after if newest_first else ApiFile.id > after)
    return list(query.order_by(ApiFile.id.desc() if newest_first else ApiFile.id).limit(limit))


def _visible(viewer: Scope | None, now: int):
    hidden_job = Job.select(Job.id).where(Job.deleted_at.is_null(False))
    query = (
        ApiFile.select(ApiFile, Upload)
        .left_outer_join(Upload)
        .where(
            ApiFile.deleted_at.is_null()
            & (ApiFile.expires_at.is_null() | (ApiFile.expires_at > now))
            & (ApiFile.job.is_null() | ApiFile.job.not_in(hidden_job))
        )
    )
    return query if viewer is None else query.where(visibility.files(viewer))


def result(
    job: Job, part: str, filename: str, purpose: str, now: int, keep_s: int | None
) -> ApiFile:
    """The file of one part of an ended job's results, created if it is not there. Its age counts from now
    (epoch ms)."""
    expires_at = None if keep_s is None else now + keep_s * 1000
    begun(job, part, filename, purpose, now)
    this = (ApiFile.job == job) & (ApiFile.part == part)
    ApiFile.update(created_at=now, expires_at=expires_at).where(this).execute()
    return ApiFile.get(this)


def begun(job: Job, part: str, filename: str, purpose: str, now: int) -> None:
    """Create the file of one part of a job's results, if it is not there. It does not expire before the job
    has ended."""
    ApiFile.insert(
        token=job.token_id,
        purpose=purpose,
        filename=filename,
        created_at=now,
        job=job,
        part=part,
    ).on_conflict_ignore().execute()


def drop_others(job: Job, parts: list[str]) -> None:
    """Delete the result files of a job except those of these parts."""
    ApiFile.delete().where((ApiFile.job == job) & ApiFile.part.not_in(parts)).execute()


def results_of(job_ids: list[int], now: int) -> dict[int, dict[str, int]]:
    """{job: {part: file id}} of the files that are there."""
    found: dict[int, dict[str, int]] = {}
    rows = ApiFile.select(ApiFile.job, ApiFile.part, ApiFile.id).where(
        ApiFile.job.in_(job_ids)
        & ApiFile.deleted_at.is_null()
        & (ApiFile.expires_at.is_null() | (ApiFile.expires_at > now))
    )
    for job_id, part, file_id in rows.tuples():
        found.setdefault(job_id, {})[part] = file_id
    return found


def going(now: int) -> list[ApiFile]:
    """Files that were deleted or have expired; nothing of a job in the bin expires."""
    binned = Job.select(Job.id).where(Job.binned_at.is_null(False))
    read_from = Job.select(Job.upload).where(
        Job.binned_at.is_null(False) & Job.upload.is_null(False)
    )
    of_binned = (ApiFile.job.is_null(False) & ApiFile.job.in_(binned)) | (
        ApiFile.upload.is_null(False) & ApiFile.upload.in_(read_from)
    )
    gone = ApiFile.deleted_at.is_null(False) | ((ApiFile.expires_at <= now) & ~of_binned)
    return list(ApiFile.select(ApiFile, Upload).left_outer_join(Upload).where(gone))


def erase_step(job_id: int, part: str, after: int) -> int | None:
    """Remove the answers, of every attempt, of the next requests behind index ``after``. Returns the index
    to continue behind (None: done)."""
    with database.atomic():
        rows = database.execute_sql(
            f"SELECT idx FROM result WHERE job_id = ? AND idx > ? AND {_IN_PART[part]} "
            f"ORDER BY idx LIMIT {_CHUNK}",
            (job_id, after),
        ).fetchall()
        if not rows:
            search.drop(job_id)  # it holds the text too; rebuilt at the next search
            column_keys.drop(job_id)  # so do they
            return None
        database.execute_sql(
            "UPDATE result SET response = NULL "
            f"WHERE job_id = ? AND idx > ? AND idx <= ? AND {_IN_PART[part]}",
            (job_id, after, rows[-1][0]),
        )
        database.execute_sql(
            "UPDATE attempt SET excerpt = '' WHERE job_id = ?1 AND idx > ?2 AND idx <= ?3 AND idx IN "
            "(SELECT idx FROM result WHERE job_id = ?1 AND idx > ?2 AND idx <= ?3 "
            f"AND {_IN_PART[part]})",
            (job_id, after, rows[-1][0]),
        )
    return rows[-1][0]
