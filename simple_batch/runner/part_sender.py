"""Sends parts: uploads the input, creates the batch. Each step is committed before the call it announces.

After a crash, or where a call has no answer, what the provider has is looked for before anything is sent
again: an uploaded file by its name, a batch by its marker. So there are never two batches for a part.
"""

import logging
import re
import time
from collections.abc import Callable

import gevent
import msgspec

from ..core.clock import now_ms
from ..core.domain import Cause, PartState, Verdict
from ..core.messages import translatable
from ..core.settings import Settings
from ..engine.batch_api.batch_client import (
    BatchCallFailed,
    BatchClient,
    BatchError,
    RemoteBatch,
    RemoteState,
)
from ..engine.breaker import PauseReason, pause_reason
from ..engine.classify import Classification
from ..engine.transport import TransportFailure
from ..store import batch_parts
from ..store.database import retry_while_unavailable
from ..store.models import BatchPart
from .part_budget import Room
from .part_files import PartFiles
from .part_input import InputChanged, PartInputs
from .part_lines import MakerOf
from .part_log import PartLog
from .part_release import new_marker, release
from .part_waits import PartWaits

log = logging.getLogger(__name__)

TRIP = 3  # batches refused as a whole, one after the other, that pause a job
LATE_S = 600.0  # so long a batch may appear after the call that created it got no answer
TURN_S = 3.0  # after the end of a batch, in which parts of other jobs take its room
STALE_S = 5.0  # between the commit that announces a batch and the call that creates it
_ENQUEUED_LIMIT = re.compile(r"limit\W{0,3}\s*(?:is|of)?\s*([\d,. ]*\d)", re.IGNORECASE)
_LEAST_TOKENS = 1_000  # a learned limit is not lower
_STEPS = batch_parts.UNSENT
_NO_BATCH = RemoteBatch("", RemoteState.UNKNOWN, "")


class NotLeading(Exception):
    """Another process leads the parts of the job now: this one must not create a batch."""


