"""Our rows as OpenAI's objects: every field is there, null where it is not set."""

import json

from .. import insight
from ..core.domain import FINAL_STATUSES, JobStatus, batch_id
from ..core.errors import NotFound
from ..services import batch_files
from ..store.models import ApiConfig, ApiFile, Job
from . import batch_errors

_STATUS = {
    JobStatus.SCHEDULED: "validating",
    JobStatus.QUEUED: "in_progress",
    JobStatus.RUNNING: "in_progress",
    JobStatus.PAUSED: "in_progress",
}
_IN_PROGRESS = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED)
ANY_WINDOW = "none"  # the completion_window of a job that was made elsewhere


def batches(jobs: list[Job]) -> list[dict]:
    """Batch objects (API reference, “The batch object”) of jobs."""
    ids = [job.id for job in jobs]
    batch_files.offer_so_far([job for job in jobs if batch_errors.is_stopped(job)])
    times, results, mixed = (
        insight.status_times(ids),
        batch_files.results_of(ids),
        insight.mixed(ids),
    )
    return [_batch(job, times[job.id], results.get(job.id, {}), job.id in mixed) for job in jobs]


def _batch(job: Job, times: dict, results: dict[str, int], mixed: bool) -> dict:
    status = JobStatus(job.status)
    readable = status in FINAL_STATUSES or batch_errors.is_stopped(job)
    return {
        "id": batch_id(job.id),
        "object": "batch",
        "endpoint": job.endpoint,
        "model": None if mixed else job.config.model,
        "errors": _errors(job),
        "input_file_id": job.input_file_id or _page_upload(job),
        "completion_window": job.completion_window or ANY_WINDOW,
        "status": _STATUS.get(status, status.value),
        "output_file_id": _file_id(results.get("output")) if readable else None,
        "error_file_id": _file_id(results.get("error")) if readable else None,
        "created_at": job.created_at // 1000,
        "expires_at": _seconds(job.deadline_at),
        **_moments(status, times),
        "request_counts": _counts(job, status),
        "usage": {
            "input_tokens": job.input_tokens,
            "input_tokens_details": {"cached_tokens": job.cached_tokens},
            "output_tokens": job.output_tokens,
            "output_tokens_details": {"reasoning_tokens": job.reasoning_tokens},
            "total_tokens": job.input_tokens + job.output_tokens,
        },
        "metadata": None if job.metadata is None else json.loads(job.metadata),
    }


def _moments(status: JobStatus, times: dict) -> dict:
    """When each transition was; of a job that went on after its end, those that still hold."""

    def last(*wanted: JobStatus, when: bool = True) -> int | None:
        found = [times[name][1] for name in wanted if name in times]
        return max(found) // 1000 if found and when else None

    begun = [times[name][0] for name in _IN_PROGRESS if name in times]
    ended = status in FINAL_STATUSES or status == JobStatus.FINALIZING
    stopped = status in (JobStatus.CANCELLING, JobStatus.CANCELLED)
    return {
        "in_progress_at": min(begun) // 1000 if begun else None,
        "finalizing_at": last(JobStatus.FINALIZING, when=ended and not stopped),
        "completed_at": last(JobStatus.COMPLETED, when=status == JobStatus.COMPLETED),
        "failed_at": last(JobStatus.FAILED, when=status == JobStatus.FAILED),
        "expired_at": last(JobStatus.EXPIRED, when=status == JobStatus.EXPIRED),
        "cancelling_at": last(JobStatus.CANCELLING, when=stopped),
        "cancelled_at": last(JobStatus.CANCELLED, when=status == JobStatus.CANCELLED),
    }


def _counts(job: Job, status: JobStatus) -> dict:
    if status == JobStatus.VALIDATING:
        return {"total": 0, "completed": 0, "failed": 0}
    return {"total": job.total, "completed": job.succeeded, "failed": job.failed}


def _errors(job: Job) -> dict | None:
    if batch_errors.is_stopped(job):
        return {"object": "list", "data": [batch_errors.error(job)]}
    if job.status != JobStatus.FAILED:
        return None
    data = [
        {name: fault.get(name) for name in ("code", "message", "param", "line")}
        for fault in json.loads(job.faults)
    ]
    if not data:  # the file as a whole could not be read
        message = job.status_detail.split("\n", 1)[0]
        data = [{"code": "invalid_file", "message": message, "param": None, "line": None}]
    return {"object": "list", "data": data}


def _page_upload(job: Job) -> str:
    """A job that was made elsewhere has an upload that is no file of this API."""
    return f"upload-{job.upload_id}" if job.upload_id is not None else "upload-gone"


def file(row: ApiFile) -> dict:
    """A file object."""
    return {
        "id": _file_id(row.id),
        "object": "file",
        "bytes": batch_files.size(row),
        "created_at": row.created_at // 1000,
        "expires_at": _seconds(row.expires_at),
        "filename": row.filename,
        "purpose": row.purpose,
        "status": "processed",
        "status_details": None,
    }


def model(config: ApiConfig) -> dict:
    """A model object: what a line may name."""
    return {
        "id": config.alias,
        "object": "model",
        "created": config.created_at // 1000,
        "owned_by": config.model,
        "shutdown_date": None,
    }


def page(data: list[dict], more: bool) -> dict:
    """A page of a list."""
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": more,
    }


def number_of(given: str, prefix: str, what: str) -> int:
    """The row's id in an id of this API. Raises NotFound."""
    rest = given.removeprefix(prefix)
    if not given.startswith(prefix) or not rest.isascii() or not rest.isdecimal() or len(rest) > 15:
        raise NotFound(f"No such {what}: {given[:100]!r}.")
    return int(rest)


def _file_id(number: int | None) -> str | None:
    return None if number is None else f"file-{number}"


def _seconds(ms: int | None) -> int | None:
    return None if ms is None else ms // 1000
