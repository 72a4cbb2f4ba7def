"""The parts of one job: the next step of each. BatchRun calls it while the job runs, PartEnding
where the job ends before its parts.

Each step reads the parts' states from the database, so that another process can go on after a crash.
"""

import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Protocol

from ..core.domain import PartState, Service
from ..core.errors import ConfigurationError
from ..core.messages import translatable
from ..core.settings import Settings
from ..engine.batch_api.batch_client import (
    BatchCallFailed,
    BatchClient,
    RemoteBatch,
    RemoteState,
    ResultsCutOff,
)
from ..engine.breaker import PauseReason, pause_reason
from ..engine.transport import TransportFailure
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart, Job
from .batch_configs import BatchConfigs
from .part_budget import Room
from .part_files import PartFiles
from .part_lines import LineMaker, MakerOf
from .part_log import PartLog
from .part_poller import PartPoller
from .part_release import let_go, release
from .part_sender import PartSender, remote_of
from .part_sizes import PartSizes
from .part_waits import PartWaits

log = logging.getLogger(__name__)

CUT_OFF_TRIES = (
    3  # of reading results that end in the middle of a line, until what is whole is merged
)
EMPTY_TRIES = 3  # batches in a row that end without a single result, until the job pauses
_BEFORE_CREATE = batch_parts.BEFORE_CREATE


class Merge(Protocol):
    """Merges the files of a part that has ended (part_merger.py); then the part is over. Returns why the
    job must stop, if it must."""

    def __call__(
        self, part: BatchPart, maker: LineMaker, paths: list[Path]
    ) -> PauseReason | None: ...


