"""Files that jobs are made from: staged on disk, scanned for the preview, imported.

An import is guarded by a lock on a file, so that the process that creates a job
and the one that runs jobs never read the same upload at once; the system frees
the lock of an importer that is killed, and the runner then begins again.
"""

import io
import logging
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import msgspec

from . import intake, runtime
from .clock import now_ms
from .domain import Fault, JobStatus, Request
from .errors import NotFound, SimpleBatchError, UploadRejected
from .store import filelock
from .store import jobs as job_rows
from .store import requests as request_rows
from .store.database import connected
from .store.models import Job, Upload

log = logging.getLogger(__name__)

IMPORT_CHUNK = 2_000
SHOWN_FAULTS = 20


def stage(stream: BinaryIO, filename: str, scan: bool = True) -> Upload:
    """Copy an upload to disk and, if asked, scan it for the preview.

    Raises UploadTooLarge or UploadRejected where it cannot be read as a whole; nothing is left
    behind then.
    """
    settings = runtime.settings()
    path = settings.uploads / uuid.uuid4().hex
    size = intake.spool(stream, path, settings)
    try:
        preview = intake.scan(path, settings) if scan else None
        return Upload.create(
            path=str(path),
            filename=clean_filename(filename),
            bytes=size,
            preview=msgspec.json.encode(preview).decode() if preview else "",
            created_at=now_ms(),
        )
    except BaseException:
        path.unlink(missing_ok=True)
        raise


class Pieces(io.RawIOBase):
    """A stream of pieces that are made one by one."""

    def __init__(self, pieces: Iterator[bytes]):
        self._pieces = pieces
        self._rest = b""

    def readable(self) -> bool:
        return True

    def readinto(self, into) -> int:
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._rest = piece
        taken, self._rest = self._rest[: len(into)], self._rest[len(into) :]
        into[: len(taken)] = taken
        return len(taken)


def staged(upload_id: int) -> tuple[Upload, "intake.Preview"]:
    """An upload with its preview. Raises NotFound where it was discarded or launched long ago."""
    upload = Upload.get_or_none(Upload.id == upload_id)
    if upload is None or not upload.preview or not Path(upload.path).exists():
        raise NotFound("This upload is no longer kept: upload the file again.")
    return upload, msgspec.json.decode(upload.preview, type=intake.Preview)


def discard(upload: Upload) -> None:
    """Remove an upload and its file."""
    Path(upload.path).unlink(missing_ok=True)
    upload.delete_instance()


def discard_unlaunched() -> None:
    """Remove uploads that nobody launched within UPLOAD_KEEP_HOURS."""
    before = now_ms() - int(runtime.settings().UPLOAD_KEEP_HOURS * 3_600_000)
    used = Job.select(Job.upload).where(Job.upload.is_null(False))
    for upload in Upload.select().where((Upload.created_at < before) & Upload.id.not_in(used)):
        discard(upload)


def clean_filename(name: str) -> str:
    """The last part of a name, printable, at most 200 characters."""
    name = "".join(char for char in name.replace("\\", "/").split("/")[-1] if char.isprintable())
    return name.strip()[:200] or "upload"


def import_upload(job_id: int, on_progress: Callable[[int], None] | None = None) -> None:
    """Read a validating job's upload into requests, then queue the job (or hold it).

    Where the upload is faulty and faulty lines are not to be skipped, the job becomes ``failed``,
    its requests are removed and UploadRejected is raised with the first faults. Does nothing where
    another process is importing the same job. ``on_progress`` is told the bytes of requests read.
    """
    with connected():
        job = Job.get_or_none(Job.id == job_id)
        if job is None or job.status != JobStatus.VALIDATING:
            return
        upload = job.upload
    lock_path = runtime.settings().uploads / f"job-{job_id}.lock"
    lock = filelock.acquire(lock_path)
    if lock is None:
        time.sleep(0.5)
        return
    try:
        _import(job, upload, on_progress)
    finally:
        filelock.release(lock)
        lock_path.unlink(missing_ok=True)


def import_quietly(job_id: int) -> None:
    """``import_upload`` for the runner: a faulty upload is the job's failure, not the runner's."""
    try:
        import_upload(job_id)
    except UploadRejected as error:
        log.warning("job %s: %s", job_id, error)


def _import(job: Job, upload: Upload | None, on_progress) -> None:
    try:
        _clear(job.id)
        if upload is None or not Path(upload.path).exists():
            raise UploadRejected("The uploaded file is gone: create the job again.")
        file_format = _fill(job, Path(upload.path), on_progress)
    except UploadRejected as error:
        _clear(job.id)
        _fail(job.id, error)
        raise
    with connected():
        Job.update(source_format=file_format).where(Job.id == job.id).execute()
        to, reason = JobStatus.QUEUED, ""
        if job.hold:
            to, reason = JobStatus.PAUSED, "held"
        elif job.start_at is not None and job.start_at > now_ms():
            to = JobStatus.SCHEDULED
        job_rows.transition(job.id, to, (JobStatus.VALIDATING,), reason)


def _fill(job: Job, path: Path, on_progress) -> str:
    """Insert the requests in chunks; returns the format. Raises UploadRejected.

    At first without looking for repeated ids: the table refuses them. Only where it does, or where
    every fault is to be told, the file is read again with that look.
    """
    try:
        return _read_in(job, path, on_progress, unique=False)
    except (request_rows.RepeatedId, UploadRejected):
        _clear(job.id)
        return _read_in(job, path, on_progress, unique=True)


def _read_in(job: Job, path: Path, on_progress, unique: bool) -> str:
    chunk: list[Request] = []
    faults: list[Fault] = []
    good = bad = size = 0
    reader = intake.read(path, runtime.settings(), unique)
    try:
        for item in reader:
            if isinstance(item, Fault):
                bad += 1
                if len(faults) < SHOWN_FAULTS:
                    faults.append(item)
                continue
            good += 1
            if bad and not job.skip_faulty:
                if not unique:
                    break  # it will be refused: all faults are told in the next reading
                continue
            chunk.append(item)
            size += len(item.body)
            if len(chunk) >= IMPORT_CHUNK:
                if not _insert(job.id, chunk):
                    return reader.format
                chunk = []
                if on_progress is not None:
                    on_progress(size)
        if bad and not job.skip_faulty:
            raise UploadRejected(
                f"{bad} of {good + bad} lines are faulty: correct them, or skip them.",
                faults,
                bad,
                good,
            )
        if not good:
            raise UploadRejected("No request in the file is valid.", faults, bad, 0)
        _insert(job.id, chunk)
        return reader.format
    finally:
        reader.close()


def _insert(job_id: int, chunk: list[Request]) -> bool:
    """Write a chunk; False where the job was cancelled or deleted meanwhile."""
    with connected():
        status = Job.select(Job.status).where(Job.id == job_id, Job.deleted_at.is_null()).scalar()
        if status != JobStatus.VALIDATING:
            return False
        request_rows.insert(job_id, chunk)
    time.sleep(0)  # lets other greenlets work between two chunks
    return True


def _clear(job_id: int) -> None:
    empty = False
    while not empty:
        with connected():
            empty = request_rows.clear_step(job_id)
        time.sleep(0)


def _fail(job_id: int, error: SimpleBatchError) -> None:
    shown = "\n".join(
        f"line {fault.line}: {fault.message}" if fault.line else fault.message
        for fault in getattr(error, "faults", ())
    )
    with connected():
        job_rows.transition(
            job_id,
            JobStatus.FAILED,
            (JobStatus.VALIDATING,),
            "invalid_upload",
            f"{error}\n{shown}".strip(),
        )