class PartSender:
    """``leads()``, asked in the transaction that announces a batch: whether this process still leads the
    parts of the job. ``budget(part)``: whether the cost of a part fits under the spend caps, and is
    reserved (part_budget.py). ``moves(config_id)``: whether the requests of a part go to another config
    rather than wait for room at this one (batch_configs.py). ``keep_files``: files of refused batches
    stay at the provider. ``too_large(part)`` learns that the file of a part is (part_sizes.py); ``may_call``: what
    no batch takes may be sent by a call."""

    def __init__(
        self,
        settings: Settings,
        files: PartFiles,
        maker_of: MakerOf,
        waits: PartWaits,
        part_log: PartLog,
        leads: Callable[[], bool] = lambda: True,
        budget: Callable[[BatchPart], Room | PauseReason] = lambda part: Room.RESERVED,
        deadline_at: int | None = None,
        moves: Callable[[int], bool] = lambda config_id: False,
        keep_files: bool = False,
        too_large: Callable[[BatchPart], None] = lambda part: None,
        may_call: bool = False,
    ):
        self._settings = settings
        self._files = files
        self._maker_of = maker_of
        self._inputs = PartInputs(files, maker_of, deadline_at)
        self._waits = waits
        self._log = part_log
        self._leads = leads
        self._budget = budget
        self._moves = moves
        self._keep_files = keep_files
        self._too_large = too_large
        self._may_call = may_call
        self._refused = 0  # parts refused as a whole, since the last that was not
        # until when batches of a part that was created again are looked for; monotonic clock
        self._late_until: dict[int, float] = {}
        self._turns: dict[int, float] = {}  # until when others go first, by config; monotonic clock
        self._alone: dict[int, int] = {}  # refusals for want of room with nothing beside, by part

    def send(self, part: BatchPart) -> PauseReason | None:
        """Take a part as far as it goes: to an open batch, to a wait, or out. Returns why the job must
        stop, if it must. Raises NotLeading, ConfigurationError, and OSError where the input cannot be
        written."""
        client = self._maker_of(part.config_id).client
        try:
            return self._advance(client, part)
        except InputChanged:
            self._release(part, translatable("the connection or the job was edited meanwhile"))
            return None
        except BatchCallFailed as failed:
            return self._call_refused(part, failed)
        except TransportFailure as failure:
            return self._waits.unanswered(part, failure)

    def _advance(self, client: BatchClient, part: BatchPart) -> PauseReason | None:
        if part.state == PartState.CREATING:
            try:
                if self.adopted(client, part):
                    return None
            except BatchCallFailed as failed:
                return self._not_looked_up(part, failed)
        if part.state != PartState.CREATING and not self._has_room(part):
            return None
        if part.state == PartState.PLANNED:
            room = self._budget(part)
            if room is not Room.RESERVED:
                return self._not_afforded(part, room)
        if part.state in (PartState.PLANNED, PartState.UPLOADING) and not self._upload(
            client, part
        ):
            return None
        return self._create(client, part)

    def _not_afforded(self, part: BatchPart, room: Room | PauseReason) -> PauseReason | None:
        if room is Room.SMALLER:
            self._release(part, translatable("cut into smaller parts"))
        elif room is Room.LATER and not self._moved_away(part):
            self._waits.for_money(part)
        return room if isinstance(room, PauseReason) else None

    def _has_room(self, part: BatchPart) -> bool:
        """Whether the part is within the learned limit of enqueued tokens, beside those at the provider."""
        limit = retry_while_unavailable(batch_parts.token_limit, part.config_id, part.model)
        if limit is None:
            return True
        enqueued = retry_while_unavailable(batch_parts.enqueued_tokens, part.config_id, part.model)
        if part.tokens > limit and part.requests > 1:
            self._cut_smaller(part)
            return False
        if enqueued and enqueued + part.tokens > limit:
            self._wait_for_room(part)
            return False
        if time.monotonic() < self._turns.get(part.config_id, 0.0) and retry_while_unavailable(
            batch_parts.others_wait, part
        ):
            self._waits.for_others(part, TURN_S)
            return False
        return True

    def _wait_for_room(self, part: BatchPart) -> None:
        limit = retry_while_unavailable(batch_parts.token_limit, part.config_id, part.model)
        if not self._moved_away(part):
            self._waits.for_room(part, limit)

    # --- upload -----------------------------------------------------------------------------

    def _upload(self, client: BatchClient, part: BatchPart) -> bool:
        """Returns False if the part was taken away meanwhile."""
        given = self._inputs.of(part)
        file_id: str | None = None
        if client.inline:
            return self._moved(part, PartState.UPLOADED, (part.state,))
        if part.state == PartState.UPLOADING:
            file_id = client.find_upload(given)
        elif not self._moved(part, PartState.UPLOADING, (PartState.PLANNED,), tried_at=now_ms()):
            return False
        if file_id is None:
            file_id = client.upload(given)
        if self._moved(part, PartState.UPLOADED, (PartState.UPLOADING,), file_id=file_id or ""):
            return True
        self._forget_upload(client, file_id)
        return False

    def _forget_upload(self, client: BatchClient, file_id: str | None) -> None:
        """The part is not to be sent any more: remove its file."""
        if file_id:
            gone = RemoteBatch("", RemoteState.CANCELLED, "", input_file=file_id)
            try:
                client.delete(gone)
            except (BatchCallFailed, TransportFailure) as failed:
                log.warning("the file %s stays at the provider: %s", file_id, failed)

    def forget_file(self, part: BatchPart) -> None:
        """The same for a part that was released, unless the job keeps files."""
        if not self._keep_files:
            self._forget_upload(self._maker_of(part.config_id).client, part.file_id)

    # --- create -----------------------------------------------------------------------------

    def _create(self, client: BatchClient, part: BatchPart) -> PauseReason | None:
        given = self._inputs.of(part) if client.inline else self._inputs.named(part)
        if not self._announce(part):
            return None
        batch = client.create(given, part.file_id or None)
        self._opened(client, part, batch)
        return None

    def _announce(self, part: BatchPart) -> bool:
        """Commit that a batch may exist from now on."""

        def work() -> bool | None:
            with batch_parts.database.atomic():
                if not self._leads():
                    raise NotLeading
                if batch_parts.lacks_room(part):
                    return None
                return batch_parts.move(
                    part.id,
                    PartState.CREATING,
                    (PartState.UPLOADED,),
                    tried_at=now_ms(),
                    not_before=None,
                )

        began = time.monotonic()
        announced = retry_while_unavailable(work)
        if announced is None:  # another job has taken the room meanwhile
            self._wait_for_room(part)
        if not announced:
            return False
        part.state = PartState.CREATING
        if time.monotonic() - began > STALE_S and not retry_while_unavailable(self._leads):
            raise NotLeading  # this process stood still: another one may have taken over
        return True

    def _opened(self, client: BatchClient, part: BatchPart, batch: RemoteBatch) -> None:
        moved = self._moved(
            part,
            PartState.OPEN,
            (PartState.CREATING,),
            provider_id=batch.id,
            sent_at=now_ms(),
            not_before=self._waits.begin(part.id, self._settings.BATCH_POLL_FIRST),
            **reported_columns(part, batch),
        )
        if moved:
            self._waits.answered(part)
            self._waits.sent(part)
            self._log.sent(part, batch)
        else:
            held = retry_while_unavailable(batch_parts.get, part.id)
            if held is None or held.provider_id != batch.id:
                log.warning("batch %s was created, but its part is led elsewhere", batch.id)
                client.cancel(batch.id)

    # --- adoption ---------------------------------------------------------------------------

    def adopted(self, client: BatchClient, part: BatchPart) -> bool:
        """Look for the batch of a part that may have been created. If there is none, the part is
        uploaded again (True: it is not to be created now). While a batch may be the part's or not, the
        part waits until that has ended."""
        given = self._inputs.named(part)
        for number in range(self._settings.BATCH_FIND_TRIES):
            if number:
                gevent.sleep(self._settings.BATCH_FIND_WAIT)
            found = client.find(given, part.file_id or None)
            if self._adopt(client, part, [batch for batch in found if batch.certain]):
                return True
        doubtful = retry_while_unavailable(
            batch_parts.without_known, [one.id for one in found if not one.certain]
        )
        if doubtful:
            self._waits.for_certainty(part, doubtful[0])
            return True
        known = _decode_remote(part.remote) if _id_of(part.remote) else _NO_BATCH
        again = msgspec.structs.replace(known, created_again_at=now_ms())
        remote = msgspec.json.encode(again).decode()
        return not self._moved(part, PartState.UPLOADED, (PartState.CREATING,), remote=remote)

    def look_for_others(self, client: BatchClient, part: BatchPart) -> None:
        """A batch that was created again may have been created before after all, only late: for a while it
        is looked for and cancelled."""
        since = _created_again_at(part.remote)
        if since is None:
            return
        passed_s = max(0.0, (now_ms() - since) / 1000)
        until = self._late_until.setdefault(part.id, time.monotonic() + LATE_S - passed_s)
        if time.monotonic() > until:
            return
        for batch in client.find(self._inputs.named(part), part.file_id or None):
            if batch.certain and batch.id != part.provider_id and not batch.state.ended:
                client.cancel(batch.id)
                if batch.state is not RemoteState.CANCELLING:
                    self._log.one_too_many(part, batch)

    def _adopt(self, client: BatchClient, part: BatchPart, found: list[RemoteBatch]) -> bool:
        refused = _id_of(part.remote)
        able = [batch for batch in found if batch.state is not RemoteState.FAILED]
        if not able:
            able = [batch for batch in found if batch.id != refused and not _passes(batch)][-1:]
        if not able:
            return False
        first, *others = able
        for batch in others:
            if not batch.state.ended:
                client.cancel(batch.id)
                self._log.one_too_many(part, batch)
        self._opened(client, part, first)
        return True

    # --- refusals ---------------------------------------------------------------------------

    def _call_refused(self, part: BatchPart, failed: BatchCallFailed) -> PauseReason | None:
        """The provider refused a call."""
        finding = failed.finding
        creating = part.state == PartState.CREATING
        if creating and uncertain(failed):
            return self._waits.refused(part, failed)
        if creating:
            self._moved(part, PartState.UPLOADED, (PartState.CREATING,))
        if failed.enqueued:
            self.no_room(part, finding.message, finding.retry_after_s)
            return None
        if failed.gone and part.file_id and self._refused < TRIP:
            self._refused += 1
            self._moved(part, PartState.PLANNED, (PartState.UPLOADED,), file_id="")
            return None
        if finding.verdict in (Verdict.RETRY, Verdict.WAIT):
            return self._waits.refused(part, failed)
        if stops(finding):
            return pause_reason(finding)
        if finding.cause is Cause.TOO_LARGE:
            self._file_too_large(part, finding)
            return None
        self._release(part, finding.message)
        return self._whole_refused(pause_reason(finding))

    def _file_too_large(self, part: BatchPart, finding: Classification) -> None:
        """Its requests go into smaller parts; one alone is sent by a call where the job may, else it
        fails."""
        self._too_large(part)
        if part.requests > 1:
            self._cut_smaller(part)
            return
        if not self._may_call:
            self._log.lines_refused(
                part, [BatchError("", finding.message, line=1)], Cause.TOO_LARGE
            )
        self._release(part, finding.message)

    def _not_looked_up(self, part: BatchPart, failed: BatchCallFailed) -> PauseReason | None:
        """Whether there is a batch is not known: the part stays as it is, and it is looked for again."""
        stop = self._waits.refused(part, failed)
        return pause_reason(failed.finding) if stops(failed.finding) else stop

    def batch_refused(self, part: BatchPart, batch: RemoteBatch) -> PauseReason | None:
        """The provider refused a batch as a whole, with no result. Lines that it names are handed to the
        recorder as failed; the others are pending again."""
        former = (PartState.OPEN, PartState.CANCELLING)
        errors = batch.errors
        detail = "; ".join(dict.fromkeys(error.message for error in errors))[:500]
        if errors and any(error.enqueued for error in errors) and part.state == PartState.OPEN:
            again = {"provider_id": "", "marker": new_marker(part.job_id), "sent_at": None}
            if self._moved(part, PartState.UPLOADED, former, **again, **remote_columns(batch)):
                self.no_room(part, detail)
            return None
        named = [error for error in errors if error.line is not None]
        if named:
            self._log.lines_refused(part, named)
        if not named and part.state == PartState.OPEN:
            # before its requests are free: else they might be sent once more
            stop = self._whole_refused(_refuses_all(detail or batch.status))
            if stop is not None:
                return stop
        if release(self._files, part, former, detail or batch.status):
            self._log.refused(part, detail or batch.status)
            self.forget_file(part)
            self.has_ended(part)
        return None

    def _whole_refused(self, stop: PauseReason) -> PauseReason | None:
        self._refused += 1
        if self._refused < TRIP:
            return None
        self._refused = 0
        return stop

    def accepted(self) -> None:
        """A batch has run: the provider takes batches of this job."""
        self._refused = 0

    def has_ended(self, part: BatchPart) -> None:
        """There is room at the provider: parts that wait for it are tried now, those of other jobs first."""
        self._turns[part.config_id] = time.monotonic() + TURN_S
        retry_while_unavailable(batch_parts.wake_waiting, part.config_id)

    def no_room(self, part: BatchPart, message: str, asked_s: float | None = None) -> None:
        """The limit of enqueued tokens is reached: the part waits, for ``asked_s`` where the provider says so, and
        the limit is learned."""
        config_id, model = part.config_id, part.model
        beside = retry_while_unavailable(batch_parts.enqueued_tokens, config_id, model)
        known = retry_while_unavailable(batch_parts.token_limit, config_id, model)
        alone = self._alone[part.id] = 0 if beside else self._alone.get(part.id, 0) + 1
        limit = learned_limit(message, part.tokens, beside, known, alone >= TRIP)
        if limit is not None:
            retry_while_unavailable(batch_parts.learn_token_limit, config_id, model, limit)
            log.info("config %s: at most %s tokens of %s are enqueued", config_id, limit, model)
        if limit is not None and part.tokens > limit and part.requests > 1:
            self._cut_smaller(part)
            return
        if not self._moved_away(part):
            self._waits.for_room(part, limit, asked_s)

    def _moved_away(self, part: BatchPart) -> bool:
        """Let another config take the requests of a part that finds no room."""
        if not self._moves(part.config_id):
            return False
        self._release(part, translatable("the connection has no room for it"))
        return True

    def _cut_smaller(self, part: BatchPart) -> None:
        self._release(part, translatable("cut into smaller parts"))

    def _release(self, part: BatchPart, detail: str) -> None:
        if release(self._files, part, _STEPS, detail):
            self._log.refused(part, detail)
            self.forget_file(part)

    def _moved(self, part: BatchPart, to: PartState, former: tuple[str, ...], **values) -> bool:
        """Change the state in the database, and then here."""
        states = [PartState(state) for state in former]
        if not retry_while_unavailable(lambda: batch_parts.move(part.id, to, states, **values)):
            return False
        part.state = to
        for name, value in values.items():
            setattr(part, name, value)
        return True