class JobParts:
    """``merge`` merges results; see PartSender for ``leads`` and ``budget``. ``configs`` are those that the
    job is spread over: where one stops, the others go on; None: it stops the job."""

    def __init__(
        self,
        job: Job,
        settings: Settings,
        files: PartFiles,
        maker_of: MakerOf,
        part_log: PartLog,
        merge: Merge,
        leads: Callable[[], bool] = lambda: True,
        budget: Callable[[BatchPart], Room | PauseReason] = lambda part: Room.RESERVED,
        configs: BatchConfigs | None = None,
    ):
        self.job_id = job.id
        self._keep_files = job.keep_remote_files
        self._files = files
        self._maker_of = maker_of
        self._log = part_log
        self._merge = merge
        self._looked_for: set[int] = set()  # parts whose batches were looked for to end them
        self._empty = 0  # batches that ended without a single result, since the last that had one
        self._waits = PartWaits(settings)
        self._configs = configs
        self.sizes = PartSizes()
        self.plannable: Callable[[], bool] = lambda: False  # whether parts may still be cut
        self._sender = PartSender(
            settings,
            files,
            maker_of,
            self._waits,
            part_log,
            leads,
            budget,
            job.deadline_at,
            configs.fill if configs is not None else lambda config_id: False,
            self._keep_files,
            self.sizes.too_large,
            Service(job.service) is Service.BATCH_THEN_NOW,
        )
        self._poller = PartPoller(files, maker_of, self._waits, part_log, self._sender)

    @property
    def let_go(self) -> int:
        """Parts that were released, so that their requests are pending again."""
        return self._log.let_go

    def recover(self) -> None:
        """After a start: parts that the provider has never seen are cut again, and requests left in
        parts that are over are let go."""
        for part in self._of(PartState.PLANNED):
            release(self._files, part, (PartState.PLANNED,))
        for part_id in retry_while_unavailable(batch_parts.over_with_requests, self.job_id):
            let_go(part_id)
        for part in self._of(PartState.MERGED):
            if self._files.exists(part.id):
                self._clean_up(part)

    def note_disk(self, error: OSError) -> None:
        """Say in the job's events that files of parts cannot be written."""
        self._log.disk(error.strerror or str(error))

    @property
    def cancels(self) -> bool:
        """Whether the providers can end each batch that is under way before its time."""
        return all(self._client(part).cancels for part in self.under_way())

    def under_way(self) -> list[BatchPart]:
        """Those that are not over."""
        return self._of(*batch_parts.UNDER_WAY)

    def hold_back(self) -> None:
        """Parts that were never sent would end too late: their requests are pending again."""
        for part in self._of(PartState.PLANNED):
            release(self._files, part, (PartState.PLANNED,))

    def send_next(self, growing: Collection[int] = ()) -> tuple[bool, PauseReason | None]:
        """Take one part that can be sent now further; not one of those with the ids ``growing``, which
        still take requests. Returns whether there was one, and why the job must stop, if it must."""
        found = [part for part in self._due(batch_parts.UNSENT) if part.id not in growing]
        return (True, self.send(found[0])) if found else (False, None)

    def send(self, part: BatchPart) -> PauseReason | None:
        """Send a part, or take it further."""
        stop = self._usable(part, self._sender.send)
        return None if stop is None or self._closes(part, stop) else stop

    def poll(self) -> tuple[bool, PauseReason | None]:
        """Ask about each open batch whose time has come. Returns whether one is over, and why the job
        must stop, if it must."""
        over = False
        for part in self._due(batch_parts.OPEN):
            stop = self._unless_others_go_on(part, self._usable(part, self._poller.poll))
            if part.state not in batch_parts.OPEN:
                over = True
                self._has_room(part)
            if stop is not None:
                return over, stop
        return over, None

    def merge_next(self) -> tuple[bool, PauseReason | None]:
        """Read the results of one part that has ended. Returns what ``send_next`` does."""
        found = self._due((PartState.ENDED,))
        if not found:
            return False, None
        part = found[0]
        stop = self._usable(part, self._has_maker)
        if stop is not None:
            return True, self._unless_others_go_on(part, stop)
        return True, self._merge_one(part)

    # --- several configs ----------------------------------------------------------------------

    def release_closed(self) -> None:
        """Configs take no batches any more: what was not sent to them is pending again."""
        for part in self._of(*_BEFORE_CREATE):
            closed = self._configs is not None and self._configs.is_closed(part.config_id)
            if closed and release(self._files, part, _BEFORE_CREATE):
                self._forget_file(part)

    def others_under_way(self) -> bool:
        """Whether a part is under way at a config that is not passed over."""
        if self._configs is None:
            return bool(self.under_way())
        return any(not self._configs.is_closed(part.config_id) for part in self.under_way())

    def _usable(
        self, part: BatchPart, step: Callable[[BatchPart], PauseReason | None]
    ) -> PauseReason | None:
        """Take a step of a part. A config that cannot be used stops the job, as its provider might."""
        try:
            return step(part)
        except ConfigurationError as error:
            if self._configs is None:
                raise
            self._waits.poll_failed(part, error.text, None)
            return PauseReason("auth", error.text)

    def _has_room(self, part: BatchPart) -> None:
        if self._configs is not None:
            self._configs.ended(part.config_id)

    def _has_maker(self, part: BatchPart) -> None:
        """Raises ConfigurationError where the config of a part cannot be used."""
        self._maker_of(part.config_id)

    def _closes(self, part: BatchPart, stop: PauseReason) -> bool:
        return self._configs is not None and self._configs.close(part.config_id, stop)

    def _unless_others_go_on(self, part: BatchPart, stop: PauseReason | None) -> PauseReason | None:
        """Batches of a config that cannot be asked about stop the job only when no other config has
        anything to do."""
        if stop is None or self._configs is None:
            return stop
        if self._closes(part, stop):
            return None
        others_work = self._configs.is_closed(part.config_id) and (
            self.others_under_way() or self.plannable()
        )
        return None if others_work else stop

    # --- results ------------------------------------------------------------------------------

    def _merge_one(self, part: BatchPart) -> PauseReason | None:
        maker = self._maker_of(part.config_id)
        batch = remote_of(part)
        try:
            paths = maker.client.download(batch, self._files.folder(part.id))
        except BatchCallFailed as failed:
            return self._unless_others_go_on(part, self._not_read(part, batch, failed))
        except TransportFailure as failure:
            return self._unless_others_go_on(part, self._waits.unanswered(part, failure))
        except ResultsCutOff as cut:
            if part.poll_failures < CUT_OFF_TRIES or not cut.paths:
                self._waits.poll_failed(part, str(cut), None)
                return None
            paths = list(cut.paths)
        try:
            stop = self._merge(part, maker, paths)
        except ResultsCutOff as cut:
            self._files.remove(part.id)
            self._waits.poll_failed(part, str(cut), None)
            return None
        self._waits.answered(part)
        self._clean_up(part)
        return stop or self._unless_others_go_on(part, self._without_results(part, batch))

    def _without_results(self, part: BatchPart, batch: RemoteBatch) -> PauseReason | None:
        """Requests that a provider never runs must not be sent for ever."""
        merged = retry_while_unavailable(batch_parts.get, part.id)
        if merged is None or batch.state is not RemoteState.COMPLETED:
            return None
        self._empty = 0 if merged.succeeded or merged.failed else self._empty + 1
        if self._empty < EMPTY_TRIES:
            return None
        self._empty = 0
        return PauseReason(
            "batch_empty",
            translatable(
                "Several batches in a row ended without a result of any request, the last as "
                "“%(status)s”. Resume to send these requests in a batch once more, or send the rest now.",
                status=batch.status,
            ),
        )

    def _not_read(
        self, part: BatchPart, batch: RemoteBatch, failed: BatchCallFailed
    ) -> PauseReason | None:
        finding = failed.finding
        if failed.gone:
            if release(self._files, part, (PartState.ENDED,), finding.message):
                self._log.gone(part, finding.message)
                self._delete_remote(part, batch)
            return None
        stop = self._waits.refused(part, failed)
        if stop is None and finding.cause in ("auth", "quota"):
            return pause_reason(finding)
        return stop

    def _clean_up(self, part: BatchPart) -> None:
        """Remove what is left of a part that is merged; the local files at last, because they say that
        this is still to be done."""
        if not self._keep_files:
            self._delete_remote(part, remote_of(part))
        self._files.remove(part.id)

    def _delete_remote(self, part: BatchPart, batch: RemoteBatch) -> None:
        try:
            self._client(part).delete(batch)
        except (BatchCallFailed, TransportFailure) as failed:
            log.warning("files of batch %s stay at the provider: %s", batch.id, failed)

    # --- an end before its time ---------------------------------------------------------------

    def withdraw(self) -> None:
        """Send nothing more: parts that are not sent are released, open batches cancelled. A batch that may
        exist is looked for. Results of batches that are ending can be merged later."""
        for part in self._of(*_BEFORE_CREATE):
            if release(self._files, part, _BEFORE_CREATE) and part.file_id:
                self._forget_file(part)
        due = {part.id for part in self._due((PartState.CREATING,))}
        for part in self._of(PartState.CREATING):
            # what the provider asked to wait for was another call
            if part.id in due or part.id not in self._looked_for:
                self._looked_for.add(part.id)
                self._withdraw_uncertain(part)
        for part in self._of(PartState.OPEN):
            self._poller.cancel(part)

    def _withdraw_uncertain(self, part: BatchPart) -> None:
        """The provider may have a batch, or not."""
        try:
            self._sender.adopted(self._client(part), part)
        except (BatchCallFailed, TransportFailure) as failed:
            self._waits.poll_failed(part, str(failed), None)
            return
        if part.state == PartState.UPLOADED and release(self._files, part, (PartState.UPLOADED,)):
            self._forget_file(part)

    def _forget_file(self, part: BatchPart) -> None:
        batch = RemoteBatch("", RemoteState.CANCELLED, "", input_file=part.file_id)
        self._delete_remote(part, batch)

    def drop_ended(self) -> None:
        """Results are not wanted any more: what has ended is removed at the provider."""
        for part in self._of(PartState.ENDED):
            self._delete_remote(part, remote_of(part))
            release(self._files, part, (PartState.ENDED,))

    def leave_behind(self, detail: str) -> None:
        """Give up on batches that cannot be ended, and say so."""
        for part in self.under_way():
            self._log.left_behind(part, detail)
            release(self._files, part, batch_parts.UNDER_WAY, detail)

    def _client(self, part: BatchPart) -> BatchClient:
        return self._maker_of(part.config_id).client

    def _of(self, *states: PartState) -> list[BatchPart]:
        return retry_while_unavailable(batch_parts.of_job, self.job_id, states)

    def _due(self, states: tuple[PartState, ...]) -> list[BatchPart]:
        waits = retry_while_unavailable(batch_parts.waits, self.job_id, states)
        over = [part_id for part_id, until in waits.items() if self._waits.are_over(part_id, until)]
        if not over:
            return []
        return retry_while_unavailable(batch_parts.in_states, over, states)
