"""Disk usage of the database and uploads, and removal of what retention selects."""

import shutil
from pathlib import Path

from ..core.clock import give_way, now_ms
from ..core.domain import FINAL_STATUSES
from . import binned_jobs
from .jobs import needs_upload, removing
from .models import Job, Upload, database

_MEASURED = 200  # jobs of the bin whose size is looked up; that of more is estimated from theirs
_SAMPLE = 64  # rows of a job that are looked at to estimate its bytes
# Of a row besides its texts: columns, keys and indexes.
_REQUEST = (
    "SELECT sum(60 + length(body) + 3 * length(custom_id) + coalesce(length(cells), 0)) "
    "FROM request WHERE job_id = ? AND idx IN ({marks})"
)
_RESULT = (
    "SELECT sum(140 + coalesce(length(response), 0) + length(message)) "
    "FROM result WHERE job_id = ? AND idx IN ({marks})"
)


def database_bytes() -> tuple[int, int | None]:
    """(bytes of the database, bytes of its file that are free for new rows); the latter is None for a
    server."""
    if database.server:
        query = "SELECT pg_database_size(current_database())"
        return database.execute_sql(query).fetchone()[0], None
    pages, free, size = (
        database.execute_sql(f"PRAGMA {name}").fetchone()[0]
        for name in ("page_count", "freelist_count", "page_size")
    )
    return pages * size, free * size


def job_bytes(job_id: int, total: int) -> int:
    """The approximate size of a job of ``total`` requests in the database, from a sample of its rows."""
    if not total:
        return 0
    wanted = sorted({n * total // _SAMPLE for n in range(_SAMPLE)})
    marks = ",".join("?" * len(wanted))
    found = (
        database.execute_sql(query.format(marks=marks), (job_id, *wanted)).fetchone()[0] or 0
        for query in (_REQUEST, _RESULT)
    )
    return round(total * sum(found) / len(wanted))


def binned_bytes() -> int:
    """The approximate size of the jobs in the bin."""
    found = binned_jobs.listed()
    measured = found[:_MEASURED]
    size = 0
    for job in measured:
        size += job_bytes(job.id, job.total)
        give_way()
    requests, seen = (sum(job.total for job in some) for some in (found, measured))
    return round(size * requests / seen) if seen else 0


def used_bytes() -> int:
    """Bytes of the database in use. A server's database does not shrink when rows are removed: there it is
    the approximate size of all jobs."""
    whole, reusable = database_bytes()
    if reusable is not None:
        return whole - reusable
    jobs = Job.select(Job.id, Job.total).tuples()
    return sum(job_bytes(job_id, total) for job_id, total in list(jobs))


def kept_answer_bytes() -> int:
    row = database.execute_sql("SELECT coalesce(sum(bytes), 0) FROM kept_answer").fetchone()
    return row[0]


def upload_bytes() -> int:
    """Bytes of all uploads and their images, as their rows say."""
    return sum(
        database.execute_sql(f"SELECT coalesce(sum(bytes), 0) FROM {table}").fetchone()[0]
        for table in ("upload", "upload_image")
    )


def image_bytes() -> dict[int, int]:
    """Bytes of the images of each upload that has any, by its id."""
    rows = database.execute_sql("SELECT upload_id, sum(bytes) FROM upload_image GROUP BY upload_id")
    return dict(rows.fetchall())


def file_bytes(path: Path) -> int:
    """0 where there is no such file."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def free_bytes(folder: Path) -> int:
    """Free bytes on a folder's disk."""
    return shutil.disk_usage(folder).free


def jobs_are_being_removed() -> bool:
    return Job.select().where(removing()).exists()


def hide_finished_job(job_id: int) -> bool:
    """Hide a finished job, or one that is in the bin; the runner then removes its rows. Returns False where
    it is neither (any more)."""
    finished = Job.status.in_(FINAL_STATUSES) & Job.deleted_at.is_null()
    found = (Job.id == job_id) & (finished | Job.binned_at.is_null(False))
    with database.atomic():
        hidden = Job.update(deleted_at=now_ms(), binned_at=None).where(found).execute()
        if hidden:
            binned_jobs.note_deletion(job_id, "runner")
    return bool(hidden)


def let_go_of_upload(upload_id: int) -> Upload | None:
    """Detach an upload from the jobs made from it, so that it can be removed. Returns None where it is gone
    or a job needs it that is unfinished or in the bin."""
    with database.atomic():
        if Job.select().where((Job.upload == upload_id) & needs_upload()).exists():
            return None
        Job.update(upload=None).where(Job.upload == upload_id).execute()
    return Upload.get_or_none(Upload.id == upload_id)
