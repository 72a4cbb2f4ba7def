"""Retention: the disk usage, what the rules of the settings would remove, and the removal in steps.

A rule goes by age or by size; of what a rule by size finds too much, the oldest goes first, and jobs of the
bin before all others. What rules select is removed at once, not put into the bin. What
is not finished never goes, and neither does what anything unfinished needs. Input files of the
Batch API, uploads never launched and cached answers have their own rules, always applied (batch_files.py).
"""

import contextlib
import logging
import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from ..core import context
from ..core.clock import give_way, now_ms
from ..core.domain import FINAL_STATUSES
from ..core.settings import Settings
from ..store import binned_jobs, disk_usage
from ..store.database import connected, folder_of, is_server, sqlite_path
from ..store.jobs import needs_upload
from ..store.models import ApiFile, Job, Upload
from . import batch_files, retention_rules, uploads

log = logging.getLogger(__name__)

DAY_MS = 86_400_000
HOUR_MS = 3_600_000
AUTO_EVERY_S = 600.0
LOOK_EVERY_S = 10.0  # whether automatic rules were switched on
_next_at = 0.0
_looked_at = -math.inf


class Item(msgspec.Struct, frozen=True):
    """Something that would go: a job, an upload, a result file (each by its id) or an export (by
    its path). ``at`` is when it came to its end, epoch ms; the bytes of a job are estimated from a
    few of its rows, those of a result file are None until the file was requested once. ``binned``: it is a
    job of the bin."""

    name: str
    at: int
    bytes: int | None
    id: int | None = None
    path: str | None = None
    binned: bool = False


class Plan(msgspec.Struct, frozen=True):
    """What would go under the present rules, oldest first."""

    jobs: list[Item]
    uploads: list[Item]
    results: list[Item]
    exports: list[Item]

    def __bool__(self) -> bool:
        return any(msgspec.structs.astuple(self))

    @property
    def bytes(self) -> int:
        """About what would be free then."""
        return sum(item.bytes or 0 for part in msgspec.structs.astuple(self) for item in part)


class Sizes(msgspec.Struct, frozen=True):
    """What takes room, in bytes; ``reusable`` is the part of the database that new rows fill, None
    where that is not known, ``binned`` the part that the jobs in the bin take, about."""

    database: int
    binned: int
    reusable: int | None
    wal: int
    uploads: int
    exports: int
    logs: int
    backups: int
    kept_answers: int
    free: int


def sizes() -> Sizes:
    """Looked up now."""
    settings = context.settings()
    url = settings.database_url
    whole, reusable = disk_usage.database_bytes()
    return Sizes(
        database=whole,
        binned=disk_usage.binned_bytes(),
        reusable=reusable,
        wal=0 if is_server(url) else disk_usage.file_bytes(Path(f"{sqlite_path(url)}-wal")),
        uploads=_folder_bytes(settings.uploads),
        exports=_folder_bytes(settings.exports),
        logs=_folder_bytes(Path(settings.LOG_DIR)) if settings.LOG_DIR else 0,
        backups=_folder_bytes(settings.backups),
        kept_answers=disk_usage.kept_answer_bytes(),
        free=disk_usage.free_bytes(folder_of(url, settings.instance)),
    )


def rules(settings: Settings) -> dict[str, float]:
    """The rules that are on, by the names of their settings."""
    names = [name for name in Settings.__dataclass_fields__ if name.startswith("RETENTION_")]
    found = {name: getattr(settings, name) for name in names if name != "RETENTION_AUTO"}
    return {name: value for name, value in found.items() if value}


def plan() -> Plan:
    """What would go now."""
    settings = retention_rules.in_force()
    jobs = _jobs(settings)
    gone = set(_ids(jobs))
    return Plan(jobs, _uploads(settings, gone), _results(settings, gone), _exports(settings))


def _ids(items: list[Item]) -> list[int]:
    return [item.id for item in items if item.id is not None]


def sweep() -> None:
    """``batch_files.sweep`` and ``sweep_bin``, and with RETENTION_AUTO what goes under the rules, every ten
    minutes."""
    global _next_at
    batch_files.sweep()
    sweep_bin()
    if time.monotonic() < _next_at or not _automatic():
        return
    _next_at = time.monotonic() + AUTO_EVERY_S
    with connected():
        going = plan()
    apply(going)


def _automatic() -> bool:
    """Whether there are rules that apply automatically; the rules in the database are looked up every
    LOOK_EVERY_S at most."""
    global _looked_at
    settings = context.settings()
    if settings.RETENTION_AUTO and rules(settings):
        return True
    if time.monotonic() - _looked_at < LOOK_EVERY_S:
        return False
    _looked_at = time.monotonic()
    with connected():
        settings = retention_rules.in_force()
    return settings.RETENTION_AUTO and bool(rules(settings))


def set_rules(values: Mapping[str, Any]) -> None:
    """Set these rules, by the names of their settings; automatic ones apply at once. Raises InvalidInput."""
    global _next_at, _looked_at
    retention_rules.save(values)
    _next_at, _looked_at = 0.0, -math.inf


def bin_ms() -> int:
    """How long a deleted job stays in the bin; 0: there is no bin."""
    return int(context.settings().DELETED_JOBS_KEEP_HOURS * HOUR_MS)


def sweep_bin() -> list[int]:
    """Let the runner remove the jobs whose time in the bin is over. Returns their ids."""
    with connected():
        return binned_jobs.give_up_before(now_ms() - bin_ms())


# --- what each rule finds -----------------------------------------------------------------------


