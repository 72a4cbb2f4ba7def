"""Asks providers about open batches, by their age, however often that fails."""

import logging
from collections import Counter

from ..core.clock import now_ms
from ..core.domain import PartState
from ..engine.batch_api.batch_client import (
    BatchCallFailed,
    BatchClient,
    RemoteBatch,
    RemoteState,
)
from ..engine.breaker import PauseReason, pause_reason
from ..engine.classify import Classification
from ..engine.transport import TransportFailure
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart
from .part_files import PartFiles
from .part_lines import MakerOf
from .part_log import PartLog
from .part_release import release
from .part_sender import PartSender, reported_columns, stops
from .part_waits import PartWaits

log = logging.getLogger(__name__)

TRIP = 3  # refusals of the key, one after the other, that pause a job
GONE = 3  # such answers, one after the other, mean that a batch does not exist
_OPEN = batch_parts.OPEN


class PartPoller:
    """``sender`` decides what becomes of a part that is refused as a whole."""

    def __init__(
        self,
        files: PartFiles,
        maker_of: MakerOf,
        waits: PartWaits,
        part_log: PartLog,
        sender: PartSender,
    ):
        self._files = files
        self._maker_of = maker_of
        self._waits = waits
        self._log = part_log
        self._sender = sender
        # by config, since one of its batches was seen
        self._stops: Counter[int] = Counter()
        self._not_found: Counter[int] = Counter()  # batches that the provider did not know

    def poll(self, part: BatchPart) -> PauseReason | None:
        """Ask about a batch once. Returns why the job must stop, if it must."""
        client = self._maker_of(part.config_id).client
        try:
            batch = client.retrieve(part.provider_id)
        except BatchCallFailed as failed:
            return self._refused(part, failed)
        except TransportFailure as failure:
            self._waits.poll_failed(part, failure.message, None)
            return None
        self._stops[part.config_id] = self._not_found[part.config_id] = 0
        self._look_for_others(client, part)
        return self._seen(client, part, batch)

    def _refused(self, part: BatchPart, failed: BatchCallFailed) -> PauseReason | None:
        finding = failed.finding
        if failed.gone and part.poll_failures >= GONE - 1:
            return self._gone(part, finding)
        self._waits.poll_failed(part, finding.message, finding.retry_after_s)
        if failed.gone or not stops(finding):
            return None
        self._stops[part.config_id] += 1
        return pause_reason(finding) if self._stops[part.config_id] >= TRIP else None

    def _look_for_others(self, client: BatchClient, part: BatchPart) -> None:
        try:
            self._sender.look_for_others(client, part)
        except (BatchCallFailed, TransportFailure) as failed:
            log.warning("part %s: no look for batches that were created late: %s", part.id, failed)

    def _gone(self, part: BatchPart, finding: Classification) -> PauseReason | None:
        """The provider does not know the batch (any more). It may have been billed: a job of which several
        are not found pauses."""
        self._not_found[part.config_id] += 1
        if self._not_found[part.config_id] >= TRIP:
            # before its requests are free: else they might be sent once more
            return pause_reason(finding)
        if release(self._files, part, _OPEN, finding.message):
            self._log.gone(part, finding.message)
            self._sender.forget_file(part)
        return None

    def _seen(self, client: BatchClient, part: BatchPart, batch: RemoteBatch) -> PauseReason | None:
        if batch.state is RemoteState.FAILED and not batch.results:
            return self._sender.batch_refused(part, batch)
        moment = now_ms()
        if batch.state.ended:
            moved = retry_while_unavailable(
                lambda: batch_parts.move(
                    part.id,
                    PartState.ENDED,
                    _OPEN,
                    ended_at=moment,
                    not_before=None,
                    poll_failures=0,
                    detail="",
                    **reported_columns(part, batch),
                )
            )
            if moved:
                part.state = PartState.ENDED
                self._sender.accepted()
                self._log.ended(part, batch)
                self._sender.has_ended(part)
            return None
        if batch.state is RemoteState.UNKNOWN and batch.status != part.provider_status:
            self._log.unknown_status(part, batch)
        until = self._waits.begin(part.id, self._waits.next_look_s(part, moment))
        retry_while_unavailable(
            lambda: batch_parts.note(
                part.id,
                not_before=until,
                poll_failures=0,
                detail="",
                **reported_columns(part, batch),
            )
        )
        if part.state == PartState.CANCELLING and batch.state is not RemoteState.CANCELLING:
            self._ask_for_end(client, part)
        return None

    # --- an end before its time ---------------------------------------------------------------

    def cancel(self, part: BatchPart) -> None:
        """Ask for the end of an open batch. Where the provider does not answer, it is asked again when
        the batch is next asked about."""
        moved = retry_while_unavailable(
            lambda: batch_parts.move(
                part.id, PartState.CANCELLING, (PartState.OPEN,), not_before=None
            )
        )
        if not moved:
            return
        part.state = PartState.CANCELLING
        client = self._maker_of(part.config_id).client
        self._log.cancelling(part, client.cancels)
        self._ask_for_end(client, part)

    def _ask_for_end(self, client: BatchClient, part: BatchPart) -> None:
        try:
            client.cancel(part.provider_id)
        except BatchCallFailed as failed:
            if not failed.gone:
                self._waits.poll_failed(part, failed.finding.message, failed.finding.retry_after_s)
        except TransportFailure as failure:
            self._waits.poll_failed(part, failure.message, None)
