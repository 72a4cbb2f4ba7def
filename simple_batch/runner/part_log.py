"""What happens to the parts of a job, as events of the job, and lines that a provider refuses."""

import logging
from collections.abc import Callable

from ..core.clock import now_ms
from ..core.domain import Cause, RequestResult, RequestStatus
from ..core.messages import Message, translatable
from ..engine.batch_api.batch_client import BatchError, RemoteBatch
from ..store import batch_parts
from ..store import jobs as job_rows
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart

log = logging.getLogger(__name__)


class PartLog:
    """``record(config_id, index, result)`` takes the results of lines that a provider refuses; ``flush()``
    returns when they are committed."""

    def __init__(
        self,
        job_id: int,
        record: Callable[[int, int, RequestResult], None],
        flush: Callable[[], None],
    ):
        self._job_id = job_id
        self._record = record
        self._flush = flush
        self.let_go = 0  # parts whose requests are pending again

    def sent(self, part: BatchPart, batch: RemoteBatch) -> None:
        self.note(
            translatable(
                "Part %(part)s is sent as batch %(batch)s. Requests: %(count)s",
                part=part.id,
                count=f"{part.requests:,}",
                batch=batch.id,
            )
        )

    def ended(self, part: BatchPart, batch: RemoteBatch) -> None:
        self.note(
            translatable(
                "Part %(part)s has ended: batch %(batch)s is “%(status)s”",
                part=part.id,
                batch=batch.id,
                status=batch.status,
            )
        )

    def unknown_status(self, part: BatchPart, batch: RemoteBatch) -> None:
        self.note(
            translatable(
                "Part %(part)s: the provider reports the unknown status “%(status)s”. It is asked again.",
                part=part.id,
                status=batch.status,
            )
        )

    def refused(self, part: BatchPart, detail: str | Message) -> None:
        self.let_go += 1
        self.note(
            translatable(
                "Part %(part)s is not sent as it is: %(reason)s", part=part.id, reason=detail
            )
        )

    def cancelling(self, part: BatchPart, cancels: bool) -> None:
        """``cancels``: the provider can end a batch before its time."""
        if not cancels:
            self.note(
                translatable(
                    "Part %(part)s: this provider can't cancel batches. Batch %(batch)s goes on to its end. "
                    "What it answers is kept, and paid for; its other requests stay with it until then.",
                    part=part.id,
                    batch=part.provider_id,
                )
            )
            return
        self.note(
            translatable(
                "Part %(part)s: batch %(batch)s is being cancelled",
                part=part.id,
                batch=part.provider_id,
            )
        )

    def one_too_many(self, part: BatchPart, batch: RemoteBatch) -> None:
        """A batch that was created by a call without an answer, and found late."""
        self.note(
            translatable(
                "Part %(part)s: batch %(batch)s was created for it too, and is cancelled.",
                part=part.id,
                batch=batch.id,
            )
        )

    def gone(self, part: BatchPart, detail: str | Message) -> None:
        self.let_go += 1
        self.note(
            translatable(
                "Part %(part)s: batch %(batch)s or its results are gone (%(reason)s). Its requests are "
                "sent again.",
                part=part.id,
                batch=part.provider_id,
                reason=detail,
            )
        )

    def left_behind(self, part: BatchPart, detail: str | Message) -> None:
        """A batch that could not be cancelled."""
        self.note(
            translatable(
                "Part %(part)s: batch %(batch)s could not be ended (%(reason)s). Cancel it at the "
                "provider.",
                part=part.id,
                batch=part.provider_id or part.marker,
                reason=detail,
            )
        )

    def disk(self, reason: str) -> None:
        self.note(
            translatable(
                "The files of its parts cannot be written here (%(reason)s)", reason=reason
            )
        )

    def note(self, detail: Message) -> None:
        log.info("job %s: %s", self._job_id, detail)
        retry_while_unavailable(job_rows.note, self._job_id, job_rows.PARTS, detail)

    def lines_refused(
        self, part: BatchPart, errors: list[BatchError], cause: Cause = Cause.BAD_REQUEST
    ) -> None:
        """Lines that keep a batch from being run fail, in the provider's words."""
        for error in errors:
            index = retry_while_unavailable(batch_parts.index_at, part.id, error.line)
            if index is None:
                continue
            result = RequestResult(
                index=index,
                status=RequestStatus.FAILED,
                attempts=(),
                started_at=None,
                finished_at=now_ms(),
                latency_ms=None,
                cause=cause,
                message=error.message or error.code,
            )
            self._record(part.config_id, index, result)
        self._flush()