def _jobs(settings: Settings) -> list[Item]:
    days, limit = settings.RETENTION_JOBS_DAYS, settings.RETENTION_JOBS_MAX_BYTES
    if not days and not limit:
        return []
    before = now_ms() - int(days * DAY_MS) if days else 0
    excess = 0
    if limit and not disk_usage.jobs_are_being_removed():
        excess = disk_usage.used_bytes() - limit
    found = _binned(excess)
    excess -= sum(item.bytes or 0 for item in found)
    query = Job.select(Job.id, Job.name, Job.finished_at, Job.created_at, Job.total).where(
        Job.status.in_(FINAL_STATUSES) & Job.deleted_at.is_null()
    )
    for job in query.order_by(Job.finished_at, Job.id).iterator():
        at = job.finished_at or job.created_at
        if at >= before and excess <= 0:
            break
        size = disk_usage.job_bytes(job.id, job.total)
        excess -= size
        found.append(Item(job.name, at, size, id=job.id))
    return found


def _binned(excess: int) -> list[Item]:
    """Jobs of the bin that make room, those deleted first first; none where there is room."""
    found = []
    for job in reversed(binned_jobs.listed() if excess > 0 else []):
        if excess <= 0:
            break
        size = disk_usage.job_bytes(job.id, job.total)
        excess -= size
        found.append(Item(job.name, job.binned_at, size, id=job.id, binned=True))
    return found


def _uploads(settings: Settings, gone: set[int]) -> list[Item]:
    """Those of finished jobs; files of the Batch API have their own retention time."""
    days, limit = settings.RETENTION_UPLOADS_DAYS, settings.RETENTION_UPLOADS_MAX_BYTES
    if not days and not limit:
        return []
    needed = Job.select(Job.upload).where(Job.upload.is_null(False) & needs_upload())
    filed = ApiFile.select(ApiFile.upload).where(ApiFile.upload.is_null(False))
    used = Job.select(Job.upload).where(Job.upload.is_null(False) & Job.id.not_in(list(gone)))
    query = Upload.select().where(
        Upload.id.not_in(needed) & Upload.id.not_in(filed) & Upload.id.in_(used)
    )
    images = disk_usage.image_bytes()
    entries = [
        Item(
            upload.filename,
            upload.created_at,
            upload.bytes + images.get(upload.id, 0),
            id=upload.id,
        )
        for upload in query.order_by(Upload.created_at, Upload.id)
    ]
    return _too_much(entries, days, limit, disk_usage.upload_bytes())


def _results(settings: Settings, gone: set[int]) -> list[Item]:
    if not settings.RETENTION_RESULTS_DAYS:
        return []
    before = now_ms() - int(settings.RETENTION_RESULTS_DAYS * DAY_MS)
    query = (
        ApiFile.select()
        .join(Job)
        .where(
            ApiFile.deleted_at.is_null()
            & (ApiFile.created_at < before)
            & (Job.completion_window != "")
            & Job.status.in_(FINAL_STATUSES)
            & Job.deleted_at.is_null()
        )
    )
    return [
        Item(file.filename, file.created_at, file.bytes, id=file.id)
        for file in query.order_by(ApiFile.created_at, ApiFile.id)
        if file.job_id not in gone
    ]


def _exports(settings: Settings) -> list[Item]:
    days, limit = settings.RETENTION_EXPORTS_DAYS, settings.RETENTION_EXPORTS_MAX_BYTES
    if not days and not limit:
        return []
    entries = [
        Item(entry.name, stat.st_mtime_ns // 1_000_000, stat.st_size, path=entry.path)
        for entry, stat in _files_in(settings.exports)
    ]
    entries.sort(key=lambda item: (item.at, item.name))
    return _too_much(entries, days, limit, sum(item.bytes or 0 for item in entries))


def _too_much(entries: list[Item], days: float, limit: int, whole: int) -> list[Item]:
    """Of entries, oldest first: what is older, and what must go until the whole is small enough."""
    before = now_ms() - int(days * DAY_MS) if days else 0
    excess = whole - limit if limit else 0
    found = []
    for item in entries:
        if item.at >= before and excess <= 0:
            break
        excess -= item.bytes or 0
        found.append(item)
    return found


def _files_in(folder: Path) -> Iterator[tuple[os.DirEntry, os.stat_result]]:
    """The files that lie in a folder, links and hidden ones left out."""
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.is_file(follow_symlinks=False):
                yield entry, entry.stat(follow_symlinks=False)


def _folder_bytes(folder: Path) -> int:
    """Of all in it, folders too (the images beside uploads lie in some)."""
    return sum(
        disk_usage.file_bytes(Path(place, name))
        for place, _folders, names in os.walk(folder)
        for name in names
    )


# --- removing -----------------------------------------------------------------------------------


def apply(going: Plan) -> list[int]:
    """Remove what the plan names; returns the ids of jobs that are hidden now and whose rows are
    still to be removed (``jobs.clean`` sees to it). What has changed since is looked at once more."""
    for path in (item.path for item in going.exports if item.path is not None):
        Path(path).unlink(missing_ok=True)
        give_way()
    for file_id in _ids(going.results):
        with connected():
            batch_files.expire_result(file_id)
        give_way()
    for upload_id in _ids(going.uploads):
        with connected():
            upload = disk_usage.let_go_of_upload(upload_id)
            if upload is not None:
                uploads.discard(upload)
        give_way()
    hidden = []
    for job_id in _ids(going.jobs):
        with connected():
            if disk_usage.hide_finished_job(job_id):
                hidden.append(job_id)
        give_way()
    if going:
        counts = ", ".join(f"{len(getattr(going, f))} {f}" for f in going.__struct_fields__)
        log.info("retention: %s removed", counts)
    return hidden