def _refuses_all(message: str) -> PauseReason:
    return PauseReason(
        "batch_refused",
        translatable("The provider refuses the batches of this job: %(message)s", message=message),
    )


def stops(finding: Classification) -> bool:
    """Whether each further call would be refused alike."""
    return finding.verdict is Verdict.STOP or finding.cause in (Cause.AUTH, Cause.QUOTA)


def uncertain(failed: BatchCallFailed) -> bool:
    """Whether a call that creates a batch may have had its effect though it was refused: no status, or
    one that says the server failed."""
    status = failed.finding.http_status
    return not failed.enqueued and (status is None or status >= 500 or status in (408, 409))


def learned_limit(
    message: str, tokens: int, beside: int, known: int | None, again: bool = False
) -> int | None:
    """The limit of enqueued tokens that a refusal shows: the one that it names, else what was there
    ``beside`` the refused part, else less than the part. ``again``: the part was refused several times
    with nothing beside it."""
    found = _ENQUEUED_LIMIT.search(message)
    digits = re.sub(r"\D", "", found[1]) if found else ""
    named = int(digits) if digits and len(digits) < 15 else None
    if named and tokens <= named and again:
        # our estimate of its tokens is too low, or others use the limit
        return max(named // 4, tokens * 4 // 5, 1)
    if named:
        return min(named, known or named)
    if beside:
        return max(beside, tokens, known or 0)
    return max(_LEAST_TOKENS, min(tokens // 2, known or tokens))


def remote_columns(batch: RemoteBatch) -> dict:
    """What the provider reports, as columns of the part's row."""
    return {
        "provider_status": batch.status,
        "remote": msgspec.json.encode(batch).decode(),
        "remote_total": batch.total,
        "remote_succeeded": batch.succeeded,
        "remote_failed": batch.failed,
    }


def reported_columns(part: BatchPart, batch: RemoteBatch) -> dict:
    """The same of a part's batch, with what only we know of it."""
    again = _created_again_at(part.remote)
    return remote_columns(msgspec.structs.replace(batch, created_again_at=again))


def remote_of(part: BatchPart) -> RemoteBatch:
    """The batch as the provider last reported it."""
    return _decode_remote(part.remote)


_decode_remote = msgspec.json.Decoder(RemoteBatch).decode


class _Named(msgspec.Struct):
    id: str = ""
    created_again_at: int | None = None


_decode_id = msgspec.json.Decoder(_Named).decode


def _id_of(remote: str) -> str:
    return _decode_id(remote or "{}").id


def _created_again_at(remote: str) -> int | None:
    return _decode_id(remote or "{}").created_again_at


def _passes(batch: RemoteBatch) -> bool:
    return any(error.enqueued for error in batch.errors)
