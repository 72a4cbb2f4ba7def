"""Mistral's batch jobs: files as OpenAI has them, jobs under names of Mistral's own.

Sources, read 2026-11-28: the package mistralai 3.7.0 (client/models/createbatchjobrequest.py, batchjob.py,
batchjobstatus.py, client/jobs.py, client/files.py: pages from 0, 100 a page, the newest first);
https://docs.mistral.ai/inference/batch-processing.md (lines of custom_id and body). Not tried on the real
service.
"""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from ...core.domain import Cause, Endpoint
from ...core.settings import Settings
from ...core.stored_messages import NO_BATCH_ANSWER
from ..transport import TransportFailure
from .batch_client import MARKER_KEY, PartInput, RemoteBatch
from .batch_object import line_named, listed, remote_batch, unwrapped
from .client_calls import all_older, cancel_unless_ended
from .openai_batches import MAX_PAGES, PAGE, OpenAIBatches
from .profiles import BatchProfile

_JOBS = "/batch/jobs"


class MistralBatches(OpenAIBatches):
    """A BatchClient."""

    def __init__(self, endpoint: Endpoint, settings: Settings, profile: BatchProfile):
        super().__init__(endpoint, settings, profile)
        self._hours = profile.hours

    def create(self, part: PartInput, file_id: str | None) -> RemoteBatch:
        body = {
            "endpoint": part.url,
            "model": part.model,
            "input_files": [file_id],
            "metadata": {MARKER_KEY: part.marker},
            "timeout_hours": self._hours(part.within_h),
        }
        return _batch(self._calls.post(_JOBS, body))

    def find(self, part: PartInput, file_id: str | None) -> list[RemoteBatch]:
        jobs = self._listed(_JOBS, "", part.since)
        found = [batch for batch in map(_batch, jobs) if batch.marker == part.marker]
        return sorted(found, key=lambda batch: (batch.created_at or 0, batch.id))

    def retrieve(self, batch_id: str) -> RemoteBatch:
        return _batch(self._calls.get(f"{_JOBS}/{quote(batch_id, safe='')}"))

    def cancel(self, batch_id: str) -> None:
        path = f"{_JOBS}/{quote(batch_id, safe='')}/cancel"
        cancel_unless_ended(self, batch_id, lambda: self._calls.post(path))

    def _listed(self, path: str, query: str, since: int | None) -> Iterator[dict[str, Any]]:
        """The objects of a list by pages, until all of a page are older than ``since``."""
        seen: set[str] = set()
        for number in range(MAX_PAGES):
            page = listed(self._calls.get(f"{path}?page={number}&page_size={PAGE}"))
            if page is None:
                raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="data"))
            fresh = [one for one in page if str(one["id"]) not in seen]
            yield from fresh
            seen.update(str(one["id"]) for one in fresh)
            if not fresh or len(page) < PAGE or all_older(fresh, since):
                return


def _batch(answer: Any) -> RemoteBatch:
    """A job, by the names that OpenAI has for the same."""
    job = unwrapped(answer)
    if not job:
        raise TransportFailure(Cause.BAD_RESPONSE, NO_BATCH_ANSWER(part="id"))
    inputs = job.get("input_files")
    counts = {
        "total": job.get("total_requests") or None,  # 0 until the input was read
        "completed": job.get("succeeded_requests"),
        "failed": job.get("failed_requests"),
    }
    return remote_batch(
        {
            "id": job["id"],
            "status": job.get("status"),
            "request_counts": counts,
            "output_file_id": job.get("output_file"),
            "error_file_id": job.get("error_file"),
            "input_file_id": inputs[0] if isinstance(inputs, list) and inputs else None,
            "metadata": job.get("metadata"),
            "created_at": job.get("created_at"),
            "errors": [line_named(error) for error in job.get("errors") or []],
        }
    )
